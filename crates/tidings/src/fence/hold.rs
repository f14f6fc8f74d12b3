//! What an entry was derived from, as compact as the hit path wants it.

use tidings_core::fence::{Fingerprint, Held};
use tidings_core::{Stamp, Timeline, Version};

/// One dependency of an entry: 24 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) key: Fingerprint,
    version: Version,
    timeline: Timeline,
    versioned: bool,
}

impl Hold {
    pub(crate) const fn new(key: Fingerprint, held: Held) -> Self {
        match held {
            Held::At(Stamp { timeline, version }) => Self { key, version, timeline, versioned: true },
            Held::Unmoved => Self { key, version: Version::ZERO, timeline: Timeline(0), versioned: false },
        }
    }

    pub(crate) const fn held(&self) -> Held {
        match self.versioned {
            true => Held::At(Stamp { timeline: self.timeline, version: self.version }),
            false => Held::Unmoved,
        }
    }

    /// Whether it shows that the entity was seen at this version or a newer one.
    pub(crate) fn reaches(&self, key: Fingerprint, stamp: Stamp) -> bool {
        self.key == key && matches!(self.held(), Held::At(seen) if seen >= stamp)
    }
}
