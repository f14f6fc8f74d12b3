//! How much of an event a decoder takes.

/// Bounds on one event, so that no producer can exhaust its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole encoded event, in bytes.
    pub bytes: usize,
    /// How many arrays and objects of the data may stand within each other.
    pub depth: usize,
    /// How many extension attributes an event may have beside those that Tidings knows.
    pub extensions: usize,
    /// Their names and values together, in bytes.
    pub extension_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 32, extensions: 64, extension_bytes: 16 << 10 }
    }
}
