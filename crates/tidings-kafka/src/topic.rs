//! Topics: their names on the brokers, their creation, and whether they are fit to keep a log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataBroker;
use tidings_core::error::Kind;
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
    known: Mutex<BTreeMap<Topic, Known>>,
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
        self.lock().iter().map(|(topic, known)| (topic.clone(), known.partitions)).collect()
    }

    /// The number of partitions of a topic that is written to; looks at the topic again now and then. Somebody may have
    /// changed it, or made it anew.
    pub(crate) async fn count(&self, topic: &Topic) -> Result<u32> {
        let known = self.lock().get(topic).copied();
        match known {
            Some(known) if known.checked.elapsed() < self.settings.check_every => Ok(known.partitions),
            Some(known) => match self.partitions(topic).await {
                // What cannot be asked for now is asked for at the next append, which says better what is wrong.
                Err(error) if error.kind() == Kind::Retry => Ok(known.partitions),
                checked => checked,
            },
            None => self.partitions(topic).await,
        }
    }

    /// The number of partitions of a topic, which is created if it may be, and checked.
    pub(crate) async fn partitions(&self, topic: &Topic) -> Result<u32> {
        let name = self.names.on_broker(topic);
        let demand = Demand { partitions: self.settings.topics.partitions, keep: Keep::Declared };
        let found = self.ensure(&name, demand).await?;
        let known = Known { partitions: found, checked: Instant::now() };
        self.lock().insert(topic.clone(), known);
        Ok(found)
    }

    /// Creates the topic if it may be, and checks it; its number of partitions.
    pub(crate) async fn ensure(&self, name: &str, demand: Demand) -> Result<u32> {
        let found = match self.look(name).await? {
            Some(found) => found,
            None if !self.settings.topics.create => {
                let what = format!("the topic {name} does not exist");
                return Err(Error::new(Code::KAFKA_TOPIC_MISSING, what));
            }
            None => {
                self.create(name, demand).await?;
                self.until_there(name).await?
            }
        };
        fit::check_partitions(name, found.partitions, demand.partitions)?;
        self.check(name, demand.keep, found.replicas).await?;
        Ok(found.partitions)
    }

    pub(crate) async fn look(&self, name: &str) -> Result<Option<Found>> {
        let (client, name) = (self.client.clone(), name.to_owned());
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

    async fn create(&self, name: &str, demand: Demand) -> Result<()> {
        let what = format!("the topic {name} cannot be created");
        let wanted = &self.settings.topics;
        let count = i32::try_from(demand.partitions).unwrap_or(i32::MAX);
        let replicas = match wanted.replicas {
            Some(replicas) => Some(i64::from(replicas)),
            None => self.usual_replicas().await,
        };
        let configs = fit::wanted(&self.settings, demand.keep, replicas);
        let fixed = TopicReplication::Fixed(wanted.replicas.map_or(-1, i32::from));
        let mut new = NewTopic::new(name, count, fixed);
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

    /// How many replicas the brokers give to a topic by themselves, if they tell. The check of the new topic decides.
    async fn usual_replicas(&self) -> Option<i64> {
        let (client, timeout) = (self.client.clone(), self.settings.timeout);
        let broker = blocking(&self.context.trouble, timeout, "", move || {
            let metadata = client.fetch_metadata(None, timeout).ok();
            Ok(metadata.and_then(|metadata| metadata.brokers().first().map(MetadataBroker::id)))
        });
        let asked = [ResourceSpecifier::Broker(broker.await.ok()??)];
        let described = self.admin().ok()?.describe_configs(&asked, &self.options()).await.ok()?;
        let resource = described.into_iter().next()?.ok()?;
        resource.get("default.replication.factor")?.value.as_deref()?.parse().ok()
    }

    async fn until_there(&self, name: &str) -> Result<Found> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut pause = Duration::from_millis(5);
        loop {
            match self.look(name).await {
                Ok(Some(found)) if found.is_led && self.is_led(name, found.partitions).await => {
                    return Ok(found);
                }
                Err(error) if error.code() != Code::KAFKA_NOT_READY => return Err(error),
                _ if Instant::now() > deadline => {
                    let what = format!("the new topic {name} has no leader");
                    return Err(Error::new(Code::KAFKA_NOT_READY, what));
                }
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Whether the leaders know that they are. The cluster says so a little earlier.
    async fn is_led(&self, name: &str, partitions: u32) -> bool {
        let (client, name) = (self.client.clone(), name.to_owned());
        let timeout = self.settings.timeout;
        let asked = blocking(&self.context.trouble, timeout, "", move || {
            Ok((0..partitions).all(|index| {
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                client.fetch_watermarks(&name, index, timeout).is_ok()
            }))
        });
        asked.await.unwrap_or(false)
    }

    async fn check(&self, name: &str, keep: Keep, replicas: usize) -> Result<()> {
        let what = format!("the settings of the topic {name} cannot be read");
        let asked = [ResourceSpecifier::Topic(name)];
        let described = self.admin()?.describe_configs(&asked, &self.options()).await;
        let error = match described.map(|described| described.into_iter().next()) {
            Ok(Some(Ok(resource))) => {
                let value = |key: &str| resource.get(key).and_then(|entry| entry.value.as_deref());
                return fit::check(name, &self.settings, (keep, replicas), value);
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen of a topic, and when it was last found fit.
#[derive(Clone, Copy)]
struct Known {
    partitions: u32,
    checked: Instant,
}

/// What a topic is for.
#[derive(Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) partitions: u32,
    pub(crate) keep: Keep,
}

/// How long its records must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// As the settings declare.
    Declared,
    Forever,
}

pub(crate) struct Found {
    partitions: u32,
    /// Of the partition that has the fewest.
    replicas: usize,
    is_led: bool,
}
