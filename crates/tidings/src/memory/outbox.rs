//! The outbox in memory, with its write side.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_core::event::Draft;
use tidings_core::port::{Boxed, Cursor, Outbox, Pending, Scan};
use tidings_core::{Code, Entity, Error, Event, Result, Stamp, Time, Timeline, Version};
use tokio::sync::Notify;

use super::{WallClock, system_clock};

/// An [`Outbox`] that lives as long as its process. Acknowledged rows are dropped.
pub struct MemoryOutbox {
    source: Arc<str>,
    clock: WallClock,
    state: Mutex<State>,
    /// Told of every commit; a wait registers before it looks, so it cannot miss one. Those who wait are woken in the order
    /// they came.
    committed: Notify,
}

#[derive(Default)]
struct State {
    rows: VecDeque<Pending>,
    timeline: Timeline,
    versions: HashMap<Entity, Version>,
    last: Cursor,
    acknowledged: Cursor,
    parked: Vec<(Cursor, Error)>,
    /// The latest time handed out; a clock that steps back must not date a commit before a scan that missed it.
    latest: Time,
}

impl State {
    fn now(&mut self, clock: &WallClock) -> Time {
        self.latest = clock().max(self.latest);
        self.latest
    }
}

impl MemoryOutbox {
    /// An empty outbox of this source (a URI reference such as `/pricing`), dated by the system's clock.
    #[must_use]
    pub fn new(source: &str) -> Arc<Self> {
        Self::with_boxed_clock(source, system_clock())
    }

    /// An empty outbox dated by this clock.
    #[must_use]
    pub fn with_clock(source: &str, clock: impl Fn() -> Time + Send + Sync + 'static) -> Arc<Self> {
        Self::with_boxed_clock(source, Box::new(clock))
    }

    fn with_boxed_clock(source: &str, clock: WallClock) -> Arc<Self> {
        Arc::new(Self { source: source.into(), clock, state: Mutex::default(), committed: Notify::new() })
    }

    /// Commits these drafts together, in this order, and returns their stamps; nothing if one is refused. A draft
    /// without a version gets the next of its entity.
    ///
    /// # Errors
    /// [`Code::VERSION_REGRESSED`] if a version is not above the last of its entity.
    pub fn commit(&self, drafts: &[Draft]) -> Result<Vec<Stamp>> {
        let mut state = self.state.lock();
        let versions = assign(&state.versions, drafts)?;
        let (time, timeline) = (state.now(&self.clock), state.timeline);
        let stamps: Vec<_> = versions.into_iter().map(|version| Stamp { timeline, version }).collect();
        for (draft, stamp) in drafts.iter().zip(&stamps) {
            let cursor = Cursor(state.last.0 + 1);
            let event = self.event(draft, *stamp, cursor, time);
            state.versions.insert(draft.entity.clone(), stamp.version);
            state.rows.push_back(Pending { cursor, event: Ok(Arc::new(event)) });
            state.last = cursor;
        }
        drop(state);
        self.committed.notify_waiters();
        Ok(stamps)
    }

    /// The source's incarnation. Whoever reads its state gives this as the timeline of what was read, whenever that was
    /// committed: after a failover, old versions may have other successors.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.state.lock().timeline
    }

    /// Fails over to a copy that lacked everything committed after `kept`, as one that is replicated asynchronously may: rows
    /// beyond it that no relay has taken by now are gone, the entities named are at these versions again (zero: not
    /// created yet), and what comes next is of a new timeline, which is returned. Cursors go on.
    pub fn fail_over(&self, kept: Cursor, back_to: &[(Entity, Version)]) -> Timeline {
        let mut state = self.state.lock();
        state.timeline.0 += 1;
        state.rows.retain(|row| row.cursor <= kept);
        for (entity, version) in back_to {
            state.versions.insert(entity.clone(), *version);
        }
        state.timeline
    }

    /// The rows set aside, oldest first, each with its reason.
    #[must_use]
    pub fn parked(&self) -> Vec<(Cursor, Error)> {
        self.state.lock().parked.clone()
    }

    /// Makes the row there unreadable, as damage to a table would; false if there is none. For tests.
    #[must_use]
    pub fn damage(&self, at: Cursor) -> bool {
        let mut state = self.state.lock();
        let Some(row) = state.rows.iter_mut().find(|row| row.cursor == at) else { return false };
        row.event =
            Err(Arc::new(Error::new(Code::DATA_UNREADABLE, format!("row {} was damaged by a test", at.0))));
        true
    }

    async fn committed_after(&self, after: Cursor) {
        loop {
            let committed = self.committed.notified();
            // The rows themselves: those of the last cursors may be gone.
            if self.state.lock().rows.back().is_some_and(|row| row.cursor > after) {
                return;
            }
            committed.await;
        }
    }

    fn event(&self, draft: &Draft, stamp: Stamp, cursor: Cursor, time: Time) -> Event {
        Event {
            id: event_id(cursor, time),
            source: self.source.clone(),
            kind: draft.kind.clone(),
            entity: draft.entity.clone(),
            stamp,
            time,
            window: draft.window,
            traceparent: draft.traceparent.clone(),
            schema: None,
            extensions: Vec::new(),
            data: draft.data.clone(),
        }
    }
}

/// The version of each draft: its own, or the next of its entity.
fn assign(last: &HashMap<Entity, Version>, drafts: &[Draft]) -> Result<Vec<Version>> {
    let mut moved: HashMap<&Entity, Version> = HashMap::new();
    let mut assigned = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let known = moved.get(&draft.entity).or_else(|| last.get(&draft.entity));
        let before = known.copied().unwrap_or(Version::ZERO);
        let version = draft.version.unwrap_or(before.next());
        if version <= before {
            let entity = &draft.entity;
            return Err(Error::new(
                Code::VERSION_REGRESSED,
                format!("version {version} of {entity} does not follow its version {before}"),
            ));
        }
        moved.insert(&draft.entity, version);
        assigned.push(version);
    }
    Ok(assigned)
}

/// A `UUIDv7` (RFC 9562) with the row's number where others put random bits: unique within this outbox.
fn event_id(cursor: Cursor, time: Time) -> Arc<str> {
    let millis = u64::try_from(time.micros() / 1000).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    let (high, low) = (cursor.0 >> 48 & 0x0FFF, cursor.0 & 0xFFFF_FFFF_FFFF);
    format!("{:08x}-{:04x}-7000-{:04x}-{low:012x}", millis >> 16, millis & 0xFFFF, 0x8000 | high).into()
}

impl Outbox for MemoryOutbox {
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let time = state.now(&self.clock);
            let from = state.rows.partition_point(|row| row.cursor <= after);
            let rows: Vec<_> = state.rows.iter().skip(from).take(limit).cloned().collect();
            Ok(Scan { complete: from + rows.len() == state.rows.len(), rows, time })
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(async move { Ok(self.state.lock().acknowledged) })
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            state.acknowledged = state.acknowledged.max(cursor);
            let done = state.rows.partition_point(|row| row.cursor <= cursor);
            state.rows.drain(..done);
            Ok(())
        })
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            match state.parked.binary_search_by_key(&cursor, |(parked, _)| *parked) {
                Ok(_) => {}
                Err(at) => state.parked.insert(at, (cursor, reason.clone())),
            }
            Ok(())
        })
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            // Both ends are answers: there are rows, or the time is up.
            let _ = tokio::time::timeout(at_most, self.committed_after(after)).await;
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOutbox").field("source", &self.source).finish_non_exhaustive()
    }
}
