//! Events as types.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_core::{Code, Data, Draft, Entity, Error, Event, Result, Version, Window};

/// A business fact as a type; implemented by `#[derive(DomainEvent)]`.
///
/// The type name on the wire is `context.Name`. The fields travel as JSON.
pub trait DomainEvent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The bounded context that owns the fact.
    const CONTEXT: &'static str;
    /// The type on the wire: `context.Name`.
    const TYPE: &'static str;
    /// The kind of entity it is about.
    const ENTITY_KIND: &'static str;

    /// Which entity of that kind.
    fn entity_id(&self) -> String;

    /// The version of the entity's row after the change. `None`, or zero, which no committed state has, leaves it to
    /// the outbox.
    fn version(&self) -> Option<u64> {
        None
    }

    /// When the fact is in force.
    fn window(&self) -> Window {
        Window::default()
    }

    /// What is recorded in the outbox. Fails if the id cannot name an entity, the version is beyond [`Version::MAX`],
    /// or the fields are no JSON.
    fn draft(&self) -> Result<Draft> {
        let data = serde_json::to_string(self).map_err(|cause| {
            Error::new(Code::ATTRIBUTE_INVALID, format!("{} cannot be written as JSON", Self::TYPE))
                .because(cause)
        })?;
        let entity = Entity::new(Self::ENTITY_KIND, &self.entity_id())?;
        let version = match self.version() {
            None | Some(0) => None,
            Some(number) => Some(Version::new(number).ok_or_else(|| {
                Error::new(Code::ATTRIBUTE_INVALID, format!("the version {number} of {entity} is too high"))
            })?),
        };
        Ok(Draft {
            kind: Self::TYPE.into(),
            entity,
            version,
            window: self.window(),
            traceparent: None,
            data: Data::Json(data.into()),
        })
    }

    /// Reads the fields back. Fails with `DATA_UNREADABLE`, which parks the event.
    fn from_event(event: &Event) -> Result<Self> {
        let unreadable = |what: &str| {
            let what = format!("the data of {} {} {what}", event.kind, event.entity);
            Error::new(Code::DATA_UNREADABLE, what)
        };
        match &event.data {
            Data::Json(text) => {
                serde_json::from_str(text).map_err(|cause| unreadable("cannot be read").because(cause))
            }
            Data::Empty => Err(unreadable("is missing")),
            Data::Bytes { content_type, .. } => Err(unreadable(&format!("is {content_type}, not JSON"))),
        }
    }
}
