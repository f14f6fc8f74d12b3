//! Opening epochs: a bucket that is not live is claimed, the source is asked where it stands, the bucket is opened.

use std::time::Duration;

use tidings_core::error::{Code, Error, Result};
use tidings_core::retry::Backoff;
use tidings_core::shared::level::Source;
use tidings_core::shared::{Epoch, NotLive};

use crate::count::{add, count};
use crate::layout;
use crate::level::Inner;
use crate::random::random;
use crate::script::Reply;

/// How often something is tried before the caller's own backoff takes over.
const ATTEMPTS: u32 = 8;
/// How long somebody else's opening is waited for, between looks.
const PATIENCE: Backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100) };

/// One piece of news, as it is told: name, stamp, position.
pub(crate) type Told = [String; 3];

/// Where a bucket stands.
enum Standing {
    Live(Epoch),
    NotLive(NotLive),
}

impl Inner {
    /// Tells one bucket some news; opens an epoch first where that is needed.
    pub(crate) async fn tell(&self, bucket: u32, news: &[Told], source: &dyn Source) -> Result<()> {
        let args: Vec<_> = news.iter().flatten().map(String::as_bytes).collect();
        for attempt in 1..=ATTEMPTS {
            let reply = self.wire.tell(&self.scripts.hear, &[&self.keys.control(bucket)], &args).await?;
            match reply.word() {
                "heard" => {
                    add(&self.counters.told, news.len() as u64);
                    add(&self.counters.concerned, reply.number(1)?);
                    return Ok(());
                }
                "timeline" => {
                    let old = Epoch(reply.read(1, layout::number)?);
                    self.open(bucket, Some(old), source).await?;
                }
                "not live" => {
                    let why = self.not_live(&reply)?;
                    self.reopen(bucket, why, attempt, source).await?;
                }
                _ => return Err(reply.unknown()),
            }
        }
        Err(self.stays_closed(bucket))
    }

    /// Makes one bucket live, if it is not.
    pub(crate) async fn tend(&self, bucket: u32, source: &dyn Source) -> Result<()> {
        for attempt in 1..=ATTEMPTS {
            match self.standing(bucket).await? {
                Standing::Live(_) => return Ok(()),
                Standing::NotLive(why) => self.reopen(bucket, why, attempt, source).await?,
            }
        }
        Err(self.stays_closed(bucket))
    }

    /// Everything in one bucket becomes as good as absent.
    pub(crate) async fn renew(&self, bucket: u32, source: &dyn Source) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let live = match self.standing(bucket).await? {
                Standing::Live(epoch) => Some(epoch),
                Standing::NotLive(_) => None,
            };
            if self.open(bucket, live, source).await? {
                return Ok(());
            }
        }
        Err(self.stays_closed(bucket))
    }

    /// Opens a closed bucket; somebody who is at it already is waited for, but not for ever.
    async fn reopen(&self, bucket: u32, why: NotLive, attempt: u32, source: &dyn Source) -> Result<()> {
        if why == NotLive::Opening && attempt < ATTEMPTS / 2 {
            tokio::time::sleep(PATIENCE.wait(attempt, random())).await;
        } else {
            self.open(bucket, None, source).await?;
        }
        Ok(())
    }

    /// Both halves of an opening; false if somebody else was faster.
    async fn open(&self, bucket: u32, instead_of: Option<Epoch>, source: &dyn Source) -> Result<bool> {
        let (control, epoch) = (self.keys.control(bucket), layout::hex(random()));
        let control = [&*control];
        let old = instead_of.map_or_else(String::new, |epoch| layout::hex(epoch.0));
        let reply =
            self.wire.tell(&self.scripts.claim, &control, &[epoch.as_bytes(), old.as_bytes()]).await?;
        if reply.word() != "claimed" {
            return Ok(false);
        }
        // Only now: between the claim and here nothing could be heard.
        let since = layout::as_of(source.position().await?);
        let reply =
            self.wire.tell(&self.scripts.open, &control, &[epoch.as_bytes(), since.as_bytes()]).await?;
        let opened = reply.word() == "open";
        if opened {
            count(&self.counters.epochs);
        }
        Ok(opened)
    }

    async fn standing(&self, bucket: u32) -> Result<Standing> {
        let reply: Reply = self.wire.tell(&self.scripts.peek, &[&self.keys.control(bucket)], &[]).await?;
        Ok(match reply.word() {
            "live" => Standing::Live(Epoch(reply.read(1, layout::number)?)),
            "not live" => Standing::NotLive(self.not_live(&reply)?),
            _ => return Err(reply.unknown()),
        })
    }

    fn stays_closed(&self, bucket: u32) -> Error {
        let what =
            format!("bucket {bucket} of the shared cache {} cannot be opened", self.settings.namespace);
        Error::new(Code::REDIS_NOT_LIVE, what).at(self.wire.at())
    }
}
