//! What everybody in one history shares: its choices, its clock, its record.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tidings::{Clock, Time};
use tidings_testkit::history::Nanos;
use tidings_testkit::judge::Judge;
use tokio::time::Instant;

use super::draw::Draw;
use super::names::Names;
use super::truth::Truth;
use crate::choices::Choices;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};
use crate::trace::Trace;

/// The source's wall clock at the start of a history.
const DAWN: Time = Time::from_micros(1_800_000_000_000_000);
/// What every step takes: so no two of them happen at the same time, and wall clocks can tell them apart.
const STEP: Duration = Duration::from_micros(1);

/// After so many steps nobody acts without a pause, so that a history in which somebody runs in circles ends too.
const MOST_STEPS: u64 = 20_000;

/// One history while it happens.
pub(super) struct Stage {
    /// What this history is made of.
    pub(super) draw: Draw,
    pub(super) names: Arc<Names>,
    mutant: Option<Mutant>,
    origin: Instant,
    book: Mutex<Book>,
}

/// What changes while a history happens.
pub(super) struct Book {
    pub(super) choices: Choices,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    pub(super) judge: Judge,
    pub(super) truth: Truth,
    /// Faults have ended: what is left is to come to rest.
    pub(super) healed: bool,
    copies: u32,
    strangers: u32,
    sessions: u32,
    /// What went wrong beside the promises: a driver that gave up, a task that panicked.
    pub(super) defects: Vec<String>,
}

impl Book {
    pub(super) fn new(choices: Choices, trace: Trace, judge: Judge, truth: Truth) -> Self {
        Self {
            choices,
            trace,
            tally: Tally::default(),
            judge,
            truth,
            healed: false,
            copies: 0,
            strangers: 0,
            sessions: 0,
            defects: Vec::new(),
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Writer,
    Relay(u32),
    Host(u32),
    Group(u32),
    Reader(u32),
    Fate,
}

impl Who {
    const fn number(self) -> u64 {
        match self {
            Self::Writer => 0,
            Self::Fate => 1,
            Self::Relay(n) => 0x10 + n as u64,
            Self::Host(n) => 0x20 + n as u64,
            Self::Group(n) => 0x30 + n as u64,
            Self::Reader(n) => 0x40 + n as u64,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writer => f.pad("writer"),
            Self::Fate => f.pad("fate"),
            Self::Relay(n) => f.pad(&format!("relay {n}")),
            Self::Host(n) => f.pad(&format!("host {n}")),
            Self::Group(n) => f.pad(&format!("group {n}")),
            Self::Reader(n) => f.pad(&format!("reader {n}")),
        }
    }
}

impl Stage {
    pub(super) fn new(
        draw: Draw,
        names: Arc<Names>,
        mutant: Option<Mutant>,
        origin: Instant,
        book: Book,
    ) -> Arc<Self> {
        Arc::new(Self { draw, names, mutant, origin, book: Mutex::new(book) })
    }

    /// Whether this guard is left out.
    pub(super) fn lacks(&self, guard: Mutant) -> bool {
        self.mutant == Some(guard)
    }

    /// Whether no guard is left out.
    pub(super) fn is_whole(&self) -> bool {
        self.mutant.is_none()
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The history's one true time.
    pub(super) fn now(&self) -> Nanos {
        u64::try_from(Instant::now().duration_since(self.origin).as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// A number below `end`.
    pub(super) fn below(&self, end: u32) -> u32 {
        self.with(|book| book.choices.below(end))
    }

    /// Whether this fault strikes a call now.
    pub(super) fn strikes(&self, fault: Fault) -> bool {
        self.strikes_at(fault, self.draw.rate(fault))
    }

    /// Whether this fault strikes now something of which there are only a few.
    pub(super) fn strikes_often(&self, fault: Fault) -> bool {
        self.strikes_at(fault, 4 * self.draw.rate(fault))
    }

    fn strikes_at(&self, fault: Fault, rate: u32) -> bool {
        rate > 0
            && self.with(|book| {
                let strikes = !book.healed && book.choices.chance(rate);
                if strikes {
                    book.tally.struck(fault);
                }
                strikes
            })
    }

    pub(super) fn struck(&self, fault: Fault) {
        self.with(|book| book.tally.struck(fault));
    }

    pub(super) fn happened(&self, what: Sometimes) {
        self.with(|book| book.tally.happened(what));
    }

    /// A step of somebody: time passes, and the trace has it.
    pub(super) fn step(&self, who: Who, what: u64, line: impl FnOnce() -> String) -> Nanos {
        pass(STEP);
        let now = self.now();
        self.with(|book| {
            book.tally.operations += 1;
            book.trace.step(now ^ (who.number() << 48) ^ what.rotate_right(8));
            book.trace.tell(|| format!("{:>11.3} ms  {who:<9} {}", ms(now), line()));
        });
        now
    }

    /// Where others may come in between: mostly not at all, else after whoever is ready, else after some milliseconds.
    pub(super) async fn nap(&self) {
        let pace = self.draw.pace;
        if pace == 0 {
            if self.with(|book| book.tally.operations > MOST_STEPS) {
                self.sleep(1_000).await;
            }
            return;
        }
        match self.below(16) {
            n if n < 12 - pace => {}
            n if n < 15 - pace => tokio::task::yield_now().await,
            n => self.sleep(1 + self.below(1 << (n + pace - 14).min(5))).await,
        }
    }

    pub(super) async fn sleep(&self, millis: u32) {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }

    /// Sleeps for less than so many milliseconds.
    pub(super) async fn sleep_below(&self, millis: u32) {
        match self.below(millis) {
            0 => {}
            some => self.sleep(some).await,
        }
    }

    /// A machine's clock, so far from the source's.
    pub(super) fn clock(&self, skew_micros: i64) -> Clock {
        let wall = wall_at(self.now());
        Clock::of_runtime(Time::from_micros(wall.micros() + skew_micros))
    }

    /// The number of a new copy, which accounts for everything that is committed from now on.
    pub(super) fn new_copy(&self) -> u32 {
        self.with(|book| {
            let copy = book.copies;
            book.copies = (copy + 1).min(MOST_COPIES / 2);
            copy
        })
    }

    /// The number of a copy that is asked only once: for answers that nobody promises an order of.
    pub(super) fn stranger(&self) -> u32 {
        self.with(|book| {
            book.strangers = (book.strangers + 1).min(MOST_COPIES / 2 - 1);
            MOST_COPIES - book.strangers
        })
    }

    pub(super) fn new_session(&self) -> u32 {
        self.with(|book| {
            book.sessions += 1;
            book.sessions
        })
    }

    /// Something is wrong that no promise speaks of.
    pub(super) fn defect(&self, what: String) {
        self.with(|book| book.defects.push(what));
    }
}

/// What the judge can tell apart.
const MOST_COPIES: u32 = 64;

/// The source's wall clock at this time of the history, rounded down.
pub(super) fn wall_at(time: Nanos) -> Time {
    DAWN.plus(Duration::from_nanos(time))
}

/// The time of the history at which the source's wall clock showed this.
pub(super) fn nanos_at(time: Time) -> Nanos {
    u64::try_from(time.since(DAWN).as_nanos()).unwrap_or(Nanos::MAX)
}

pub(super) fn ms(nanos: Nanos) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

/// Lets a moment pass at once, for everybody, without giving way to anybody.
fn pass(span: Duration) {
    let mut advance = pin!(tokio::time::advance(span));
    // The clock is moved by the first poll; what is left of it would only yield.
    let _ = advance.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}
