//! The slot of one key, and what is done to it.

use std::time::Duration;

use super::control::{self, Control, Line, NotLive};
use super::{AsOf, Epoch, Incarnation, Token};
use crate::version::Stamp;

/// What is known of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<V> {
    /// The bucket's life it belongs to.
    pub epoch: Epoch,
    /// The lowest version that may be kept here.
    pub floor: Stamp,
    /// The newest versioned news since the placeholder was made. It binds what has no version of its own.
    pub heard: AsOf,
    /// The oldest state of the source that an answer may have been read from.
    pub minimum: AsOf,
    /// What is there.
    pub content: Content<V>,
}

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<V> {
    /// Nothing; perhaps somebody is loading it.
    Vacant(Option<Lease>),
    /// An answer that stands.
    Kept(Answer<V>),
}

/// Somebody's right to fill a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What the fill must show.
    pub token: Token,
    /// Others wait for it until then, by the store's clock.
    pub until: Duration,
}

/// A cached answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<V> {
    /// The answer itself.
    pub value: V,
    /// The version of the one entity that it is derived from; `None` for all others.
    pub stamp: Option<Stamp>,
    /// The state of the source it was read from, told by the same snapshot as the value.
    pub as_of: AsOf,
}

/// What whoever looks brings along, in case of a miss.
#[derive(Debug, Clone, Copy)]
pub struct Miss {
    /// A new token.
    pub token: Token,
    /// The store's clock.
    pub now: Duration,
    /// How long others wait for this load before they begin their own.
    pub lease: Duration,
}

/// What a look finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked<'a, V> {
    /// An answer. It is no older than what this bucket has heard of; more is not said.
    Hit(&'a Answer<V>),
    /// Nothing. The token of the [`Miss`] is registered: a fill with it lands if it reaches both of these.
    Vacant {
        /// The lowest version.
        floor: Stamp,
        /// The oldest state of the source.
        minimum: AsOf,
    },
    /// Nothing yet: somebody else is loading it. Wait, or load without filling.
    Filling,
    /// Pass it by.
    NotLive(NotLive),
}

/// Why a fill was not kept. It may still answer its caller, if the class allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unkept {
    /// The bucket is not live.
    NotLive(NotLive),
    /// Its placeholder is gone, of another epoch, filled, or has been given to somebody else.
    Lost,
    /// A newer version is known. The same token may try again at or above this floor.
    BelowFloor(Stamp),
    /// It was read from too old a state. The same token may try again from this one or a later.
    TooOld(AsOf),
}

/// What a consumer has heard about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The version of the one entity that the key is derived from; `None` if it is derived from several, or if the
    /// version is not known: then nothing read from before the position stands.
    pub stamp: Option<Stamp>,
    /// Where the source was after the change.
    pub position: AsOf,
}

/// Why news could not be taken in: it must be kept and told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unheard {
    /// The bucket is not live.
    NotLive(NotLive),
    /// The source has a new timeline: what is cached of the old one may have been undone. Claim this epoch first.
    NewTimeline(Epoch),
}

/// What news did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// Nothing is cached under the key, and nothing was stored. The bucket's position has moved.
    Nothing,
    /// The floor or minimum of a slot was raised, or stood there already; no answer had to go.
    Fenced,
    /// An older answer went.
    Dropped,
    /// The answer that the news carries was put there.
    Updated,
}

impl<V> Slot<V> {
    /// A placeholder for whatever was heard up to `minimum`.
    #[must_use]
    pub fn vacant(epoch: Epoch, minimum: AsOf, lease: Option<Lease>) -> Self {
        Self { epoch, floor: Stamp::default(), heard: minimum, minimum, content: Content::Vacant(lease) }
    }

    /// Whether an answer may be kept: the one rule for fills, for updates and for what is there already.
    ///
    /// One with a version is held to the floor, and never refused merely because something was heard, or a key that
    /// changes faster than it loads would never be cached. One without is held to everything heard.
    pub fn accepts(&self, stamp: Option<Stamp>, as_of: AsOf) -> Result<(), Unkept> {
        match stamp {
            _ if as_of < self.minimum => Err(Unkept::TooOld(self.minimum)),
            Some(stamp) if stamp < self.floor => Err(Unkept::BelowFloor(self.floor)),
            None if as_of < self.heard => Err(Unkept::TooOld(self.heard)),
            _ => Ok(()),
        }
    }

    /// Takes in news; true if an answer had to go.
    fn hear(&mut self, news: News) -> bool {
        match news.stamp {
            Some(stamp) => {
                self.floor = self.floor.max(stamp);
                self.heard = self.heard.max(news.position);
            }
            None => self.minimum = self.minimum.max(news.position),
        }
        let gone =
            matches!(&self.content, Content::Kept(kept) if self.accepts(kept.stamp, kept.as_of).is_err());
        if gone {
            self.content = Content::Vacant(None);
        }
        gone
    }
}

/// Reads a key; a miss leaves a placeholder.
pub fn look<'a, V>(
    control: Option<&Control>,
    slot: &'a mut Option<Slot<V>>,
    here: Incarnation,
    miss: Miss,
) -> Looked<'a, V> {
    let (epoch, line) = match control::live(control, here) {
        Ok(live) => live,
        Err(why) => return Looked::NotLive(why),
    };
    // One of another epoch is as good as absent.
    slot.take_if(|slot| slot.epoch != epoch);
    let slot = slot.get_or_insert_with(|| Slot::vacant(epoch, line.position, None));
    let (floor, minimum) = (slot.floor, slot.minimum);
    match &mut slot.content {
        Content::Kept(answer) => Looked::Hit(answer),
        Content::Vacant(Some(lease)) if miss.now < lease.until => Looked::Filling,
        Content::Vacant(lease) => {
            *lease = Some(Lease { token: miss.token, until: miss.now.saturating_add(miss.lease) });
            Looked::Vacant { floor, minimum }
        }
    }
}

/// Brings what was loaded after a miss.
///
/// A kept fill moves the bucket's position to the state it was read from: it may have seen a change whose news is still
/// to come, and once its slot is evicted nothing else remembers that it was shown.
pub fn fill<V>(
    control: &mut Option<Control>,
    slot: &mut Option<Slot<V>>,
    here: Incarnation,
    token: Token,
    answer: Answer<V>,
) -> Result<(), Unkept> {
    let (epoch, _) = control::live(control.as_ref(), here).map_err(Unkept::NotLive)?;
    let slot = slot.as_mut().filter(|slot| slot.epoch == epoch).ok_or(Unkept::Lost)?;
    if !matches!(slot.content, Content::Vacant(Some(lease)) if lease.token == token) {
        return Err(Unkept::Lost);
    }
    slot.accepts(answer.stamp, answer.as_of)?;
    control::advance(control, answer.as_of);
    slot.content = Content::Kept(answer);
    Ok(())
}

/// Takes in news about a key. A key that is not cached gets no slot: the position alone remembers.
pub fn invalidate<V>(
    control: &mut Option<Control>,
    slot: &mut Option<Slot<V>>,
    here: Incarnation,
    news: News,
) -> Result<Changed, Unheard> {
    let (epoch, _) = hears(control.as_ref(), here, news)?;
    control::advance(control, news.position);
    let Some(slot) = slot.as_mut().filter(|slot| slot.epoch == epoch) else { return Ok(Changed::Nothing) };
    Ok(if slot.hear(news) { Changed::Dropped } else { Changed::Fenced })
}

/// Takes in news that carries the whole new state. If it cannot be kept, it still invalidates.
///
/// The event is a fill that was read at its own position, and is held to the same rule. Where there is no slot, anything
/// up to the bucket's position may have been heard about this key: only news from beyond it is kept.
pub fn update<V>(
    control: &mut Option<Control>,
    slot: &mut Option<Slot<V>>,
    here: Incarnation,
    news: News,
    value: V,
) -> Result<Changed, Unheard> {
    let (epoch, line) = hears(control.as_ref(), here, news)?;
    slot.take_if(|slot| slot.epoch != epoch);
    if slot.is_none() && news.position >= line.position {
        *slot = Some(Slot::vacant(epoch, line.position, None));
    }
    let changed = invalidate(control, slot, here, news)?;
    let Some(slot) = slot else { return Ok(changed) };
    if matches!(slot.content, Content::Kept(_)) || slot.accepts(news.stamp, news.position).is_err() {
        return Ok(changed);
    }
    slot.content = Content::Kept(Answer { value, stamp: news.stamp, as_of: news.position });
    Ok(Changed::Updated)
}

/// The epoch and line in which news can be taken in.
fn hears(control: Option<&Control>, here: Incarnation, news: News) -> Result<(Epoch, Line), Unheard> {
    let (epoch, line) = control::live(control, here).map_err(Unheard::NotLive)?;
    if news.position.timeline > line.since.timeline {
        return Err(Unheard::NewTimeline(epoch));
    }
    Ok((epoch, line))
}
