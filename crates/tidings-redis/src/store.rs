//! The consumer's side: what it has decided is told to every bucket, and epochs are opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::port::{Batch, Boxed, Store};
use tidings_core::shared::level::{Source, Thing};
use tidings_core::shared::{AsOf, position_of};
use tidings_core::{Action, Entity, Partition, Region, Result};
use tokio::task::JoinSet;

use crate::epoch::Told;
use crate::layout;
use crate::level::{Inner, RedisLevel};

/// How many pieces of news one script takes: it stops the server for about two microseconds each.
const AT_ONCE: usize = 128;
/// How many buckets are told at once.
const BUCKETS_AT_ONCE: usize = 16;

/// How the events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// A group shares the work and commits its positions: after a pause it goes on where it was, and has missed nothing.
    Group,
    /// Each beginning is at the head of the log: what came before may have been missed.
    Head,
}

/// A shared cache in Redis or Valkey, as its consumers see it.
#[derive(Clone)]
pub struct RedisStore {
    level: RedisLevel,
    source: Arc<dyn Source>,
    follows: Follows,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("follows", &self.follows).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// The consumer's side of a level. `source` is the one source of everything that is cached there.
    #[must_use]
    pub fn new(level: RedisLevel, source: Arc<dyn Source>, follows: Follows) -> Self {
        Self { level, source, follows }
    }

    /// Makes every bucket live that is not.
    ///
    /// # Errors
    /// The store or the source does not answer.
    pub async fn tend(&self) -> Result<()> {
        self.every_bucket(|inner, bucket, source| async move { inner.tend(bucket, &*source).await }).await
    }

    /// Tends the buckets for ever: at this interval, and sooner when a reader of this process finds one closed.
    /// Failures are tried again; `told` hears of them.
    pub async fn keep_live(&self, interval: Duration, told: impl Fn(tidings_core::Error) + Send) {
        loop {
            if let Err(error) = self.tend().await {
                told(error);
                tokio::time::sleep(interval).await;
            } else {
                let _ = tokio::time::timeout(interval, self.level.inner.closed.notified()).await;
            }
        }
    }

    async fn every_bucket<F>(&self, run: impl Fn(Arc<Inner>, u32, Arc<dyn Source>) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut result = Ok(());
        for bucket in 0..self.level.inner.keys.buckets() {
            if running.len() >= BUCKETS_AT_ONCE {
                result = result.and(joined(running.join_next().await));
            }
            running.spawn(run(self.level.inner.clone(), bucket, self.source.clone()));
        }
        while !running.is_empty() {
            result = result.and(joined(running.join_next().await));
        }
        result
    }

    /// What a batch says, as it is told.
    async fn news(&self, batch: &Batch<'_>) -> Result<Vec<Told>> {
        let positions = positions(batch);
        let known = positions.values().all(Option::is_some) && !positions.is_empty();
        // Read now, the source's position is at or after every event of the batch: it asks more of a fill than need
        // be, and never less.
        let now = if known { AsOf::default() } else { self.source.position().await? };
        let newest = positions.values().flatten().copied().max().unwrap_or(now).max(now);
        let mut news = Vec::with_capacity(batch.actions.len());
        for action in batch.actions {
            match action {
                Action::Raise { entity, floor } => {
                    let position = positions.get(entity).copied().flatten().unwrap_or(newest);
                    let name = layout::name(&Thing::Entity(entity.clone()));
                    news.push([name, layout::stamp(Some(*floor)), layout::as_of(position)]);
                }
                Action::Bump { region } => {
                    let every = *region == Region::every();
                    let name = if every { "*".into() } else { layout::name(&Thing::Region(region.clone())) };
                    news.push([name, layout::stamp(None), layout::as_of(newest)]);
                }
                // Their floors are raised in the same batch; the answers are loaded again when somebody asks.
                Action::Refresh { .. } | Action::Update { .. } => {}
            }
        }
        Ok(news)
    }
}

impl Store for RedisStore {
    fn begin<'a>(&'a self, _: &'a str, _: &'a [Partition]) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            match self.follows {
                Follows::Group => self.tend().await,
                Follows::Head => self.open_epoch("following begins at the head of the log").await,
            }
        })
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            if batch.actions.is_empty() {
                return Ok(());
            }
            let news: Arc<[Told]> = self.news(&batch).await?.into();
            self.every_bucket(|inner, bucket, source| {
                let news = news.clone();
                async move {
                    for some in news.chunks(AT_ONCE) {
                        inner.tell(bucket, some, &*source).await?;
                    }
                    Ok(())
                }
            })
            .await
        })
    }

    fn open_epoch<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<()>> {
        let renewed =
            self.every_bucket(|inner, bucket, source| async move { inner.renew(bucket, &*source).await });
        Box::pin(renewed)
    }
}

/// The newest position that the batch's events tell of each entity; `None` if one of them tells none.
fn positions(batch: &Batch<'_>) -> BTreeMap<Entity, Option<AsOf>> {
    let mut positions: BTreeMap<Entity, Option<AsOf>> = BTreeMap::new();
    for event in batch.events.iter().chain(batch.parked) {
        let told = position_of(event);
        let known = positions.entry(event.entity.clone()).or_insert(told);
        *known = known.zip(told).map(|(known, told)| known.max(told));
    }
    positions
}

fn joined(next: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match next {
        Some(Ok(result)) => result,
        None => Ok(()),
        Some(Err(error)) => Err(tidings_core::Error::new(
            tidings_core::Code::DEFECT,
            "telling a bucket of the shared cache ended early",
        )
        .because(error)),
    }
}
