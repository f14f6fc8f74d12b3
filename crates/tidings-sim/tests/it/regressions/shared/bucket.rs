//! One key of one bucket of the shared level, stepped by a script. The rules are the shipped ones; a guard is left out
//! by what is done around them.

use std::fmt::Debug;
use std::time::Duration;

use tidings_core::shared::{
    self, Answer, AsOf, Changed, Content, Control, Epoch, Incarnation, Line, Looked, Miss, News, NotLive,
    Phase, Slot, Token, Unheard, Unkept,
};
use tidings_core::{Freshness, Outcome, Path, Stamp};
use tidings_sim::mutant::Mutant;
use tidings_testkit::history::{Nanos, State};
use tidings_testkit::judge::{Applied, Commit, Judge, Read, Shown};

use crate::regressions::{Broken, broken};

/// The one entity there is.
const PRICE: u32 = 0;
/// The shared level is the judge's first copy.
const SHARED: u32 = 0;

type Kept = (Option<Control>, Option<Slot<Stamp>>);

pub(super) struct Bucket {
    without: Option<Mutant>,
    control: Option<Control>,
    slot: Option<Slot<Stamp>>,
    here: Incarnation,
    nonce: u64,
    now: Nanos,
    judge: Judge,
    /// The newest version of which each copy has heard.
    heard: [Stamp; 2],
}

impl Bucket {
    /// An open bucket of a source that is at this version and place.
    pub(super) fn open(without: Option<Mutant>, stamp: Stamp, at: AsOf) -> Self {
        let mut judge = Judge::default();
        let price = judge.entity(0);
        assert_eq!(price, PRICE);
        judge.baseline(PRICE, stamp);
        let here = Incarnation(1);
        let mut bucket = Self {
            without,
            control: None,
            slot: None,
            here,
            nonce: 1,
            now: 0,
            judge,
            heard: [Stamp::default(); 2],
        };
        bucket.opens(None, at);
        bucket
    }

    /// What must be found as long as every guard is in place.
    pub(super) fn guarded<T: PartialEq + Debug>(&self, found: T, expected: T) {
        if self.without.is_none() {
            assert_eq!(found, expected);
        }
    }

    fn lacks(&self, guard: Mutant) -> bool {
        self.without == Some(guard)
    }

    fn tick(&mut self) -> Nanos {
        self.now += 1;
        self.now
    }

    fn nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// What the store calls itself, to whoever asks.
    fn here(&self) -> Incarnation {
        match self.control {
            Some(control) if self.lacks(Mutant::SharedIncarnation) => control.incarnation,
            _ => self.here,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.control.map_or(Epoch(0), |control| control.epoch)
    }

    pub(super) fn opens(&mut self, instead_of: Option<Epoch>, since: AsOf) {
        let (epoch, here) = (Epoch(self.nonce()), self.here());
        shared::claim(&mut self.control, here, epoch, instead_of).unwrap();
        shared::open(&mut self.control, here, epoch, since).unwrap();
        let now = self.tick();
        self.judge.epoch(SHARED, now);
    }

    pub(super) fn commit(&mut self, stamp: Stamp) {
        let (began, ended) = (self.tick(), self.tick());
        self.judge.commit(&Commit {
            entity: PRICE,
            stamp,
            began,
            ended,
            deleted: false,
            digest: 0,
            window: None,
            revokes: None,
        });
    }

    fn looked(&mut self) -> Result<Result<Stamp, Token>, NotLive> {
        let (here, token) = (self.here(), Token(self.nonce()));
        // Nobody waits for anybody here.
        let miss = Miss { token, now: Duration::from_nanos(self.now), lease: Duration::ZERO };
        match shared::look(self.control.as_ref(), &mut self.slot, here, miss) {
            Looked::Hit(answer) => Ok(Ok(answer.value)),
            Looked::Vacant { .. } => Ok(Err(token)),
            Looked::Filling => panic!("nobody holds a lease"),
            Looked::NotLive(why) => Err(why),
        }
    }

    /// A look that finds nothing.
    pub(super) fn miss(&mut self) -> Token {
        self.looked().unwrap().unwrap_err()
    }

    /// What somebody is shown who looks.
    pub(super) fn look(&mut self) -> Result<Option<Stamp>, NotLive> {
        let began = self.tick();
        let found = self.looked()?.ok();
        if let Some(stamp) = found {
            self.shown(SHARED, stamp, began);
        }
        Ok(found)
    }

    /// Somebody looks, whatever it shows.
    pub(super) fn is_read(&mut self) {
        let _: Result<_, NotLive> = self.look();
    }

    /// A copy has answered. It was asked for no less than it had heard of.
    pub(super) fn shown(&mut self, copy: u32, stamp: Stamp, began: Nanos) {
        let read = Read {
            copy,
            session: 0,
            token: Some((PRICE, self.heard[copy as usize])),
            began,
            ended: self.tick(),
            freshness: Freshness::Within(Duration::from_secs(1)),
            path: Path::L1,
            bound: None,
        };
        self.judge.read(read, &[Shown { entity: PRICE, state: State::at(stamp) }]);
    }

    pub(super) fn now(&mut self) -> Nanos {
        self.tick()
    }

    pub(super) fn fill(&mut self, token: Token, stamp: Stamp, as_of: AsOf) -> Result<(), Unkept> {
        let here = self.here();
        if let Some(slot) = &mut self.slot {
            match self.without {
                Some(Mutant::SharedLease) => {
                    let lease = shared::Lease { token, until: Duration::ZERO };
                    slot.content = Content::Vacant(Some(lease));
                }
                Some(Mutant::SharedFloor) => slot.floor = Stamp::default(),
                Some(Mutant::SharedMinimum) => slot.minimum = AsOf::default(),
                _ => {}
            }
        }
        let answer = Answer { value: stamp, stamp: Some(stamp), as_of };
        shared::fill(&mut self.control, &mut self.slot, here, token, answer)
    }

    /// The news of a version.
    pub(super) fn hears(&mut self, stamp: Stamp, position: AsOf) -> Result<Changed, Unheard> {
        let here = self.here();
        if self.slot.is_none() && self.lacks(Mutant::SharedPlaceholder) {
            self.slot = Some(Slot::vacant(self.epoch(), position, None));
        }
        let news = News { stamp: Some(stamp), position };
        let changed = shared::invalidate(&mut self.control, &mut self.slot, here, news)?;
        if let (Some(Mutant::FloorMax), Some(slot)) = (self.without, &mut self.slot) {
            slot.floor = stamp;
        }
        self.has_heard(SHARED, stamp);
        Ok(changed)
    }

    /// The same, with the new state in it.
    pub(super) fn is_told(&mut self, stamp: Stamp, position: AsOf) -> Result<Changed, Unheard> {
        let here = self.here();
        if self.slot.is_none() && self.lacks(Mutant::SharedUpdate) {
            self.slot = Some(Slot::vacant(self.epoch(), AsOf::default(), None));
        }
        let news = News { stamp: Some(stamp), position };
        let changed = shared::update(&mut self.control, &mut self.slot, here, news, stamp)?;
        self.has_heard(SHARED, stamp);
        Ok(changed)
    }

    /// The news of another entity of the same source.
    pub(super) fn hears_of_another(&mut self, position: AsOf) -> Result<Changed, Unheard> {
        let here = self.here();
        if let (Some(Mutant::SharedTimeline), Some(control)) = (self.without, &mut self.control) {
            let since = AsOf { timeline: position.timeline, at: 0 };
            control.phase = Phase::Live(Line { since, position: since });
        }
        shared::invalidate(&mut self.control, &mut None::<Slot<Stamp>>, here, News { stamp: None, position })
    }

    pub(super) fn has_heard(&mut self, copy: u32, stamp: Stamp) {
        let at = self.tick();
        self.judge.applied(&Applied { copy, entity: PRICE, stamp, outcome: Outcome::Applied, at });
        let newest = &mut self.heard[copy as usize];
        *newest = (*newest).max(stamp);
    }

    /// What a replica of the store has by now.
    pub(super) fn replica(&self) -> Kept {
        (self.control, self.slot)
    }

    pub(super) fn fails_over_to(&mut self, replica: Kept) {
        (self.control, self.slot) = replica;
        self.here = Incarnation(self.nonce());
    }

    pub(super) fn is_flushed(&mut self) {
        (self.control, self.slot) = (None, None);
    }

    /// Everything has been heard: what is still served is the truth.
    pub(super) fn rests(&mut self) {
        let now = self.tick();
        if let Ok(Ok(stamp)) = self.looked() {
            self.judge.held(SHARED, Shown { entity: PRICE, state: State::at(stamp) }, now, now);
        }
    }

    pub(super) fn broken(mut self) -> Broken {
        Ok(broken(&mut self.judge))
    }
}
