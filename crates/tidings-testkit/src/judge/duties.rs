//! What copies owe: epochs (I1), what their marks claim (I6), revocations (I8), what they hold (I9), every event (I10).

use tidings_core::{Outcome, Stamp};

use super::copies::{Ack, CopyState};
use super::found::{Fact, Place as Spot, Proof};
use super::pending::{Held, Word};
use super::versions::{Entry, Place};
use super::{Applied, Commit, Judge, MOST_COPIES, Shown, Track, Turn, nanos};
use crate::checker::Invariant;
use crate::history::{Nanos, State};

/// The bit of a copy; none for one beyond the limit.
const fn bit(copy: u32) -> u64 {
    if copy < MOST_COPIES { 1 << copy } else { 0 }
}

impl Track {
    /// A version's commit, as evidence.
    pub(super) fn commit(&self, entity: u32, stamp: Stamp) -> Option<Proof> {
        let Entry { began, ended, deleted, digest, .. } = *self.versions.find(stamp)?;
        let window = self.windows.of(stamp);
        let revokes = self.slas_of(stamp).next();
        Some(Proof::Commit(Commit { entity, stamp, began, ended, deleted, digest, window, revokes }))
    }

    fn newest(&self, copy: u32) -> Stamp {
        self.got.of(copy).newest
    }

    /// Whether the copy applied this version or a newer one, or set it aside.
    fn has(&self, copy: u32, stamp: Stamp) -> bool {
        self.newest(copy) >= stamp || self.has_parked(copy, stamp)
    }

    /// Whether nothing is owed of this version: it was set aside, or is none that the history must tell of.
    fn has_parked(&self, copy: u32, stamp: Stamp) -> bool {
        self.versions.find(stamp).is_none_or(|entry| entry.parked & bit(copy) != 0 || !entry.is_event)
    }
}

impl Judge {
    pub(super) fn judge_applied(&mut self, applied: &Applied, turn: Turn) -> bool {
        let Applied { copy, entity, stamp, outcome, at } = *applied;
        if copy >= MOST_COPIES {
            self.copies.are_too_many = true;
        }
        if turn == Turn::First && self.take_in(applied) {
            self.judge_timeline(applied);
        }
        let Some(track) = self.tracks.get_mut(entity as usize) else { return true };
        let began = match track.versions.look(stamp).0 {
            Place::At(at) => track.versions.applied(at, bit(copy), outcome),
            Place::Before => 0,
            Place::Never if turn != Turn::Last => return false,
            Place::Never => Nanos::MAX,
        };
        if began > at {
            self.counts.invented += 1;
            let fact = Fact::UncommittedEvent { copy, entity, stamp };
            let proof =
                || track.commit(entity, stamp).into_iter().chain([Proof::Applied(*applied)]).collect();
            self.findings.add(Spot { at, invariant: Invariant::I0, entity, copy }, || (fact, proof()));
        }
        true
    }

    /// Notes what a copy took in. True if that is of a newer timeline than it had heard of.
    fn take_in(&mut self, applied: &Applied) -> bool {
        let Applied { copy, entity, stamp, outcome, at } = *applied;
        let Some(track) = self.tracks.get_mut(entity as usize) else { return false };
        let (shown, kind) = (track.seen.of(copy).timeline(), track.kind);
        let Some(got) = track.got.of_mut(copy) else { return false };
        let before = got.timeline.max(shown);
        got.timeline = got.timeline.max(Some(stamp.timeline));
        let newest = got.newest;
        if outcome == Outcome::Applied && newest < stamp {
            got.newest = stamp;
        }
        let Some(state) = self.copies.at(copy) else { return false };
        state.takes_in(entity, newest, (outcome == Outcome::Parked).then_some(stamp));
        let is_first = before.is_none_or(|before| before < stamp.timeline);
        is_first && (before.is_some() || state.knew_older(kind, stamp.timeline, at))
    }

    /// Half of the invariant I1: a new timeline comes with an epoch. The epoch cannot be from before the last version of
    /// the old one was begun: then it was for something else.
    fn judge_timeline(&mut self, applied: &Applied) {
        let Applied { copy, entity, stamp, at, .. } = *applied;
        let Some(track) = self.tracks.get(entity as usize) else { return };
        let needed = track.versions.last_of_older_timelines(stamp).unwrap_or(0);
        let epoch = self.copies.at(copy).and_then(|copy| copy.epoch);
        if epoch.is_none_or(|epoch| epoch < needed) {
            self.counts.regressions += 1;
            let epoch = epoch.map(|at| Proof::Epoch { copy, at });
            let before = || epoch.into_iter().chain(track.commit(entity, stamp));
            self.findings.add(Spot { at, invariant: Invariant::I1, entity, copy }, || {
                (Fact::NoEpoch { copy, entity, stamp }, before().chain([Proof::Applied(*applied)]).collect())
            });
        }
    }

    /// The invariant I6. Each commit is looked at once per copy and kind: what was accounted for stays so.
    pub(super) fn judge_mark(&mut self, word: &Word) {
        let Word { copy, kind, time: upto, at } = *word;
        let Some(state) = self.copies.at(copy) else { return };
        let foretold = if upto > at { state.take_foretold(word) } else { None };
        let epoch = foretold.as_ref().map_or(state.epoch, |foretold| foretold.epoch);
        let known = *state.place(kind, self.acked.start);
        let mut place = foretold.as_ref().map_or(known, |foretold| foretold.place).max(self.acked.start);
        while let Some(&Ack { ended, began, entity, stamp }) = self.acked.at(place) {
            if ended >= upto {
                break;
            }
            place += 1;
            let Some(track) = self.tracks.get(entity as usize) else { continue };
            // A commit that was recorded twice is looked at when it was acknowledged first.
            let is_covered = || {
                kind.is_none_or(|kind| kind == track.kind)
                    && state.expects_at(track.kind, at).is_some_and(|from| began >= from)
                    && track.versions.find(stamp).is_some_and(|entry| entry.ended == ended)
            };
            let has = match &foretold {
                None => track.has(copy, stamp),
                Some(then) => {
                    then.newest(entity, track.newest(copy)) >= stamp
                        || (track.has_parked(copy, stamp) && !then.is_parked_since(entity, stamp))
                }
            };
            if has || epoch.is_some_and(|epoch| epoch >= began) || !is_covered() {
                continue;
            }
            self.counts.unmet_marks += 1;
            self.findings.add(Spot { at, invariant: Invariant::I6, entity, copy }, || {
                let proof = track.commit(entity, stamp).into_iter().chain([Proof::marked(word)]).collect();
                (Fact::MarkTooFar { copy, entity, stamp, upto }, proof)
            });
        }
        *state.place(kind, 0) = place.max(known);
    }

    /// Half of the invariant I8: by the deadline a copy has applied the revocation or set it aside, which fences the entity,
    /// or may not serve any more.
    pub(super) fn judge_deadline(&mut self, entity: u32, revoked: Stamp, at: Nanos) {
        let Some(track) = self.tracks.get(entity as usize) else { return };
        // Of a commit that was recorded twice, the first acknowledgement counts.
        let is_due = |entry: &Entry| {
            let mut slas = track.slas_of(revoked);
            entry.is_event && slas.any(|sla| entry.ended.saturating_add(nanos(sla)) == at)
        };
        if !track.versions.find(revoked).is_some_and(is_due) {
            return;
        }
        for (copy, state) in self.copies.all() {
            let covers = |kind: Option<u16>| kind.is_none_or(|kind| kind == track.kind);
            let lease = state.leases.iter().find(|lease| covers(lease.kind) && lease.time > at);
            let Some(lease) = lease.filter(|_| !track.has(copy, revoked)) else { continue };
            self.counts.unrevoked += 1;
            self.findings.add(Spot { at, invariant: Invariant::I8, entity, copy }, || {
                let proof = track.commit(entity, revoked).into_iter().chain([Proof::lease(lease)]).collect();
                (Fact::MayServeRevoked { copy, entity, revoked }, proof)
            });
        }
    }

    /// The invariant I9.
    pub(super) fn judge_held(&mut self, held: &Held, turn: Turn) -> bool {
        let Held { copy, shown: Shown { entity, state }, upto, at } = *held;
        let Some(track) = self.tracks.get(entity as usize) else { return true };
        let newest = track.versions.newest_before(upto).map(|entry| entry.stamp);
        let old = |shown| Some((Invariant::I9, Fact::HeldOld { copy, entity, shown, newest }));
        let wrong = match state {
            State::At { stamp, digest, .. } => {
                let place = track.versions.look(stamp).0;
                let entry = track.versions.find(stamp);
                let known = entry.map_or(0, |entry| entry.digest);
                if place == Place::Never && turn != Turn::Last {
                    return false;
                }
                if place == Place::Never || entry.is_some_and(|entry| entry.began > at) {
                    Some((Invariant::I0, Fact::Uncommitted { copy, entity, stamp }))
                } else if newest.is_some_and(|newest| stamp < newest) {
                    old(Some(stamp))
                } else if digest.is_some_and(|digest| {
                    (known != 0 && digest != known) || entry.is_some_and(|entry| entry.deleted)
                }) {
                    Some((Invariant::I9, Fact::HeldTorn { copy, entity, stamp }))
                } else {
                    None
                }
            }
            State::Absent => {
                let absent = track.versions.newest_absent(0, at);
                let fits = absent.is_some_and(|absent| newest.is_none_or(|newest| absent >= newest));
                if !fits && turn != Turn::Last {
                    return false;
                }
                if fits { None } else { old(None) }
            }
        };
        let Some((invariant, fact)) = wrong else { return true };
        match invariant {
            Invariant::I0 => self.counts.invented += 1,
            _ => self.counts.diverged += 1,
        }
        let commit = || newest.and_then(|newest| track.commit(entity, newest));
        self.findings.add(Spot { at, invariant, entity, copy }, || {
            (fact, commit().into_iter().chain([Proof::held(held)]).collect())
        });
        true
    }

    /// The invariant I10: what became of every event at every copy.
    pub(super) fn account(&mut self) {
        for (entity, track) in (0..).zip(self.tracks.iter().take(self.used)) {
            for (copy, state) in self.copies.all_mut() {
                let Some(from) = state.expects(track.kind) else { continue };
                let newest = track.newest(copy);
                for entry in track.versions.entries().iter().filter(|entry| entry.is_expected(from)) {
                    if entry.add_to(state, copy, newest) {
                        let Entry { stamp, ended, .. } = *entry;
                        self.counts.lost += 1;
                        let spot = Spot { at: ended, invariant: Invariant::I10, entity, copy };
                        self.findings.add(spot, || {
                            let proof = track.commit(entity, stamp).into_iter().collect();
                            (Fact::Lost { copy, entity, stamp }, proof)
                        });
                    }
                }
            }
        }
    }

    /// Forgets the commits that every copy can answer for, so that no later mark could claim them wrongly.
    pub(super) fn forget_acked(&mut self, time: Nanos) {
        let Self { acked, tracks, copies, .. } = self;
        acked.forget_while(|place, ack| {
            let Some(track) = tracks.get(ack.entity as usize) else { return true };
            let owes = |(copy, state): (u32, &CopyState)| {
                state.expects(track.kind).is_some_and(|from| ack.began >= from)
                    && !state.has_passed(place, track.kind)
                    && !track.has(copy, ack.stamp)
                    && state.epoch.is_none_or(|epoch| epoch < ack.began)
            };
            let foretold = |(_, state): (u32, &CopyState)| state.has_foretold(ack.ended);
            ack.ended < time && !copies.all().any(owes) && !copies.all().any(foretold)
        });
    }

    pub(super) fn forget_versions(&mut self, time: Nanos) {
        let Self { copies, tracks, longest_bound, .. } = self;
        let windows_end = time.saturating_sub(*longest_bound);
        let mut expected: Vec<(u32, Nanos)> = Vec::new();
        self.listed.retain(|entity| {
            let Some(track) = tracks.get_mut(*entity as usize) else { return false };
            expected.clear();
            let expects = |(copy, state): (u32, &CopyState)| Some((copy, state.expects(track.kind)?));
            expected.extend(copies.all().filter_map(expects));
            let Track { versions, got, windows, .. } = track;
            let is_open = |entry: &Entry| {
                let owes = |(copy, from): &(u32, Nanos)| {
                    entry.is_expected(*from)
                        && got.of(*copy).newest < entry.stamp
                        && entry.parked & bit(*copy) == 0
                };
                expected.iter().any(owes)
            };
            versions.forget_before(time, is_open, |entry| {
                windows.forget(entry);
                for (copy, _) in expected.iter().filter(|(_, from)| entry.is_expected(*from)) {
                    if let Some(state) = copies.at(*copy) {
                        entry.add_to(state, *copy, got.of(*copy).newest);
                    }
                }
            });
            if let Some(oldest) = track.versions.entries().first() {
                track.windows.forget_before(windows_end, oldest.stamp);
                track.slas.retain(|(stamp, _)| *stamp >= oldest.stamp);
            }
            let bound = track.revoked.partition_point(|(_, at)| *at < time);
            track.revoked.drain(..bound.saturating_sub(1));
            track.is_listed = track.has_past();
            track.is_listed
        });
    }
}

impl Entry {
    /// Adds this event to a copy's account; true if it is lost. `newest`: what it applied.
    fn add_to(&self, copy: &mut CopyState, number: u32, newest: Stamp) -> bool {
        let sum = &mut copy.account;
        sum.expected += 1;
        let (count, is_lost) = if self.applied & bit(number) != 0 {
            (&mut sum.applied, false)
        } else if newest >= self.stamp {
            (&mut sum.superseded, false)
        } else if self.parked & bit(number) != 0 {
            (&mut sum.parked, false)
        } else {
            (&mut sum.lost, true)
        };
        *count += 1;
        is_lost
    }
}
