//! What happened in one history: always as a hash, and as a timeline that people can read when somebody looks.

/// The trace of one history.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    timeline: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps only its hash.
    #[must_use]
    pub fn hashed() -> Self {
        Self::default()
    }

    /// A trace that also keeps its timeline.
    #[must_use]
    pub const fn told() -> Self {
        Self { hash: 0, timeline: Some(Vec::new()) }
    }

    /// One step, as a number that says what was done and with what result.
    pub const fn step(&mut self, what: u64) {
        self.hash = (self.hash.rotate_left(5) ^ what).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    /// One line of the timeline; not even built unless somebody looks.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push(line());
        }
    }

    /// Equal for equal histories.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, in order; empty unless [`Trace::told`].
    #[must_use]
    pub fn timeline(&self) -> &[String] {
        self.timeline.as_deref().unwrap_or_default()
    }

    /// Begins again, in the same memory.
    pub fn clear(&mut self) {
        self.hash = 0;
        if let Some(timeline) = &mut self.timeline {
            timeline.clear();
        }
    }
}
