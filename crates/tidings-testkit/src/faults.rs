//! Ports that fail on script, and the same way for the same seed.
//!
//! A [`Script`] says which call of a port meets which [`Fault`]; [`FaultyLog`], [`FaultyOutbox`] and [`FaultyStore`]
//! act it out around a real port. What happens depends on the seed, the kind of call and its number alone, never on
//! how tasks interleave. The fault that matters most is [`Fault::FailAfter`]: it was done, but the answer was lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{Code, Error, Result};
use tokio::sync::watch;

use crate::rng::Rng;

mod log;
mod outbox;
mod store;
#[cfg(test)]
mod tests;

pub use log::FaultyLog;
pub use outbox::FaultyOutbox;
pub use store::FaultyStore;

/// A kind of call to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `Log::partitions`
    Partitions,
    /// `Log::append`
    Append,
    /// `Log::read`
    Read,
    /// `Log::bounds`
    Bounds,
    /// `Log::offset_at`
    OffsetAt,
    /// `Log::wait`, `Outbox::wait`
    Wait,
    /// `Log::commit`
    Commit,
    /// `Log::committed`
    Committed,
    /// `Log::retain`
    Retain,
    /// `Outbox::scan`
    Scan,
    /// `Outbox::acknowledged`
    Acknowledged,
    /// `Outbox::acknowledge`
    Acknowledge,
    /// `Outbox::park`
    Park,
    /// `Store::apply`
    Apply,
    /// `Store::open_epoch`
    OpenEpoch,
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Any call: it fails with this code and nothing is done.
    FailBefore(Code),
    /// Any call: it is done, but the caller gets this failure instead of the answer.
    FailAfter(Code),
    /// Any call: it begins only once the gate is open.
    Hold(Gate),
    /// `Append`: the batch is written twice. `Read`, `Scan`: a record or row comes twice. `Apply`: applied twice.
    Double,
    /// `Append`, `Read`, `Apply`: different entities change places within the batch, between marks; each entity keeps
    /// its order. A read keeps every record's own offset.
    Reorder,
    /// `Read`: a record other than the last is missing, and its offset with it.
    Lose,
    /// `Read`, `Scan`: a record or row cannot be read.
    Garble,
    /// `Read`: the records up to the head are answered by a gap, as if they had been removed.
    Gap,
}

impl Fault {
    const fn fits(&self, call: Call) -> bool {
        match self {
            Self::FailBefore(_) | Self::FailAfter(_) | Self::Hold(_) => true,
            Self::Double => matches!(call, Call::Append | Call::Read | Call::Scan | Call::Apply),
            Self::Reorder => matches!(call, Call::Append | Call::Read | Call::Apply),
            Self::Garble => matches!(call, Call::Read | Call::Scan),
            Self::Lose | Self::Gap => matches!(call, Call::Read),
        }
    }
}

#[derive(Debug)]
enum When {
    Nth(u64),
    Chance(f64),
}

#[derive(Debug)]
struct Rule {
    call: Call,
    when: When,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: HashMap<Call, u64>,
    met: Vec<(Call, u64, Fault)>,
    healed: bool,
}

/// Which calls meet which faults. Clones share one script: a test can go on writing it while it is acted out.
#[derive(Debug, Clone)]
pub struct Script {
    seed: u64,
    state: Arc<Mutex<State>>,
}

impl Script {
    /// A script without faults yet. The seed decides what [`Script::sometimes`] strikes, and where in a batch.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, state: Arc::default() }
    }

    /// The `nth` call of this kind, counted from 0 since the script began, meets this fault.
    ///
    /// # Panics
    /// If the fault cannot happen to such a call.
    #[track_caller]
    pub fn once(&self, call: Call, nth: u64, fault: Fault) -> &Self {
        self.add(Rule { call, when: When::Nth(nth), fault })
    }

    /// Every call of this kind meets this fault with this probability (0 to 1).
    ///
    /// # Panics
    /// If the fault cannot happen to such a call.
    #[track_caller]
    pub fn sometimes(&self, call: Call, chance: f64, fault: Fault) -> &Self {
        self.add(Rule { call, when: When::Chance(chance), fault })
    }

    #[track_caller]
    fn add(&self, rule: Rule) -> &Self {
        assert!(rule.fault.fits(rule.call), "{:?} cannot happen to {:?}", rule.fault, rule.call);
        self.state().rules.push(rule);
        self
    }

    /// From now on nothing fails. What is held at a gate stays there.
    pub fn heal(&self) {
        self.state().healed = true;
    }

    /// How many calls of this kind were made.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls.get(&call).copied().unwrap_or(0)
    }

    /// The faults that calls have met, in order. A test that relies on a fault asserts that it happened.
    #[must_use]
    pub fn met(&self) -> Vec<(Call, u64, Fault)> {
        self.state().met.clone()
    }

    /// What befalls the next call of this kind: waits at gates, fails before, or returns what is still to happen.
    async fn begin(&self, call: Call) -> Result<Turn> {
        let (nth, struck) = self.draw(call);
        let mut turn = Turn {
            script: self.clone(),
            call,
            nth,
            rng: self.rng(call, nth, u64::MAX),
            lost_answer: None,
            twists: Vec::new(),
        };
        for fault in struck {
            match fault {
                Fault::Hold(gate) => {
                    turn.note(&Fault::Hold(gate.clone()));
                    gate.pass().await;
                }
                Fault::FailBefore(code) => {
                    turn.note(&fault);
                    return Err(Error::new(
                        code,
                        format!("scripted: {call:?} {nth} fails before it is done"),
                    ));
                }
                Fault::FailAfter(code) => turn.lost_answer = Some(code),
                Fault::Double | Fault::Reorder | Fault::Lose | Fault::Garble | Fault::Gap => {
                    turn.twists.push(fault);
                }
            }
        }
        Ok(turn)
    }

    fn draw(&self, call: Call) -> (u64, Vec<Fault>) {
        let mut state = self.state();
        let count = state.calls.entry(call).or_default();
        let nth = *count;
        *count += 1;
        if state.healed {
            return (nth, Vec::new());
        }
        let strikes = |(at, rule): &(u64, &Rule)| {
            rule.call == call
                && match rule.when {
                    When::Nth(wanted) => wanted == nth,
                    When::Chance(chance) => self.rng(call, nth, *at).chance(chance),
                }
        };
        let struck = (0..).zip(&state.rules).filter(strikes).map(|(_, rule)| rule.fault.clone()).collect();
        (nth, struck)
    }

    /// Randomness that depends on the call alone, so that interleaving cannot change it.
    fn rng(&self, call: Call, nth: u64, rule: u64) -> Rng {
        let mut rng = Rng::new(self.seed);
        for part in [call as u64, nth, rule] {
            rng = Rng::new(rng.next() ^ part);
        }
        rng
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call on its way through its faults.
struct Turn {
    script: Script,
    call: Call,
    nth: u64,
    rng: Rng,
    lost_answer: Option<Code>,
    twists: Vec<Fault>,
}

impl Turn {
    /// Notes a fault that really changed something.
    fn note(&self, fault: &Fault) {
        self.script.state().met.push((self.call, self.nth, fault.clone()));
    }

    /// The twists of this call, to be acted out by the port's wrapper.
    fn twists(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.twists)
    }

    /// The answer, unless it is lost on its way.
    fn answer<T>(self, done: Result<T>) -> Result<T> {
        match (done, self.lost_answer) {
            (Ok(_), Some(code)) => {
                self.note(&Fault::FailAfter(code));
                let (call, nth) = (self.call, self.nth);
                Err(Error::new(code, format!("scripted: {call:?} {nth} was done, but its answer is lost")))
            }
            (done, _) => done,
        }
    }
}

/// Holds calls until the test opens it: a delay that depends on a condition instead of a time.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<(bool, usize)>>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new((false, 0))))
    }

    /// Lets everyone through, from now on.
    pub fn open(&self) {
        self.0.send_modify(|(open, _)| *open = true);
    }

    /// Resolves once so many calls have come to the gate, whether they are through or not.
    pub async fn arrived(&self, calls: usize) {
        let _ = self.0.subscribe().wait_for(|(_, arrived)| *arrived >= calls).await;
    }

    async fn pass(&self) {
        self.0.send_modify(|(_, arrived)| *arrived += 1);
        let _ = self.0.subscribe().wait_for(|(open, _)| *open).await;
    }
}
