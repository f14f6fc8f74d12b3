//! Events and names that are made once and used in every history.

use std::sync::Arc;

use tidings_core::fence::Fingerprint;
use tidings_core::{
    Code, Data, Entity, Error, Event, Partition, Region, Result, Stamp, Time, Timeline, Topic, Version,
    Window,
};

use super::draw::{ENTITIES, PARTITIONS, VIEWS};

/// What becomes of an event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// No handler can make anything of it.
    Poison,
    /// Its record in the log cannot be read.
    Damaged,
    /// Its row in the outbox cannot be read.
    Unreadable,
}

const KINDS: [&str; 3] = ["price.Changed", "price.Poison", "price.Damaged"];

pub(super) struct Pool {
    pub(super) topic: Topic,
    pub(super) partitions: Vec<Partition>,
    pub(super) entities: [Entity; ENTITIES],
    pub(super) views: [Arc<str>; VIEWS],
    pub(super) key: Arc<str>,
    pub(super) region: Region,
    pub(super) every: Region,
    pub(super) unreadable: Arc<Error>,
    kinds: [Arc<str>; 3],
    id: Arc<str>,
    source: Arc<str>,
    events: Vec<Option<Arc<Event>>>,
}

impl Pool {
    pub(super) fn new() -> Result<Self> {
        let topic = Topic::new("pricing")?;
        let partition = |index| Partition { topic: topic.clone(), index };
        let most = u32::try_from(PARTITIONS).unwrap_or(1);
        Ok(Self {
            partitions: (0..most).map(partition).collect(),
            // The last bytes differ in their last bit, so two partitions take one each.
            entities: [Entity::new("price", "0")?, Entity::new("price", "1")?],
            views: ["0".into(), "1".into(), "2".into()],
            key: "k".into(),
            region: Region::new("category", "shoes")?,
            every: Region::every(),
            unreadable: Arc::new(Error::new(Code::RECORD_UNREADABLE, "damaged")),
            kinds: KINDS.map(Arc::from),
            id: "1".into(),
            source: "/pricing".into(),
            events: Vec::new(),
            topic,
        })
    }

    /// The event of this version; made when it is first asked for.
    pub(super) fn event(&mut self, entity: usize, stamp: Stamp, health: Health) -> Arc<Event> {
        let kind = match health {
            Health::Good | Health::Unreadable => 0,
            Health::Poison => 1,
            Health::Damaged => 2,
        };
        let version = usize::try_from(stamp.version.number()).unwrap_or(0);
        let timeline = usize::try_from(stamp.timeline.0).unwrap_or(0);
        let place = ((timeline * 32 + version % 32) * ENTITIES + entity) * KINDS.len() + kind;
        if self.events.len() <= place {
            self.events.resize(place + 1, None);
        }
        if let Some(event) = &self.events[place] {
            return event.clone();
        }
        let event = Arc::new(Event {
            id: self.id.clone(),
            source: self.source.clone(),
            kind: self.kinds[kind].clone(),
            entity: self.entities[entity].clone(),
            stamp,
            time: Time::from_micros(0),
            window: Window::default(),
            traceparent: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::Empty,
        });
        self.events[place] = Some(event.clone());
        event
    }
}

/// What became of this event on its way.
pub(super) fn health_of(event: &Event) -> Health {
    match event.kind.as_bytes().get(6) {
        Some(b'P') => Health::Poison,
        Some(b'D') => Health::Damaged,
        _ => Health::Good,
    }
}

/// The number of an entity of the pool.
pub(super) fn number_of(entity: &Entity) -> usize {
    usize::from(entity.as_str().ends_with('1'))
}

/// The fingerprint of an entity of the pool.
pub(super) const fn entity_key(entity: usize) -> Fingerprint {
    Fingerprint(1 + entity as u64)
}

/// The fingerprint of the region that views depend on.
pub(super) const REGION: Fingerprint = Fingerprint(100);
/// The fingerprint of every region.
pub(super) const EVERY: Fingerprint = Fingerprint(101);

/// The version `number` of a timeline.
pub(super) fn stamp(timeline: u32, number: u64) -> Stamp {
    Stamp { timeline: Timeline(timeline), version: Version::new(number).unwrap_or(Version::MAX) }
}
