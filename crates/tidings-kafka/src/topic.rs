//! Topics: their names on the brokers, their creation, and whether they are fit to keep a log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidings_core::{Code, Error, Result, Topic};
use tokio::time::{Instant, sleep};

use crate::client::{Context, blocking};
use crate::settings::KafkaSettings;

mod fit;

/// The names of topics on the brokers.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn on_broker(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// The `source` of records that come from no event.
    pub(crate) fn source(&self, topic: &Topic) -> String {
        format!("/tidings/{topic}")
    }
}

/// What is known of the topics in use.
pub(crate) struct Topics {
    settings: KafkaSettings,
    names: Names,
    context: Context,
    config: ClientConfig,
    /// Asks about the cluster.
    client: Arc<BaseConsumer<Context>>,
    /// Changes it; made when it is first needed.
    admin: OnceLock<AdminClient<Context>>,
    known: Mutex<BTreeMap<Topic, u32>>,
}

impl Topics {
    pub(crate) fn new(
        settings: KafkaSettings,
        config: ClientConfig,
        client: Arc<BaseConsumer<Context>>,
        context: Context,
    ) -> Self {
        let names = Names::new(&settings.prefix);
        Self { settings, names, context, config, client, admin: OnceLock::new(), known: Mutex::default() }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The topics that were asked for, with their number of partitions.
    pub(crate) fn known(&self) -> Vec<(Topic, u32)> {
        self.lock().iter().map(|(topic, count)| (topic.clone(), *count)).collect()
    }

    /// The number of partitions of a topic that was asked for; asks if it was not.
    pub(crate) async fn count(&self, topic: &Topic) -> Result<u32> {
        let known = self.lock().get(topic).copied();
        match known {
            Some(count) => Ok(count),
            None => self.partitions(topic).await,
        }
    }

    /// The number of partitions of a topic, which is created if it may be, and checked.
    pub(crate) async fn partitions(&self, topic: &Topic) -> Result<u32> {
        let found = match self.look(topic).await? {
            Some(found) => found,
            None if !self.settings.topics.create => {
                let what = format!("the topic {} does not exist", self.names.on_broker(topic));
                return Err(Error::new(Code::KAFKA_TOPIC_MISSING, what));
            }
            None => {
                self.create(topic).await?;
                self.until_there(topic).await?
            }
        };
        let known = self.lock().get(topic).copied();
        fit::check_partitions(&self.names.on_broker(topic), found.partitions, known, &self.settings.topics)?;
        if known.is_none() {
            self.check(topic, found.replicas).await?;
            self.lock().insert(topic.clone(), found.partitions);
        }
        Ok(found.partitions)
    }

    async fn look(&self, topic: &Topic) -> Result<Option<Found>> {
        let (client, name) = (self.client.clone(), self.names.on_broker(topic));
        let (trouble, timeout) = (self.context.trouble.clone(), self.settings.timeout);
        let what = format!("the topic {name} cannot be looked up");
        blocking(&self.context.trouble, timeout, &what.clone(), move || {
            let metadata =
                client.fetch_metadata(Some(&name), timeout).map_err(|error| trouble.fault(&what, &error))?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else {
                return Ok(None);
            };
            match found.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    return Ok(None);
                }
                Some(error) => return Err(trouble.fault(what, &KafkaError::MetadataFetch(error))),
            }
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).min();
            Ok(Some(Found {
                partitions: u32::try_from(found.partitions().len()).unwrap_or(u32::MAX),
                replicas: replicas.unwrap_or(0),
                is_led: found.partitions().iter().all(|partition| partition.leader() >= 0),
            }))
        })
        .await
    }

    async fn create(&self, topic: &Topic) -> Result<()> {
        let wanted = &self.settings.topics;
        let name = self.names.on_broker(topic);
        let what = format!("the topic {name} cannot be created");
        let replicas = wanted.replicas.map_or(-1, i32::from);
        let count = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
        let configs = fit::wanted(&self.settings);
        let mut new = NewTopic::new(&name, count, TopicReplication::Fixed(replicas));
        for (key, value) in &configs {
            new = new.set(key, value);
        }
        let results = self.admin()?.create_topics([&new], &self.options()).await;
        let error = match results.map(|results| results.into_iter().next()) {
            Ok(None | Some(Ok(_))) => return Ok(()),
            // Somebody else was quicker; what they made is checked all the same.
            Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => return Ok(()),
            Ok(Some(Err((_, error)))) => KafkaError::AdminOp(error),
            Err(error) => error,
        };
        Err(self.context.trouble.fault(what, &error))
    }

    async fn until_there(&self, topic: &Topic) -> Result<Found> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut pause = Duration::from_millis(5);
        loop {
            match self.look(topic).await {
                Ok(Some(found)) if found.is_led && self.is_led(topic, found.partitions).await => {
                    return Ok(found);
                }
                Err(error) if error.code() != Code::KAFKA_NOT_READY => return Err(error),
                _ if Instant::now() > deadline => {
                    let what = format!("the new topic {} has no leader", self.names.on_broker(topic));
                    return Err(Error::new(Code::KAFKA_NOT_READY, what));
                }
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Whether the leaders know that they are. The cluster says so a little earlier.
    async fn is_led(&self, topic: &Topic, partitions: u32) -> bool {
        let (client, name) = (self.client.clone(), self.names.on_broker(topic));
        let timeout = self.settings.timeout;
        let asked = blocking(&self.context.trouble, timeout, "", move || {
            Ok((0..partitions).all(|index| {
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                client.fetch_watermarks(&name, index, timeout).is_ok()
            }))
        });
        asked.await.unwrap_or(false)
    }

    async fn check(&self, topic: &Topic, replicas: usize) -> Result<()> {
        let name = self.names.on_broker(topic);
        let what = format!("the settings of the topic {name} cannot be read");
        let asked = [ResourceSpecifier::Topic(&name)];
        let described = self.admin()?.describe_configs(&asked, &self.options()).await;
        let error = match described.map(|described| described.into_iter().next()) {
            Ok(Some(Ok(resource))) => {
                let value = |key: &str| resource.get(key).and_then(|entry| entry.value.as_deref());
                return fit::check(&name, &self.settings, replicas, value);
            }
            Ok(Some(Err(code))) => KafkaError::AdminOp(code),
            Ok(None) => KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition),
            Err(error) => error,
        };
        Err(self.context.trouble.fault(what, &error))
    }

    pub(crate) fn admin(&self) -> Result<&AdminClient<Context>> {
        if let Some(admin) = self.admin.get() {
            return Ok(admin);
        }
        let made = self.config.create_with_context(self.context.clone());
        let made = made.map_err(|error| self.context.trouble.fault("Kafka's settings are wrong", &error))?;
        Ok(self.admin.get_or_init(|| made))
    }

    pub(crate) fn options(&self) -> AdminOptions {
        let timeout = Some(self.settings.timeout);
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Found {
    partitions: u32,
    /// Of the partition that has the fewest.
    replicas: usize,
    is_led: bool,
}
