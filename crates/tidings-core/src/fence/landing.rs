//! When a load has landed: whether it is kept, whether marks vouch for it, and what may be said of it.
//!
//! All times are monotonic, of the copy's own clock. `seen` is when the source is known to have looked as it was read:
//! the ticket's time for a source that answers with the present, earlier for one that lags.

use std::time::Duration;

use super::Tick;
use super::rule::{Held, Refusal};
use crate::certificate::{Cause, Freshness};
use crate::truth::OnFailure;

/// The order and time of a moment before a load read anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The fence's order.
    pub tick: Tick,
    /// The view's epoch.
    pub epoch: u32,
    /// The time.
    pub started: Duration,
}

/// What is to be said of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This.
    Is(Freshness),
    /// It is beyond its bound: labelled with this cause, or refused, as the truth class wants it.
    Beyond(Cause),
    /// Nothing can be said, and the class does not allow that.
    Refused,
}

/// Why an entry that the fence does not refuse may still not be served as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its hard time to live, or the window it holds in, is over.
    Expired,
    /// This copy may have missed something: the view's epoch has moved since it was loaded.
    Unverified,
    /// This copy has been blind for longer than the bound.
    TooOld,
}

/// Whether what was loaded under `ticket` is kept. `admitted` is what the fence says of everything it depends on;
/// `epoch` is the view's now, `keep` how long floors are kept for.
pub fn verdict(
    admitted: Result<Tick, Refusal>,
    ticket: &Ticket,
    epoch: u32,
    now: Duration,
    keep: Duration,
) -> Result<Tick, Refusal> {
    match admitted {
        // Older than what may have been shown, or nobody can tell: that says more than that an epoch was opened.
        Err(Refusal::BelowFloor(_) | Refusal::Forgotten) => admitted,
        _ if ticket.epoch != epoch => Err(Refusal::Epoch),
        _ if now.saturating_sub(ticket.started) > keep => Err(Refusal::Late),
        admitted => admitted,
    }
}

/// What news from before the ticket says against a dependency that was read without a version: `heard` is when the
/// newest came. Read with its version, the floor judges it; without one, nothing else would.
///
/// A source that lags and may lack the news is behind. One that answers with the present may lack it too, if the news
/// came just before: an event may precede its row by `visible_within`.
pub fn hindsight(
    heard: Option<Duration>,
    seen: Duration,
    ticket: &Ticket,
    in_step: bool,
    visible_within: Duration,
) -> Result<(), fn(Tick) -> Refusal> {
    let Some(heard) = heard.filter(|_| !in_step) else { return Ok(()) };
    let (lags, may_lack) = (seen < ticket.started, heard.saturating_add(visible_within) > seen);
    match (lags, may_lack) {
        (true, _) if may_lack || heard >= seen => Err(Refusal::BelowFloor),
        (false, true) => Err(Refusal::Moved),
        _ => Ok(()),
    }
}

/// Whether marks may vouch for what was loaded. It must depend on something; the state that was read must not be from
/// before this copy began to follow; and what was read without a version must not be from before the ticket, or the
/// news of what it lacks may have come and gone already, unless the source never lags behind this copy (`in_step`).
pub fn is_followed(
    holds: impl IntoIterator<Item = Held>,
    seen: Duration,
    ticket: &Ticket,
    in_step: bool,
    followed_since: Duration,
) -> bool {
    let in_step = in_step || seen >= ticket.started;
    let mut depends = false;
    let sound = holds.into_iter().all(|held| {
        depends = true;
        in_step || matches!(held, Held::At(_))
    });
    depends && sound && seen >= followed_since
}

/// What can be said of a loaded answer to a read that began at `began`, in a class with this bound.
#[must_use]
pub fn claim(
    refusal: Option<Refusal>,
    seen: Duration,
    began: Duration,
    bound: Duration,
    on_failure: OnFailure,
) -> Claim {
    let age = began.saturating_sub(seen);
    match refusal {
        Some(Refusal::BelowFloor(_)) => Claim::Beyond(Cause::SourceBehind),
        _ if age > bound => Claim::Beyond(Cause::SourceBehind),
        Some(Refusal::Forgotten | Refusal::Late) => match on_failure {
            OnFailure::Refuse => Claim::Refused,
            OnFailure::Label => Claim::Is(Freshness::Unverified),
        },
        // What merely moved during the load was still read after the read began: not kept, but an answer.
        _ if seen >= began => Claim::Is(Freshness::Fresh),
        _ => Claim::Is(Freshness::Within(age)),
    }
}

/// Whether the fence shows that a load was outrun in a way that another attempt may mend.
#[must_use]
pub const fn is_worth_repeating(refusal: Option<Refusal>) -> bool {
    matches!(refusal, Some(Refusal::BelowFloor(_) | Refusal::Epoch))
}

/// Whether a caller who waited for another's load must load for itself. `arrived` and `began` are this caller's: news
/// came between that load's ticket and this read, and the fence refused what was loaded; or that load began too long
/// before this read.
#[must_use]
pub fn is_no_use(refused: bool, ticket: &Ticket, arrived: Tick, began: Duration, bound: Duration) -> bool {
    (refused && arrived > ticket.tick) || began.saturating_sub(ticket.started) > bound
}

/// What speaks against an entry that the fence does not refuse, if anything.
#[inline]
#[must_use]
pub const fn doubt(expired: bool, same_epoch: bool, too_old: bool) -> Option<Doubt> {
    match (expired, same_epoch, too_old) {
        (true, _, _) => Some(Doubt::Expired),
        (false, false, _) => Some(Doubt::Unverified),
        (false, true, true) => Some(Doubt::TooOld),
        (false, true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Stamp;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TICKET: Ticket = Ticket { tick: Tick(5), epoch: 1, started: at(100) };

    #[test]
    fn a_load_from_before_an_epoch_or_older_than_the_floors_is_not_kept() {
        for (epoch, now, expected) in
            [(1, 110, Ok(Tick(7))), (2, 110, Err(Refusal::Epoch)), (1, 191, Err(Refusal::Late))]
        {
            assert_eq!(
                verdict(Ok(Tick(7)), &TICKET, epoch, at(now), at(90)),
                expected,
                "epoch {epoch} at {now}"
            );
        }
        let below = Err(Refusal::BelowFloor(Tick(6)));
        assert_eq!(verdict(below, &TICKET, 2, at(110), at(90)), below);
        let forgotten = Err(Refusal::Forgotten);
        assert_eq!(verdict(forgotten, &TICKET, 2, at(110), at(90)), forgotten);
    }

    #[test]
    fn marks_vouch_only_for_what_they_would_have_told_of() {
        let (versioned, unversioned) = (Held::At(Stamp::default()), Held::Unmoved);
        for (holds, seen, in_step, since, expected) in [
            (vec![], 100, false, 0, false),
            (vec![versioned], 100, false, 0, true),
            (vec![versioned], 90, false, 0, true),
            (vec![versioned], 90, false, 95, false),
            (vec![versioned, unversioned], 100, false, 0, true),
            (vec![versioned, unversioned], 90, false, 0, false),
            (vec![versioned, unversioned], 90, true, 0, true),
        ] {
            let found = is_followed(holds.iter().copied(), at(seen), &TICKET, in_step, at(since));
            assert_eq!(found, expected, "{holds:?} seen at {seen}, followed since {since}");
        }
    }

    #[test]
    fn what_was_read_without_a_version_is_held_to_news_from_before_its_ticket() {
        let (behind, moved) = (Err(Refusal::BelowFloor(Tick(5))), Err(Refusal::Moved(Tick(5))));
        for (heard, seen, in_step, within, expected) in [
            (None, 90, false, 9, Ok(())),
            (Some(95), 90, false, 0, behind),
            (Some(90), 90, false, 0, behind),
            (Some(89), 90, false, 0, Ok(())),
            (Some(89), 90, false, 2, behind),
            (Some(95), 90, true, 9, Ok(())),
            (Some(100), 100, false, 0, Ok(())),
            (Some(100), 100, false, 1, moved),
            (Some(98), 100, false, 2, Ok(())),
        ] {
            let found = hindsight(heard.map(at), at(seen), &TICKET, in_step, at(within));
            let found = found.map_err(|refusal| refusal(Tick(5)));
            assert_eq!(found, expected, "news at {heard:?}, seen {seen}, visible within {within}");
        }
    }

    #[test]
    fn nothing_is_said_that_is_not_known() {
        let behind = Claim::Beyond(Cause::SourceBehind);
        for (refusal, seen, on_failure, expected) in [
            (None, 100, OnFailure::Refuse, Claim::Is(Freshness::Fresh)),
            (None, 97, OnFailure::Refuse, Claim::Is(Freshness::Within(at(3)))),
            (None, 80, OnFailure::Label, behind),
            (Some(Refusal::Moved(Tick(6))), 100, OnFailure::Refuse, Claim::Is(Freshness::Fresh)),
            (Some(Refusal::BelowFloor(Tick(6))), 100, OnFailure::Label, behind),
            (Some(Refusal::Forgotten), 100, OnFailure::Label, Claim::Is(Freshness::Unverified)),
            (Some(Refusal::Late), 100, OnFailure::Refuse, Claim::Refused),
        ] {
            assert_eq!(
                claim(refusal, at(seen), at(100), at(10), on_failure),
                expected,
                "{refusal:?} at {seen}"
            );
        }
    }

    #[test]
    fn who_waited_for_a_load_that_cannot_have_seen_the_news_loads_again() {
        for (refused, arrived, began, expected) in
            [(false, 9, 101, false), (true, 5, 101, false), (true, 6, 101, true), (false, 5, 111, true)]
        {
            let found = is_no_use(refused, &TICKET, Tick(arrived), at(began), at(10));
            assert_eq!(found, expected, "refused {refused}, arrived at tick {arrived}, began at {began}");
        }
    }
}
