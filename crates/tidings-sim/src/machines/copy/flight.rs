//! The miss path: one load per view, its ticket before it reads, the accept rule when it lands.

use std::time::Duration;

use tidings_core::Time;
use tidings_core::fence::landing::{Ticket, hindsight, is_followed, is_worth_repeating, verdict};
use tidings_core::fence::{Held, Raised, Refusal, Tick};

use super::answer::{cell, hold, tear};
use super::{Cell, Copy, Entry, Hold, Holds, ordered};
use crate::fault::Fault;
use crate::machines::draw::{ENTITIES, Style};
use crate::machines::pool::{EVERY, REGION, entity_key};
use crate::machines::source::Source;
use crate::machines::stage::Stage;
use crate::mutant::Mutant;
use crate::tally::Sometimes;

/// What has been done of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked the source yet, and there is no ticket.
    Boarding,
    /// The entity to be read next.
    Reading(usize),
    /// Everything is read.
    Read,
    /// The fence has said what it thinks of it; nobody can see it yet.
    Judged,
}

/// A load in the air.
#[derive(Debug, Clone, Copy)]
pub(in crate::machines) struct Flight {
    pub(in crate::machines) id: u32,
    pub(in crate::machines) view: usize,
    phase: Phase,
    attempt: u32,
    took_off: Duration,
    ticket: Ticket,
    pub(super) cells: [Option<Cell>; ENTITIES],
    pub(super) holds: Holds,
    as_of: Option<Duration>,
    pub(super) until: Option<Duration>,
    verdict: Result<Tick, Refusal>,
    /// The consumer began it, for nobody in particular.
    background: bool,
}

impl Flight {
    /// When the source is known to have looked like this.
    fn seen(&self) -> Duration {
        self.as_of.map_or(self.ticket.started, |as_of| as_of.min(self.ticket.started))
    }
}

/// What became of a load.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack, and nearly always has an answer")]
#[derive(Debug, Clone, Copy)]
pub(in crate::machines) enum Landing {
    Answer(Answer),
    Failed,
    /// Another load has taken its place: whoever waited has to turn to that.
    Replaced,
}

/// What a load brought.
#[derive(Debug, Clone, Copy)]
pub(in crate::machines) struct Answer {
    pub(in crate::machines) cells: [Option<Cell>; ENTITIES],
    pub(in crate::machines) seen: Duration,
    pub(in crate::machines) ticket: Ticket,
    pub(in crate::machines) refusal: Option<Refusal>,
}

impl Copy {
    /// The order of now.
    pub(in crate::machines) const fn tick(&self) -> Tick {
        self.tick
    }

    /// Joins the flight of a view, or starts one: whoever comes after news that a load cannot have seen must not wait
    /// for it. Says whether the caller leads.
    pub(in crate::machines) fn board(&mut self, stage: &mut Stage<'_>, view: usize) -> (u32, bool) {
        let found = self.current[view].and_then(|id| self.flights.iter().find(|flight| flight.id == id));
        if let Some(flight) = found
            && !self.is_outrun(stage, flight)
        {
            return (flight.id, false);
        }
        self.serial += 1;
        self.flights.push(Flight {
            id: self.serial,
            view,
            phase: Phase::Boarding,
            attempt: 1,
            took_off: stage.elapsed(),
            ticket: Ticket { tick: Tick(0), epoch: 0, started: Duration::ZERO },
            cells: [None; ENTITIES],
            holds: Holds::default(),
            as_of: None,
            until: None,
            verdict: Err(Refusal::Late),
            background: false,
        });
        self.current[view] = Some(self.serial);
        (self.serial, true)
    }

    /// Loads a view in the background.
    pub(super) fn refresh(&mut self, stage: &mut Stage<'_>, view: usize) {
        let (id, leads) = self.board(stage, view);
        if let Some(flight) = self.flights.iter_mut().find(|flight| leads && flight.id == id) {
            flight.background = true;
        }
        let number = self.number;
        stage.tell(|| format!("copy {number}     refreshes view {view}: load {id}"));
    }

    fn is_outrun(&self, stage: &Stage<'_>, flight: &Flight) -> bool {
        if flight.phase == Phase::Boarding {
            return false;
        }
        let now = stage.elapsed();
        let check = |hold: &Hold| {
            is_refused(stage, self.floors.check_fill(hold.key, hold.held, flight.ticket.tick, now))
        };
        flight.ticket.epoch != self.epoch || flight.holds.iter().any(check)
    }

    /// The next step of a load; what became of it, if it was the last.
    pub(in crate::machines) fn fly(
        &mut self,
        stage: &mut Stage<'_>,
        source: &Source,
        which: usize,
    ) -> Option<(u32, Landing)> {
        let mut flight = self.flights[which];
        if stage.strikes(Fault::Delay) {
            return None;
        }
        let timeout = Duration::from_micros(stage.setup.load_timeout);
        let failed = stage.elapsed().saturating_sub(flight.took_off) > timeout
            || (matches!(flight.phase, Phase::Reading(_)) && stage.strikes(Fault::SlowSource));
        if failed {
            stage.tell(|| format!("load {}     fails", flight.id));
            return Some(self.ends(stage, which, Landing::Failed));
        }
        match flight.phase {
            Phase::Boarding => self.take_ticket(stage, &mut flight),
            Phase::Reading(entity) => self.read(stage, source, &mut flight, entity),
            Phase::Read => {
                if stage.lacks(Mutant::OneSnapshot) {
                    tear(stage, source, &mut flight);
                }
                let refusal = self.admit(stage, &mut flight);
                if is_worth_repeating(refusal) && flight.attempt < stage.setup.attempts {
                    flight.attempt += 1;
                    flight.phase = Phase::Boarding;
                }
            }
            Phase::Judged => return Some(self.land(stage, which)),
        }
        self.flights[which] = flight;
        None
    }

    fn take_ticket(&self, stage: &mut Stage<'_>, flight: &mut Flight) {
        flight.ticket = Ticket { tick: self.tick, epoch: self.epoch, started: stage.elapsed() };
        (flight.cells, flight.holds) = ([None; ENTITIES], Holds::default());
        (flight.as_of, flight.until) = (None, None);
        if stage.setup.views[flight.view].style == Style::Region {
            flight.holds.push(REGION, Held::Unmoved);
            flight.holds.push(EVERY, Held::Unmoved);
        }
        flight.phase = phase_from(stage, flight, 0);
        let (number, id, view, tick) = (self.number, flight.id, flight.view, self.tick.0);
        stage.trace.step(0x300 + view as u64);
        stage.tell(|| format!("copy {number}     load {id} of view {view} takes ticket {tick}"));
    }

    /// One entity is read, from the primary or from a replica that lags.
    fn read(&self, stage: &mut Stage<'_>, source: &Source, flight: &mut Flight, entity: usize) {
        let asked = stage.setup.asks.then(|| self.floors.standing(entity_key(entity))).flatten();
        // Only versions keep the order of what replicas say.
        let versioned = stage.setup.views[flight.view].style == Style::Versioned;
        let lag = if versioned && stage.strikes(Fault::LaggingRead) {
            1 + u64::from(stage.choices.below(u32::try_from(stage.setup.lag).unwrap_or(1)))
        } else {
            0
        };
        let mut at = stage.now - lag;
        let row = source.row(entity, at);
        let seen = row.map(|row| ordered(stage, row.stamp)).unwrap_or_default();
        if asked.is_some_and(|standing| seen < standing.floor) {
            at = stage.now;
        }
        if at < stage.now && !stage.lacks(Mutant::AsOfDeclared) {
            let seen = stage.since(Time::from_micros(at.cast_signed() + stage.setup.skew));
            flight.as_of = Some(flight.as_of.map_or(seen, |other| other.min(seen)));
        }
        let cell = cell(stage, source, flight, entity, at);
        flight.cells[entity] = Some(cell);
        hold(stage, flight, entity, &cell);
        flight.phase = phase_from(stage, flight, entity + 1);
        let (id, late) = (flight.id, stage.now - at);
        stage.trace.step(0x310 + cell.stamp.version.number());
        stage.tell(|| {
            let absent = if cell.absent { " (absent)" } else { "" };
            format!("load {id}     reads price/{entity}@{}{absent}, {late} us late", cell.stamp)
        });
    }

    /// The accept rule, and what a fill teaches: whatever becomes of it, the versions it saw are true.
    fn admit(&mut self, stage: &mut Stage<'_>, flight: &mut Flight) -> Option<Refusal> {
        if stage.lacks(Mutant::TicketBeforeRead) {
            flight.ticket = Ticket { tick: self.tick, epoch: self.epoch, started: stage.elapsed() };
        }
        let admitted = match self.admitted(stage, &flight.holds, flight.ticket.tick) {
            Ok(tick) => self.hindsight(stage, flight, tick),
            Err(Refusal::Moved(tick)) => self.hindsight(stage, flight, tick).and(Err(Refusal::Moved(tick))),
            refused => refused,
        };
        let keep = stage.setup.limits.keep;
        // That nobody can tell says more than that an epoch was opened: what is not kept for an epoch alone may still be
        // called fresh.
        let verdict = match verdict(admitted, &flight.ticket, self.epoch, stage.elapsed(), keep) {
            Err(Refusal::Epoch) if admitted == Err(Refusal::Forgotten) => admitted,
            verdict => verdict,
        };
        let lax =
            stage.lacks(Mutant::AcceptRule) || (flight.background && stage.lacks(Mutant::RefreshIsFill));
        flight.verdict = if lax { Ok(self.tick) } else { verdict };
        flight.phase = Phase::Judged;
        let refusal = flight.verdict.err();
        stage.happened(match refusal {
            None => Sometimes::Kept,
            Some(Refusal::BelowFloor(_)) => Sometimes::BelowFloor,
            Some(Refusal::Moved(_)) => Sometimes::Moved,
            Some(Refusal::Epoch) => Sometimes::NewEpoch,
            Some(Refusal::Forgotten | Refusal::Late) => Sometimes::Forgotten,
        });
        stage.trace.step(0x320 + u64::from(refusal.is_some()));
        let (number, id) = (self.number, flight.id);
        stage.tell(|| {
            let words =
                refusal.map_or_else(|| "admitted".to_owned(), |refusal| format!("refused: {refusal:?}"));
            format!("copy {number}     load {id} is {words}")
        });
        refusal
    }

    /// As the toolkit does it: learn what was seen, then hold everything against what is known.
    pub(super) fn admitted(
        &mut self,
        stage: &Stage<'_>,
        holds: &Holds,
        ticket: Tick,
    ) -> Result<Tick, Refusal> {
        let (now, good_at) = (stage.elapsed(), self.tick);
        let mut taught = 0;
        for hold in holds.iter().filter(|_| !stage.lacks(Mutant::FillsTeach)) {
            let Held::At(seen) = hold.held else { continue };
            self.tick = Tick(self.tick.0 + 1);
            let _: Raised = self.floors.learn(hold.key, seen, self.tick, now);
            taught += 1;
        }
        let mut verdict = Ok(());
        for hold in holds.iter() {
            let late = stage.lacks(Mutant::RegionAtTicket) && matches!(hold.key, REGION | EVERY);
            let since = if late { self.tick } else { ticket };
            let found = self.floors.check_fill(hold.key, hold.held, since, now);
            let found = if is_refused(stage, found) { found } else { Ok(()) };
            if verdict.is_ok() || matches!(found, Err(Refusal::BelowFloor(_))) {
                verdict = found;
            }
        }
        verdict.map(|()| Tick(good_at.0 + taught))
    }

    /// The answer becomes visible, if it is kept.
    fn land(&mut self, stage: &mut Stage<'_>, which: usize) -> (u32, Landing) {
        let flight = self.flights[which];
        let lands = stage.elapsed();
        let seen = if stage.lacks(Mutant::SeenAtTicket) { lands } else { flight.seen() };
        let holds = flight.holds.iter().map(|hold| hold.held);
        let followed = is_followed(holds, seen, &flight.ticket, false, self.vouched(stage));
        let hard = lands + Duration::from_micros(stage.setup.views[flight.view].ttl);
        let hard = match flight.until {
            Some(until) if !stage.lacks(Mutant::ValidUntil) => hard.min(until),
            _ => hard,
        };
        // What tells no versions has no order but that of its loads: only the one that callers would join counts.
        let replaced = self.current[flight.view] != Some(flight.id);
        let unordered = flight.holds.iter().any(|hold| hold.held == Held::Unmoved);
        let lax = flight.background && stage.lacks(Mutant::RefreshIsFill);
        if replaced && unordered && !lax && !stage.lacks(Mutant::ReplacedCountsForNothing) {
            return self.ends(stage, which, Landing::Replaced);
        }
        if let Ok(good_at) = flight.verdict {
            self.serial += 1;
            self.entries[flight.view] = Some(Entry {
                serial: self.serial,
                good_at,
                holds: flight.holds,
                epoch: flight.ticket.epoch,
                as_of: seen,
                followed,
                hard,
                refreshing: false,
                cells: flight.cells,
            });
        }
        let refusal = flight.verdict.err();
        // And one that is given and not kept leaves no older one behind; versions see to that by themselves.
        if refusal.is_some() && unordered && self.entries[flight.view].is_some_and(|held| held.as_of < seen) {
            self.entries[flight.view] = None;
        }
        let answer = Answer { cells: flight.cells, seen, ticket: flight.ticket, refusal };
        self.ends(stage, which, Landing::Answer(answer))
    }

    /// What was read without a version is held to when news came, too.
    fn hindsight(&self, stage: &Stage<'_>, flight: &Flight, tick: Tick) -> Result<Tick, Refusal> {
        let margin = Duration::from_micros(stage.setup.visibility);
        let mut verdict = Ok(tick);
        for hold in flight.holds.iter().filter(|hold| hold.held == Held::Unmoved) {
            let region = matches!(hold.key, REGION | EVERY) && stage.lacks(Mutant::RegionAtTicket);
            if region || stage.lacks(Mutant::UnversionedAfterVisibility) {
                continue;
            }
            let found = hindsight(self.floors.heard(hold.key), flight.seen(), &flight.ticket, false, margin);
            match found.map_err(|refusal| refusal(tick)) {
                Ok(()) => {}
                Err(behind @ Refusal::BelowFloor(_)) => return Err(behind),
                Err(moved) => verdict = Err(moved),
            }
        }
        verdict
    }

    fn ends(&mut self, stage: &mut Stage<'_>, which: usize, landing: Landing) -> (u32, Landing) {
        let flight = self.flights.swap_remove(which);
        if self.current[flight.view] == Some(flight.id) {
            self.current[flight.view] = None;
        }
        stage.trace.step(0x330 + flight.view as u64);
        (flight.id, landing)
    }
}

/// Whether the fence refuses; a mutant does not know that it had to forget.
pub(super) fn is_refused(stage: &Stage<'_>, found: Result<(), Refusal>) -> bool {
    match found {
        Ok(()) => false,
        Err(Refusal::Forgotten) => !stage.lacks(Mutant::ForgettingIsKnown),
        Err(_) => true,
    }
}

/// The phase once everything before this entity was read.
fn phase_from(stage: &Stage<'_>, flight: &Flight, from: usize) -> Phase {
    let shows = &stage.setup.views[flight.view].shows;
    (from..ENTITIES).find(|entity| shows[*entity]).map_or(Phase::Read, Phase::Reading)
}
