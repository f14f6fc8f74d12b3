//! Where everything that a world does by chance comes from, so that a history can be run again, and made smaller.
//!
//! A world asks for one small number after the other. Drawn from a seed, they are written down; read back from a
//! script, the same history happens. A script that ends early answers zero: a world is written such that zero means
//! "the least": no further step, no fault, the first of the actors. So cutting a script makes a history simpler.

/// The source of every decision of one history.
#[derive(Debug, Clone)]
pub struct Choices {
    state: u64,
    script: Option<Vec<u32>>,
    made: Vec<u32>,
}

impl Choices {
    /// Drawn from this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed, script: None, made: Vec::new() }
    }

    /// Read back; zero after the end.
    #[must_use]
    pub const fn scripted(script: Vec<u32>) -> Self {
        Self { state: 0, script: Some(script), made: Vec::new() }
    }

    /// Starts again with another seed, in the same memory.
    pub fn reseed(&mut self, seed: u64) {
        (self.state, self.script) = (seed, None);
        self.made.clear();
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: u32) -> u32 {
        let end = end.max(1);
        let choice = match &self.script {
            Some(script) => script.get(self.made.len()).copied().unwrap_or(0) % end,
            // Lemire's multiplication: no division, and a bias far below what a simulation could notice.
            None => ((u64::from(next(&mut self.state) as u32) * u64::from(end)) >> 32) as u32,
        };
        self.made.push(choice);
        choice
    }

    /// True in so many of a thousand cases; false once a script has ended.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        // Zero must be the harmless answer, so the upper end of the range is what strikes.
        self.below(1000) >= 1000 - per_mille.min(1000)
    }

    /// What was chosen so far.
    #[must_use]
    pub fn made(&self) -> &[u32] {
        &self.made
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_repeats_what_a_seed_chose_and_ends_in_zeros() {
        let mut seeded = Choices::seeded(7);
        let first: Vec<u32> = (1..50).map(|end| seeded.below(end)).collect();
        let mut scripted = Choices::scripted(seeded.made().to_vec());
        assert_eq!((1..50).map(|end| scripted.below(end)).collect::<Vec<_>>(), first);
        assert_eq!((scripted.below(9), scripted.chance(999)), (0, false));
    }

    #[test]
    fn chances_strike_as_often_as_they_say() {
        let mut choices = Choices::seeded(1);
        let struck = (0..100_000).filter(|_| choices.chance(50)).count();
        assert!((4_500..5_500).contains(&struck), "{struck}");
        assert!(!choices.chance(0) && choices.chance(1000));
    }
}
