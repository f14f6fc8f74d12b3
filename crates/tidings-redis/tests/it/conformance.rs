//! The suite that every store runs.

use std::fmt::Write;
use std::sync::Arc;

use redis::AsyncCommands;
use tidings_core::port::Boxed;
use tidings_core::shared::level::{Key, Level, Thing};
use tidings_core::shared::{AsOf, Phase, Slot};
use tidings_core::{Entity, Event, Result};
use tidings_redis::{Follows, RedisLevel, RedisStore, Settings, layout};
use tidings_testkit::conformance::store::{self, StoreHome, Subject};

use crate::support::{Place, at, event, namespace, pos, settings, shared_server, skipped};

/// The place in the source's order at which an entity got a version.
const fn place(entity: u64, version: u64) -> u64 {
    version * 1000 + entity
}

struct Home {
    source: Arc<Place>,
    buckets: u32,
    /// How many entities somebody waits for.
    entities: u64,
}

impl StoreHome for Home {
    /// Somebody waits for an answer about every entity: about others nothing is kept.
    fn create(&self) -> Boxed<'_, Result<Subject>> {
        Box::pin(async {
            self.source.put(0, 0);
            let (url, namespace) = (shared_server(), namespace());
            let settings = Settings { buckets: self.buckets, ..settings(&url, &namespace) };
            let level = RedisLevel::connect(settings).await?;
            let store = RedisStore::new(level.clone(), self.source.clone(), Follows::Group);
            store.tend().await?;
            let things = |entity: u64| Ok(Thing::Entity(Entity::new("store", &entity.to_string())?));
            let things = (0..self.entities).map(things).collect::<Result<Vec<_>>>()?;
            for (part, things) in things.chunks(64).enumerate() {
                // Enough keys to meet every bucket.
                for copy in 0..8 * (self.buckets - 1) + 1 {
                    let key = Key { view: "item".into(), key: format!("{part}.{copy}").into() };
                    level.lookup(&key, things).await;
                }
            }
            let connection =
                redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
            let (buckets, entities) = (self.buckets, self.entities);
            let digest = move || {
                let (connection, namespace) = (connection.clone(), namespace.clone());
                Box::pin(digest(connection, namespace, buckets, entities)) as Boxed<'static, _>
            };
            Ok(Subject { store: Arc::new(store), digest: Box::new(digest) })
        })
    }

    fn event(&self, entity: u64, version: u64) -> Event {
        self.source.reach(place(entity, version));
        event(&format!("store/{entity}"), version, Some(place(entity, version)))
    }
}

/// Of each entity, the oldest version of which an answer would be kept now, read at the last moment at which it was the
/// newest. That is what fences it, be it a floor, a minimum or the position of the bucket.
async fn digest(
    mut connection: redis::aio::MultiplexedConnection,
    namespace: String,
    buckets: u32,
    entities: u64,
) -> Result<String> {
    let mut digest = String::new();
    for bucket in 0..buckets {
        let base = format!("td1:{{{namespace}:{bucket}}}:");
        let control: Vec<u8> = connection.get(format!("{base}c")).await.unwrap();
        let (control, _) = layout::control(&control).unwrap();
        let Phase::Live(line) = control.phase else { panic!("{control:?}") };
        let names: Vec<_> = (0..entities).map(|entity| format!("{base}e:store/{entity}")).collect();
        let notes: Vec<Option<Vec<u8>>> = connection.mget(names).await.unwrap();
        for (entity, stored) in (0..).zip(notes) {
            let note =
                stored.and_then(|stored| layout::note(&stored)).filter(|note| note.epoch == control.epoch);
            // A bucket in which nobody has asked for it.
            let note = note.unwrap_or_else(|| Slot::vacant(control.epoch, line.position, None));
            let last = |version| AsOf { at: place(entity, version + 1) - 1, ..pos(0) };
            let oldest = (0..12).find(|v| note.accepts(Some(at(*v)), last(*v)).is_ok());
            let _ = write!(digest, "{bucket}:{entity}>={oldest:?} ");
        }
    }
    Ok(digest)
}

/// All of [`store::run_all`]. After an epoch, also what nothing was heard of is fenced, so the last one looks only at
/// what it tells of.
#[tokio::test]
async fn the_shared_cache_does_what_every_store_does() {
    if skipped() {
        return;
    }
    for buckets in [1, 3] {
        let home = |entities| Home { source: Arc::new(Place::default()), buckets, entities };
        let all = home(150);
        store::applying_changes_what_is_held(&all).await;
        store::a_repeated_batch_changes_nothing(&all).await;
        store::an_older_batch_changes_nothing(&all).await;
        store::any_order_ends_in_the_same_state(&all).await;
        store::a_large_batch_equals_many_small_ones(&all).await;
        store::a_batch_of_marks_alone_is_applied(&all).await;
        store::an_epoch_can_be_opened_at_any_time(&home(3)).await;
    }
}
