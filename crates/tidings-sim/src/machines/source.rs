//! The service that owns the truth: transactions, its outbox in commit order, replicas that lag, failover.
//!
//! A change takes four steps: a transaction begins (and takes a sequence number, which is no order), it commits (its
//! version is assigned under the row's lock, its event is in the outbox), its row becomes readable, and its client
//! hears of it. Until a row is readable nobody was told, so a failover may lose it.

use std::sync::Arc;

use tidings_core::port::{Cursor, Pending, Scan};
use tidings_core::{Stamp, Time, Window};

use super::draw::{ENTITIES, Nature, Setup, Style, ViewSetup};
use super::pool::{Health, stamp};
use super::stage::Stage;
use crate::fault::Fault;
use crate::mutant::Mutant;

mod record;

/// Not yet, or never.
pub(super) const NEVER: u64 = u64::MAX;

/// One version of an entity. Times are microseconds of the harness.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) stamp: Stamp,
    pub(super) deleted: bool,
    pub(super) digest: u64,
    pub(super) window: Window,
    began: u64,
    committed: u64,
    readable: u64,
    ended: u64,
    /// A failover lost it.
    lost: bool,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    entity: usize,
    stamp: Stamp,
    health: Health,
    sequence: u64,
}

/// A transaction under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    entity: usize,
    delete: bool,
    began: u64,
    sequence: u64,
    /// Not before: a late commit, a row that is slow to become readable.
    due: u64,
    /// The place of its version, once it has committed.
    place: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) timeline: u32,
    pub(super) states: [Vec<State>; ENTITIES],
    rows: Vec<Row>,
    acknowledged: u64,
    open: Vec<Open>,
    sequence: u64,
    begun: u32,
    /// What a failover un-happened although events of it are out: the entity needs news of the new timeline.
    phantoms: [bool; ENTITIES],
}

impl Source {
    pub(super) fn reset(&mut self, setup: &Setup) {
        self.states.iter_mut().for_each(Vec::clear);
        // What was there before anybody looked; no event tells of it.
        for entity in 0..if setup.exists { setup.entities } else { 0 } {
            let (stamp, window) = (stamp(0, 1), Window { from: Some(Time::from_micros(0)), until: None });
            self.states[entity].push(State {
                stamp,
                deleted: false,
                digest: digest(entity, stamp),
                window: if setup.natures[entity] == Nature::Effective { window } else { Window::default() },
                began: 1,
                committed: 2,
                readable: 2,
                ended: 3,
                lost: false,
            });
        }
        self.rows.clear();
        self.open.clear();
        (self.timeline, self.acknowledged, self.sequence, self.begun) = (0, 0, 0, 0);
        self.phantoms = [false; ENTITIES];
    }

    /// Whether the writer has anything to do.
    pub(super) const fn is_idle(&self, commits: u32) -> bool {
        self.open.is_empty() && self.begun >= commits
    }

    /// Whether there is news that a consumer which begins now has missed.
    pub(super) fn has_history(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Whether a transaction is under way.
    pub(super) const fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// One step of the writer.
    pub(super) fn step(&mut self, stage: &mut Stage<'_>) {
        let may_begin = self.begun < stage.setup.commits && self.open.len() < 2 && !stage.healing;
        let open = self.open.len();
        let begin = may_begin && (open == 0 || stage.choices.chance(400));
        if begin {
            let entity = stage.choices.below(u32::try_from(stage.setup.entities).unwrap_or(1)) as usize;
            let delete = may_delete(stage.setup, entity) && stage.choices.chance(250);
            self.begin(stage, entity, delete);
        } else if open > 0 {
            let which = if open == 1 { 0 } else { stage.choices.below(2) as usize };
            self.advance(stage, which);
        }
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self, stage: &mut Stage<'_>, entity: usize, delete: bool) -> u64 {
        self.sequence += 1;
        self.begun += 1;
        let late = stage.strikes(Fault::LateCommit);
        let due = if late { stage.now + 2 + u64::from(stage.choices.below(20)) } else { stage.now };
        let sequence = self.sequence;
        self.open.push(Open { entity, delete, began: stage.now, sequence, due, place: None });
        stage.tell(|| format!("source     begins transaction {sequence} on price/{entity}"));
        stage.trace.step(0x100 + entity as u64);
        sequence
    }

    /// This transaction commits, if it has not yet.
    pub(super) fn publish(&mut self, stage: &mut Stage<'_>, sequence: u64) {
        if let Some(which) =
            self.open.iter().position(|open| open.sequence == sequence && open.place.is_none())
        {
            self.commit(stage, which, false);
        }
    }

    /// Its row becomes readable.
    pub(super) fn show_row(&mut self, stage: &mut Stage<'_>, sequence: u64) {
        let open = self.open.iter().find(|open| open.sequence == sequence);
        if let Some((entity, place)) = open.and_then(|open| Some((open.entity, open.place?))) {
            self.show(stage, entity, place);
        }
    }

    /// Its client hears of it.
    pub(super) fn tell_client(&mut self, stage: &mut Stage<'_>, sequence: u64) {
        if let Some(which) = self.open.iter().position(|open| open.sequence == sequence)
            && let Some(place) = self.open[which].place
        {
            let entity = self.open.swap_remove(which).entity;
            self.states[entity][place].ended = stage.now;
        }
    }

    /// The next step of an open transaction; none if it has to wait.
    pub(super) fn advance(&mut self, stage: &mut Stage<'_>, which: usize) {
        let open = self.open[which];
        if open.due > stage.now && !stage.healing {
            return;
        }
        match open.place {
            None => self.commit(stage, which, true),
            Some(place) if self.states[open.entity][place].readable == NEVER => {
                self.show(stage, open.entity, place);
            }
            Some(place) => {
                self.open.swap_remove(which);
                // The client may never hear of it.
                if !stage.strikes(Fault::LostAnswer) {
                    self.states[open.entity][place].ended = stage.now;
                }
                stage.trace.step(0x130);
            }
        }
    }

    /// Whether somebody holds the row's lock.
    fn is_locked(&self, entity: usize) -> bool {
        self.states[entity].iter().any(|state| state.readable == NEVER && !state.lost)
    }

    fn commit(&mut self, stage: &mut Stage<'_>, which: usize, shows: bool) {
        let open = self.open[which];
        if self.is_locked(open.entity) {
            return;
        }
        let states = &self.states[open.entity];
        let last =
            states.iter().rev().find(|state| !state.lost).map_or(0, |state| state.stamp.version.number());
        let stamp = stamp(self.timeline, last + 1);
        let window = match stage.setup.natures[open.entity] {
            Nature::Effective => draw_window(stage),
            Nature::Plain | Nature::Revocable => Window::default(),
        };
        let health = if stage.strikes(Fault::Poison) {
            [Health::Poison, Health::Damaged, Health::Unreadable][stage.choices.below(3) as usize]
        } else {
            Health::Good
        };
        let (entity, deleted, place) = (open.entity, open.delete, states.len());
        let digest = if deleted { 0 } else { digest(entity, stamp) };
        self.states[entity].push(State {
            stamp,
            deleted,
            digest,
            window,
            began: open.began,
            committed: stage.now,
            readable: NEVER,
            ended: NEVER,
            lost: false,
        });
        self.rows.push(Row { entity, stamp, health, sequence: open.sequence });
        self.phantoms[entity] = false;
        self.open[which].place = Some(place);
        stage.tally.commits += 1;
        stage.trace.step(0x110 + stamp.version.number());
        let what = if deleted { "deletes" } else { "commits" };
        stage.tell(|| format!("source     {what} price/{entity}@{stamp}, {health:?}"));
        if stage.setup.visibility > 0 && stage.strikes(Fault::EarlyEvent) {
            let longest = u32::try_from(stage.setup.visibility).unwrap_or(1);
            self.open[which].due = stage.now + 1 + u64::from(stage.choices.below(longest));
        } else if shows {
            self.show(stage, entity, place);
        }
    }

    fn show(&mut self, stage: &mut Stage<'_>, entity: usize, place: usize) {
        let state = &mut self.states[entity][place];
        state.readable = stage.now;
        let stamp = state.stamp;
        stage.trace.step(0x120);
        stage.tell(|| format!("source     price/{entity}@{stamp} can be read"));
    }

    /// Rows that took too long become readable by themselves: the longest lag is a promise of the source.
    pub(super) fn keep_promises(&mut self, stage: &mut Stage<'_>) {
        for entity in 0..stage.setup.entities {
            let Some(place) = self.states[entity].len().checked_sub(1) else { continue };
            let state = &self.states[entity][place];
            if state.readable == NEVER && !state.lost && state.committed + stage.setup.visibility <= stage.now
            {
                self.show(stage, entity, place);
            }
        }
    }

    /// The primary is lost with what no client had been told of and nobody could read; versions are issued again.
    pub(super) fn fail_over(&mut self, stage: &mut Stage<'_>) {
        self.timeline += 1;
        while let Some(row) = self.rows.last() {
            let states = &mut self.states[row.entity];
            let Some(state) = states.iter_mut().find(|state| state.stamp == row.stamp) else { break };
            // Which of several versions is in force, nobody can judge of those that may never have been.
            if state.readable != NEVER || stage.setup.natures[row.entity] == Nature::Effective {
                break;
            }
            state.lost = true;
            self.phantoms[row.entity] = true;
            self.rows.pop();
        }
        self.acknowledged = self.acknowledged.min(self.rows.len() as u64);
        // Their connections are gone, and with them every transaction that was under way.
        self.begun -=
            u32::try_from(self.open.iter().filter(|open| open.place.is_none()).count()).unwrap_or(0);
        self.open.retain(|open| open.place.is_some_and(|place| !self.states[open.entity][place].lost));
        let timeline = self.timeline;
        stage.tell(|| format!("source     fails over to timeline {timeline}"));
        stage.trace.step(0x140);
    }

    /// An entity that copies know something of which never survived, if any.
    pub(super) fn phantom(&self) -> Option<usize> {
        self.phantoms.iter().position(|phantom| *phantom)
    }

    /// The newest version that could be read at `at`.
    pub(super) fn row(&self, entity: usize, at: u64) -> Option<&State> {
        self.states[entity].iter().rev().find(|state| state.readable <= at && !state.lost)
    }

    /// This version.
    pub(super) fn state(&self, entity: usize, stamp: Stamp) -> Option<&State> {
        self.states[entity].iter().find(|state| state.stamp == stamp)
    }

    /// Of what could be read at `at`, the version in force at `time` of the source's clock, and when that may change.
    pub(super) fn in_force(&self, entity: usize, at: u64, time: Time) -> (Option<&State>, Option<Time>) {
        let readable = || self.states[entity].iter().filter(|state| state.readable <= at && !state.lost);
        let holds = readable()
            .filter(|state| state.window.contains(time))
            .max_by_key(|state| (state.window.from, state.stamp));
        (holds, readable().filter_map(|state| state.window.boundary_after(time)).min())
    }

    /// Rows after `after`, in commit order.
    pub(super) fn scan(&self, stage: &mut Stage<'_>, after: Cursor, limit: usize) -> Scan {
        let time = stage.source_time();
        if stage.lacks(Mutant::CommitOrder) {
            return self.scan_by_sequence(stage, after, limit);
        }
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(self.rows.len());
        let rows = &self.rows[from..];
        let complete = rows.len() <= limit || stage.lacks(Mutant::IncompleteScan);
        let rows = rows.iter().zip(after.0 + 1..).take(limit);
        Scan { rows: rows.map(|(row, cursor)| pending(stage, row, cursor)).collect(), complete, time }
    }

    /// What a cursor over a sequence makes of it: whoever commits after a later number was read is never read.
    fn scan_by_sequence(&self, stage: &mut Stage<'_>, after: Cursor, limit: usize) -> Scan {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| row.sequence > after.0).collect();
        rows.sort_by_key(|row| row.sequence);
        let (time, complete) = (stage.source_time(), rows.len() <= limit);
        let rows = rows.into_iter().take(limit).map(|row| pending(stage, row, row.sequence)).collect();
        Scan { rows, complete, time }
    }

    pub(super) const fn acknowledged(&self) -> Cursor {
        Cursor(self.acknowledged)
    }

    pub(super) fn acknowledge(&mut self, cursor: Cursor) {
        self.acknowledged = self.acknowledged.max(cursor.0);
    }

    /// Whether rows wait after this cursor.
    pub(super) fn has_rows_after(&self, cursor: Cursor, stage: &Stage<'_>) -> bool {
        match stage.lacks(Mutant::CommitOrder) {
            true => self.rows.iter().any(|row| row.sequence > cursor.0),
            false => self.rows.len() as u64 > cursor.0,
        }
    }

    /// Whether every event before the present of this log's record can be read as a row by now.
    pub(super) fn all_readable(&self) -> bool {
        self.states.iter().flatten().all(|state| state.readable != NEVER || state.lost)
    }
}

/// An absence without a version has no place in the order of versions. So either deletes leave tombstones, or nothing
/// that is shown of the entity is held to versions at all.
fn may_delete(setup: &Setup, entity: usize) -> bool {
    let versioned = |view: &ViewSetup| view.shows[entity] && view.style == Style::Versioned;
    let views = &setup.views[..setup.view_count];
    setup.natures[entity] != Nature::Effective && (setup.tombstones || !views.iter().any(versioned))
}

fn pending(stage: &mut Stage<'_>, row: &Row, cursor: u64) -> Pending {
    let event = match row.health {
        Health::Unreadable => Err(Arc::clone(&stage.pool.unreadable)),
        health => Ok(stage.pool.event(row.entity, row.stamp, health)),
    };
    Pending { cursor: Cursor(cursor), event }
}

fn draw_window(stage: &mut Stage<'_>) -> Window {
    let now = stage.source_time().micros();
    let from = now - 5 + i64::from(stage.choices.below(40));
    let until = match stage.choices.below(3) {
        2 => Some(Time::from_micros(from + 5 + i64::from(stage.choices.below(40)))),
        _ => None,
    };
    Window { from: Some(Time::from_micros(from)), until }
}

/// What a state looks like; never zero.
fn digest(entity: usize, stamp: Stamp) -> u64 {
    let mixed = (entity as u64 + 1) << 32 | u64::from(stamp.timeline.0 + 1) << 16 | stamp.version.number();
    mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}
