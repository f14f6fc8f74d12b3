//! A start rides out servers that are slow, or away for a moment: what may pass is tried again, and said once.

use std::future::Future;
use std::time::Duration;

use tidings_core::error::Kind;
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error, Result};
use tokio::time::{Instant, timeout_at};

/// How long everything may take to come up.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(5) };

/// Tries until it is done, until trying again makes no sense, or until the deadline, with pauses that grow. What was begun
/// by a try that failed must end when it is dropped.
pub(super) async fn persist<T, F>(what: &str, deadline: Instant, mut start: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut last: Option<Error> = None;
    for attempt in 1.. {
        let error = match timeout_at(deadline, start()).await {
            Ok(Err(error)) if may_pass(&error) => error,
            Ok(done) => return done.map_err(|error| error.at(what)),
            Err(_) => break,
        };
        // Said once until it changes.
        if last.as_ref().is_none_or(|last| last.code() != error.code()) {
            eprintln!("tidings: waiting for {what}: {error}");
        }
        last = Some(error);
        let pause = PAUSES.wait(attempt, rand::random());
        if Instant::now() + pause >= deadline {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    let late = || Error::new(Code::STOPPING, "no answer in time");
    Err(last.unwrap_or_else(late).at(format!("{what} could not be started in time")))
}

/// Everything here is made by this run, under names of its own: a topic that is missing is not known everywhere yet, and
/// the only other writer is one of a try before, whose session is about to end.
fn may_pass(error: &Error) -> bool {
    error.kind() == Kind::Retry || matches!(error.code(), Code::KAFKA_TOPIC_MISSING | Code::STORE_LOCKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails like this, one after the other, and then works. Returns the tries and what came of them.
    async fn tried(codes: &[Code], within: Duration) -> (usize, Result<()>) {
        let mut tries = 0;
        let done = persist("the start", Instant::now() + within, || {
            let code = codes.get(tries).copied();
            tries += 1;
            std::future::ready(code.map_or(Ok(()), |code| Err(Error::new(code, "as the test wants"))))
        });
        let done = done.await;
        (tries, done)
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_nothing_else() {
        let long = Duration::from_secs(60);
        let passing = [Code::DATABASE_UNREACHABLE, Code::KAFKA_TOPIC_MISSING];
        let (tries, done) = tried(&passing, long).await;
        assert_eq!((tries, done.is_ok()), (3, true));
        for code in [Code::DATABASE_LOGIN, Code::KAFKA_SASL, Code::REDIS_LOGIN, Code::SETTING_INVALID] {
            let (tries, done) = tried(&[code], long).await;
            assert_eq!((tries, done.unwrap_err().code()), (1, code));
        }
    }

    #[tokio::test]
    async fn at_the_deadline_it_says_what_it_waited_for() {
        let never = [Code::REDIS_UNREACHABLE; 9];
        let (_, done) = tried(&never, Duration::from_millis(300)).await;
        let error = done.unwrap_err();
        assert_eq!(error.code(), Code::REDIS_UNREACHABLE);
        assert!(error.to_string().contains("the start could not be started in time"), "{error}");
        let silent = persist("the start", Instant::now(), std::future::pending::<Result<()>>).await;
        assert_eq!(silent.unwrap_err().code(), Code::STOPPING);
    }
}
