//! A realistic catalogue from a seed number: the same seed gives the same products, prices and stock.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::name::{Market, Sku};

mod words;

pub use words::{CATEGORIES, Category};

/// How many products there are unless said otherwise.
pub const DEFAULT_SKUS: usize = 10_000;

/// One generated product, with what every context begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// Its SKU.
    pub sku: Sku,
    /// Its category.
    pub category: &'static str,
    /// Its title.
    pub title: String,
    /// What it is, in a sentence or two.
    pub description: String,
    /// Its pictures.
    pub media: Vec<String>,
    /// 0 is the most popular of all.
    pub popularity: u32,
    /// The day it was first listed, counted from 1970-01-01.
    pub listed_day: u32,
    /// Base price in cents, in the order of [`Market::ALL`].
    pub cents: [u32; 5],
    /// Units per region and node, in the order of [`Market::ALL`] and [`Market::nodes`].
    pub units: [[u32; 2]; 5],
}

/// The whole catalogue of one seed, in the order of the SKUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The seed it was generated from.
    pub seed: u64,
    /// The products.
    pub products: Vec<Seeded>,
}

impl Catalogue {
    /// The catalogue of this seed with this many products.
    #[must_use]
    pub fn generate(seed: u64, skus: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let ranks = ranks(seed, skus);
        let products = ranks.iter().enumerate().map(|(i, rank)| product(&mut random, i, *rank)).collect();
        Self { seed, products }
    }
}

/// The popularity rank of each product, by its number: a permutation that depends on the seed alone.
#[must_use]
pub fn ranks(seed: u64, skus: usize) -> Vec<u32> {
    let mut ranks: Vec<u32> = (0..u32::try_from(skus).unwrap_or(u32::MAX)).collect();
    ranks.shuffle(&mut SmallRng::seed_from_u64(seed ^ 0x5EED_0F4A));
    ranks
}

fn product(random: &mut SmallRng, number: usize, popularity: u32) -> Seeded {
    let category = pick(random, &CATEGORIES);
    let (brand, line) = (pick(random, &words::BRANDS), pick(random, &words::LINES));
    let (quality, colour) = (pick(random, &words::QUALITIES), pick(random, &words::COLOURS));
    let description = format!(
        "{quality} {} from {brand} in {}. {} {}",
        category.noun.to_lowercase(),
        colour.to_lowercase(),
        pick(random, &words::BENEFITS),
        pick(random, &words::CARE),
    );
    let sku = Sku::numbered(number + 1);
    let media = (1..=random.random_range(2..=5)).map(|n| format!("/media/{sku}/{n}.webp")).collect();
    let base = price(random, category);
    Seeded {
        title: format!("{brand} {line} {} {colour}", category.noun),
        category: category.slug,
        description,
        media,
        popularity,
        listed_day: random.random_range(18_000..20_500),
        cents: Market::ALL.map(|market| localise(base, market)),
        units: Market::ALL.map(|_| [units(random), units(random)]),
        sku,
    }
}

fn pick<'a, T>(random: &mut SmallRng, from: &'a [T]) -> &'a T {
    // The word lists are constants and not empty.
    &from[random.random_range(0..from.len())]
}

/// Prices are spread evenly by order of magnitude within the category's range.
fn price(random: &mut SmallRng, category: &Category) -> f64 {
    let (low, high) = (f64::from(category.cents.0), f64::from(category.cents.1));
    low * (high / low).powf(random.random::<f64>())
}

/// Tax, freight and habit differ by market; shops like prices that end in 9.
fn localise(cents: f64, market: Market) -> u32 {
    let factor = match market {
        Market::Br => 1.35,
        Market::Eu => 1.0,
        Market::Jp => 1.12,
        Market::Uk => 0.94,
        Market::Us => 0.9,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < price < 10^7 cents")]
    let cents = (cents * factor) as u32;
    cents / 10 * 10 + 9
}

/// One in twelve is out of stock; most have a few dozen.
fn units(random: &mut SmallRng) -> u32 {
    match random.random_range(0..12) {
        0 => 0,
        1..=8 => random.random_range(1..60),
        _ => random.random_range(60..400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_catalogue() {
        assert_eq!(Catalogue::generate(7, 500), Catalogue::generate(7, 500));
        assert_ne!(Catalogue::generate(7, 500).products, Catalogue::generate(8, 500).products);
    }

    #[test]
    fn the_catalogue_is_plausible() {
        let products = Catalogue::generate(1, 4000).products;
        let distinct = |f: &dyn Fn(&Seeded) -> String| products.iter().map(f).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(&|p| p.sku.to_string()), 4000);
        assert_eq!(distinct(&|p| p.popularity.to_string()), 4000);
        assert_eq!(distinct(&|p| p.category.to_owned()), CATEGORIES.len());
        assert!(distinct(&|p| p.title.clone()) > 3500, "titles hardly repeat");
        assert!(products.iter().all(|p| p.cents.iter().all(|c| (100..5_000_000).contains(c))));
        assert!(products.iter().any(|p| p.units[1] == [0, 0]), "something is sold out");
    }
}
