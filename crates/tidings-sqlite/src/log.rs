//! The log in one SQLite file.
//!
//! One thread writes: calls that wait at the same time share a transaction, and so one sync of the disk. Offsets are
//! assigned inside that transaction, so a second process may write, too. A few threads read, each from its own
//! snapshot, and never wait for the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings_core::envelope::Limits;
use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Retention};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Time, Topic};

use crate::clock::{Clock, system_clock};
use crate::fault::fault;
use crate::watch::Watch;
use crate::worker::Worker;

mod codec;
mod create;
mod extent;
mod heads;
mod parking;
mod reader;
mod retain;
mod writer;

use heads::Heads;
use writer::Writer;

/// How a log works.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How many partitions a topic gets when it is created; it keeps them for good.
    pub partitions: u32,
    /// Threads, with a connection each, that read.
    pub readers: usize,
    /// Appends wait for room once so many bytes are on their way to the disk.
    pub queue_bytes: usize,
    /// What a stored event may be like; anything else is read as unreadable.
    pub limits: Limits,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { partitions: 1, readers: 2, queue_bytes: 32 << 20, limits: Limits::default() }
    }
}

/// The durable, replayable log in one file. Dropping the last handle closes it.
#[derive(Debug)]
pub struct SqliteLog {
    writer: Writer,
    readers: Vec<Worker>,
    turn: AtomicUsize,
    watch: Arc<Watch>,
    heads: Arc<Heads>,
    limits: Limits,
}

impl SqliteLog {
    /// Opens the log in this file, or creates it; its directory must exist.
    ///
    /// Errors: [`Code::STORE_UNKNOWN`] if the file is something else, [`Code::STORE_TOO_NEW`],
    /// [`Code::STORE_CORRUPT`], [`Code::READ_ONLY`], [`Code::FILE_UNREADABLE`].
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>> {
        Self::open_with(path, LogSettings::default(), system_clock())
    }

    /// As [`SqliteLog::open`], with these settings and this clock, which tells when a record was appended.
    pub fn open_with(path: impl AsRef<Path>, settings: LogSettings, clock: Clock) -> Result<Arc<Self>> {
        if settings.partitions == 0 || settings.partitions > create::MAX_PARTITIONS {
            let what = format!("a topic cannot have {} partitions", settings.partitions);
            return Err(Error::new(Code::SETTING_INVALID, what));
        }
        let path = path.as_ref();
        let connection = create::open(path)?;
        let watch = Arc::new(Watch::default());
        let heads = Arc::new(Heads::default());
        let writer = Writer::spawn(connection, &settings, clock, watch.clone(), heads.clone())?;
        let readers = (0..settings.readers.max(1)).map(|_| {
            let connection = create::open_reader(path)?;
            Worker::spawn("tidings-log-read", connection, Arc::default())
        });
        let readers = readers.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            writer,
            readers,
            turn: AtomicUsize::new(0),
            watch,
            heads,
            limits: settings.limits,
        }))
    }

    /// Every topic, with its number of partitions, by name.
    pub async fn topics(&self) -> Result<Vec<(Topic, u32)>> {
        self.reader().call(|connection| extent::topics(connection)).await
    }

    /// Every position that a group has committed, by group and partition.
    pub async fn groups(&self) -> Result<Vec<(String, Position)>> {
        self.reader().call(|connection| extent::groups(connection)).await
    }

    /// Readers take turns, so that a long read does not hold up every other.
    fn reader(&self) -> &Worker {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.readers[turn % self.readers.len()]
    }
}

impl Log for SqliteLog {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(async move {
            let name = topic.clone();
            let known = self.reader().call(move |c| extent::partitions(c, &name).map_err(fault)).await?;
            match known {
                Some(count) => Ok(count),
                None => self.writer.create(topic.clone()).await,
            }
        })
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let records = batch.iter().map(|a| codec::encode(a, &self.limits)).collect::<Result<Vec<_>>>()?;
            if records.is_empty() { Ok(()) } else { self.writer.append(records).await }
        })
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        let (from, limits) = (from.clone(), self.limits);
        Box::pin(self.reader().call(move |c| reader::read(c, &from, limit, &limits).map_err(fault)))
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        let partition = partition.clone();
        Box::pin(self.reader().call(move |c| {
            let extent = extent::find(c, &partition).map_err(fault)?.unwrap_or_default();
            Ok((Offset(extent.earliest), Offset(extent.head)))
        }))
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        let partition = partition.clone();
        Box::pin(self.reader().call(move |c| reader::offset_at(c, &partition, time).map_err(fault)))
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        let ready = move || async move {
            match self.heads.any_to_read(positions) {
                Ok(ready) => Ok(ready),
                Err(generation) => {
                    let asked = positions.to_vec();
                    let ready =
                        self.reader().call(move |c| reader::any_to_read(c, &asked).map_err(fault)).await?;
                    if !ready {
                        self.heads.learn(positions, generation);
                    }
                    Ok(ready)
                }
            }
        };
        Box::pin(self.watch.until(|| self.writer.look_out(), ready))
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            tidings_core::name::check("group", group)?;
            self.writer.commit(group.to_owned(), positions.to_vec()).await
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        let (group, partition) = (group.to_owned(), partition.clone());
        Box::pin(self.reader().call(move |c| extent::committed(c, &group, &partition).map_err(fault)))
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        Box::pin(async move {
            let mut removed = 0;
            // One small transaction at a time, so that appends get their turn in between.
            loop {
                match self.writer.retain(retention).await? {
                    0 => return Ok(removed),
                    more => removed += more,
                }
            }
        })
    }
}
