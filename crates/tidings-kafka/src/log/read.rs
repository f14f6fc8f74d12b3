//! Reading forward from a position.

use std::sync::Arc;

use tidings_core::port::{Read, ReadLimit};
use tidings_core::{Position, Result};
use tokio::time::{Instant, timeout_at};

use crate::reader::{Opened, Readers, Step};

/// The records from here, once there are some or it is certain that there are none.
pub(super) async fn read(readers: &Arc<Readers>, from: &Position, limit: ReadLimit) -> Result<Read> {
    let (mut lease, mut head) = match readers.open(from).await? {
        Opened::Reader(lease, head) => (lease, head),
        Opened::Gap(resume) => return Ok(Read::Gap { resume }),
    };
    let deadline = Instant::now() + readers.timeout;
    loop {
        let Some(reader) = lease.reader() else { return Ok(Read::Records(Vec::new())) };
        let (records, step) = reader.take(limit);
        if !records.is_empty() {
            return Ok(Read::Records(records));
        }
        let fault = match step {
            Step::Gone => {
                lease.give_up();
                return Ok(Read::Gap { resume: readers.bounds(&from.partition).await?.0 });
            }
            Step::Failed(error) => Some(error),
            Step::Nothing | Step::Record(..) => None,
        };
        if let Some(error) = fault {
            lease.give_up();
            return Err(readers.context.trouble.fault(format!("{from} cannot be read"), &error));
        }
        let arrived = reader.arrived();
        match head {
            Some(head) if head <= from.offset || reader.passed() >= head => {
                return Ok(Read::Records(Vec::new()));
            }
            // There is something up to the head, and it is on its way.
            Some(_) => {
                if timeout_at(deadline, arrived.notified()).await.is_err() {
                    // A reader that is stuck must not stay so.
                    lease.give_up();
                    return Err(readers.context.trouble.silence(format!("{from} cannot be read")));
                }
            }
            // Nothing has come so far. Whether something is there, only the brokers know.
            None => tokio::select! {
                biased;
                () = arrived.notified() => {}
                bounds = readers.bounds(&from.partition) => head = Some(bounds?.1),
            },
        }
    }
}
