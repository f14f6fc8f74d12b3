//! What is cached, to be compared with the truth in the end: also what nobody reads any more, and also absences.
//!
//! Only what this copy keeps itself. What the level that copies share keeps is not compared: it hears its news from a
//! group of its own, which need not have heard all when the copies have.

use tidings::Standing;

use super::{Experience, ListingKey, ListingPage, ProductKey, ProductPage, Sort};
use crate::name::Market;
use crate::refusal::Result;
use crate::seed::CATEGORIES;
use crate::witness::Shown;

/// What is cached and is the truth once everything is applied.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What pages and listings show.
    pub(crate) answers: Vec<Shown>,
    /// What the parts of pages say, of the views that share a level with other copies.
    pub(crate) parts: Vec<Shown>,
    /// How many answers and parts are left out, since nobody vouches for them.
    pub(crate) unvouched: usize,
}

impl Experience {
    /// What is cached, however long ago the last mark came.
    pub(crate) fn cached(&self) -> Result<Kept> {
        let Kept { mut answers, mut parts, mut unvouched } = Kept::default();
        for sku in &self.by_popularity {
            for market in Market::ALL {
                let found = self.products.standing(&ProductKey { sku: sku.clone(), market });
                let Some(page) = vouched(found.as_ref(), &mut unvouched) else { continue };
                answers.extend(ProductPage::shown(sku, page)?);
            }
        }
        for category in CATEGORIES.iter().map(|category| category.slug) {
            for (market, sort) in
                Market::ALL.into_iter().flat_map(|market| Sort::ALL.map(|sort| (market, sort)))
            {
                let found = self.listings.standing(&ListingKey { category, market, sort });
                let Some(page) = vouched(found.as_ref(), &mut unvouched) else { continue };
                answers.extend(page.map_or_else(|| Ok(Vec::new()), ListingPage::shows)?);
            }
        }
        if let Some(shelves) = &self.sources.shelves {
            shelves.held(&self.by_popularity, &mut parts, &mut unvouched)?;
        }
        Ok(Kept { answers, parts, unvouched })
    }
}

/// What is to be compared with the truth, be it that there is nothing: what was missed before this copy heard of anything, it
/// may rightly lack.
pub(super) fn vouched<'a, V>(found: Option<&'a Standing<V>>, unvouched: &mut usize) -> Option<Option<&'a V>> {
    *unvouched += usize::from(found.is_some_and(|found| !found.is_vouched));
    found.filter(|found| found.is_vouched).map(|found| found.answer.value())
}
