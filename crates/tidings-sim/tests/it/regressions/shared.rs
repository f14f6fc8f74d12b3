//! The shared cache level: late fills, lagging replicas, lost state, and promotion into a process.

use tidings_core::shared::{AsOf, Behind, Changed, NotLive, Unheard, Unkept};
use tidings_core::{Stamp, Timeline, Version};
use tidings_sim::mutant::Mutant;
use tidings_testkit::Invariant;

use super::{Broken, regressions};
use bucket::Bucket;
use process::Process;

mod bucket;
mod process;

regressions! {
    memcache_stale_set: stale_set, SharedFloor => I3;
    r5_a_late_filler_does_not_overwrite_a_newer_one: two_fillers, SharedLease => I1;
    r6_a_fresh_lease_does_not_admit_what_a_lagging_replica_says: lagging_fill, SharedMinimum => I3;
    r7_a_replayed_invalidation_does_not_lower_the_floor: replayed_news, FloorMax => I3;
    r8_a_failover_of_the_store_does_not_bring_back_what_had_gone: lost_tombstones, SharedIncarnation => I3;
    r9_a_promotion_in_flight_is_outrun_by_the_news: outrun_promotion, PromotionFill => I3;
    r10_what_the_shared_level_has_not_heard_yet_is_not_promoted: early_promotion, PromotionAsOf => I3;
    a_late_old_event_does_not_reopen_the_door_after_an_epoch: late_old_event, SharedPlaceholder => I3;
    a_late_old_event_does_not_put_back_what_it_carries: late_old_update, SharedUpdate => I3;
    value_and_position_are_of_one_snapshot: two_statements, AsOfSnapshot => I3;
    versions_issued_again_after_a_failover_of_the_source_open_an_epoch: issued_again, SharedTimeline => I9;
}

const fn version(timeline: u32, number: u64) -> Stamp {
    match Version::new(number) {
        Some(version) => Stamp { timeline: Timeline(timeline), version },
        None => panic!("small numbers only"),
    }
}

const fn place(timeline: u32, at: u64) -> AsOf {
    AsOf { timeline: Timeline(timeline), at }
}

const V1: Stamp = version(0, 1);
const V2: Stamp = version(0, 2);
const V3: Stamp = version(0, 3);
const AT_1: AsOf = place(0, 1);
const AT_2: AsOf = place(0, 2);
const AT_3: AsOf = place(0, 3);

/// Memcache at Facebook, 2013: a load reads the old state, the delete finds nothing, and the load puts the old state in.
fn stale_set(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let late = bucket.miss();
    bucket.commit(V2);
    bucket.hears(V2, AT_2).unwrap();
    let late = bucket.fill(late, V1, AT_1);
    bucket.guarded(late, Err(Unkept::BelowFloor(V2)));
    bucket.is_read();
    bucket.broken()
}

fn two_fillers(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let slow = bucket.miss();
    bucket.commit(V2);
    // The slow one's lease has run out.
    let quick = bucket.miss();
    bucket.fill(quick, V2, AT_2).unwrap();
    assert_eq!(bucket.look(), Ok(Some(V2)));
    let slow = bucket.fill(slow, V1, AT_1);
    bucket.guarded(slow, Err(Unkept::Lost));
    bucket.is_read();
    bucket.broken()
}

/// The delete has come and gone, the lease is younger than it: nothing is wrong with this fill but what it read.
fn lagging_fill(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    bucket.commit(V2);
    assert_eq!(bucket.hears(V2, AT_2), Ok(Changed::Nothing));
    let fresh = bucket.miss();
    let lagging = bucket.fill(fresh, V1, AT_1);
    bucket.guarded(lagging, Err(Unkept::TooOld(AT_2)));
    bucket.is_read();
    bucket.broken()
}

fn replayed_news(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let load = bucket.miss();
    bucket.commit(V2);
    bucket.commit(V3);
    bucket.hears(V3, AT_3).unwrap();
    bucket.hears(V2, AT_2).unwrap();
    let lagging = bucket.fill(load, V2, AT_2);
    bucket.guarded(lagging, Err(Unkept::BelowFloor(V3)));
    // And it does not delete what is newer.
    if without.is_none() {
        bucket.fill(load, V3, AT_3).unwrap();
        assert_eq!(bucket.hears(V2, AT_2), Ok(Changed::Fenced));
        assert_eq!(bucket.look(), Ok(Some(V3)));
    }
    bucket.is_read();
    bucket.broken()
}

/// The replica that takes over has not heard of the last invalidations.
fn lost_tombstones(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let load = bucket.miss();
    bucket.fill(load, V1, AT_1).unwrap();
    let replica = bucket.replica();
    bucket.commit(V2);
    assert_eq!(bucket.hears(V2, AT_2), Ok(Changed::Dropped));
    bucket.fails_over_to(replica);
    let found = bucket.look();
    bucket.guarded(found, Err(NotLive::Foreign));
    bucket.broken()
}

/// The answer of the shared level is on its way into a process, which is told meanwhile that it is old.
fn outrun_promotion(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let load = bucket.miss();
    bucket.fill(load, V1, AT_1).unwrap();
    let mut process = Process::follows(without, AT_1);
    let captured = process.captures();
    assert_eq!(bucket.look(), Ok(Some(V1)));
    bucket.commit(V2);
    bucket.hears(V2, AT_2).unwrap();
    process.hears(&mut bucket, V2, AT_2);
    let promoted = process.lands(captured, V1, Some(V1), AT_1);
    bucket.guarded(promoted, Ok(false));
    process.looks(&mut bucket);
    bucket.broken()
}

/// The process has heard, the shared level has not, and its answer has no version that a floor could be held against.
fn early_promotion(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    let load = bucket.miss();
    bucket.fill(load, V1, AT_1).unwrap();
    let mut process = Process::follows(without, AT_1);
    bucket.commit(V2);
    process.hears(&mut bucket, V2, AT_2);
    let captured = process.captures();
    assert_eq!(bucket.look(), Ok(Some(V1)));
    let promoted = process.lands(captured, V1, None, AT_1);
    bucket.guarded(promoted, Err(Behind(AT_2)));
    process.looks(&mut bucket);
    bucket.broken()
}

/// The store was flushed and an epoch opened at the newest position; then an event is delivered again that is older.
fn late_old_event(without: Option<Mutant>) -> Broken {
    let mut bucket = flushed(without);
    let late = bucket.hears(V2, AT_2);
    bucket.guarded(late, Ok(Changed::Nothing));
    let load = bucket.miss();
    let lagging = bucket.fill(load, V2, AT_2);
    bucket.guarded(lagging, Err(Unkept::TooOld(AT_3)));
    bucket.is_read();
    bucket.broken()
}

fn late_old_update(without: Option<Mutant>) -> Broken {
    let mut bucket = flushed(without);
    let late = bucket.is_told(V2, AT_2);
    bucket.guarded(late, Ok(Changed::Nothing));
    bucket.is_read();
    bucket.broken()
}

/// A bucket that had heard of the third version, lost everything, and was opened again.
fn flushed(without: Option<Mutant>) -> Bucket {
    let mut bucket = Bucket::open(without, V1, AT_1);
    for (stamp, at) in [(V2, AT_2), (V3, AT_3)] {
        bucket.commit(stamp);
        bucket.hears(stamp, at).unwrap();
    }
    bucket.is_flushed();
    assert_eq!(bucket.look(), Err(NotLive::Absent));
    bucket.opens(None, AT_3);
    bucket
}

/// The answer is asked of a lagging replica, and then the position of somebody who does not lag.
fn two_statements(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    bucket.commit(V2);
    bucket.hears(V2, AT_2).unwrap();
    let load = bucket.miss();
    let torn = if without == Some(Mutant::AsOfSnapshot) { AT_2 } else { AT_1 };
    let lagging = bucket.fill(load, V1, torn);
    bucket.guarded(lagging, Err(Unkept::TooOld(AT_2)));
    bucket.is_read();
    bucket.broken()
}

/// A version that was acknowledged and cached is lost by the failover; nothing but the new timeline says so.
fn issued_again(without: Option<Mutant>) -> Broken {
    let mut bucket = Bucket::open(without, V1, AT_1);
    bucket.commit(V2);
    let load = bucket.miss();
    bucket.fill(load, V2, AT_2).unwrap();
    bucket.commit(version(1, 1));
    let news = bucket.hears_of_another(place(1, 2));
    let epoch = bucket.epoch();
    bucket.guarded(news, Err(Unheard::NewTimeline(epoch)));
    if news.is_err() {
        bucket.opens(Some(epoch), place(1, 2));
        assert_eq!(bucket.hears_of_another(place(1, 2)), Ok(Changed::Nothing));
    }
    bucket.rests();
    bucket.broken()
}
