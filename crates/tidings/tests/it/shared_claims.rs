//! What an answer of the shared level may claim, and when it is not taken.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidings::{FenceSettings, Fill, Freshness, Loaded, Path, Region, Time, Truth, View};
use tidings_core::port::Store;

use crate::fleet::{Copy, Fleet, bump, hear, shared, unplaced};
use crate::shop::{BOUND, Pause, Rule, settle, v, within};

fn path(answer: &tidings::Cached<u64>) -> (Option<u64>, Path) {
    (answer.value().copied(), answer.certificate().path)
}

const SHARED: (Option<u64>, Path) = (Some(1), Path::L2);

#[tokio::test]
async fn what_one_process_has_loaded_answers_the_others_and_is_as_old_as_what_they_know() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    assert_eq!(path(&first.read().await), (Some(1), Path::Source));
    fleet.clock.advance(Duration::from_millis(700));
    let found = second.read().await;
    assert_eq!(path(&found), SHARED);
    assert_eq!(found.version(), Some(v(1)));
    let Freshness::Within(age) = found.freshness() else { panic!("{found:?}") };
    assert!(age >= Duration::from_millis(700) && age < Duration::from_millis(750), "{age:?}");
    assert_eq!(path(&second.read().await), (Some(1), Path::L1));
    let counts = second.view.counts();
    assert_eq!(
        (counts.l2_hits, counts.l2_misses, counts.l2_refused),
        (1, 1, 0),
        "with the look that began it"
    );
    // From here on it is an answer like any other: marks make it younger, news unseats it.
    fleet.clock.advance(Duration::from_secs(1));
    second.mark().await;
    let Freshness::Within(age) = second.read().await.freshness() else { panic!() };
    assert!(age < Duration::from_millis(100), "{age:?}");
    second.hear(&fleet.prices.commit()).await;
    assert!(second.view.cached(&"k".into()).is_none());
}

#[tokio::test]
async fn who_knows_too_little_takes_nothing_and_does_not_wait_for_it() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    first.read().await;
    fleet.clock.advance(BOUND + Duration::from_millis(10));
    assert_eq!(path(&second.read().await), (Some(1), Path::Source));
    assert_eq!(second.view.counts().l2_refused, 1);
    let (third, pause) = (fleet.copy().await, Pause::first());
    hear(&*fleet.level, &fleet.prices.commit()).await;
    let loading = third.spawn(&pause, true);
    pause.reached().await;
    second.view.clear();
    assert_eq!(path(&second.read().await), (Some(2), Path::Source));
    pause.release();
    within(loading).await.unwrap();
}

#[tokio::test]
async fn an_answer_from_before_this_copy_began_is_not_taken() {
    let fleet = Fleet::open(Rule::On).await;
    fleet.copy().await.read().await;
    // Neither this copy nor the level hears of what happened before it began.
    fleet.prices.commit();
    let late = fleet.copy().await;
    assert_eq!(path(&late.read().await), (Some(2), Path::Source));
}

#[tokio::test]
async fn after_an_epoch_the_source_is_asked_anew_where_it_stands() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    first.read().await;
    // Missed by the second, and by the level.
    fleet.prices.commit();
    let asked = fleet.prices.asked.load(Ordering::SeqCst);
    second.fence.open_epoch("a gap").await.unwrap();
    second.mark().await;
    second.begin().await;
    assert_eq!(fleet.prices.asked.load(Ordering::SeqCst), asked + 1);
    assert_eq!(path(&second.read().await), (Some(2), Path::Source));
    assert_eq!(second.view.counts().l2_refused, 1);
    // What is read from now on will do.
    first.view.clear();
    fleet.level.open_epoch("the same gap").await.unwrap();
    first.mark().await;
    first.read_key("other", &Pause::none(), true).await;
    let found = second.read_key("other", &Pause::none(), true).await;
    assert_eq!(path(&found), (Some(2), Path::L2));
}

#[tokio::test]
async fn what_a_copy_has_missed_stays_missed_while_the_source_does_not_say_where_it_stands() {
    let fleet = Fleet::open(Rule::On).await;
    fleet.copy().await.read().await;
    fleet.prices.is_silent.store(true, Ordering::SeqCst);
    let copy = fleet.copy().await;
    for read in 1..=3 {
        assert_eq!(path(&copy.read().await), (Some(1), Path::Source), "read {read}");
        copy.view.clear();
        copy.mark().await;
    }
    fleet.prices.is_silent.store(false, Ordering::SeqCst);
    fleet.clock.advance(Duration::from_secs(2));
    copy.mark().await;
    copy.begin().await;
    copy.mark().await;
    assert_eq!(path(&copy.read().await), SHARED);
}

#[tokio::test]
async fn without_a_version_it_must_have_seen_what_was_heard_here() {
    for (heard_before_the_load, placed, expected) in [
        (true, true, (Some(2), Path::L2)),
        (true, false, (Some(2), Path::Source)),
        (false, true, (Some(2), Path::Source)),
    ] {
        let fleet = Fleet::open(Rule::On).await;
        let (first, second) = (fleet.copy().await, fleet.copy().await);
        let early = if heard_before_the_load { None } else { Some(first.read_unversioned().await) };
        let event = fleet.prices.commit();
        let told = if placed { event.clone() } else { unplaced(&event) };
        second.hear(&told).await;
        if early.is_none() {
            first.read_unversioned().await;
        }
        let found = path(&second.read_unversioned().await);
        assert_eq!(found, expected, "heard first: {heard_before_the_load}, placed: {placed}");
    }
}

#[tokio::test]
async fn news_without_a_position_is_covered_once_the_source_is_asked_again() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    second.fence.raise(&crate::fleet::price(), crate::shop::stamp(1));
    for key in ["a", "b"] {
        first.read_key(key, &Pause::none(), false).await;
    }
    fleet.clock.advance(Duration::from_secs(1));
    second.mark().await;
    let found = second.read_key("a", &Pause::none(), false).await;
    assert_eq!(path(&found), (Some(1), Path::Source), "nobody can tell");
    assert_eq!(path(&second.read_key("b", &Pause::none(), false).await), SHARED);
}

#[tokio::test]
async fn a_region_is_held_to_the_news_that_bumped_it_or_every_region() {
    for region in [Region::new("category", "lamps").unwrap(), Region::every()] {
        let fleet = Fleet::open(Rule::On).await;
        let (first, second) = (fleet.copy().await, fleet.copy().await);
        let read = async |copy: &Copy| {
            let load = async |fill: Fill| {
                let (seen, at) = fleet.prices.read();
                fill.read_at(at);
                fill.depends_on_region("category", "lamps");
                Ok(Loaded::unversioned(seen))
            };
            let answer = within(copy.view.get(&"k".into(), load)).await.unwrap();
            settle().await;
            path(&answer)
        };
        read(&first).await;
        let event = fleet.prices.commit();
        bump(&*second.fence, &region, &event).await;
        assert_eq!(read(&second).await, (Some(2), Path::Source), "{region:?}");
        bump(&*fleet.level, &region, &event).await;
        bump(&*first.fence, &region, &event).await;
        assert_eq!(read(&first).await, (Some(2), Path::Source));
        let third = fleet.copy().await;
        assert_eq!(read(&third).await, (Some(2), Path::L2));
        bump(&*third.fence, &region, &event).await;
        assert_eq!(read(&third).await, (Some(2), Path::L2), "told late: it has seen that");
    }
}

#[tokio::test]
async fn a_boundary_travels_with_the_answer_and_no_answer_lives_longer_for_it() {
    let minute = Duration::from_secs(60);
    for (ends, ttl, dead) in [(Some(5), 2 * minute, 5), (None, minute, 60)] {
        let fleet = Fleet::open(Rule::On).await;
        let copy = async || {
            let with = |builder: tidings::ViewBuilder<String, u64>| builder.ttl(ttl);
            fleet.copy_with(fleet.level.clone(), FenceSettings::default(), with).await
        };
        let (first, second) = (copy().await, copy().await);
        let began = fleet.clock.wall();
        let load = async |fill: Fill| {
            let (seen, at) = fleet.prices.read();
            fill.read_at(at);
            fill.depends("price", "42", v(seen));
            if let Some(ends) = ends {
                fill.valid_until(began.plus(Duration::from_secs(ends)));
            }
            Ok(Loaded::new(v(seen), seen))
        };
        let get = async |copy: &Copy| {
            copy.mark().await;
            let answer = within(copy.view.get(&"k".into(), load)).await.unwrap();
            settle().await;
            path(&answer)
        };
        get(&first).await;
        fleet.clock.advance(Duration::from_secs(dead - 1));
        assert_eq!(get(&second).await, SHARED);
        fleet.clock.advance(Duration::from_secs(1));
        second.mark().await;
        assert!(second.view.cached(&"k".into()).is_none(), "{ends:?}");
    }
}

#[tokio::test]
async fn the_error_between_clocks_shortens_what_comes_from_another_process() {
    let fleet = Fleet::open(Rule::On).await;
    let settings = FenceSettings { clock_error: Duration::from_millis(500), ..FenceSettings::default() };
    let (first, second) =
        (fleet.copy().await, fleet.copy_with(fleet.level.clone(), settings, |builder| builder).await);
    let end = fleet.clock.wall().plus(Duration::from_millis(400));
    let load = async |fill: Fill| {
        let (seen, at) = fleet.prices.read();
        fill.read_at(at);
        fill.depends("price", "42", v(seen));
        fill.valid_until(end);
        Ok(Loaded::new(v(seen), seen))
    };
    within(first.view.get(&"k".into(), load)).await.unwrap();
    settle().await;
    let answer = within(second.view.get(&"k".into(), load)).await.unwrap();
    assert_eq!(answer.certificate().path, Path::Source, "it may be over already");
    assert_eq!(second.view.counts().l2_refused, 1);
}

#[tokio::test]
async fn what_the_fence_had_to_forget_is_not_held_against_an_old_answer_and_so_none_is_taken() {
    let fleet = Fleet::open(Rule::On).await;
    let tiny = FenceSettings { floors: 4, keep: Duration::from_secs(5), ..FenceSettings::default() };
    let (first, second) =
        (fleet.copy().await, fleet.copy_with(fleet.level.clone(), tiny, |builder| builder).await);
    first.read().await;
    second.hear(&fleet.prices.commit()).await;
    for other in 0..20 {
        let other = tidings::Entity::new("price", &format!("other-{other}")).unwrap();
        second.fence.raise(&other, crate::shop::stamp(1));
    }
    assert_eq!(second.fence.floor(&crate::fleet::price()), None, "forgotten");
    fleet.clock.advance(Duration::from_secs(10));
    second.mark().await;
    assert_eq!(path(&second.read().await), (Some(2), Path::Source));
    second.view.clear();
    second.mark().await;
    assert_eq!(
        path(&second.read().await),
        (Some(2), Path::Source),
        "the source was asked again: still too old"
    );
}

#[tokio::test]
async fn the_source_is_asked_only_when_what_was_published_before_the_epoch_can_be_read() {
    let fleet = Fleet::open(Rule::On).await;
    fleet.copy().await.read().await;
    let within_100 = FenceSettings { visible_within: Duration::from_millis(100), ..FenceSettings::default() };
    let copy = fleet.copy_with(fleet.level.clone(), within_100, |builder| builder).await;
    copy.fence.open_epoch("a gap").await.unwrap();
    let asked = fleet.prices.asked.load(Ordering::SeqCst);
    for (ms, expected) in [(50, 0), (49, 0), (2, 1)] {
        fleet.clock.advance(Duration::from_millis(ms));
        copy.begin().await;
        assert_eq!(fleet.prices.asked.load(Ordering::SeqCst) - asked, expected, "after {ms} ms more");
    }
}

#[tokio::test]
async fn a_new_timeline_is_not_answered_from_an_old_one() {
    let fleet = Fleet::open(Rule::On).await;
    let (first, second) = (fleet.copy().await, fleet.copy().await);
    first.read().await;
    // The standby that took over has not come as far as the old primary.
    let mut event = (*crate::fleet::Prices::default().commit()).clone();
    event.entity = tidings::Entity::new("price", "another").unwrap();
    event.stamp.timeline = tidings::Timeline(1);
    // What says where the source stands has not noticed.
    second.hear(&std::sync::Arc::new(event)).await;
    fleet.clock.advance(Duration::from_millis(1));
    second.mark().await;
    second.begin().await;
    // Not what is doubted since the epoch, but what it has not asked for before.
    fleet.clock.advance(Duration::from_millis(1));
    assert_eq!(path(&second.read().await), (Some(1), Path::Source));
    assert_eq!(second.view.counts().l2_refused, 1);
}

#[tokio::test]
async fn a_shared_level_without_sources_is_refused() {
    let fleet = Fleet::open(Rule::On).await;
    let fence = fleet.fence(FenceSettings::default());
    let view = View::builder("product", &fence).truth(Truth::Push(BOUND));
    let error = view.shared(shared(fleet.level.clone(), fleet.prices.clone())).build().unwrap_err();
    assert_eq!(error.code(), tidings::Code::SETTING_INVALID);
}

#[tokio::test]
async fn only_what_tells_its_state_and_reads_the_present_is_offered() {
    type Tell = fn(&Fill, Time);
    let cases: [(&str, Tell, u64); 4] = [
        ("nothing", |_, _| {}, 0),
        ("a time", |fill, time| fill.as_of(time), 0),
        ("in step", |fill, _| fill.in_step(), 0),
        ("its state", |_, _| {}, 1),
    ];
    for (what, tell, expected) in cases {
        let fleet = Fleet::open(Rule::On).await;
        let (first, second) = (fleet.copy().await, fleet.copy().await);
        let load = async |fill: Fill| {
            let (seen, at) = fleet.prices.read();
            if what != "nothing" {
                fill.read_at(at);
            }
            tell(&fill, fleet.clock.wall());
            fill.depends("price", "42", v(seen));
            Ok(Loaded::new(v(seen), seen))
        };
        within(first.view.get(&"k".into(), load)).await.unwrap();
        settle().await;
        second.read().await;
        assert_eq!(second.view.counts().l2_hits, expected, "{what}");
        assert_eq!(second.view.counts().l2_waits, 0, "{what}: the claim was given up");
    }
}
