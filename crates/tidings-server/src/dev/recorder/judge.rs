//! The thread that judges what was recorded, and writes it down.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::{Code, Result};
use tidings_testkit::history::{Nanos, Record};
use tidings_testkit::{Checker, Verdict};

use super::latency::Latency;
use super::{COPY, Inbox, Judged, Shared, lock, nanos};
use crate::dev::history::Writing;

/// What happened is judged this much later.
const LATER: Duration = Duration::from_secs(3);
/// An event whose commit is not told of by then has none.
const HORIZON: Duration = Duration::from_secs(30);
const JUDGE_EVERY: Duration = Duration::from_millis(250);
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// The thread's own state.
pub(super) struct Judge {
    shared: Arc<Shared>,
    checker: Checker,
    writing: Option<Writing>,
    latency: Latency,
    others: Vec<Arc<str>>,
    judged_at: Instant,
    forgot_at: Instant,
}

/// What it leaves.
pub(super) struct Done {
    pub(super) verdict: Verdict,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    /// The history, without its end.
    pub(super) writing: Option<Writing>,
}

/// What was handed in since the last time.
struct Taken {
    records: Vec<Record>,
    /// `None` if that cannot be said.
    whole: Option<Whole>,
    ended: bool,
}

/// How far what was taken is complete.
#[derive(Clone, Copy)]
struct Whole {
    /// Everything here that ended before this is among it, or came earlier.
    until: Nanos,
    /// The same, of what other processes tell.
    fed: Nanos,
}

impl Judge {
    pub(super) fn new(shared: Arc<Shared>, writing: Option<Writing>, others: Vec<Arc<str>>) -> Result<Self> {
        let (judged_at, forgot_at) = (Instant::now(), Instant::now());
        let (checker, latency) = (Checker::new(), Latency::new()?);
        Ok(Self { shared, checker, writing, latency, others, judged_at, forgot_at })
    }

    pub(super) fn run(mut self, known: Vec<Record>) -> Result<Done> {
        let _deaf = DeafWhenDropped(self.shared.clone());
        known.into_iter().for_each(|record| self.hand_on(record));
        for copy in std::iter::once(COPY.into()).chain(std::mem::take(&mut self.others)) {
            self.hand_on(Record::Subscribed { copy, kind: None, from: 0 });
        }
        loop {
            let Taken { records, whole, ended } = self.next();
            for record in records {
                self.take(record);
            }
            if ended {
                return self.done();
            }
            if let Some(whole) = whole
                && self.judged_at.elapsed() >= JUDGE_EVERY
            {
                self.judged_at = Instant::now();
                self.judge(whole);
            }
        }
    }

    fn next(&self) -> Taken {
        let inbox = lock(&self.shared.inbox);
        let nothing = |inbox: &mut Inbox| inbox.records.is_empty() && !inbox.ended;
        let waited = self.shared.filled.wait_timeout_while(inbox, JUDGE_EVERY, nothing);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Asked before the records are taken: what another process has settled by now is among them. And after the time,
        // so that one which begins to tell in between began later than that.
        let whole = (inbox.waiting == 0).then(|| self.shared.now());
        let whole = whole.map(|until| Whole { until, fed: self.shared.fed() });
        let (records, ended) = (std::mem::take(&mut inbox.records), inbox.ended);
        drop(inbox);
        self.shared.emptied.notify_all();
        Taken { records, whole, ended }
    }

    fn take(&mut self, record: Record) {
        match &record {
            Record::Commit(commit) => self.latency.committed(commit),
            Record::Applied(applied) if &*applied.copy == COPY => self.latency.applied(applied),
            _ => {}
        }
        self.hand_on(record);
    }

    /// The file has the same records in the same order as the checker.
    fn hand_on(&mut self, record: Record) {
        self.write(|writing| writing.record(&record));
        self.checker.record(record);
    }

    /// A history that cannot be written any more ends where it is; the run is judged all the same.
    fn write(&mut self, what: impl FnOnce(&mut Writing) -> Result<()>) {
        let Some(writing) = &mut self.writing else { return };
        if let Err(error) = what(writing) {
            *lock(&self.shared.unwritten) = Some(error);
            self.writing = None;
        }
    }

    fn judge(&mut self, whole: Whole) {
        let settled = whole.until.saturating_sub(nanos(LATER)).min(whole.fed);
        if settled > 0 {
            self.write(|writing| writing.settled(settled));
        }
        // As whoever reads the file does, so that both come to the same verdict.
        self.checker.advance(settled);
        if self.forgot_at.elapsed() >= FORGET_EVERY {
            self.forgot_at = Instant::now();
            self.latency.forget_before(whole.until.saturating_sub(nanos(HORIZON)));
        }
        let violations = self.checker.violations().iter().take(5);
        let violations = violations.map(|v| format!("{:?}: {}", v.invariant, v.what)).collect();
        let (p50_us, p99_us) = self.latency.quantiles();
        *lock(&self.shared.judged) = Judged { counts: *self.checker.counts(), p50_us, p99_us, violations };
    }

    fn done(mut self) -> Result<Done> {
        for record in self.shared.close() {
            self.take(record);
        }
        let (verdict, (p50_us, p99_us)) = (self.verdict()?, self.latency.quantiles());
        Ok(Done { verdict, p50_us, p99_us, writing: self.writing.take() })
    }

    /// A run in which nobody asked for anything broke no promise.
    fn verdict(&mut self) -> Result<Verdict> {
        let counts = *self.checker.counts();
        match self.checker.verdict() {
            Err(error) if error.code() == Code::HISTORY_INCOMPLETE => {
                Ok(Verdict { counts, accounts: Vec::new(), violations: Vec::new() })
            }
            other => other,
        }
    }
}

/// Nobody waits for room in an inbox that is no longer read.
struct DeafWhenDropped(Arc<Shared>);

impl Drop for DeafWhenDropped {
    fn drop(&mut self) {
        let mut inbox = lock(&self.0.inbox);
        inbox.deaf = true;
        self.0.unrecorded.fetch_add(inbox.records.len() as u64, Ordering::Relaxed);
        drop(inbox);
        self.0.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::clock::RunClock;

    fn epoch(at: Nanos) -> Record {
        Record::Epoch { copy: "copy-1".into(), at }
    }

    #[test]
    fn what_a_process_settles_while_its_records_are_on_their_way_is_not_judged_yet() {
        // It began long ago, so that what other processes have told is what binds.
        let shared = Arc::new(Shared::new(RunClock::since(0)));
        let feed = shared.feed();
        let mut judge = Judge::new(shared.clone(), None, vec!["copy-1".into()]).unwrap();
        let began = shared.now().saturating_sub(nanos(Duration::from_secs(60)));
        feed.settled(began);
        feed.take(epoch(began + 1));
        let mut step = |between: &dyn Fn()| {
            let Taken { records, whole, .. } = judge.next();
            between();
            records.into_iter().for_each(|record| judge.take(record));
            judge.judge(whole.unwrap());
            judge.checker.counts().late
        };
        let late = step(&|| {
            feed.take(epoch(began + 2));
            feed.settled(began + 3);
        });
        assert_eq!(late, 0);
        assert_eq!(step(&|| {}), 0, "it was settled before it was taken");
        feed.take(epoch(began + 2));
        assert_eq!(step(&|| {}), 1, "what is settled is judged");
    }
}
