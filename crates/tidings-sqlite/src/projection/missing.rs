//! What a projection knows that it does not know.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};
use tidings_core::{Event, Stamp, Time, Timeline, Version};

/// Stands for everything that may have been in a gap; no entity has an empty name.
const GAP: &str = "";

/// The entities whose newest event could not be applied, with its stamp and time.
#[derive(Debug, Default, Clone)]
pub(super) struct Missing(BTreeMap<String, (Stamp, Time)>);

impl Missing {
    pub(super) fn load(connection: &Connection, name: &str) -> rusqlite::Result<Self> {
        let sql = "SELECT entity, timeline, version, time FROM tidings_projection_missing WHERE name = ?1";
        let mut select = connection.prepare(sql)?;
        let rows = select.query_map([name], |row| {
            let version = Version::new(super::unsigned(row.get(2)?)).unwrap_or_default();
            let stamp = Stamp { timeline: Timeline(row.get(1)?), version };
            Ok((row.get(0)?, (stamp, Time::from_micros(row.get(3)?))))
        })?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }

    /// The rows are complete only up to here.
    pub(super) fn since(&self) -> Option<Time> {
        self.0.values().map(|(_, time)| *time).min()
    }

    pub(super) fn entities(&self) -> Vec<String> {
        self.0.keys().filter(|entity| *entity != GAP).cloned().collect()
    }

    /// This event was set aside.
    pub(super) fn add(&mut self, tx: &Transaction<'_>, name: &str, event: &Event) -> rusqlite::Result<()> {
        self.put(tx, name, event.entity.as_str(), event.stamp, event.time)
    }

    /// Anything committed after `known` may have been missed.
    pub(super) fn add_gap(
        &mut self,
        tx: &Transaction<'_>,
        name: &str,
        known: Option<Time>,
    ) -> rusqlite::Result<()> {
        self.put(tx, name, GAP, Stamp::default(), known.unwrap_or_default())
    }

    /// Whether a gap has left anything incomplete.
    pub(super) fn has_gap(&self) -> bool {
        self.0.contains_key(GAP)
    }

    /// What was missing `before` has been put right, but for what was missed again since; of gaps, `is_newest` says
    /// whether none came after.
    pub(super) fn repaired(
        &mut self,
        tx: &Transaction<'_>,
        name: &str,
        before: &Self,
        is_newest: bool,
    ) -> rusqlite::Result<()> {
        for (entity, (stamp, _)) in &before.0 {
            let is_gap = entity == GAP;
            let is_right = self.0.get(entity).is_some_and(|(missing, _)| missing <= stamp);
            if is_right && (is_newest || !is_gap) {
                self.forget(tx, name, entity)?;
            }
        }
        Ok(())
    }

    /// This event was applied: what it supersedes is not missing any more.
    pub(super) fn found(&mut self, tx: &Transaction<'_>, name: &str, event: &Event) -> rusqlite::Result<()> {
        let entity = event.entity.as_str();
        if self.0.get(entity).is_none_or(|(stamp, _)| *stamp > event.stamp) {
            return Ok(());
        }
        self.forget(tx, name, entity)
    }

    fn forget(&mut self, tx: &Transaction<'_>, name: &str, entity: &str) -> rusqlite::Result<()> {
        self.0.remove(entity);
        let sql = "DELETE FROM tidings_projection_missing WHERE name = ?1 AND entity = ?2";
        tx.execute(sql, params![name, entity]).map(drop)
    }

    fn put(
        &mut self,
        tx: &Transaction<'_>,
        name: &str,
        entity: &str,
        stamp: Stamp,
        time: Time,
    ) -> rusqlite::Result<()> {
        let known = self.0.entry(entity.to_owned()).or_insert((stamp, time));
        *known = (known.0.max(stamp), known.1.min(time));
        let (Stamp { timeline, version }, time) = *known;
        let version = i64::try_from(version.number()).unwrap_or(i64::MAX);
        tx.prepare_cached(include_str!("missing.sql"))?
            .execute(params![name, entity, timeline.0, version, time.micros()])
            .map(drop)
    }
}
