//! Positions that groups have committed.

use std::sync::Arc;

use tidings_core::port::Log;
use tidings_core::{Offset, Partition, Position};

use super::{Desk, LogHome, must, open};

async fn committed(log: &Arc<dyn Log>, group: &str, partition: &Partition) -> Option<u64> {
    must("committed", log.committed(group, partition).await).map(|offset| offset.0)
}

/// Groups, topics and partitions each have their own; a group that never committed has none.
pub async fn groups_keep_their_own_positions(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "groups").await;
    let other = Desk::new(desk.log.clone(), "groups-other").await;
    desk.append(1..=5).await;
    let (here, there) = (desk.partition(0), other.partition(0));
    assert_eq!(committed(&desk.log, "search", &here).await, None, "before the first commit");
    for (group, offset) in [("search", 3), ("cache", 1), ("search", 5), ("search", 2)] {
        must("commit", desk.log.commit(group, &[desk.at(offset)]).await);
        assert_eq!(committed(&desk.log, group, &here).await, Some(offset), "the latest commit counts");
    }
    assert_eq!(committed(&desk.log, "cache", &here).await, Some(1), "another group's commit moved it");
    assert_eq!(committed(&desk.log, "search", &there).await, None, "another topic's commit set it");
    for index in 1..desk.partitions {
        assert_eq!(committed(&desk.log, "search", &desk.partition(index)).await, None, "partition {index}");
    }
}

/// What a commit returned for is there after a restart, for every partition it named.
pub async fn committed_positions_survive_a_restart(home: &dyn LogHome) {
    let desk = Desk::new(open(home).await, "groups-restart").await;
    let everywhere: Vec<_> = (0..desk.partitions)
        .map(|index| Position { partition: desk.partition(index), offset: Offset(u64::from(index) + 7) })
        .collect();
    must("commit", desk.log.commit("search", &everywhere).await);
    must("commit nothing", desk.log.commit("search", &[]).await);
    drop(desk);
    let log = open(home).await;
    for position in everywhere {
        let kept = must("committed", log.committed("search", &position.partition).await);
        assert_eq!(kept, Some(position.offset), "{}", position.partition);
    }
}
