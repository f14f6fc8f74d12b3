//! The parts of product pages on a level that all copies share: what one copy has loaded from an owner, the others take.
//!
//! A level has one source, and a page has three owners. So each owner's part is a view of its own, and the page is put
//! together from them: at their versions, and as old as the oldest of them.

use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings::{Cached, Fence, Fill, Freshness, Loaded, Shared, View, ViewCounts};
use tidings_core::shared::level::{Level, Source};
use tidings_core::{Entity, Stamp, Time, Topic, Truth, Version};

use super::held::vouched;
use super::{Caching, Owners, ProductKey};
use crate::catalog::{CONTENT, Content};
use crate::digest;
use crate::inventory::{STOCK, Stock};
use crate::name::{Market, Sku, offer_id};
use crate::pricing::{PRICE, Price};
use crate::refusal::Result;
use crate::witness::Shown;

/// A level that copies share, for what one owner says.
#[derive(Clone)]
pub struct Shelf {
    /// The level.
    pub level: Arc<dyn Level>,
    /// Where that owner's database stands.
    pub source: Arc<dyn Source>,
}

/// One for each owner.
#[derive(Clone)]
pub struct Levels {
    /// Of Catalog.
    pub catalog: Shelf,
    /// Of Pricing.
    pub pricing: Shelf,
    /// Of Inventory.
    pub inventory: Shelf,
}

/// What owners say, as copies share it.
pub(super) struct Shelves {
    content: View<Sku, Content>,
    price: View<ProductKey, Price>,
    stock: View<ProductKey, Stock>,
}

/// The parts of a page.
pub(super) type Parts = (Content, Price, Stock);

impl Shelves {
    pub(super) fn new(
        levels: Levels,
        owners: &Owners,
        fence: &Arc<Fence>,
        topics: &[Topic],
        caching: Caching,
    ) -> Result<Self> {
        let Levels { catalog, pricing, inventory } = levels;
        let (truth, of) = (Truth::Push(caching.bound), |name: &str| {
            topics.iter().filter(move |t| t.as_str() == name).cloned().collect::<Vec<_>>()
        });
        let owner = owners.catalog.clone();
        let content =
            View::builder("content", fence).truth(truth).sources(&of("catalog")).capacity(caching.pages);
        let content = content.shared(shared(catalog, Sku::to_string, content_out, content_in)).loader(
            move |sku: Sku, fill| {
                let owner = owner.clone();
                async move {
                    let (found, seen) = owner.content_at(&sku).await?;
                    seen.into_iter().for_each(|seen| fill.read_present(seen));
                    Ok(part(&fill, CONTENT, sku.as_str(), found, |content| content.version))
                }
            },
        );
        let owner = owners.pricing.clone();
        let price =
            View::builder("price", fence).truth(truth).sources(&of("pricing")).capacity(caching.pages);
        let price = price.shared(shared(pricing, ProductKey::to_string, price_out, price_in)).loader(
            move |key: ProductKey, fill| {
                let owner = owner.clone();
                async move {
                    let (found, seen) = owner.price_at(&key.sku, key.market).await?;
                    seen.into_iter().for_each(|seen| fill.read_present(seen));
                    let boundary = found.and_then(|price| price.boundary);
                    boundary.into_iter().for_each(|boundary| fill.valid_until(boundary));
                    Ok(part(&fill, PRICE, &offer_id(&key.sku, key.market), found, |price| price.version))
                }
            },
        );
        let owner = owners.inventory.clone();
        let stock =
            View::builder("stock", fence).truth(truth).sources(&of("inventory")).capacity(caching.pages);
        let stock = stock.shared(shared(inventory, ProductKey::to_string, stock_out, stock_in)).loader(
            move |key: ProductKey, fill| {
                let owner = owner.clone();
                async move {
                    let (found, seen) = owner.stock_at(&key.sku, key.market).await?;
                    seen.into_iter().for_each(|seen| fill.read_present(seen));
                    Ok(part(&fill, STOCK, &offer_id(&key.sku, key.market), found, |stock| stock.version))
                }
            },
        );
        Ok(Self { content: content.build()?, price: price.build()?, stock: stock.build()? })
    }

    /// What the views of the parts count.
    pub(super) fn counts(&self) -> [(&'static str, ViewCounts); 3] {
        [("content", self.content.counts()), ("price", self.price.counts()), ("stock", self.stock.counts())]
    }

    /// Adds what is kept of the parts of these products' pages, and how many of those nobody vouches for.
    pub(super) fn held(&self, skus: &[Sku], held: &mut Vec<Shown>, unvouched: &mut usize) -> Result<()> {
        for sku in skus {
            let found = self.content.standing(sku);
            if let Some(content) = vouched(found.as_ref(), unvouched) {
                let title = |c: &Content| digest::content(&c.title, c.media.first().map(String::as_str));
                held.push(shown(CONTENT, sku.as_str(), content.map(|c| (c.version, title(c))))?);
            }
            for market in Market::ALL {
                let (key, offer) = (ProductKey { sku: sku.clone(), market }, offer_id(sku, market));
                let found = self.price.standing(&key);
                if let Some(price) = vouched(found.as_ref(), unvouched) {
                    let price = price.map(|p| (p.version, digest::price(p.base_cents)));
                    held.push(shown(PRICE, &offer, price)?);
                }
                let found = self.stock.standing(&key);
                if let Some(stock) = vouched(found.as_ref(), unvouched) {
                    let stock = stock.map(|s| (s.version, digest::stock(s.available)));
                    held.push(shown(STOCK, &offer, stock)?);
                }
            }
        }
        Ok(())
    }

    /// All parts of a page; the fill is told how old the oldest is. `None` if one is missing, or claims too little to be
    /// built on: then the owners are asked.
    pub(super) async fn parts(&self, key: &ProductKey, fill: &Fill, now: Time) -> Result<Option<Parts>> {
        let token = fill.token();
        let token = |kind| token.as_ref().filter(|(entity, _)| entity.kind() == kind);
        let (content, price, stock) = tokio::try_join!(
            read(&self.content, &key.sku, token(CONTENT)),
            read(&self.price, key, token(PRICE)),
            read(&self.stock, key, token(STOCK)),
        )?;
        let all = [content.freshness(), price.freshness(), stock.freshness()];
        let (Some(content), Some(price), Some(stock)) = (content.value(), price.value(), stock.value())
        else {
            return Ok(None);
        };
        if !all.iter().all(|freshness| matches!(freshness, Freshness::Fresh | Freshness::Within(_))) {
            return Ok(None);
        }
        for freshness in all {
            if let Freshness::Within(age) = freshness {
                // The clock was read before the parts were: this makes them older, never younger.
                fill.as_of(now.minus(age));
            }
        }
        Ok(Some((content.clone(), *price, stock.clone())))
    }
}

/// What a part says of an entity: its version and digest, or that it does not exist.
fn shown(kind: &str, id: &str, part: Option<(Version, u64)>) -> tidings_core::Result<Shown> {
    match part {
        Some((version, digest)) => Shown::at(kind, id, version, Some(digest)),
        None => Shown::absent(kind, id),
    }
}

/// One part, and not from before what the reader of the page knows of.
async fn read<K, V>(view: &View<K, V>, key: &K, token: Option<&(Entity, Stamp)>) -> Result<Cached<V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Ok(match token {
        None => view.read(key).await?,
        Some((entity, stamp)) => view.read_at_least(key, (entity, *stamp)).await?,
    })
}

fn shared<K: 'static, V: 'static>(
    shelf: Shelf,
    name: impl Fn(&K) -> String + Send + Sync + 'static,
    out: fn(&V) -> Vec<u8>,
    back: fn(&[u8]) -> Option<V>,
) -> Shared<K, V> {
    Shared::new(shelf.level, shelf.source, name, out, back).telling(|error| {
        eprintln!("retail: nothing of the shared cache is taken: {error}");
    })
}

fn part<V>(
    fill: &Fill,
    kind: &str,
    id: &str,
    found: Option<V>,
    version: impl Fn(&V) -> Version,
) -> Loaded<V> {
    match found {
        Some(value) => {
            fill.depends(kind, id, version(&value));
            Loaded::new(version(&value), value)
        }
        None => {
            fill.depends_unversioned(kind, id);
            Loaded::absent()
        }
    }
}

fn out(parts: &impl Serialize) -> Vec<u8> {
    // Texts and numbers: this does not fail, and what is empty is not understood by anybody.
    serde_json::to_vec(parts).unwrap_or_default()
}

fn back<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

fn content_out(content: &Content) -> Vec<u8> {
    let Content { category, title, description, media, version } = content;
    out(&(category, title, description, media, version.number()))
}

fn content_in(bytes: &[u8]) -> Option<Content> {
    let (category, title, description, media, version) = back(bytes)?;
    Some(Content { category, title, description, media, version: Version::new(version)? })
}

fn price_out(price: &Price) -> Vec<u8> {
    let Price { cents, base_cents, percent_off, boundary, version } = *price;
    out(&(cents, base_cents, percent_off, boundary.map(Time::micros), version.number()))
}

fn price_in(bytes: &[u8]) -> Option<Price> {
    let (cents, base_cents, percent_off, boundary, version) = back::<(_, _, _, Option<i64>, _)>(bytes)?;
    let boundary = boundary.map(Time::from_micros);
    Some(Price { cents, base_cents, percent_off, boundary, version: Version::new(version)? })
}

fn stock_out(stock: &Stock) -> Vec<u8> {
    out(&(stock.available, stock.version.number()))
}

fn stock_in(bytes: &[u8]) -> Option<Stock> {
    let (available, version) = back(bytes)?;
    Some(Stock { available, version: Version::new(version)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_comes_back_as_it_was() {
        let version = Version::new(7).unwrap();
        let content = Content {
            category: "toys".into(),
            title: "\"A\" \u{1F9F8}".into(),
            description: String::new(),
            media: vec!["a".into(), "b".into()],
            version,
        };
        assert_eq!(content_in(&content_out(&content)), Some(content));
        for boundary in [None, Some(Time::from_micros(-5))] {
            let price = Price { cents: 1, base_cents: 2, percent_off: Some(50), boundary, version };
            assert_eq!(price_in(&price_out(&price)), Some(price));
        }
        let stock = Stock { available: u64::MAX, version };
        assert_eq!(stock_in(&stock_out(&stock)), Some(stock));
        assert_eq!(stock_in(b"[1"), None);
    }
}
