//! Loads of one key without versions that cross.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidings::{FenceSettings, Fill, Path};

use super::{bare, begin, claims, heard, key, ms, open};
use crate::shop::{Pause, Rule, Shop, Source, settle, within};

/// A second load begins, since the first has asked about something that moved; but it does not depend on that.
#[tokio::test(start_paused = true)]
async fn of_two_loads_without_versions_that_cross_neither_is_kept() {
    for apart in [Duration::from_micros(3), Duration::from_secs(30), Duration::from_secs(7_000)] {
        let shop = open(FenceSettings { keep: Duration::from_secs(9_000), ..FenceSettings::default() });
        begin(&shop).await;
        let (view, source, pause) = (heard(&shop), Source::at(1), Pause::first());
        let read = async |fill: Fill| {
            fill.floor("stock", "7");
            let seen = source.read();
            pause.pass().await;
            bare(fill, seen).await
        };
        let key = key();
        let early = view.get(&key, &read);
        let late = async {
            pause.reached().await;
            source.commit(2);
            shop.clock.advance(apart);
            shop.hear("stock", "7", 1);
            let late = view.get(&key, &read).await;
            pause.release();
            late
        };
        let (early, late) = within(async { tokio::join!(early, late) }).await;
        let (early, late) = (early.unwrap(), late.unwrap());
        assert_eq!((late.value(), late.certificate().path), (Some(&2), Path::Source), "{apart:?} apart");
        // The other was shown after it, and may be newer as far as anybody can tell: so neither is kept.
        assert!(view.cached(&key).is_none(), "{apart:?} apart");
        assert!(early.value() == Some(&2) || early.certificate().path == Path::SourceUnkept);
    }
}

/// The first load reads last, and is refused; the second has been kept meanwhile.
#[tokio::test(start_paused = true)]
async fn i1_what_was_shown_and_not_kept_leaves_no_older_answer_behind() {
    for is_epoch in [false, true] {
        let shop = Shop::open(Rule::On);
        begin(&shop).await;
        let (view, source, pause, loads) = (heard(&shop), Source::at(1), Pause::first(), AtomicU32::new(0));
        let key = key();
        let slow = view.get(&key, async |fill: Fill| {
            // Refused each time, so that the last load is given as it is.
            let last = loads.fetch_add(1, Ordering::SeqCst) == if is_epoch { 2 } else { 0 };
            if is_epoch {
                view.open_epoch();
            } else {
                fill.depends_unversioned("price", "42");
                shop.hear("price", "42", 2);
            }
            if last {
                pause.pass().await;
            }
            bare(fill, source.read()).await
        });
        let quick = async {
            pause.reached().await;
            shop.clock.advance(ms(1));
            source.commit(2);
            let quick = view.get(&key, async |fill: Fill| bare(fill, source.read()).await).await.unwrap();
            assert_eq!((quick.value(), quick.certificate().path), (Some(&2), Path::Source));
            // Its event is still on its way.
            source.commit(3);
            shop.clock.advance(ms(1));
            pause.release();
        };
        let (slow, ()) = within(async { tokio::join!(slow, quick) }).await;
        let slow = slow.unwrap();
        assert_eq!((slow.value(), claims(&slow)), (Some(&3), true), "epoch {is_epoch}: {}", slow.freshness());
        let next = within(view.get(&key, async |fill: Fill| bare(fill, source.read()).await)).await.unwrap();
        assert_eq!(next.value(), Some(&3), "epoch {is_epoch}: {}", next.freshness());
    }
}

/// Each of them is outrun and overtaken; whoever asked before the others were answered may still be told.
#[tokio::test(start_paused = true)]
async fn loads_that_overtake_each_other_are_all_answered_and_none_is_repeated() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let (view, source) = (heard(&shop), Source::at(1));
    let pauses: Vec<_> = (0..5).map(|_| Pause::first()).collect();
    let mut readers = Vec::new();
    for (pause, version) in pauses.iter().zip(2..) {
        let (view, reads, passing) = (view.clone(), source.clone(), pause.clone());
        readers.push(tokio::spawn(async move {
            let read = async |fill: Fill| {
                fill.depends_unversioned("price", "42");
                passing.pass().await;
                bare(fill, reads.read()).await
            };
            view.get(&key(), read).await
        }));
        pause.reached().await;
        shop.clock.advance(ms(1));
        source.commit(version);
        shop.hear("price", "42", version);
    }
    for (pause, reader) in pauses.iter().zip(readers).rev() {
        pause.release();
        let answer = within(reader).await.unwrap().unwrap();
        assert!(claims(&answer), "{}", answer.freshness());
    }
    assert_eq!(view.counts().loads, 5);
    assert!(view.cached(&key()).is_none());
}

/// It may have read an older state than somebody was shown before this caller came.
#[tokio::test(start_paused = true)]
async fn i1_nobody_joins_a_load_that_an_answer_without_versions_has_overtaken() {
    let shop = Shop::open(Rule::On);
    begin(&shop).await;
    let (view, source, [first, second]) = (heard(&shop), Source::at(2), [Pause::first(), Pause::first()]);
    let key = key();
    let reads_last = async |fill: Fill| {
        fill.depends_unversioned("price", "42");
        first.pass().await;
        bare(fill, source.read()).await
    };
    let reads_first = async |fill: Fill| {
        let seen = source.read();
        second.pass().await;
        bare(fill, seen).await
    };
    let news = async {
        first.reached().await;
        shop.hear("price", "42", 2);
        shop.clock.advance(ms(1));
    };
    let last = async {
        second.reached().await;
        // Its event is still on its way.
        source.commit(3);
        first.release();
    };
    let overtaken = async {
        news.await;
        view.get(&key, &reads_first).await.unwrap()
    };
    let joiner = async {
        let shown = view.get(&key, &reads_last).await.unwrap();
        assert_eq!((shown.value(), claims(&shown)), (Some(&3), true));
        shop.clock.advance(ms(1));
        let joins = view.get(&key, &reads_first);
        let release = async {
            settle().await;
            second.release();
        };
        tokio::join!(joins, release).0.unwrap()
    };
    let (joined, overtaken, ()) = within(async { tokio::join!(joiner, overtaken, last) }).await;
    assert_eq!(joined.value(), Some(&3), "{}", joined.freshness());
    assert_eq!((overtaken.value(), overtaken.certificate().path), (Some(&2), Path::SourceUnkept));
    assert!(view.cached(&key).is_none_or(|hit| hit.value() == Some(&3)));
}
