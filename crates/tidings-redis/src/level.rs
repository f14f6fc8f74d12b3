//! The reader's side.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::error::{Code, Error, Result};
use tidings_core::port::Boxed;
use tidings_core::shared::level::{Bypass, Claim, Found, Key, Level, Missed, Offer, Thing, Unfilled};
use tidings_core::shared::{AsOf, NotLive, Token, Unkept};
use tokio::sync::Notify;

use crate::batch::{Batcher, Request};
use crate::count::{Counters, Counts, count};
use crate::keys::Keys;
use crate::layout;
use crate::random::random;
use crate::script::{Reply, Script, Scripts};
use crate::settings::Settings;
use crate::wire::{Unasked, Wire};

/// More parts than this, and an answer is held to a region instead.
const MOST_PARTS: usize = 64;
/// A note outlives the answers that depend on it, or they are held to everything heard.
const MARGIN: Duration = Duration::from_secs(60);

/// A shared cache in Redis or Valkey, as its readers see it. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct RedisLevel {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    pub(crate) wire: Arc<Wire>,
    pub(crate) scripts: Scripts,
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) counters: Counters,
    /// Told when a reader finds a bucket that is not live.
    pub(crate) closed: Notify,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl RedisLevel {
    /// Connects.
    ///
    /// # Errors
    /// The store cannot be reached, or refuses the login; a setting is invalid.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let keys = Keys::new(&settings.namespace, settings.buckets)?;
        let wire = Arc::new(Wire::connect(&settings).await?);
        let controls = (0..keys.buckets()).map(|bucket| keys.control(bucket));
        let batcher = Batcher::new(wire.clone(), Script::serve(), controls);
        let scripts = Scripts::new();
        let (counters, closed) = (Counters::default(), Notify::new());
        Ok(Self { inner: Arc::new(Inner { settings, keys, wire, scripts, batcher, counters, closed }) })
    }

    /// What has happened here so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.counters.read()
    }

    /// Whether the store is asked at all, or left alone for a while because it has failed.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.inner.wire.is_closed()
    }

    /// The name of a key's slot in the store, for whoever looks with other tools.
    #[must_use]
    pub fn slot(&self, key: &Key) -> String {
        self.inner.keys.slot(key)
    }
}

impl Level for RedisLevel {
    fn lookup<'a>(&'a self, key: &'a Key, expects: &'a [Thing]) -> Boxed<'a, Found> {
        Box::pin(self.inner.lookup(key, expects))
    }

    fn fill<'a>(&'a self, claim: &'a Claim, offer: Offer<'a>) -> Boxed<'a, Result<(), Unfilled>> {
        Box::pin(self.inner.fill(claim, offer))
    }

    fn abandon<'a>(&'a self, claim: &'a Claim) -> Boxed<'a, ()> {
        Box::pin(async move {
            let token = layout::hex(claim.token.0);
            // If this fails, the lease runs out by itself.
            let Inner { wire, scripts, keys, .. } = &*self.inner;
            let (control, slot) = (keys.control(keys.bucket(&claim.key)), keys.slot(&claim.key));
            let names = [&*control, &*slot];
            let _ = wire.guarded(wire.one(&scripts.abandon, &names, &[token.as_bytes()])).await;
        })
    }
}

impl Inner {
    async fn ask(&self, key: &Key, name: &'static str, args: Vec<Vec<u8>>) -> Result<Reply, Unasked> {
        let request = Request { name, slot: self.keys.slot(key), args };
        self.batcher.ask(self.keys.bucket(key), request).await
    }

    async fn lookup(&self, key: &Key, expects: &[Thing]) -> Found {
        let token = random();
        let placeholder = millis(self.settings.placeholder);
        let note = millis(self.settings.placeholder + MARGIN);
        let mut args = vec![layout::hex(token), millis(self.settings.lease), placeholder, note];
        args.extend(expects.iter().take(MOST_PARTS).map(layout::name));
        let args = args.into_iter().map(String::into_bytes).collect();
        let reply = match self.ask(key, "look", args).await {
            Ok(reply) => reply,
            Err(unasked) => return Found::Bypass(self.bypass(unasked)),
        };
        match self.found(key, Token(token), &reply) {
            Ok(found) => found,
            Err(error) => Found::Bypass(self.bypass(Unasked::Failed(error))),
        }
    }

    fn bypass(&self, unasked: Unasked) -> Bypass {
        let (counter, bypass) = match unasked {
            Unasked::Failed(error) => (&self.counters.failed, Bypass::Failed(error)),
            Unasked::Resting => (&self.counters.rested, Bypass::Resting),
            Unasked::Overloaded => (&self.counters.overloaded, Bypass::Overloaded),
        };
        count(counter);
        bypass
    }

    pub(crate) fn found(&self, key: &Key, token: Token, reply: &Reply) -> Result<Found> {
        Ok(match reply.word() {
            "hit" => {
                let kept = layout::kept(reply.bytes(1)?, reply.number(2)? > 0).ok_or_else(|| {
                    count(&self.counters.missed_format);
                    let what = format!("the entry of {key} is not understood");
                    Error::new(Code::REDIS_FORMAT, what).at(self.wire.at())
                })?;
                count(&self.counters.hits);
                Found::Hit(kept)
            }
            "claim" => {
                let missed = self.missed(reply)?;
                let minimum = reply.read(2, layout::position)?;
                let floors =
                    (3..reply.len()).map(|at| reply.read(at, layout::floor)).collect::<Result<_>>()?;
                Found::Claim(Claim { key: key.clone(), token, minimum, floors, missed })
            }
            "filling" => {
                count(&self.counters.waits);
                Found::Wait(Duration::from_millis(reply.number(1)?))
            }
            "not live" => Found::Bypass(Bypass::NotLive(self.not_live(reply)?)),
            _ => return Err(reply.unknown()),
        })
    }

    fn missed(&self, reply: &Reply) -> Result<Missed> {
        let (missed, counter) = match reply.text(1)? {
            "absent" => (Missed::Absent, &self.counters.missed_absent),
            "epoch" => (Missed::Epoch, &self.counters.missed_epoch),
            "outdated" => (Missed::Outdated, &self.counters.missed_outdated),
            "lapsed" => (Missed::Lapsed, &self.counters.missed_lapsed),
            "format" => (Missed::Format, &self.counters.missed_format),
            _ => return Err(reply.unknown()),
        };
        count(counter);
        Ok(missed)
    }

    /// Why a bucket is not live; whoever opens epochs is told.
    pub(crate) fn not_live(&self, reply: &Reply) -> Result<NotLive> {
        let (why, counter) = match reply.text(1)? {
            "absent" => (NotLive::Absent, &self.counters.not_live_absent),
            "foreign" => (NotLive::Foreign, &self.counters.not_live_foreign),
            "opening" => (NotLive::Opening, &self.counters.not_live_opening),
            _ => return Err(reply.unknown()),
        };
        count(counter);
        self.closed.notify_one();
        Ok(why)
    }

    async fn fill(&self, claim: &Claim, offer: Offer<'_>) -> Result<(), Unfilled> {
        self.fits(claim, &offer).map_err(Unfilled::Failed)?;
        let soft = offer.soft.filter(|soft| *soft < offer.hard).map_or_else(|| "0".into(), millis);
        let texts = [
            layout::hex(claim.token.0),
            layout::as_of(offer.as_of),
            millis(offer.hard),
            millis(offer.hard + MARGIN),
            soft,
            format!("{:02x}", offer.flags),
            layout::parts(offer.parts),
        ];
        let args = texts.into_iter().map(String::into_bytes).chain([offer.value.to_vec()]).collect();
        let reply = match self.ask(&claim.key, "fill", args).await {
            Ok(reply) => reply,
            Err(Unasked::Failed(error)) => return Err(Unfilled::Failed(error)),
            Err(Unasked::Resting | Unasked::Overloaded) => {
                let what = "the shared cache is not asked now";
                return Err(Unfilled::Failed(Error::new(Code::OVERLOADED, what).at(self.wire.at())));
            }
        };
        match self.unkept(&reply) {
            Ok(None) => Ok(()),
            Ok(Some(unkept)) => Err(Unfilled::Refused(unkept)),
            Err(error) => Err(Unfilled::Failed(error)),
        }
    }

    pub(crate) fn unkept(&self, reply: &Reply) -> Result<Option<Unkept>> {
        let (counter, unkept) = match reply.word() {
            "kept" => (&self.counters.kept, None),
            "lost" => (&self.counters.lost, Some(Unkept::Lost)),
            "old" => {
                let needed: AsOf = reply.read(1, layout::position)?;
                (&self.counters.too_old, Some(Unkept::TooOld(needed)))
            }
            "below" => {
                let floor = reply.read(1, layout::floor)?;
                (&self.counters.below_floor, Some(Unkept::BelowFloor(floor)))
            }
            "not live" => return Ok(Some(Unkept::NotLive(self.not_live(reply)?))),
            _ => return Err(reply.unknown()),
        };
        count(counter);
        Ok(unkept)
    }

    fn fits(&self, claim: &Claim, offer: &Offer<'_>) -> Result<()> {
        let (size, most) = (offer.value.len(), self.settings.largest);
        if size > most {
            let what = format!("the answer of {} has {size} bytes, of at most {most}", claim.key);
            return Err(Error::new(Code::OVERSIZED, what));
        }
        let parts = offer.parts.len();
        if parts > MOST_PARTS {
            let what = format!(
                "the answer of {} is derived from {parts} things, of at most {MOST_PARTS}",
                claim.key
            );
            return Err(Error::new(Code::SETTING_INVALID, what));
        }
        Ok(())
    }
}

/// Whole milliseconds, at least one: the store takes no zero.
fn millis(span: Duration) -> String {
    span.as_millis().max(1).to_string()
}
