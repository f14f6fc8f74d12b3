//! What a copy keeps, when it is compared with the truth: what would be served if it were known to be young enough, and
//! whether that has to be the truth once all news was heard.

use tidings::{Freshness, Loaded, Topic, View};

use crate::shop::{BOUND, Pause, Rule, Shop, Source, load, within};
use crate::views::{begin, mark};

/// A view that hears of prices, and that price 42 is cached in at version 1.
async fn world() -> (Shop, View<String, u64>, Topic) {
    let (shop, source, open) = (Shop::open(Rule::On), Source::at(1), Pause::none());
    let topic = Topic::new("pricing").unwrap();
    begin(&shop, &topic).await;
    mark(&shop, &topic, shop.clock.wall()).await;
    let view = shop.builder().sources([&topic]).ttl(BOUND * 4).build().unwrap();
    within(view.get(&"k".to_owned(), |fill| load(fill, &source, &open))).await.unwrap();
    (shop, view, topic)
}

/// What is kept, and whether it is vouched for.
fn kept(view: &View<String, u64>, key: &str) -> Option<(u64, bool)> {
    let found = view.standing(&key.to_owned())?;
    assert_eq!(found.answer.freshness(), Freshness::Unverified, "it is not to be served");
    Some((*found.answer.value()?, found.is_vouched))
}

#[tokio::test]
async fn what_is_kept_stands_however_long_ago_the_last_mark_came() {
    let (shop, view, _) = world().await;
    assert_eq!(kept(&view, "k"), Some((1, true)));
    shop.clock.advance(BOUND * 2);
    assert!(view.cached(&"k".to_owned()).is_none(), "too little is known to serve it");
    assert_eq!(kept(&view, "k"), Some((1, true)));
    shop.clock.advance(BOUND * 4);
    assert_eq!(kept(&view, "k"), Some((1, true)), "its life is over, too");
    assert_eq!(kept(&view, "another"), None);
    assert_eq!((view.counts().hits, view.counts().loads), (0, 1), "a comparison is no use of the cache");
}

#[tokio::test]
async fn what_there_is_news_of_does_not_stand() {
    let (shop, view, _) = world().await;
    shop.hear("price", "41", 2);
    shop.hear("price", "42", 1);
    assert_eq!(kept(&view, "k"), Some((1, true)), "this is not news of it");
    shop.hear("price", "42", 2);
    assert_eq!(kept(&view, "k"), None);
}

#[tokio::test]
async fn what_may_have_missed_something_before_is_vouched_for_by_nobody() {
    let (shop, view, topic) = world().await;
    begin(&shop, &topic).await;
    mark(&shop, &topic, shop.clock.wall()).await;
    assert_eq!(kept(&view, "k"), Some((1, false)), "it is from the epoch before");

    within(view.get(&"free".to_owned(), |_| async { Ok(Loaded::unversioned(2)) })).await.unwrap();
    assert_eq!(kept(&view, "free"), Some((2, false)), "no news could have unseated it");
}
