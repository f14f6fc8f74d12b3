//! Waiting for records.

use std::sync::Arc;

use tidings_core::Position;
use tidings_core::port::{Log, ReadLimit};

use super::super::{begin, within};
use super::{Desk, must, numbered, versions};

/// A wait that is registered first is woken by the append, whichever of its positions it is for.
pub async fn a_wait_begun_before_the_append_ends(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "wait-before").await;
    let other = Desk::new(desk.log.clone(), "wait-before-other").await;
    for (here, version) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let positions = [desk.at(desk.bounds().await.1), other.at(other.bounds().await.1)];
        let mut wait = desk.log.wait(&positions);
        let early = begin(&mut wait).await;
        if here { &desk } else { &other }.append([version]).await;
        if early.is_none() {
            must("wait", within("a wait begun before the append", wait).await);
        }
    }
}

/// A wait for what is already there ends at once; so does one for a position that only a gap answers.
pub async fn a_wait_begun_after_the_append_ends(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "wait-after").await;
    desk.append([1, 2]).await;
    for positions in [vec![desk.at(0)], vec![desk.at(2), desk.at(1)], vec![desk.at(9)]] {
        must("wait", within("a wait begun after the append", desk.log.wait(&positions)).await);
    }
}

/// Waits that were given up leave nothing behind that would keep later ones asleep.
pub async fn a_dropped_wait_harms_nobody(log: Arc<dyn Log>) {
    let desk = Desk::new(log, "wait-dropped").await;
    let positions = [desk.at(0)];
    for _ in 0..20 {
        let mut wait = desk.log.wait(&positions);
        let _ = begin(&mut wait).await;
    }
    let mut kept = desk.log.wait(&positions);
    let early = begin(&mut kept).await;
    desk.append([1]).await;
    if early.is_none() {
        must("wait", within("the wait that was kept", kept).await);
    }
}

/// A reader that waits at the head sees every append, however the two interleave.
pub async fn following_never_misses_an_append(log: Arc<dyn Log>) {
    const ROUNDS: u64 = 100;
    let desk = Arc::new(Desk::new(log, "follow").await);
    let (seen, mut followed) = tokio::sync::watch::channel(0);
    let writer = {
        let desk = desk.clone();
        tokio::spawn(async move {
            for version in 1..=ROUNDS {
                // One append per round, each of which the reader may be about to wait for.
                if followed.wait_for(|seen| seen + 1 >= version).await.is_err() {
                    return;
                }
                let batch = [desk.write(numbered(version))];
                must("append", desk.log.append(&batch).await);
            }
        })
    };
    let mut read = Vec::new();
    within("following", async {
        while (read.len() as u64) < ROUNDS {
            let position: Position = desk.at(read.len() as u64);
            must("wait", desk.log.wait(std::slice::from_ref(&position)).await);
            let records = desk.records(desk.answer(position.offset.0, ReadLimit::default()).await);
            read.extend(versions(&records));
            seen.send_replace(read.len() as u64);
        }
    })
    .await;
    assert_eq!(read, (1..=ROUNDS).collect::<Vec<_>>());
    if let Err(error) = writer.await {
        panic!("the writer: {error}");
    }
}
