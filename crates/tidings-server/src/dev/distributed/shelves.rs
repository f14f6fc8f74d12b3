//! What the copies share, on Redis: one level for each owner, kept honest by the group that all processes are members of.

use std::sync::Arc;
use std::time::Duration;

use retail::Place;
use retail::experience::{Levels, Shelf};
use tidings::{Consumer, Running};
use tidings_core::port::Log;
use tidings_core::{Code, Error, Result, Topic};
use tidings_kafka::KafkaLog;
use tidings_postgres::{Address, PostgresSource};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings};
use tokio::task::JoinSet;

/// How often it is looked whether every part is live, when no reader says that one is not.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// This process's part in keeping the levels.
pub(super) struct Keeping {
    members: Vec<Running>,
    /// Ends when it is dropped.
    tending: JoinSet<()>,
}

/// Opens the levels, and takes part in keeping them.
pub(super) async fn open(
    redis: &str,
    prefix: &str,
    place: &Place,
    log: &Arc<KafkaLog>,
) -> Result<(Levels, Keeping)> {
    let mut keeping = Keeping { members: Vec::new(), tending: JoinSet::new() };
    let levels = Levels {
        catalog: keeping.shelf("catalog", redis, prefix, place, log).await?,
        pricing: keeping.shelf("pricing", redis, prefix, place, log).await?,
        inventory: keeping.shelf("inventory", redis, prefix, place, log).await?,
    };
    Ok((levels, keeping))
}

impl Keeping {
    async fn shelf(
        &mut self,
        context: &str,
        redis: &str,
        prefix: &str,
        place: &Place,
        log: &Arc<KafkaLog>,
    ) -> Result<Shelf> {
        let topic = Topic::new(context)?;
        log.partitions(&topic).await?;
        let no_database = || Error::new(Code::SETTING_INVALID, "the contexts have no databases");
        let database = place.database(context)?.ok_or_else(no_database)?;
        let source = Arc::new(PostgresSource::new(&Address::parse(&database)?));
        let level = RedisLevel::connect(Settings::new(redis, &format!("{prefix}{context}"))).await?;
        let store = RedisStore::new(level.clone(), source.clone(), Follows::Group);
        let group = format!("shared-{context}");
        let consumer = Consumer::builder(&group, log.clone())
            .shared_by(Arc::new(log.join(&group, &[topic])?))
            .store(Arc::new(store.clone()))
            .build()?;
        self.members.push(consumer.spawn());
        self.tending.spawn(async move {
            let told = std::sync::Mutex::new(None);
            store
                .keep_live(TEND_EVERY, move |error| {
                    // Said once until it changes: it is tried every second.
                    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if told.replace(error.code()) != Some(error.code()) {
                        eprintln!("tidings: the shared cache is not live: {error}");
                    }
                })
                .await;
        });
        Ok(Shelf { level: Arc::new(level), source })
    }

    /// Why a member has ended by itself, if one has.
    pub(super) async fn failure(&mut self) -> Option<Error> {
        for member in &mut self.members {
            if member.is_finished() {
                let ended = || Error::new(Code::DEFECT, "a member ended without being asked");
                return Some(member.finished().await.err().unwrap_or_else(ended));
            }
        }
        None
    }

    /// Leaves the groups.
    pub(super) async fn stop(mut self, at_most: Duration) -> Result<()> {
        self.tending.abort_all();
        let mut result = Ok(());
        for member in self.members {
            result = result.and(member.stop(at_most).await);
        }
        // What was not confirmed is done again by whoever comes next.
        result.or_else(|error| if error.code() == Code::STOPPING { Ok(()) } else { Err(error) })
    }
}
