//! Whoever reads: a session that remembers what it has seen, asks for no less, and now and then asks the owner itself.

use std::time::Duration;

use tidings_core::Stamp;
use tidings_core::certificate::{Cause, Freshness, Path};
use tidings_core::fence::Tick;
use tidings_core::fence::landing::{Claim, Doubt, claim, is_no_use};
use tidings_core::truth::OnFailure;
use tidings_testkit::history::State;
use tidings_testkit::judge::{Read, Shown};

use super::copy::flight::{Answer, Landing};
use super::copy::look::Look;
use super::copy::{Cell, Copy, Entry, ordered};
use super::draw::{ENTITIES, ViewSetup};
use super::source::Source;
use super::stage::Stage;
use crate::mutant::Mutant;
use crate::tally::Sometimes;

mod direct;
mod words;

use words::{shows_hash, words};

/// A read under way.
#[derive(Debug, Clone, Copy)]
struct Call {
    view: usize,
    copy: usize,
    /// The copy's number: a process that went away answers no more.
    number: u32,
    token: Option<(usize, Stamp)>,
    /// It is part of the session.
    remembers: bool,
    began: u64,
    /// When this attempt began, and the order of then.
    tried: Duration,
    arrived: Tick,
    attempt: u32,
    old: Option<(Entry, Doubt)>,
    /// The entry that this call renews.
    renews: Option<u32>,
    leads: bool,
    waits_for: u32,
    landed: Option<Landing>,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    number: u32,
    /// The newest version of each entity that this session has seen.
    seen: [Stamp; ENTITIES],
    call: Option<Call>,
    pub(super) done: u32,
    /// How many sessions it has had before.
    sessions: u32,
}

impl Reader {
    pub(super) fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// Whether it waits for an answer that has not come.
    pub(super) fn is_waiting(&self) -> bool {
        self.call.is_some_and(|call| call.landed.is_none())
    }

    /// Whether it is in the middle of a read.
    pub(super) const fn is_busy(&self) -> bool {
        self.call.is_some()
    }

    /// Its read ends without an answer: the process that it asked is gone.
    pub(super) fn hang_up(&mut self, number: u32) {
        if self.call.is_some_and(|call| call.number == number) {
            self.call = None;
        }
    }

    /// A load has landed.
    pub(super) fn hear(&mut self, number: u32, flight: u32, landing: &Landing) {
        if let Some(call) = &mut self.call
            && (call.number, call.waits_for) == (number, flight)
            && call.landed.is_none()
        {
            call.landed = Some(*landing);
        }
    }

    /// One step: begins a read, or takes in what has landed.
    pub(super) fn step(&mut self, stage: &mut Stage<'_>, source: &Source, copies: &mut [Copy]) {
        match self.call {
            None => self.ask(stage, source, copies),
            Some(call) => {
                if let Some(landing) = call.landed {
                    self.land(stage, &mut copies[call.copy], call, landing);
                }
            }
        }
    }

    fn ask(&mut self, stage: &mut Stage<'_>, source: &Source, copies: &mut [Copy]) {
        let choices = &mut *stage.choices;
        let view = choices.below(u32::try_from(stage.setup.view_count).unwrap_or(1)) as usize;
        let copy = choices.below(u32::try_from(copies.len()).unwrap_or(1)) as usize;
        if choices.chance(60) {
            self.done += 1;
            return self.read_directly(stage, source, &copies[copy], view);
        }
        let remembers = !choices.chance(stage.setup.strangers);
        self.read(stage, &mut copies[copy], (copy, view), remembers);
    }

    /// Begins a read of a view at a copy, of the session or of nobody in particular.
    pub(super) fn read(
        &mut self,
        stage: &mut Stage<'_>,
        cache: &mut Copy,
        (copy, view): (usize, usize),
        remembers: bool,
    ) {
        self.done += 1;
        // A session keeps its promises by tokens, and one read carries one.
        let shown = stage.setup.views[view].shows.iter().filter(|shown| **shown).count();
        let remembers = remembers && shown == 1;
        let token = token(&self.seen, &stage.setup.views[view]).filter(|_| remembers);
        let call = Call {
            view,
            copy,
            number: cache.number,
            token,
            remembers,
            began: stage.now,
            tried: stage.elapsed(),
            arrived: cache.tick(),
            attempt: 1,
            old: None,
            renews: None,
            leads: false,
            waits_for: 0,
            landed: None,
        };
        stage.trace.step(0x700 + view as u64);
        let (number, at) = (self.number, cache.number);
        stage.tell(|| {
            format!("reader {number}   asks copy {at} for view {view}, at least {:?}", token.map(|t| t.1))
        });
        match cache.look(stage, view) {
            Look::Hit(entry, age) if reaches(&entry.cells, stage, token, false) => {
                stage.happened(Sometimes::Hit);
                self.answer(stage, &call, &entry.cells, Path::L1, Freshness::Within(age));
            }
            Look::Doubtful(entry, doubt) if token.is_none() => self.resolve(stage, cache, call, entry, doubt),
            Look::Hit(..) => {
                stage.happened(Sometimes::TokenMissed);
                self.load(stage, cache, call);
            }
            Look::Miss | Look::Doubtful(..) => self.load(stage, cache, call),
        }
    }

    /// An entry that nothing is known against, and not enough for: one caller checks it, the others are told.
    fn resolve(
        &mut self,
        stage: &mut Stage<'_>,
        cache: &mut Copy,
        mut call: Call,
        entry: Entry,
        doubt: Doubt,
    ) {
        let on_failure = stage.setup.views[call.view].truth.on_failure();
        if entry.refreshing && doubt == Doubt::Unverified && on_failure == OnFailure::Label {
            stage.happened(Sometimes::LabelledUnverified);
            return self.answer(stage, &call, &entry.cells, Path::L1, Freshness::Unverified);
        }
        if !entry.refreshing
            && let Some(held) = &mut cache.entries[call.view]
        {
            held.refreshing = true;
            call.renews = Some(entry.serial);
        }
        call.old = Some((entry, doubt));
        self.load(stage, cache, call);
    }

    fn load(&mut self, stage: &mut Stage<'_>, cache: &mut Copy, mut call: Call) {
        (call.waits_for, call.leads) = cache.board(stage, call.view);
        call.landed = None;
        self.call = Some(call);
    }

    fn land(&mut self, stage: &mut Stage<'_>, cache: &mut Copy, call: Call, landing: Landing) {
        let view = &stage.setup.views[call.view];
        let bound = Duration::from_micros(view.bound);
        let answer = match landing {
            Landing::Failed => return self.serve_old(stage, cache, &call),
            Landing::Replaced => return self.load(stage, cache, call),
            Landing::Answer(answer) => answer,
        };
        let no_use = is_no_use(answer.refusal.is_some(), &answer.ticket, call.arrived, call.tried, bound);
        if !call.leads && no_use {
            return self.load(stage, cache, call);
        }
        let path = if call.leads { Path::Source } else { Path::Coalesced };
        let path = if answer.refusal.is_none() { path } else { Path::SourceUnkept };
        let began = if stage.lacks(Mutant::LabelAtBegin) { answer.seen } else { call.tried };
        match claim(answer.refusal, answer.seen, began, bound, view.truth.on_failure()) {
            Claim::Refused => self.refuse(stage, cache, &call),
            Claim::Beyond(cause) => self.beyond(stage, cache, &call, &answer.cells, path, cause),
            Claim::Is(freshness) => {
                let fresh = freshness == Freshness::Fresh;
                if reaches(&answer.cells, stage, call.token, fresh) {
                    return self.end(stage, cache, &call, &answer, path, freshness);
                }
                self.try_again(stage, cache, call);
            }
        }
    }

    /// The answer was from before the token.
    fn try_again(&mut self, stage: &mut Stage<'_>, cache: &mut Copy, mut call: Call) {
        if call.attempt >= stage.setup.attempts {
            return self.refuse(stage, cache, &call);
        }
        (call.attempt, call.tried, call.arrived) = (call.attempt + 1, stage.elapsed(), cache.tick());
        self.load(stage, cache, call);
    }

    fn end(
        &mut self,
        stage: &mut Stage<'_>,
        cache: &mut Copy,
        call: &Call,
        answer: &Answer,
        path: Path,
        freshness: Freshness,
    ) {
        if freshness == Freshness::Unverified {
            stage.happened(Sometimes::LabelledUnverified);
        }
        renewed(cache, call);
        self.answer(stage, call, &answer.cells, path, freshness);
    }

    /// The source failed: what is held may still do, by class, if nothing is known against it even now.
    fn serve_old(&mut self, stage: &mut Stage<'_>, cache: &mut Copy, call: &Call) {
        match call.old {
            Some((entry, Doubt::TooOld | Doubt::Unverified)) if cache.stands(stage, &entry) => {
                self.beyond(stage, cache, call, &entry.cells, Path::L1, Cause::SourceFailed);
            }
            _ => self.refuse(stage, cache, call),
        }
    }

    fn beyond(
        &mut self,
        stage: &mut Stage<'_>,
        cache: &mut Copy,
        call: &Call,
        cells: &[Option<Cell>; ENTITIES],
        path: Path,
        cause: Cause,
    ) {
        if stage.setup.views[call.view].truth.on_failure() == OnFailure::Refuse {
            return self.refuse(stage, cache, call);
        }
        if !reaches(cells, stage, call.token, false) {
            return self.try_again(stage, cache, *call);
        }
        stage.happened(Sometimes::LabelledStale);
        renewed(cache, call);
        self.answer(stage, call, cells, path, Freshness::Stale(cause));
    }

    fn refuse(&mut self, stage: &mut Stage<'_>, cache: &mut Copy, call: &Call) {
        renewed(cache, call);
        self.call = None;
        stage.happened(Sometimes::Refused);
        stage.trace.step(0x710);
        let number = self.number;
        stage.tell(|| format!("reader {number}   is refused"));
    }

    fn answer(
        &mut self,
        stage: &mut Stage<'_>,
        call: &Call,
        cells: &[Option<Cell>; ENTITIES],
        path: Path,
        freshness: Freshness,
    ) {
        self.call = None;
        let mut shows = [Shown { entity: 0, state: State::Absent }; ENTITIES];
        let (mut len, mut forgets) = (0, false);
        for cell in cells.iter().flatten() {
            shows[len] = cell.shown;
            len += 1;
            if cell.absent {
                stage.happened(Sometimes::Absent);
                forgets |= call.remembers;
            } else if call.remembers {
                let entity = cell.shown.entity as usize;
                self.seen[entity] = self.seen[entity].max(cell.stamp);
            }
        }
        let view = &stage.setup.views[call.view];
        let read = Read {
            copy: call.number,
            session: if call.remembers { self.number + 1 + self.sessions * 8 } else { 0 },
            token: call.token.map(|(entity, stamp)| (u32::try_from(entity).unwrap_or(0), stamp)),
            began: call.began * 1000,
            ended: stage.nanos(),
            freshness,
            path,
            bound: Some(Duration::from_micros(view.bound)),
        };
        stage.judge.read(read, &shows[..len]);
        if forgets {
            // Since which version it is absent nobody said, so nothing can be promised to who has seen it.
            (self.seen, self.sessions) = ([Stamp::default(); ENTITIES], self.sessions + 1);
        }
        stage.tally.reads += 1;
        stage.trace.step(0x720 + shows_hash(cells));
        let number = self.number;
        stage.tell(|| format!("reader {number}   is answered {}, {freshness}, {path:?}", words(cells)));
    }
}

/// What a session must not go back from, if it reads one entity.
fn token(seen: &[Stamp; ENTITIES], view: &ViewSetup) -> Option<(usize, Stamp)> {
    let mut shown = (0..ENTITIES).filter(|entity| view.shows[*entity]);
    let (entity, another) = (shown.next()?, shown.next());
    (another.is_none() && seen[entity] > Stamp::default()).then(|| (entity, seen[entity]))
}

/// Whether the answer is from this version of the entity or a newer one: it says so, or it says no version and was read
/// after the caller, who knows of that version, had asked.
fn reaches(
    cells: &[Option<Cell>; ENTITIES],
    stage: &Stage<'_>,
    token: Option<(usize, Stamp)>,
    fresh: bool,
) -> bool {
    let Some((entity, wanted)) = token.filter(|_| !stage.lacks(Mutant::TokenHeld)) else { return true };
    match cells[entity] {
        Some(cell) if cell.versioned => ordered(stage, cell.stamp) >= ordered(stage, wanted),
        _ => fresh,
    }
}

/// The caller who replaced an entry is done, whatever came of it.
fn renewed(cache: &mut Copy, call: &Call) {
    if let Some(entry) = &mut cache.entries[call.view]
        && call.renews == Some(entry.serial)
    {
        entry.refreshing = false;
    }
}
