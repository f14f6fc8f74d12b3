//! Everything that has a name, made once.

use std::sync::Arc;

use tidings::{Entity, Region, Result, Topic};

/// What an entity is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Read with its version.
    Versioned,
    /// Read without one.
    Bare,
    /// Has effective windows.
    Windowed,
}

/// An entity of the world.
pub(super) struct Named {
    pub(super) entity: Entity,
    pub(super) family: Family,
}

/// The names of a world.
pub(super) struct Names {
    pub(super) topic: Topic,
    /// By number.
    pub(super) entities: Vec<Named>,
    pub(super) region: Region,
    /// The type of every event.
    pub(super) changed: Arc<str>,
    /// Of the views, by their place in a history.
    pub(super) views: [Arc<str>; 3],
    /// Keys as views write them, by the number of an entity.
    pub(super) keys: Vec<Arc<str>>,
}

/// The numbers of the entities in [`Names::entities`].
pub(super) const FIRST: u32 = 0;
pub(super) const SECOND: u32 = 1;
pub(super) const BARE: u32 = 2;
pub(super) const WINDOWED: u32 = 3;

/// The region's name and value.
pub(super) const REGION: (&str, &str) = ("list", "all");

impl Names {
    pub(super) fn new() -> Result<Arc<Self>> {
        let named = |text, family| Ok(Named { entity: Entity::parse(text)?, family });
        let entities = vec![
            named("price/1", Family::Versioned)?,
            named("price/2", Family::Versioned)?,
            named("stock/1", Family::Bare)?,
            named("offer/1", Family::Windowed)?,
        ];
        let keys = (0..entities.len()).map(|n| n.to_string().into()).collect();
        Ok(Arc::new(Self {
            topic: Topic::new("pricing")?,
            entities,
            region: Region::new(REGION.0, REGION.1)?,
            changed: "pricing.Changed".into(),
            views: ["first".into(), "second".into(), "third".into()],
            keys,
        }))
    }

    /// The number of this entity.
    pub(super) fn number(&self, entity: &Entity) -> Option<u32> {
        let place = self.entities.iter().position(|named| named.entity == *entity)?;
        u32::try_from(place).ok()
    }

    pub(super) fn entity(&self, number: u32) -> Option<&Entity> {
        self.entities.get(number as usize).map(|named| &named.entity)
    }

    pub(super) fn family(&self, number: u32) -> Family {
        self.entities.get(number as usize).map_or(Family::Versioned, |named| named.family)
    }
}
