//! What a run says of itself while it runs, and when that means that it has recovered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(3);

/// A copy that is behind by less is well.
pub(crate) const CLOSE: Duration = Duration::from_secs(2);

/// Behind by how much is well again, for one that was behind by so much before anything was done to it.
pub(crate) fn close(before: Duration) -> Duration {
    CLOSE.max(before.saturating_mul(2))
}

/// What is wrong with a peace after a fault, in which a copy was so far behind at the worst; nothing if that is usual. It may
/// be twice what is well: a breath of a busy machine is no relapse, and one that stays is seen after the next fault.
pub(crate) fn relapse(usual: Duration, worst: Duration) -> Option<String> {
    let most = close(usual).saturating_mul(2);
    (worst > most).then(|| format!("it was well, and then a copy fell {:.1} s behind", worst.as_secs_f64()))
}

/// The part of `GET /status` that matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) copies: Vec<Copied>,
}

/// One copy.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Copied {
    pub(crate) name: String,
    /// How old the newest mark is that it has applied, over all topics; nothing if it has applied none.
    pub(crate) behind_ms: Option<f64>,
    /// What it had from the levels that copies share; nothing as long as it has not said.
    #[serde(default)]
    pub(crate) shared: Option<Shared>,
}

/// What a copy had from the shared levels.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Shared {
    /// How long before the answer this was counted.
    pub(crate) age_ms: f64,
    pub(crate) levels: BTreeMap<String, Drawn>,
}

/// Of one level, counted up.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Drawn {
    /// Answers that came from it.
    pub(crate) l2_hits: u64,
    /// Looks that it did not answer.
    pub(crate) l2_bypasses: u64,
}

impl Drawn {
    /// Both together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { l2_hits: self.l2_hits + other.l2_hits, l2_bypasses: self.l2_bypasses + other.l2_bypasses }
    }
}

impl Status {
    /// Whether every copy has applied a mark that was made after a fault's end, this long ago, and is behind by less than
    /// `close`. The ones with these names have to be there.
    pub(crate) fn is_well(&self, copies: &[String], since_end: Duration, close: Duration) -> bool {
        let least = close.min(since_end).as_secs_f64() * 1000.0;
        let is_well = |copy: &Copied| copy.behind_ms.is_some_and(|behind| behind < least);
        let is_there = |name: &String| self.copies.iter().any(|copy| copy.name == *name);
        !copies.is_empty() && copies.iter().all(is_there) && self.copies.iter().all(is_well)
    }

    /// How far behind the last one is; nothing if one has heard nothing.
    pub(crate) fn behind(&self) -> Option<Duration> {
        let behind = self.copies.iter().map(|copy| copy.behind_ms);
        let most = behind.reduce(|one, other| Some(one?.max(other?))).flatten()?;
        Duration::try_from_secs_f64(most / 1000.0).ok()
    }

    /// How far behind each is, for people.
    pub(crate) fn shown(&self) -> String {
        let shown = |copy: &Copied| match copy.behind_ms {
            Some(behind) => format!("{} {:.1} s", copy.name, behind / 1000.0),
            None => format!("{} has heard nothing", copy.name),
        };
        format!("behind: {}", self.copies.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

/// Asks for the status of what listens at this port.
pub(crate) fn of(port: u16) -> Result<Status> {
    let value = get(SocketAddr::from(([127, 0, 0, 1], port)))?;
    serde_json::from_value(value).context("the status has no list of copies")
}

/// The JSON that `GET /status` answers with.
pub(crate) fn get(address: SocketAddr) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // With 1.0 the answer comes in one piece and ends with the connection.
    stream.write_all(format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let first = head.lines().next().unwrap_or_default();
    ensure!(first.split(' ').nth(1) == Some("200"), "{address} answers {first:?}");
    serde_json::from_str(body).context("a status that is not JSON")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use serde_json::json;

    use super::*;

    #[test]
    fn well_means_every_copy_and_something_newer_than_the_end() {
        for (behind, copies, since_ms, expected) in [
            (&[Some(100.0), Some(300.0)][..], 2, 5000, true),
            (&[Some(100.0), Some(2100.0)], 2, 5000, false),
            (&[Some(100.0), None], 2, 5000, false),
            // What it has applied was made before the end.
            (&[Some(100.0), Some(900.0)], 2, 800, false),
            // One is missing; nobody has to be there; there is one more, which has to be well, too.
            (&[Some(100.0)], 2, 5000, false),
            (&[Some(100.0)], 0, 5000, false),
            (&[Some(100.0), Some(100.0)], 1, 5000, true),
            (&[Some(100.0), Some(9000.0)], 1, 5000, false),
        ] {
            let copy =
                |(at, behind)| json!({"name": format!("copy-{at}"), "restarts": 0, "behind_ms": behind});
            let said: Vec<_> = behind.iter().enumerate().map(copy).collect();
            let status: Status = serde_json::from_value(json!({"copies": said, "more": 1})).unwrap();
            let copies: Vec<_> = (0..copies).map(|at| format!("copy-{at}")).collect();
            let seen = status.is_well(&copies, Duration::from_millis(since_ms), CLOSE);
            assert_eq!(seen, expected, "{status:?} {copies:?} {since_ms}");
        }
    }

    #[test]
    fn well_again_is_as_well_as_before() {
        let copy = |behind: Option<f64>| Copied { name: "copy-1".into(), behind_ms: behind, shared: None };
        let of = |all: &[Option<f64>]| Status { copies: all.iter().copied().map(copy).collect() };
        let (busy, names) = (of(&[Some(100.0), Some(3000.0)]), ["copy-1".to_owned()]);
        let before = busy.behind().unwrap();
        assert_eq!(before, Duration::from_secs(3));
        assert_eq!(of(&[Some(1.0), None]).behind(), None);
        assert_eq!(of(&[]).behind(), None);
        for (usual, behind, expected) in [
            (Duration::ZERO, 1900.0, true),
            (Duration::ZERO, 2100.0, false),
            (Duration::from_millis(100), 1900.0, true),
            (before, 5900.0, true),
            (before, 6100.0, false),
        ] {
            let seen = of(&[Some(behind)]).is_well(&names, Duration::from_secs(60), close(usual));
            assert_eq!(seen, expected, "{usual:?} {behind}");
            // However far behind is usual, something newer than the end has to have arrived.
            assert!(!of(&[Some(behind)]).is_well(&names, Duration::from_secs(1), close(usual)));
        }
    }

    #[test]
    fn who_falls_back_in_the_peace_has_relapsed() {
        let (usual, seconds) = (Duration::from_millis(100), Duration::from_secs);
        for (usual, worst, expected) in [
            (usual, seconds(0), false),
            (usual, seconds(4), false),
            (usual, seconds(5), true),
            (usual, seconds(50), true),
            (seconds(3), seconds(11), false),
            (seconds(3), seconds(13), true),
        ] {
            assert_eq!(relapse(usual, worst).is_some(), expected, "{usual:?} {worst:?}");
        }
        assert!(relapse(usual, seconds(50)).unwrap().contains("50.0 s"));
    }

    #[test]
    fn the_status_is_asked_for_over_http() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"copies\":[]}", Ok(0)),
            ("HTTP/1.1 500 Oh\r\n\r\n{}", Err("answers \"HTTP/1.1 500 Oh\"")),
            ("HTTP/1.1 200 OK\r\n\r\n{\"views\":[]}", Err("no list of copies")),
            ("nonsense", Err("without an end")),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // To its end: what is left unread when a connection is closed makes that a reset.
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                stream.write_all(answer.as_bytes()).unwrap();
                first
            });
            let seen = of(port).map(|status| status.copies.len()).map_err(|error| error.to_string());
            match (seen, expected) {
                (Err(seen), Err(expected)) => assert!(seen.contains(expected), "{seen}"),
                (seen, expected) => assert_eq!(seen.ok(), expected.ok(), "{answer}"),
            }
            assert_eq!(server.join().unwrap(), "GET /status HTTP/1.0");
        }
    }
}
