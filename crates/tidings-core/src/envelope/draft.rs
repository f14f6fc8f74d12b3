//! What a person writes for `tidings publish`.

use std::sync::Arc;

use crate::event::Draft;
use crate::time::Time;
use crate::version::Timeline;

/// A decoded event in which whoever commits it may still fill in what was left out: id, source, time and version.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftEvent {
    /// `id`, if given.
    pub id: Option<Arc<str>>,
    /// `source`, if given.
    pub source: Option<Arc<str>>,
    /// `time`, if given.
    pub time: Option<Time>,
    /// `timeline`, if given.
    pub timeline: Option<Timeline>,
    /// `dataschema`, if given.
    pub schema: Option<Box<str>>,
    /// Further extension attributes, as in [`crate::Event::extensions`].
    pub extensions: Vec<(Box<str>, Box<str>)>,
    /// Type, entity, window, trace context, data and, if given, the version.
    pub draft: Draft,
}
