//! Waiting for records without asking for them again and again.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tidings_core::{Position, Result};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::reader::{Lease, Opened, Readers};

/// Resolves once one of these positions may have a record.
///
/// The brokers answer a fetch when something is there. After a long silence it is asked whether they still answer, and
/// whether a reader has missed something.
pub(super) async fn wait(readers: &Arc<Readers>, positions: &[Position]) -> Result<()> {
    if positions.is_empty() {
        return pending().await;
    }
    let mut leases = Vec::with_capacity(positions.len());
    for position in positions {
        match readers.open(position).await? {
            Opened::Reader(mut lease, _) => {
                if lease.reader().is_some_and(|reader| reader.is_ready()) {
                    return Ok(());
                }
                leases.push(lease);
            }
            Opened::Gap(_) => return Ok(()),
        }
    }
    let arrived: Vec<_> = leases.iter_mut().filter_map(|lease| lease.reader().map(|r| r.arrived())).collect();
    loop {
        if timeout(readers.timeout, any(&arrived)).await.is_err()
            && let Some(stuck) = stuck(readers, &mut leases).await?
        {
            leases.swap_remove(stuck).give_up();
            return Ok(());
        }
        if leases.iter_mut().any(|lease| lease.reader().is_some_and(|reader| reader.is_ready())) {
            return Ok(());
        }
    }
}

/// Resolves when one of them was notified.
async fn any(arrived: &[Arc<Notify>]) {
    let mut all: Vec<_> = arrived.iter().map(|one| Box::pin(one.notified())).collect();
    let mut first = pin!(poll_fn(|context| {
        let ready = all.iter_mut().any(|one| Pin::new(one).poll(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }));
    first.as_mut().await;
}

/// A reader to which nothing came although the brokers have something.
async fn stuck(readers: &Arc<Readers>, leases: &mut [Box<Lease>]) -> Result<Option<usize>> {
    for (index, lease) in leases.iter_mut().enumerate() {
        let Some(reader) = lease.reader() else { continue };
        let partition = reader.at().partition.clone();
        let head = readers.bounds(&partition).await?.1;
        if !reader.is_ready() && reader.passed() < head {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
