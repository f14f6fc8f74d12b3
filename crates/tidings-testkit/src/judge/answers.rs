//! What answers show: no invention (I0), order at a copy (I1) and in a session (I2), tokens (I3), bounds (I4), labels
//! (I5), effective time (I7) and revocations (I8).

use std::time::Duration;

use tidings_core::{Freshness, Path, Stamp};

use super::found::{Fact, Findings, Place as Spot, Proof};
use super::in_force::Claim;
use super::pending::Part;
use super::seen::{Brief, Chain, Step};
use super::versions::Place;
use super::{Judge, SESSION_ENDS, Shown, Track, Turn, Waiting, nanos};
use crate::checker::{Counts, Invariant};
use crate::history::{Nanos, State};

/// The promises of order that an answer breaks; at least one.
#[derive(Debug)]
struct Breaches {
    copy: Option<Step>,
    session: Option<Step>,
    token: Option<Stamp>,
}

/// One entity of one read.
struct Answer<'a> {
    part: &'a Part,
    shown: &'a Shown,
}

/// A label that claims nothing.
const fn is_labelled(freshness: Freshness) -> bool {
    matches!(freshness, Freshness::Stale(_) | Freshness::Unverified)
}

/// From when on the answer may speak of the entity's state.
fn start(part: &Part) -> Nanos {
    match part.read.freshness {
        Freshness::Fresh | Freshness::Direct => part.read.began,
        Freshness::Within(age) => part.read.began.saturating_sub(nanos(age)),
        Freshness::Stale(_) | Freshness::Unverified => 0,
    }
}

impl Judge {
    /// False if it shows what is not known yet.
    pub(super) fn judge_answer(&mut self, part: &Part, shown: &Shown, turn: Turn) -> bool {
        let answer = Answer { part, shown };
        match shown.state {
            State::At { stamp, .. } => {
                if turn == Turn::First {
                    self.counts.answers += 1;
                    if self.is_plain(&answer, stamp) {
                        return true;
                    }
                    self.see(&answer, stamp);
                }
                self.judge_version(&answer, stamp, turn)
            }
            State::Absent => {
                self.counts.answers += u64::from(turn == Turn::First);
                self.judge_absence(&answer, turn)
            }
        }
    }

    /// The newest version, which the copy was seen to show before: nothing can be wrong with that, and it is no news.
    /// Most answers are of this kind.
    fn is_plain(&self, answer: &Answer<'_>, stamp: Stamp) -> bool {
        let Answer { part, shown: &Shown { entity, state } } = *answer;
        let State::At { digest, in_force: None, .. } = state else { return false };
        let Some(track) = self.tracks.get(entity as usize) else { return false };
        let read = &part.read;
        part.session == 0
            && read.token.is_none()
            && track.seen.of(read.copy).newest == stamp
            && track.versions.is_newest(stamp, digest, read.ended)
    }

    fn judge_version(&mut self, answer: &Answer<'_>, stamp: Stamp, turn: Turn) -> bool {
        let Answer { part, shown } = *answer;
        let &Shown { entity, state } = shown;
        let State::At { digest, in_force, .. } = state else { return true };
        let Some(track) = self.tracks.get(entity as usize) else { return true };
        let read = &part.read;
        let (place, outdated) = track.versions.look(stamp);
        if place == Place::Never && turn != Turn::Last {
            return false;
        }
        let entry = if let Place::At(at) = place { track.versions.entries().get(at) } else { None };
        if place == Place::Never || entry.is_some_and(|entry| entry.began > read.ended) {
            self.counts.invented += 1;
            let fact = Fact::Uncommitted { copy: read.copy, entity, stamp };
            answer.found(&mut self.findings, Invariant::I0, || (fact, track.commit(entity, stamp)));
            return true;
        }
        let known = entry.map_or(0, |entry| entry.digest);
        // After a delete there is nothing to show.
        let is_gone = entry.is_some_and(|entry| entry.deleted) && digest.is_some();
        if is_gone || (known != 0 && digest.is_some_and(|digest| digest != known)) {
            self.counts.invented += 1;
            let fact = Fact::Torn { copy: read.copy, entity, stamp };
            answer.found(&mut self.findings, Invariant::I0, || (fact, track.commit(entity, stamp)));
            return true;
        }
        answer.judge_age(track, stamp, outdated, &mut self.counts, &mut self.findings);
        if in_force.is_some() {
            self.claim(part, *shown, turn);
        }
        true
    }

    /// Judges what an answer took to be in force, or has it wait: a version whose record is still to come may be in
    /// force before it is known.
    fn claim(&mut self, part: &Part, shown: Shown, turn: Turn) {
        let bound = part.read.bound.map_or(0, nanos);
        self.longest_bound = self.longest_bound.max(bound);
        let fits = self.fits(part, &shown).unwrap_or(true);
        let known = self.tracks.get(shown.entity as usize).map_or(0, |track| track.commits);
        if turn == Turn::Last || (fits && self.settled == Nanos::MAX) {
            self.judge_in_force(part, &shown, fits);
        } else {
            self.claims.push(Waiting::Claim { part: *part, shown, fits, known });
        }
    }

    /// Whether it can have been in force, as far as is known; `None` if the version shown is forgotten.
    fn fits(&self, part: &Part, shown: &Shown) -> Option<bool> {
        let State::At { stamp, in_force: Some(claimed), .. } = shown.state else { return None };
        let track = self.tracks.get(shown.entity as usize)?;
        track.versions.find(stamp)?;
        let read = &part.read;
        let from = read.began.saturating_sub(read.bound.map_or(0, nanos));
        Some(track.windows.fits(&track.versions, &Claim { stamp, from, until: read.ended, claimed }))
    }

    /// Looks at a claim again. What it came to before its version was forgotten stands.
    pub(super) fn look_at_claim(&mut self, waiting: &mut Waiting, turn: Turn) -> bool {
        let Waiting::Claim { part, shown, fits, known } = waiting else { return true };
        let commits = self.tracks.get(shown.entity as usize).map_or(0, |track| track.commits);
        if std::mem::replace(known, commits) != commits {
            *fits = self.fits(part, shown).unwrap_or(*fits);
        }
        let is_last = matches!(turn, Turn::Late | Turn::Last);
        if is_last {
            self.judge_in_force(part, shown, *fits);
        }
        is_last
    }

    /// The invariant I7.
    fn judge_in_force(&mut self, part: &Part, shown: &Shown, fits: bool) {
        let State::At { stamp, in_force: Some(claimed), .. } = shown.state else { return };
        let Some(track) = self.tracks.get(shown.entity as usize) else { return };
        if !fits {
            self.counts.wrong_in_force += 1;
            let fact = Fact::NotInForce { copy: part.read.copy, entity: shown.entity, claimed };
            let make = || (fact, track.commit(shown.entity, stamp));
            Answer { part, shown }.found(&mut self.findings, Invariant::I7, make);
        }
    }

    /// An absence is taken for the newest that it can be, so that nobody is accused wrongly.
    fn judge_absence(&mut self, answer: &Answer<'_>, turn: Turn) -> bool {
        let Answer { part, shown: &Shown { entity, .. } } = *answer;
        let Some(track) = self.tracks.get(entity as usize) else { return true };
        let Some(newest) = track.versions.newest_absent(start(part), part.read.ended) else {
            if turn == Turn::Last {
                self.counts.invented += 1;
                let (copy, freshness) = (part.read.copy, part.read.freshness);
                let fact = Fact::NotAbsent { copy, entity, freshness };
                let last = || {
                    let last = track.versions.newest_before(part.read.began)?;
                    track.commit(entity, last.stamp)
                };
                answer.found(&mut self.findings, Invariant::I0, || (fact, last()));
            }
            return turn == Turn::Last;
        };
        // The delete that it shows may be one whose record is still to come.
        let is_behind = track.versions.look(newest).1 < part.read.began;
        if matches!(turn, Turn::First | Turn::Again) && (is_behind || self.breaches(answer, newest).is_some())
        {
            return false;
        }
        self.judge_order(answer, newest);
        self.see_absence(answer);
        if let Some(track) = self.tracks.get(entity as usize) {
            let (_, outdated) = track.versions.look(newest);
            answer.judge_age(track, newest, outdated, &mut self.counts, &mut self.findings);
        }
        true
    }

    fn breaches(&self, answer: &Answer<'_>, stamp: Stamp) -> Option<Breaches> {
        let Answer { part, shown: &Shown { entity, .. } } = *answer;
        let read = &part.read;
        if read.freshness == Freshness::Direct {
            return None;
        }
        let is_newer = |chain: &Chain| chain.newest > stamp;
        let seen = self.tracks.get(entity as usize).map(|track| track.seen.of(read.copy));
        let of_copy = seen.filter(is_newer).filter(|_| answer.is_word_of_copy());
        let of_session = self.session(part, entity).filter(is_newer);
        let token = read.token.filter(|(of, asked)| *of == entity && *asked > stamp).map(|(_, asked)| asked);
        if of_copy.is_none() && of_session.is_none() && token.is_none() {
            return None;
        }
        let copy = of_copy.and_then(|chain| {
            let mut earlier = self.steps.before(chain, read.began);
            earlier.find(|step| step.stamp.timeline == stamp.timeline).filter(|step| step.stamp > stamp)
        });
        let session = of_session.and_then(|chain| self.steps.before(chain, read.began).next());
        let goes_on = of_session.is_some_and(|of| read.began.saturating_sub(of.shown) <= nanos(SESSION_ENDS));
        let session = session.filter(|step| step.stamp > stamp && goes_on);
        let is_any = copy.is_some() || session.is_some() || token.is_some();
        is_any.then(|| Breaches { copy: copy.copied(), session: session.copied(), token })
    }

    fn session(&self, part: &Part, entity: u32) -> Option<Chain> {
        if part.session == 0 { None } else { self.sessions.get(part.session, entity) }
    }

    /// The invariants I1, I2 and I3.
    fn judge_order(&mut self, answer: &Answer<'_>, stamp: Stamp) {
        let Some(breaches) = self.breaches(answer, stamp) else { return };
        let Answer { part, shown: &Shown { entity, state } } = *answer;
        let copy = part.read.copy;
        let to = (state != State::Absent).then_some(stamp);
        if let Some(step) = breaches.copy {
            self.counts.regressions += 1;
            let earlier = Proof::earlier(step.read, entity, step.stamp);
            let fact = Fact::WentBack { copy, entity, from: step.stamp, to };
            answer.found(&mut self.findings, Invariant::I1, || (fact, Some(earlier)));
        }
        if let Some(step) = breaches.session {
            self.counts.session_regressions += 1;
            let earlier = Proof::earlier(step.read, entity, step.stamp);
            let fact = Fact::SessionBack { session: part.session, entity, from: step.stamp, to };
            answer.found(&mut self.findings, Invariant::I2, || (fact, Some(earlier)));
        }
        if let Some(asked) = breaches.token {
            self.counts.tokens_ignored += 1;
            let fact = Fact::TokenIgnored { copy, entity, asked, shown: to };
            let track = self.tracks.get(entity as usize);
            let commit = || track.and_then(|track| track.commit(entity, asked));
            answer.found(&mut self.findings, Invariant::I3, || (fact, commit()));
        }
    }

    /// Judges the order of an answer with a version, and notes what was seen.
    fn see(&mut self, answer: &Answer<'_>, stamp: Stamp) {
        let Answer { part, shown: &Shown { entity, .. } } = *answer;
        let seen = self.tracks.get(entity as usize).map(|track| track.seen.of(part.read.copy).newest);
        let of_session = self.session(part, entity).map(|chain| chain.newest);
        if seen.max(of_session) > Some(stamp) || part.read.token.is_some() {
            self.judge_order(answer, stamp);
        }
        self.note_seen(answer, Some(stamp), Some(stamp));
    }

    /// Notes an absence as the oldest that it can be: later answers are held to no more.
    fn see_absence(&mut self, answer: &Answer<'_>) {
        let Answer { part, shown: &Shown { entity, .. } } = *answer;
        let Some(track) = self.tracks.get(entity as usize) else { return };
        let at_least = |chain: Chain| {
            let seen = self.steps.before(chain, part.read.began).next().map(|step| step.stamp);
            track.versions.oldest_absent(start(part), part.read.ended, seen)
        };
        let by_copy = at_least(track.seen.of(part.read.copy));
        let by_session = at_least(self.session(part, entity).unwrap_or_default());
        self.note_seen(answer, by_copy, by_session);
    }

    fn note_seen(&mut self, answer: &Answer<'_>, by_copy: Option<Stamp>, by_session: Option<Stamp>) {
        let Answer { part, shown: &Shown { entity, state } } = *answer;
        let Self { tracks, steps, sessions, grown, .. } = self;
        let brief = || Brief::of(&part.read, part.session, part.note, state == State::Absent);
        let copy = part.read.copy;
        if let Some(stamp) = by_copy
            && answer.is_word_of_copy()
            && let Some(chain) = tracks.get_mut(entity as usize).and_then(|track| track.seen.of_mut(copy))
            && steps.add(chain, stamp, brief)
        {
            grown.push((entity, copy));
        }
        if part.session != 0 {
            let chain = sessions.chain(part.session, entity);
            if let Some(stamp) = by_session {
                steps.add(chain, stamp, brief);
            }
            chain.shown = chain.shown.max(part.read.ended);
        }
    }
}

impl Answer<'_> {
    /// What was read past the copy is no word of the copy's: a direct read, or an answer that the fence refused to keep
    /// and that claims nothing.
    fn is_word_of_copy(&self) -> bool {
        let read = &self.part.read;
        let is_past = read.path == Path::SourceUnkept && is_labelled(read.freshness);
        read.freshness != Freshness::Direct && !is_past
    }

    /// The invariants I4 and I5, and half of I8.
    fn judge_age(
        &self,
        track: &Track,
        stamp: Stamp,
        outdated: Nanos,
        counts: &mut Counts,
        findings: &mut Findings,
    ) {
        let (read, entity) = (&self.part.read, self.shown.entity);
        if outdated >= read.began {
            return;
        }
        let lag = Duration::from_nanos(read.began - outdated);
        counts.behind_reads += 1;
        counts.max_lag = counts.max_lag.max(lag);
        let is_direct = read.freshness == Freshness::Direct;
        let is_stale =
            !is_labelled(read.freshness) && !is_direct && read.bound.is_some_and(|bound| lag > bound);
        let is_false = match read.freshness {
            Freshness::Fresh | Freshness::Direct => true,
            Freshness::Within(age) => lag > age,
            Freshness::Stale(_) | Freshness::Unverified => false,
        };
        counts.stale_reads += u64::from(is_stale);
        counts.false_labels += u64::from(is_false);
        let (copy, freshness) = (read.copy, read.freshness);
        // An absence is taken for a version, and told as what it was.
        let shown = (self.shown.state != State::Absent).then_some(stamp);
        for (is_broken, invariant) in [(is_stale, Invariant::I4), (is_false, Invariant::I5)] {
            if is_broken {
                self.found(findings, invariant, || {
                    let successor = track.versions.successor(stamp).map(|entry| entry.stamp);
                    let commit = successor.and_then(|successor| track.commit(entity, successor));
                    (Fact::Lag { copy, entity, shown, freshness, lag, successor }, commit)
                });
            }
        }
        let revoked = track.revoked_before(read.began);
        if let Some(revoked) = revoked.filter(|revoked| *revoked > stamp && !is_direct) {
            counts.unrevoked += 1;
            let fact = Fact::AnsweredRevoked { copy, entity, shown, revoked };
            self.found(findings, Invariant::I8, || (fact, track.commit(entity, revoked)));
        }
    }

    /// Adds what was found, with the record before that proves it.
    fn found(
        &self,
        findings: &mut Findings,
        invariant: Invariant,
        make: impl FnOnce() -> (Fact, Option<Proof>),
    ) {
        let Self { part, shown } = *self;
        let spot = Spot { at: part.read.ended, invariant, entity: shown.entity, copy: part.read.copy };
        findings.add(spot, || {
            let (fact, before) = make();
            (fact, before.into_iter().chain([Proof::read(part, *shown)]).collect())
        });
    }
}
