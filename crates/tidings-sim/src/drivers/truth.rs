//! The source's own tables, which no cache may contradict.

use tidings::{Stamp, Time};
use tidings_testkit::history::{InForce, Nanos, Span, State};

/// One version of an entity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) stamp: Stamp,
    pub(super) digest: u64,
    pub(super) deleted: bool,
    pub(super) window: Option<Span>,
    pub(super) committed: Nanos,
    /// From when on readers find it: later than its event, in some databases.
    pub(super) visible: Nanos,
    /// Whether its commit was acknowledged.
    pub(super) acknowledged: bool,
}

impl Row {
    /// What an answer shows that was made from it.
    pub(super) const fn shown(&self) -> State {
        match self.deleted {
            true => State::Absent,
            false => State::At { stamp: self.stamp, digest: Some(self.digest), in_force: None },
        }
    }
}

/// Every version of every entity, in the order of commits.
#[derive(Debug, Default)]
pub(super) struct Truth {
    rows: Vec<Vec<Row>>,
}

impl Truth {
    pub(super) fn reset(&mut self, entities: usize) {
        self.rows.iter_mut().for_each(Vec::clear);
        self.rows.resize_with(entities, Vec::new);
    }

    pub(super) fn commit(&mut self, entity: u32, row: Row) {
        if let Some(rows) = self.rows.get_mut(entity as usize) {
            rows.push(row);
        }
    }

    pub(super) fn acknowledge(&mut self, entity: u32, stamp: Stamp) {
        let rows = self.rows.get_mut(entity as usize).into_iter().flatten();
        rows.filter(|row| row.stamp == stamp).for_each(|row| row.acknowledged = true);
    }

    pub(super) fn of(&self, entity: u32) -> &[Row] {
        self.rows.get(entity as usize).map_or(&[], Vec::as_slice)
    }

    /// What a reader finds who sees the state of this moment.
    pub(super) fn read(&self, entity: u32, at: Nanos) -> Option<Row> {
        self.of(entity).iter().rev().find(|row| row.visible <= at).copied()
    }

    /// The newest version that somebody was told of.
    pub(super) fn acknowledged(&self, entity: u32) -> Option<Row> {
        self.of(entity).iter().rev().find(|row| row.acknowledged).copied()
    }

    /// What is in force at `now`, of the versions up to `row`, and the next moment at which that may be another.
    pub(super) fn in_force(&self, entity: u32, row: &Row, now: Nanos) -> (InForce, Option<Nanos>) {
        let upto = || self.of(entity).iter().filter(|other| other.stamp <= row.stamp);
        let from = |row: &Row| row.window.map_or(row.committed, |window| window.from);
        let until = |row: &Row| row.window.map_or(Nanos::MAX, |window| window.until);
        let holding = upto().filter(|row| from(row) <= now && now < until(row));
        let newest = holding.max_by_key(|row| (from(row), row.stamp));
        let boundaries = upto().filter_map(|row| row.window).flat_map(|window| [window.from, window.until]);
        let next = boundaries.filter(|at| *at > now && *at < Nanos::MAX).min();
        (newest.map_or(InForce::Nothing, |row| InForce::Version(row.stamp)), next)
    }
}

/// A window as events carry it.
pub(super) fn window(span: Option<Span>, at: impl Fn(Nanos) -> Time) -> tidings::Window {
    let Some(span) = span else { return tidings::Window::default() };
    let until = (span.until < Nanos::MAX).then(|| at(span.until));
    tidings::Window { from: Some(at(span.from)), until }
}
