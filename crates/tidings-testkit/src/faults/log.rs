//! A log that fails on script.

use std::fmt;
use std::sync::Arc;

use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Record, Retention, Stored};
use tidings_core::{Code, Entity, Error, Offset, Partition, Position, Result, Time, Topic};

use super::{Call, Fault, Script, Turn};
use crate::delivery::mix;

/// A real log behind a [`Script`].
pub struct FaultyLog {
    inner: Arc<dyn Log>,
    script: Script,
}

impl FaultyLog {
    /// This log, with the script's faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Log>, script: Script) -> Arc<Self> {
        Arc::new(Self { inner, script })
    }

    fn twist_batch(turn: &mut Turn, batch: &[Append]) -> Vec<Append> {
        let mut batch = batch.to_vec();
        for fault in turn.twists() {
            let before = batch.len();
            match fault {
                Fault::Double => batch.extend_from_within(..),
                Fault::Reorder => batch = mix(batch, |append| entity(&append.record), &mut turn.rng),
                _ => continue,
            }
            if before > 0 {
                turn.note(&fault);
            }
        }
        batch
    }

    async fn twist_read(&self, turn: &mut Turn, from: &Position, read: Read) -> Result<Read> {
        let Read::Records(mut records) = read else { return Ok(read) };
        for fault in turn.twists() {
            let count = records.len();
            let events: Vec<usize> =
                (0..count).filter(|at| records.get(*at).and_then(|s| entity(&s.record)).is_some()).collect();
            let chosen = events.get(turn.rng.below(events.len())).copied();
            match (&fault, chosen) {
                (Fault::Double, Some(at)) => records.splice(at..at, records.get(at).cloned()).for_each(drop),
                (Fault::Reorder, Some(_)) => records = mix(records, |s| entity(&s.record), &mut turn.rng),
                (Fault::Lose, _) if count > 1 => drop(records.remove(turn.rng.below(count - 1))),
                (Fault::Garble, Some(at)) => records.iter_mut().skip(at).take(1).for_each(garble),
                (Fault::Gap, _) if count > 0 => {
                    turn.note(&fault);
                    let (_, head) = self.inner.bounds(&from.partition).await?;
                    return Ok(Read::Gap { resume: head });
                }
                _ => continue,
            }
            turn.note(&fault);
        }
        Ok(Read::Records(records))
    }
}

fn entity(record: &Record) -> Option<Entity> {
    match record {
        Record::Event(event) => Some(event.entity.clone()),
        Record::Mark(_) | Record::Gap(_) | Record::Unreadable(_) => None,
    }
}

fn garble(stored: &mut Stored) {
    let error = Error::new(Code::RECORD_UNREADABLE, "scripted: damaged on its way");
    stored.record = Record::Unreadable(Arc::new(error));
}

impl Log for FaultyLog {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Partitions).await?;
            turn.answer(self.inner.partitions(topic).await)
        })
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let mut turn = self.script.begin(Call::Append).await?;
            let batch = Self::twist_batch(&mut turn, batch);
            turn.answer(self.inner.append(&batch).await)
        })
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        Box::pin(async move {
            let mut turn = self.script.begin(Call::Read).await?;
            let read = self.inner.read(from, limit).await?;
            let read = self.twist_read(&mut turn, from, read).await;
            turn.answer(read)
        })
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Bounds).await?;
            turn.answer(self.inner.bounds(partition).await)
        })
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::OffsetAt).await?;
            turn.answer(self.inner.offset_at(partition, time).await)
        })
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Wait).await?;
            turn.answer(self.inner.wait(positions).await)
        })
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Commit).await?;
            turn.answer(self.inner.commit(group, positions).await)
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Committed).await?;
            turn.answer(self.inner.committed(group, partition).await)
        })
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        Box::pin(async move {
            let turn = self.script.begin(Call::Retain).await?;
            turn.answer(self.inner.retain(retention).await)
        })
    }
}

impl fmt::Debug for FaultyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyLog").field("script", &self.script).finish_non_exhaustive()
    }
}
