//! What every [`Parking`] must do.

use std::sync::Arc;

use tidings_core::port::{Boxed, Parked, Parking};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Topic};

use super::{must, sample};

/// The parking under test.
pub trait ParkingHome: Send + Sync {
    /// Opens it: empty the first time, later with all that was parked before, as after a restart.
    fn open(&self) -> Boxed<'_, Result<Arc<dyn Parking>>>;
}

/// Runs every behaviour below.
///
/// # Panics
/// At the first that does not hold.
pub async fn run_all(home: &dyn ParkingHome) {
    what_is_parked_is_listed_with_its_reason_after_a_restart(home).await;
    parking_the_same_position_twice_keeps_the_first(home).await;
    groups_do_not_see_each_other(home).await;
    a_listing_is_bounded_and_still_counts_all(home).await;
}

async fn open(home: &dyn ParkingHome) -> Arc<dyn Parking> {
    must("open the parking", home.open().await)
}

fn parked(offset: u64, reason: &str) -> Parked {
    let partition = Partition { topic: must("name a topic", Topic::new("parking")), index: 0 };
    let event = Arc::new(sample::event("price/parked", offset + 1));
    let position = Position { partition, offset: Offset(offset) };
    Parked { position, event, reason: Error::new(Code::DATA_UNREADABLE, reason) }
}

async fn park(parking: &Arc<dyn Parking>, group: &str, events: &[Parked]) {
    must("park", parking.park(group, events).await);
}

async fn list(parking: &Arc<dyn Parking>, group: &str, limit: usize) -> (Vec<(Offset, String)>, u64) {
    let (listed, total) = must("list what is parked", parking.parked(group, limit).await);
    (listed.into_iter().map(|parked| (parked.position.offset, parked.reason.what())).collect(), total)
}

/// The event, its place and its reason come back as they were.
pub async fn what_is_parked_is_listed_with_its_reason_after_a_restart(home: &dyn ParkingHome) {
    let before = parked(7, "no such field");
    park(&open(home).await, "restart", std::slice::from_ref(&before)).await;
    let (listed, total) = must("list", open(home).await.parked("restart", 10).await);
    assert_eq!(total, 1);
    let Some(after) = listed.first() else { panic!("a restart has forgotten what was parked") };
    assert_eq!((&after.position, &after.event), (&before.position, &before.event));
    assert_eq!(after.reason.to_string(), before.reason.to_string());
}

/// A repeat after a lost answer changes nothing.
pub async fn parking_the_same_position_twice_keeps_the_first(home: &dyn ParkingHome) {
    let parking = open(home).await;
    park(&parking, "twice", &[parked(1, "first"), parked(2, "other")]).await;
    park(&parking, "twice", &[parked(1, "second")]).await;
    let expected = [(Offset(1), "first".to_owned()), (Offset(2), "other".to_owned())];
    assert_eq!(list(&parking, "twice", 10).await, (expected.to_vec(), 2));
}

/// Each group has its own.
pub async fn groups_do_not_see_each_other(home: &dyn ParkingHome) {
    let parking = open(home).await;
    park(&parking, "mine", &[parked(1, "mine")]).await;
    assert_eq!(list(&parking, "yours", 10).await, (Vec::new(), 0));
}

/// However many there are, a listing returns no more than was asked for, oldest first.
pub async fn a_listing_is_bounded_and_still_counts_all(home: &dyn ParkingHome) {
    let parking = open(home).await;
    let many: Vec<_> = (0..50).map(|offset| parked(offset, "many")).collect();
    park(&parking, "many", &many).await;
    let (listed, total) = list(&parking, "many", 3).await;
    assert_eq!(listed.iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(total, 50);
}
