//! What a witness is told is what was shown and committed.

use std::collections::HashMap;
use std::time::Duration;

use retail::catalog::Revision;
use retail::pricing::Offer;
use retail::{ListingKey, Market, Sku, Sort};
use tidings::{Entity, Stamp};
use tidings_testkit::history::{Read, Record, State};

use crate::fixture::Fixture;

on_each_engine! {
    crate::fixture::settings();
    what_is_shown_of_a_version_is_what_was_committed_as_it,
    who_reads_and_what_for_is_told_and_so_is_that_there_is_nothing,
}

/// What was committed, as digests, and every read.
fn told(shop: &Fixture) -> (HashMap<(Entity, Stamp), u64>, Vec<Read>) {
    let (mut committed, mut reads) = (HashMap::new(), Vec::new());
    for record in shop.seen.history.drain() {
        match record {
            Record::Commit(commit) => {
                committed.insert((commit.entity, commit.stamp), commit.digest.unwrap());
            }
            Record::Read(read) => reads.push(read),
            _ => {}
        }
    }
    (committed, reads)
}

async fn what_is_shown_of_a_version_is_what_was_committed_as_it(shop: Fixture) {
    let (sku, market) = (shop.sku(0), Market::Eu);
    let page = shop.cache_page(&sku, market).await;
    let revision = Revision { title: Some("Another title".to_owned()), ..Revision::default() };
    shop.platform.revise(&sku, revision).await.unwrap();
    shop.platform.set_price(&sku, market, page.base_cents + 1).await.unwrap();
    shop.platform.adjust_stock(&sku, market, market.nodes()[0], 3).await.unwrap();
    shop.settle().await;
    let before = told(&shop).0;
    shop.platform.product(&sku, market).await.unwrap();
    let key = ListingKey::new(&page.category, market, Sort::Popularity).unwrap();
    shop.platform.listing(&key).await.unwrap();
    // Which promotion is in force is no part of a version's content: the base price is.
    let offer = Offer {
        sku: sku.clone(),
        market,
        percent: 50,
        starts_in: Duration::ZERO,
        lasts: Duration::from_secs(600),
    };
    let promoted = shop.platform.promote(offer).await.unwrap();
    shop.platform.product_at_least(&sku, market, &promoted.written.token).await.unwrap();
    let (mut committed, reads) = told(&shop);
    committed.extend(before);

    assert_eq!(committed.len(), 4);
    assert_eq!(reads.len(), 3);
    let mut compared = [0; 3];
    for (read, compared) in reads.iter().zip(&mut compared) {
        for shown in &read.shows {
            let State::At { stamp, digest, .. } = shown.state else { panic!("{shown:?}") };
            let known = committed.get(&(shown.entity.clone(), stamp));
            if let (Some(known), Some(digest)) = (known, digest) {
                assert_eq!(digest, *known, "{shown:?}");
                *compared += 1;
            }
        }
    }
    assert_eq!(compared, [3, 1, 3], "the page's parts, the listing's title, the page's parts");
}

async fn who_reads_and_what_for_is_told_and_so_is_that_there_is_nothing(shop: Fixture) {
    let (sku, market) = (shop.sku(0), Market::Us);
    let written = shop.platform.set_price(&sku, market, 4321).await.unwrap();
    shop.platform.reader(7).product_at_least(&sku, market, &written.token).await.unwrap();
    shop.platform.product(&Sku::parse("NONE-1").unwrap(), market).await.unwrap();
    let (_, reads) = told(&shop);
    let [first, second] = reads.as_slice() else { panic!("{reads:?}") };
    assert_eq!((first.session, second.session), (7, 0));
    assert_eq!(first.token, Some((written.token.entity, Stamp::of(written.token.version))));
    assert_eq!(second.token, None);
    let [absent] = second.shows.as_slice() else { panic!("{second:?}") };
    assert_eq!((absent.entity.as_str(), absent.state), ("content/NONE-1", State::Absent));
}
