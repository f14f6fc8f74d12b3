//! Popularity as shops see it: the product of rank r is asked for in proportion to 1/r.

use rand::Rng;

/// Draws ranks 0, 1, 2, ... with probability in proportion to `1 / (rank + 1)^exponent`.
#[derive(Debug, Clone)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// A sampler over `ranks` ranks (at least one).
    #[must_use]
    pub fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut rank = 0.0_f64;
        let weights = std::iter::repeat_with(|| {
            rank += 1.0;
            sum += rank.powf(-exponent);
            sum
        });
        Self { cumulative: weights.take(ranks.max(1)).collect() }
    }

    /// Draws one rank.
    pub fn sample(&self, random: &mut impl Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let drawn = random.random::<f64>() * total;
        self.cumulative.partition_point(|upto| *upto <= drawn).min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_first_rank_is_drawn_as_often_as_the_law_says() {
        let zipf = Zipf::new(1000, 1.0);
        let mut random = SmallRng::seed_from_u64(7);
        let mut drawn = vec![0_u32; 1000];
        for _ in 0..100_000 {
            drawn[zipf.sample(&mut random)] += 1;
        }
        // H(1000) = 7.485: rank 0 has 13.36 % of all draws, rank 9 a tenth of that.
        assert!((12_800..13_900).contains(&drawn[0]), "{}", drawn[0]);
        assert!((1_150..1_520).contains(&drawn[9]), "{}", drawn[9]);
        assert!(drawn[900..].iter().sum::<u32>() > 0, "the tail is asked for too");
    }
}
