//! A business fact about one entity, as services publish and receive it.

use std::sync::Arc;

use crate::entity::Entity;
use crate::time::{Time, Window};
use crate::version::{Stamp, Version};

/// An event: a `CloudEvents` 1.0 event whose `subject` is an [`Entity`] and that carries its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Unique within the source (`id`); a `UUIDv7` where Tidings assigns it. Never an order.
    pub id: Arc<str>,
    /// The context that published it (`source`), a URI reference such as `/pricing`.
    pub source: Arc<str>,
    /// The business fact (`type`), such as `pricing.BasePriceChanged`.
    pub kind: Arc<str>,
    /// What it is about (`subject`), and the key that keeps its order (`partitionkey`).
    pub entity: Entity,
    /// How new its truth is (`timeline`, `aggregateversion`).
    pub stamp: Stamp,
    /// When it was committed, by the source's clock (`time`).
    pub time: Time,
    /// When it is in force (`effectivefrom`, `effectiveuntil`), by the source's clock.
    pub window: Window,
    /// W3C trace context (`traceparent`).
    pub traceparent: Option<Box<str>>,
    /// The schema of the data (`dataschema`).
    pub schema: Option<Box<str>>,
    /// Further extension attributes, by name, as strings; bounded by the decoder's limits.
    pub extensions: Vec<(Box<str>, Box<str>)>,
    /// The body.
    pub data: Data,
}

/// The body of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// No body: a notification.
    #[default]
    Empty,
    /// JSON text, kept as it came.
    Json(Box<str>),
    /// Other bytes, with their media type.
    Bytes {
        /// The media type (`datacontenttype`).
        content_type: Box<str>,
        /// The bytes.
        bytes: Box<[u8]>,
    },
}

impl Data {
    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Json(text) => text.len(),
            Self::Bytes { bytes, .. } => bytes.len(),
        }
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a service records beside its state change, in the same transaction; the outbox turns it into an [`Event`].
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The business fact (`type`).
    pub kind: Arc<str>,
    /// What it is about.
    pub entity: Entity,
    /// The version of the entity's row after this change; `None` has the outbox assign the next one.
    pub version: Option<Version>,
    /// When it is in force.
    pub window: Window,
    /// W3C trace context.
    pub traceparent: Option<Box<str>>,
    /// The body.
    pub data: Data,
}
