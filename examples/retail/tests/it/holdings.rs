//! What a copy is compared by in the end: its caches as well as its read model, also what nobody reads any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use retail::catalog::Revision;
use retail::experience::{Levels, Shelf};
use retail::storefront::Holdings;
use retail::{Market, Settings, Shown};
use tidings::Clock;
use tidings::memory::MemoryLevel;
use tidings_core::port::Boxed;
use tidings_core::shared::AsOf;
use tidings_core::shared::level::Source;
use tidings_core::{Path, Result};
use tidings_testkit::history::Record;
use tidings_testkit::{Checker, Verdict, until};

use crate::fixture::{COPY, DRAIN, Fixture, settings, shown};

/// So short that it has passed soon: then nothing that is cached may be served.
const BOUND: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_and_should_not_be_is_found_though_nobody_reads_it_again() {
    let shop = Fixture::start_with(Settings { bound: BOUND, ..settings() }).await;
    let sku = shop.sku(0);
    let page = shop.cache_page(&sku, Market::Eu).await;
    shop.cache_page(&shop.sku(1), Market::Eu).await;
    let kept = holdings(&shop).await;
    assert!(kept.unvouched == 0 && kept.cached.iter().any(|shown| shown.stamp.is_some()), "{kept:?}");
    // What is committed now, the copy does not hear.
    shop.platform.stop_consumer(DRAIN).await.unwrap();
    let stopped = Instant::now();
    let written = shop.platform.set_price(&sku, Market::Eu, page.cents + 1).await.unwrap();
    // What is cached was loaded before it stopped.
    let passed = async || (stopped.elapsed() > BOUND * 2).then_some(());
    until("what is known is older than the bound", passed).await;
    let upto = shop.seen.history.now();
    let Holdings { cached, unvouched, .. } = holdings(&shop).await;
    let records: Vec<_> = shop.seen.history.drain();
    let judge = |cached: &[Shown]| judge(&records, cached, upto, shop.seen.history.now());
    let verdict = judge(&cached);
    assert_eq!(
        (verdict.counts.held, verdict.counts.diverged, unvouched),
        (cached.len() as u64, 1, 0),
        "{verdict}"
    );
    let token = written.token;
    let others: Vec<_> = cached.iter().filter(|shown| shown.entity != token.entity).cloned().collect();
    assert_eq!(
        (others.len() + 1, judge(&others).counts.diverged),
        (cached.len(), 0),
        "the price alone is old"
    );

    // Who begins again may have missed what was cached before: it rightly vouches for nothing of it.
    shop.platform.resume_consumer().await.unwrap();
    shop.settle().await;
    let kept = holdings(&shop).await;
    assert_eq!((kept.cached, kept.unvouched), (Vec::new(), 1), "the page whose price did not change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_too_old_is_found_though_its_page_is_right() {
    let shop = Fixture::start_over(levels()).await;
    let sku = shop.sku(0);
    let title = shop.cache_page(&sku, Market::Eu).await.title;
    let Holdings { parts, unvouched, .. } = holdings(&shop).await;
    assert_eq!((parts.len(), unvouched), (3, 0), "content, price and stock: {parts:?}");
    // What is committed now, the copy does not hear.
    shop.platform.stop_consumer(DRAIN).await.unwrap();
    let revision = Revision { title: Some(title + "!"), ..Revision::default() };
    let written = shop.platform.revise(&sku, revision).await.unwrap();
    let upto = shop.seen.history.now();
    let kept = holdings(&shop).await;
    let records: Vec<_> = shop.seen.history.drain();
    let diverged = |shown: &[Shown]| judge(&records, shown, upto, shop.seen.history.now()).counts.diverged;
    let (old, others): (Vec<_>, Vec<_>) =
        kept.parts.into_iter().partition(|shown| shown.entity == written.token.entity);
    assert_eq!([old.len(), others.len()], [1, 2]);
    assert_eq!([diverged(&old), diverged(&others)], [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_that_is_cached_is_found_if_the_owner_has_a_value() {
    let shop = Fixture::start_over(levels()).await;
    let sku = shop.sku(0);
    // Nobody committed this: what is loaded is not what the owner has said.
    let catalog = rusqlite::Connection::open(shop.place().dir().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM product WHERE sku = ?1", [sku.as_str()]).unwrap(), 1);
    until("the absence is cached", async || {
        let page = shop.platform.product(&sku, Market::Eu).await.unwrap();
        assert!(page.value().is_none());
        (page.certificate().path == Path::L1).then_some(())
    })
    .await;
    shop.platform.stop_consumer(DRAIN).await.unwrap();
    let (upto, kept) = (shop.seen.history.now(), holdings(&shop).await);
    let records: Vec<_> = shop.seen.history.drain();
    let diverged = |shown: &[Shown]| judge(&records, shown, upto, shop.seen.history.now()).counts.diverged;
    assert_eq!((kept.cached.len(), kept.parts.len(), kept.unvouched), (1, 3, 0), "{kept:?}");
    assert_eq!([diverged(&kept.cached), diverged(&kept.parts)], [1, 1], "{kept:?}");
}

/// In memory, and never told of any news: all that this copy knows, it hears itself.
fn levels() -> Levels {
    let source = Arc::new(Nowhere);
    let shelf = || Shelf {
        level: MemoryLevel::new(source.clone(), Clock::system(), Duration::from_secs(3), 100),
        source: source.clone(),
    };
    Levels { catalog: shelf(), pricing: shelf(), inventory: shelf() }
}

/// A source without positions.
struct Nowhere;

impl Source for Nowhere {
    fn position(&self) -> Boxed<'_, Result<AsOf>> {
        Box::pin(std::future::ready(Ok(AsOf::default())))
    }
}

async fn holdings(shop: &Fixture) -> Holdings {
    shop.platform.storefront().holdings().await.unwrap()
}

fn judge(records: &[Record], cached: &[Shown], upto: u64, at: u64) -> Verdict {
    let mut checker = Checker::new();
    let held =
        cached.iter().cloned().map(|one| Record::Held { copy: COPY.into(), shown: shown(one), upto, at });
    records.iter().cloned().chain(held).for_each(|record| checker.record(record));
    checker.verdict().unwrap()
}
