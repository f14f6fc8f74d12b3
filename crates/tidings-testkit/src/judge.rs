//! The checker without names: entities, copies and sessions are numbers, and its memory is used again.
//!
//! What feeds it millions of small histories a second (a simulator) calls [`Judge::reset`] between them. The meaning
//! of every record is that of [`crate::history`]; the [`crate::Checker`] is this with names.
//!
//! ```
//! use tidings_core::{Freshness, Path, Stamp, Version};
//! use tidings_testkit::history::State;
//! use tidings_testkit::judge::{Commit, Judge, Read, Shown};
//!
//! let stamp = |n| Stamp::of(Version::new(n).unwrap_or_default());
//! let mut judge = Judge::default();
//! let price = judge.entity(0);
//! for n in 1..=2 {
//!     judge.commit(&Commit::of(price, stamp(n), n * 100, n * 100 + 10));
//! }
//! let read = Read::of(0, 500, 510, Freshness::Fresh, Path::L1);
//! judge.read(read, &[Shown { entity: price, state: State::at(stamp(1)) }]);
//! judge.finish();
//! assert_eq!(judge.counts().false_labels, 1);
//! ```

use std::time::Duration;

use tidings_core::{Freshness, Stamp};

use crate::checker::{Account, Counts};
use crate::history::Nanos;

mod answers;
mod copies;
mod duties;
mod found;
mod in_force;
mod pending;
mod records;
mod seen;
mod track;
mod versions;

use copies::{Acked, Copies};
use found::Findings;
pub use found::Found;
pub(crate) use found::{KEPT, Names, Place, Proof};
use pending::{Due, Now, Pending, Word};
pub(crate) use pending::{Held, Part};
pub use records::{Applied, Baseline, Commit, Read, Shown};
pub(crate) use seen::Brief;
use seen::{Sessions, Steps};
use track::Track;

/// Copies are bits of a word; of those beyond, nothing but reads can be judged.
pub(crate) const MOST_COPIES: u32 = 64;

/// A session that was shown nothing of an entity for so long is over as far as that entity is concerned.
pub const SESSION_ENDS: Duration = Duration::from_secs(300);

/// Judges a history by numbers.
#[derive(Debug, Default)]
pub struct Judge {
    tracks: Vec<Track>,
    used: usize,
    copies: Copies,
    pending: Pending,
    /// What shows a version that nobody is known to have committed, until somebody has or never will have.
    waiting: Vec<Waiting>,
    /// Those of them that have waited for longer than anything else: a commit may be under way for very long.
    overdue: Vec<Waiting>,
    /// What was taken to be in force, until every version is known that could have been.
    claims: Vec<Waiting>,
    /// The first version that was recorded with two contents: then neither can be believed.
    contradiction: Option<(u32, Stamp)>,
    acked: Acked,
    steps: Steps,
    sessions: Sessions,
    /// The entities of which something could be forgotten.
    listed: Vec<u32>,
    /// The entities and copies of which more than one step is remembered.
    grown: Vec<(u32, u32)>,
    counts: Counts,
    findings: Findings,
    settled: Nanos,
    latest: Nanos,
    longest_bound: Nanos,
    /// How far back an answer has reached, by its bound or its label.
    longest_reach: Nanos,
    is_finished: bool,
    /// What concerns no entity in particular is counted by the first shard alone.
    is_later_shard: bool,
}

#[derive(Debug, Clone, Copy)]
enum Waiting {
    Applied(Applied),
    Answer(Part, Shown),
    Held(Held),
    /// Whether it fits what was known when its entity had so many commits.
    Claim {
        part: Part,
        shown: Shown,
        fits: bool,
        known: u32,
    },
}

impl Waiting {
    const fn at(&self) -> Nanos {
        match self {
            Self::Applied(applied) => applied.at,
            Self::Answer(part, _) | Self::Claim { part, .. } => part.read.ended,
            Self::Held(held) => held.at,
        }
    }
}

/// So much may be overdue; of more, the oldest is judged by what is known.
const MOST_OVERDUE: usize = 10_000;

/// How often something has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Again,
    /// It is about to be forgotten: only a commit that is still under way is waited for.
    Late,
    /// What is not known by now never will be.
    Last,
}

impl Judge {
    pub(crate) fn of_shard(mut self, is_first: bool) -> Self {
        self.is_later_shard = !is_first;
        self
    }

    /// Something happened then, though not here.
    pub(crate) fn pass(&mut self, at: Nanos) {
        self.latest = self.latest.max(at);
    }

    /// Forgets everything, and keeps its memory for the next history.
    pub fn reset(&mut self) {
        self.tracks.iter_mut().take(self.used).for_each(Track::clear);
        self.used = 0;
        self.copies.clear();
        self.pending.clear();
        self.waiting.clear();
        self.overdue.clear();
        self.claims.clear();
        self.contradiction = None;
        self.acked.clear();
        self.steps.clear();
        self.sessions.clear();
        self.listed.clear();
        self.grown.clear();
        self.counts = Counts::default();
        self.findings.clear();
        (self.settled, self.latest, self.is_finished) = (0, 0, false);
        (self.longest_bound, self.longest_reach) = (0, 0);
    }

    /// The number of the next entity, from 0.
    pub fn entity(&mut self, kind: u16) -> u32 {
        match self.tracks.get_mut(self.used) {
            Some(track) => track.kind = kind,
            None => self.tracks.push(Track { kind, ..Track::default() }),
        }
        self.used += 1;
        (self.used - 1) as u32
    }

    /// The version of an entity when the history began.
    pub fn baseline(&mut self, entity: u32, stamp: Stamp) {
        self.before(&Baseline::of(entity, stamp));
    }

    /// The state of an entity when the history began.
    pub fn before(&mut self, baseline: &Baseline) {
        let Baseline { entity, stamp, .. } = *baseline;
        self.counts.baselines += 1;
        let Some(track) = self.tracks.get_mut(entity as usize) else { return };
        let added = track.versions.baseline(baseline);
        track.commits += 1;
        if added.is_news {
            track.start_at(stamp);
        }
        if added.contradicts {
            self.contradicts(entity, stamp);
        }
        self.list(entity);
    }

    fn contradicts(&mut self, entity: u32, stamp: Stamp) {
        let one = (entity, stamp);
        self.contradiction = Some(self.contradiction.map_or(one, |other| other.min(one)));
    }

    /// The first version that was recorded with two contents, if any was.
    pub(crate) const fn contradiction(&self) -> Option<(u32, Stamp)> {
        self.contradiction
    }

    /// A change at its source.
    pub fn commit(&mut self, commit: &Commit) {
        let Commit { entity, stamp, began, ended, window, revokes, .. } = *commit;
        self.counts.commits += 1;
        self.counts.late += u64::from(ended < self.settled);
        self.latest = self.latest.max(if ended == Nanos::MAX { began } else { ended });
        let Some(track) = self.tracks.get_mut(entity as usize) else { return };
        let added = track.versions.commit(commit);
        if added.contradicts {
            self.contradicts(entity, stamp);
        }
        let Some(track) = self.tracks.get_mut(entity as usize).filter(|_| added.is_news) else { return };
        track.commits = track.commits.wrapping_add(1);
        if let Some(window) = window {
            track.windows.add(stamp, window, added.is_new);
        }
        if added.is_acknowledged {
            self.acked.add(copies::Ack { ended, began, entity, stamp });
            if let Some(sla) = revokes {
                let at = ended.saturating_add(nanos(sla));
                track.note_sla(stamp, sla);
                track.revoke(stamp, at);
                self.pending.deadline(entity, stamp, at);
            }
        }
        self.list(entity);
    }

    fn list(&mut self, entity: u32) {
        let Some(track) = self.tracks.get_mut(entity as usize) else { return };
        if !track.is_listed && track.has_past() {
            track.is_listed = true;
            self.listed.push(entity);
        }
    }

    /// What a copy did with an event.
    pub fn applied(&mut self, applied: &Applied) {
        self.counts.applied += 1;
        self.note(applied.at);
        if let Some(kind) = self.tracks.get(applied.entity as usize).map(|track| track.kind) {
            self.hear(applied.copy, kind, applied);
        }
        self.pending.applied(*applied);
    }

    /// A copy was told of a change of some entity of this kind, of a timeline that older ones are compared with.
    pub(crate) fn hear(&mut self, copy: u32, kind: u16, applied: &Applied) {
        self.copies.hear(copy, kind, applied.stamp.timeline, applied.at);
    }

    /// What a read returned.
    pub fn read(&mut self, read: Read, shows: &[Shown]) {
        self.part(Part { read, session: u64::from(read.session), note: 0, counts: true }, shows);
    }

    pub(crate) fn part(&mut self, part: Part, shows: &[Shown]) {
        self.latest = self.latest.max(part.read.ended);
        let claimed = if let Freshness::Within(age) = part.read.freshness { age } else { Duration::ZERO };
        let reaches = nanos(claimed.max(part.read.bound.unwrap_or_default()));
        self.longest_reach = self.longest_reach.max(reaches);
        if part.counts {
            self.counts.late += u64::from(part.read.ended < self.settled);
        }
        self.pending.read(part, shows);
    }

    /// A copy must account for every event of this kind whose commit begins at `from` or later.
    pub fn subscribed(&mut self, copy: u32, kind: Option<u16>, from: Nanos) {
        self.copies.subscribe(copy, kind, from);
    }

    /// A copy claims to have accounted for everything of this kind that was acknowledged before `upto`.
    pub fn marked(&mut self, copy: u32, kind: Option<u16>, upto: Nanos, at: Nanos) {
        self.counts.marks += u64::from(!self.is_later_shard);
        self.said(at);
        self.pending.marked(Word { copy, kind, time: upto, at });
    }

    /// A copy declares that it may have missed something.
    pub fn epoch(&mut self, copy: u32, at: Nanos) {
        self.said(at);
        self.pending.epoch(copy, at);
    }

    /// A copy may serve revocable answers of this kind until `until`.
    pub fn lease(&mut self, copy: u32, kind: Option<u16>, until: Nanos, at: Nanos) {
        self.said(at);
        self.pending.lease(Word { copy, kind, time: until, at });
    }

    /// What a copy holds, once it says to have taken in everything that was acknowledged before `upto`.
    pub fn held(&mut self, copy: u32, shown: Shown, upto: Nanos, at: Nanos) {
        self.hold(Held { copy, shown, upto, at });
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.counts.held += 1;
        self.note(held.at);
        self.pending.held(held);
    }

    fn said(&mut self, at: Nanos) {
        let late = self.counts.late;
        self.note(at);
        if self.is_later_shard {
            self.counts.late = late;
        }
    }

    fn note(&mut self, at: Nanos) {
        self.latest = self.latest.max(at);
        self.counts.late += u64::from(at < self.settled);
    }

    /// Judges what happened before then: the caller's word that all records of it have been handed in.
    pub fn settle(&mut self, up_to: Nanos) {
        self.settled = self.settled.max(up_to);
        self.look_again(0);
        self.acked.settle(up_to);
        let mut pending = std::mem::take(&mut self.pending);
        for now in pending.until(up_to) {
            match now {
                Now::Read(part, shows) => {
                    self.counts.reads += u64::from(part.counts);
                    for shown in shows.iter() {
                        if !self.judge_answer(part, &shown, Turn::First) {
                            self.waiting.push(Waiting::Answer(*part, shown));
                        }
                    }
                }
                Now::Held(held) => {
                    if !self.judge_held(held, Turn::First) {
                        self.waiting.push(Waiting::Held(*held));
                    }
                }
                Now::Other(due) => self.judge_due(due, up_to),
            }
        }
        pending.remove();
        self.pending = pending;
    }

    fn judge_due(&mut self, due: &Due, up_to: Nanos) {
        match due {
            Due::Epoch { copy, at } => self.copies.epoch(*copy, *at),
            Due::Applied(applied) => {
                if !self.judge_applied(applied, Turn::First) {
                    self.waiting.push(Waiting::Applied(*applied));
                }
            }
            Due::Lease(word) => self.copies.lease(*word),
            Due::Marked(word) => self.judge_mark(word),
            Due::Foretold(word) => {
                let start = self.acked.start;
                if let Some(copy) = self.copies.at(word.copy) {
                    copy.foretell(*word, start);
                }
            }
            // A history that ends before the deadline proves nothing about it.
            Due::Deadline { at, .. } if up_to == Nanos::MAX && *at > self.latest => {}
            Due::Deadline { entity, stamp, at } => self.judge_deadline(*entity, *stamp, *at),
            // Come as what they are.
            Due::Held(_) | Due::Read(_) => {}
        }
    }

    /// Forgets what only reads that began before `time` could show, keeping what is still needed to recognise every
    /// later wrong answer.
    pub fn forget_before(&mut self, time: Nanos) {
        // An answer may be judged by what was true as long ago as the oldest that one has claimed to be.
        let time = time.min(self.settled.saturating_sub(self.longest_reach));
        self.look_again(time);
        self.forget_versions(time);
        self.forget_acked(time);
        let Self { tracks, steps, .. } = self;
        self.grown.retain(|(entity, copy)| {
            tracks.get(*entity as usize).is_some_and(|track| steps.forget_before(track.seen.of(*copy), time))
        });
        let ends = time.saturating_sub(nanos(SESSION_ENDS));
        self.sessions.forget_before(time, ends, steps);
    }

    /// The history is over: what has not arrived never will. Judges the rest, and accounts for every event.
    pub fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.settle(Nanos::MAX);
        for mut thing in std::mem::take(&mut self.overdue) {
            self.look(&mut thing, Turn::Last);
        }
        for mut thing in std::mem::take(&mut self.waiting) {
            self.look(&mut thing, Turn::Last);
        }
        for mut thing in std::mem::take(&mut self.claims) {
            self.look(&mut thing, Turn::Last);
        }
        self.account();
    }

    /// The counts so far, of what is settled; lost events are counted by [`Judge::finish`].
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The first violations so far, of what is settled.
    #[must_use]
    pub fn found(&self) -> &[Found] {
        &self.findings.kept
    }

    /// How many violations were worth keeping when they were found.
    pub(crate) const fn found_ever(&self) -> u64 {
        self.findings.ever
    }

    pub(crate) const fn has_too_many_copies(&self) -> bool {
        self.copies.are_too_many
    }

    /// What became of the events that each copy had to account for, for those that had to.
    pub fn accounts(&self) -> impl Iterator<Item = (u32, Account)> {
        let all = self.copies.all().map(|(number, copy)| (number, copy.account.clone()));
        all.filter(|(_, account)| account.expected > 0)
    }

    /// How many versions, steps and acknowledged commits are remembered.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        let versions: usize = self.tracks.iter().map(|track| track.versions.entries().len()).sum();
        versions + self.steps.len() + self.acked.len()
    }

    /// False if it must be looked at again, when more is known.
    fn look(&mut self, thing: &mut Waiting, turn: Turn) -> bool {
        match thing {
            Waiting::Claim { .. } => self.look_at_claim(thing, turn),
            Waiting::Applied(applied) => self.judge_applied(applied, turn),
            Waiting::Answer(part, shown) => self.judge_answer(part, shown, turn),
            Waiting::Held(held) => self.judge_held(held, turn),
        }
    }

    /// At what was seen before the record of what it saw had come. What happened before `time` is about to be forgotten.
    fn look_again(&mut self, time: Nanos) {
        let turn = |thing: &Waiting| if thing.at() < time { Turn::Late } else { Turn::Again };
        if time > 0 && !self.overdue.is_empty() {
            let mut overdue = std::mem::take(&mut self.overdue);
            overdue.retain_mut(|thing| !self.look(thing, Turn::Late));
            self.overdue = overdue;
        }
        if !self.waiting.is_empty() {
            let mut waiting = std::mem::take(&mut self.waiting);
            waiting.retain_mut(|thing| {
                let turn = turn(thing);
                let is_over = self.look(thing, turn);
                if !is_over && turn == Turn::Late {
                    self.overdue.push(*thing);
                }
                !is_over && turn == Turn::Again
            });
            self.waiting = waiting;
        }
        if time > 0 && !self.claims.is_empty() {
            let mut claims = std::mem::take(&mut self.claims);
            claims.retain_mut(|thing| {
                let turn = turn(thing);
                !self.look(thing, turn)
            });
            // What waited so far may claim something now.
            claims.append(&mut self.claims);
            self.claims = claims;
        }
        let too_many = self.overdue.len().saturating_sub(MOST_OVERDUE);
        for mut thing in self.overdue.drain(..too_many).collect::<Vec<_>>() {
            self.look(&mut thing, Turn::Last);
        }
    }
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}
