//! The log over Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::envelope::Limits;
use tidings_core::port::{Append, Boxed, Log, Read, ReadLimit, Retention};
use tidings_core::{Code, Error, Offset, Partition, Position, Result, Time, Topic, name};

use crate::client::{self, Context, blocking};
use crate::codec;
use crate::reader::{Readers, Witness, Witnesses, keep_house, number, offset};
use crate::settings::KafkaSettings;
use crate::topic::Topics;
use crate::writer::{Addressed, Writer};

mod parking;
mod read;
mod retain;
mod wait;

/// The durable, replayable log in a Kafka cluster.
pub struct KafkaLog {
    settings: KafkaSettings,
    context: Context,
    asking: Arc<BaseConsumer<Context>>,
    topics: Topics,
    writer: Writer,
    readers: Arc<Readers>,
    groups: Mutex<BTreeMap<String, Arc<BaseConsumer<Context>>>>,
}

impl KafkaLog {
    /// A log with these settings. It connects when it is first used.
    ///
    /// Errors: [`Code::SETTING_INVALID`].
    pub fn open(settings: KafkaSettings) -> Result<Arc<Self>> {
        settings.check()?;
        let context = Context::default();
        let asking = client::asking(&settings).create_with_context(context.clone());
        let asking: Arc<BaseConsumer<Context>> =
            Arc::new(asking.map_err(|e| context.trouble.fault("Kafka's settings are wrong", &e))?);
        let topics =
            Topics::new(settings.clone(), client::changing(&settings), asking.clone(), context.clone());
        let writer = Writer::new(client::writing(&settings), context.clone(), settings.append_timeout);
        let readers = Arc::new(Readers::new(
            asking.clone(),
            context.clone(),
            settings.timeout,
            topics.names().clone(),
            settings.limits,
            (client::reading(&settings), settings.readers),
        ));
        keep_house(&readers);
        let groups = Mutex::default();
        Ok(Arc::new(Self { settings, context, asking, topics, writer, readers, groups }))
    }

    /// What an event may be like here. Give a relay the same limits, so that it sets aside what this log would refuse.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    pub(crate) fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn witnesses(&self) -> &Arc<Witnesses> {
        &self.readers.witnesses
    }

    pub(crate) fn on_broker(&self, topic: &Topic) -> String {
        self.topics.names().on_broker(topic)
    }

    /// A list of these positions as the client wants it.
    pub(crate) fn listed(&self, positions: &[Position]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            let Position { partition, offset } = position;
            let at = At::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX));
            let mut element = list.add_partition(&self.on_broker(&partition.topic), number(partition));
            element
                .set_offset(at)
                .map_err(|error| self.context.trouble.fault(partition.to_string(), &error))?;
            if let Some(before) = self.readers.witnesses.before(position) {
                element.set_metadata(before.text());
            }
        }
        Ok(list)
    }

    /// The client that keeps a group's positions from outside.
    fn group(&self, group: &str) -> Result<Arc<BaseConsumer<Context>>> {
        name::check("group", group)?;
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = groups.get(group) {
            return Ok(client.clone());
        }
        let client = client::grouping(&self.settings, group).create_with_context(self.context.clone());
        let client: Arc<BaseConsumer<Context>> =
            Arc::new(client.map_err(|e| self.context.trouble.fault("Kafka's settings are wrong", &e))?);
        groups.insert(group.to_owned(), client.clone());
        Ok(client)
    }

    async fn check(&self, batch: &[Append]) -> Result<()> {
        let mut counted: Option<(&Topic, u32)> = None;
        for append in batch {
            codec::check(append, &self.settings.limits)?;
            let topic = &append.partition.topic;
            let count = match counted {
                Some((known, count)) if known == topic => count,
                _ => self.topics.count(topic).await?,
            };
            counted = Some((topic, count));
            if append.partition.index >= count {
                let what =
                    format!("the partition {} does not exist; the topic has {count}", append.partition);
                return Err(Error::new(Code::SETTING_INVALID, what));
            }
        }
        Ok(())
    }
}

impl Log for KafkaLog {
    fn partitions<'a>(&'a self, topic: &'a Topic) -> Boxed<'a, Result<u32>> {
        Box::pin(self.topics.partitions(topic))
    }

    fn append<'a>(&'a self, batch: &'a [Append]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            self.check(batch).await?;
            let names = self.topics.names();
            let addressed = batch.iter().map(|append| {
                let topic = &append.partition.topic;
                let out = codec::encode(&append.record, &names.source(topic))?;
                Ok(Addressed { topic: names.on_broker(topic), partition: number(&append.partition), out })
            });
            self.writer.append(addressed).await
        })
    }

    fn read<'a>(&'a self, from: &'a Position, limit: ReadLimit) -> Boxed<'a, Result<Read>> {
        Box::pin(read::read(&self.readers, from, limit))
    }

    fn bounds<'a>(&'a self, partition: &'a Partition) -> Boxed<'a, Result<(Offset, Offset)>> {
        Box::pin(self.readers.bounds(partition))
    }

    fn offset_at<'a>(&'a self, partition: &'a Partition, time: Time) -> Boxed<'a, Result<Offset>> {
        Box::pin(async move {
            let (asking, trouble, timeout) =
                (self.asking.clone(), self.context.trouble.clone(), self.settings.timeout);
            let mut list = TopicPartitionList::new();
            let topic = self.on_broker(&partition.topic);
            // Kafka dates by the millisecond: the one in which `time` lies. Before 1970 means the beginning.
            let millis = At::Offset(time.micros().div_euclid(1000).max(0));
            let what = format!("{partition} cannot be searched by time");
            list.add_partition_offset(&topic, number(partition), millis)
                .map_err(|error| trouble.fault(&what, &error))?;
            let why = what.clone();
            let found = blocking(&self.context.trouble, timeout, &why, move || {
                let found = asking.offsets_for_times(list, timeout);
                let found = found.map_err(|error| trouble.fault(&what, &error))?;
                match found.elements().first().map(|found| (found.error(), found.offset())) {
                    Some((Ok(()), At::Offset(raw))) => Ok(Some(offset(raw))),
                    Some((Err(error), _)) => Err(trouble.fault(&what, &error)),
                    _ => Ok(None),
                }
            });
            match found.await? {
                Some(found) => Ok(found),
                None => Ok(self.readers.bounds(partition).await?.1),
            }
        })
    }

    fn wait<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(wait::wait(&self.readers, positions))
    }

    fn commit<'a>(&'a self, group: &'a str, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if positions.is_empty() {
                return Ok(());
            }
            let (client, list) = (self.group(group)?, self.listed(positions)?);
            self.commit_by(group, client, list).await
        })
    }

    fn committed<'a>(
        &'a self,
        group: &'a str,
        partition: &'a Partition,
    ) -> Boxed<'a, Result<Option<Offset>>> {
        Box::pin(async move {
            let client = self.group(group)?;
            let found = self.committed_by(group, client, std::slice::from_ref(partition)).await?;
            Ok(found.into_iter().next().flatten())
        })
    }

    fn retain(&self, retention: Retention) -> Boxed<'_, Result<u64>> {
        Box::pin(
            async move { if self.settings.removes { retain::retain(self, retention).await } else { Ok(0) } },
        )
    }
}

impl KafkaLog {
    /// Commits through this client, from outside. If one of several positions is refused, this fails, although the
    /// brokers may have recorded the others.
    pub(crate) async fn commit_by<C: rdkafka::consumer::ConsumerContext + 'static>(
        &self,
        group: &str,
        client: Arc<BaseConsumer<C>>,
        list: TopicPartitionList,
    ) -> Result<()> {
        let (trouble, timeout) = (self.context.trouble.clone(), self.settings.timeout);
        let what = format!("the positions of the group {group} cannot be committed");
        blocking(&self.context.trouble, timeout, &what.clone(), move || {
            client.commit(&list, CommitMode::Sync).map_err(|error| trouble.fault(what, &error))
        })
        .await
    }

    /// What a group has committed, for each of these partitions.
    pub(crate) async fn committed_by<C: rdkafka::consumer::ConsumerContext + 'static>(
        &self,
        group: &str,
        client: Arc<BaseConsumer<C>>,
        partitions: &[Partition],
    ) -> Result<Vec<Option<Offset>>> {
        let (trouble, timeout) = (self.context.trouble.clone(), self.settings.timeout);
        let names: Vec<_> = partitions.iter().map(|p| (self.on_broker(&p.topic), number(p))).collect();
        let (witnesses, own) = (self.readers.witnesses.clone(), partitions.to_vec());
        let what = format!("the positions of the group {group} cannot be asked for");
        blocking(&self.context.trouble, timeout, &what.clone(), move || {
            let mut list = TopicPartitionList::new();
            for (topic, index) in &names {
                list.add_partition(topic, *index);
            }
            let found =
                client.committed_offsets(list, timeout).map_err(|error| trouble.fault(&what, &error))?;
            names
                .iter()
                .zip(&own)
                .map(|((topic, index), partition)| {
                    let Some(found) = found.find_partition(topic, *index) else { return Ok(None) };
                    found.error().map_err(|error| trouble.fault(&what, &error))?;
                    Ok(match found.offset() {
                        At::Offset(raw) => {
                            if let Some(before) = Witness::of(&found) {
                                witnesses.learn(partition, offset(raw), before);
                            }
                            Some(offset(raw))
                        }
                        _ => None,
                    })
                })
                .collect()
        })
        .await
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        let groups = std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner));
        // Ending a client waits for its threads.
        std::thread::spawn(move || drop(groups));
    }
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("settings", &self.settings).finish_non_exhaustive()
    }
}
