//! Answers that are derived from several things: entities, and regions they lie in.
//!
//! Each thing that some answer in a bucket depends on has a **note** there: a [`Slot`] without an answer, made at the
//! bucket's position and told the news of its thing by [`invalidate`](super::invalidate), like any slot. An answer
//! stands while every one of its notes accepts it. So news is one small write, however many answers depend on the thing,
//! and a thing that no answer depends on has no note. A note that was lost is made again at the bucket's position, which
//! covers whatever the lost one had heard.
//!
//! An answer's own slot then only says who loads it, and from what state at the least.

use super::control::{self, Control, NotLive};
use super::slot::{Answer, Content, Looked, Miss, Slot, Unheard, Unkept};
use super::{AsOf, Epoch, Incarnation, Token, fill, look};
use crate::version::Stamp;

/// What is known of one thing that answers depend on.
pub type Note = Slot<()>;

/// The notes of what one answer was derived from, each with the version that was read of it, if one was.
pub type Parts<'a> = [(&'a mut Option<Note>, Option<Stamp>)];

/// The bucket's side of a look or a fill.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The bucket's life.
    pub epoch: Epoch,
    /// Its position: where a missing note is made.
    pub position: AsOf,
    /// The oldest state that any answer may have been read from: where every region was bumped last.
    pub least: AsOf,
}

impl Standing {
    /// That of a live bucket.
    pub fn of(control: Option<&Control>, here: Incarnation, least: AsOf) -> Result<Self, NotLive> {
        let (epoch, line) = control::live(control, here)?;
        Ok(Self { epoch, position: line.position, least })
    }

    /// Makes a note where there is none of this epoch.
    pub fn note(self, note: &mut Option<Note>) -> &mut Note {
        note.take_if(|note| note.epoch != self.epoch);
        note.get_or_insert_with(|| Slot::vacant(self.epoch, self.position, None))
    }

    /// Whether an answer stands. Makes the notes that are missing, also if it does not.
    pub fn upholds(self, parts: &mut Parts<'_>, as_of: AsOf) -> Result<(), Unkept> {
        let mut verdict = if as_of < self.least { Err(Unkept::TooOld(self.least)) } else { Ok(()) };
        for (note, stamp) in parts {
            let accepted = self.note(note).accepts(*stamp, as_of);
            verdict = verdict.and(accepted);
        }
        verdict
    }
}

/// Reads a key whose answer, if it has one, was derived from `parts`. An answer that no longer stands goes, and is
/// the least that the next one must reach: what was shown is not undone.
pub fn look_derived<'a, V>(
    control: Option<&Control>,
    least: AsOf,
    slot: &'a mut Option<Slot<V>>,
    parts: &mut Parts<'_>,
    here: Incarnation,
    miss: Miss,
) -> Looked<'a, V> {
    let standing = match Standing::of(control, here, least) {
        Ok(standing) => standing,
        Err(why) => return Looked::NotLive(why),
    };
    if let Some(Slot { epoch, heard, minimum, content, .. }) = slot
        && *epoch == standing.epoch
        && let Content::Kept(answer) = content
        && standing.upholds(parts, answer.as_of).is_err()
    {
        *minimum = answer.as_of.max(*minimum);
        *heard = *minimum;
        *content = Content::Vacant(None);
    }
    look(control, slot, here, miss)
}

/// Brings what was loaded after a miss, and was derived from `parts`.
///
/// # Errors
/// As for [`fill`], and of the first part that does not accept it.
#[expect(clippy::too_many_arguments, reason = "the records of one atomic step")]
pub fn fill_derived<V>(
    control: &mut Option<Control>,
    least: AsOf,
    slot: &mut Option<Slot<V>>,
    parts: &mut Parts<'_>,
    here: Incarnation,
    token: Token,
    value: V,
    as_of: AsOf,
) -> Result<(), Unkept> {
    let standing = Standing::of(control.as_ref(), here, least).map_err(Unkept::NotLive)?;
    holds(slot.as_ref(), standing.epoch, token)?.accepts(None, as_of)?;
    standing.upholds(parts, as_of)?;
    fill(control, slot, here, token, Answer { value, stamp: None, as_of })
}

/// Gives up what a miss was handed: the next to look loads.
pub fn abandon<V>(slot: &mut Option<Slot<V>>, token: Token) {
    if let Some(Slot { content: Content::Vacant(lease), .. }) = slot {
        lease.take_if(|lease| lease.token == token);
    }
}

/// Every region was bumped: nothing read from before the position stands.
///
/// # Errors
/// As for [`invalidate`](super::invalidate).
pub fn bump_all(
    control: &mut Option<Control>,
    least: &mut AsOf,
    here: Incarnation,
    position: AsOf,
) -> Result<(), Unheard> {
    let (epoch, line) = control::live(control.as_ref(), here).map_err(Unheard::NotLive)?;
    if position.timeline > line.since.timeline {
        return Err(Unheard::NewTimeline(epoch));
    }
    control::advance(control, position);
    *least = position.max(*least);
    Ok(())
}

fn holds<V>(slot: Option<&Slot<V>>, epoch: Epoch, token: Token) -> Result<&Slot<V>, Unkept> {
    slot.filter(|slot| slot.epoch == epoch)
        .filter(|slot| matches!(slot.content, Content::Vacant(Some(lease)) if lease.token == token))
        .ok_or(Unkept::Lost)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{News, claim, invalidate, open};
    use super::*;
    use crate::version::{Timeline, Version};

    const HERE: Incarnation = Incarnation(1);

    fn pos(at: u64) -> AsOf {
        AsOf { timeline: Timeline(0), at }
    }

    fn at(version: u64) -> Stamp {
        Stamp::of(Version::new(version).unwrap())
    }

    fn opened(since: u64) -> Option<Control> {
        let mut control = None;
        claim(&mut control, HERE, Epoch(1), None).unwrap();
        open(&mut control, HERE, Epoch(1), pos(since)).unwrap();
        control
    }

    fn miss(token: u64) -> Miss {
        Miss { token: Token(token), now: Duration::ZERO, lease: Duration::ZERO }
    }

    #[test]
    fn an_answer_stands_while_every_part_accepts_it() {
        for (version, position, told, as_of, stands) in [
            (Some(7), 8, Some(7), 5, true),
            (Some(8), 8, Some(7), 5, false),
            (Some(8), 8, None, 7, false),
            (Some(8), 8, None, 8, true),
            (None, 8, Some(9), 7, false),
            (None, 8, Some(9), 8, true),
        ] {
            let (mut control, mut slot, mut price, mut stock) = (opened(5), None::<Slot<()>>, None, None);
            look_derived(control.as_ref(), pos(5), &mut slot, &mut [], HERE, miss(1));
            let parts: &mut Parts<'_> = &mut [(&mut price, told.map(at)), (&mut stock, None)];
            fill_derived(&mut control, pos(5), &mut slot, parts, HERE, Token(1), (), pos(as_of)).unwrap();
            let news = News { stamp: version.map(at), position: pos(position) };
            invalidate(&mut control, &mut price, HERE, news).unwrap();
            let parts: &mut Parts<'_> = &mut [(&mut price, told.map(at)), (&mut stock, None)];
            let looked = look_derived(control.as_ref(), pos(5), &mut slot, parts, HERE, miss(2));
            assert_eq!(matches!(looked, Looked::Hit(_)), stands, "{news:?} to {told:?} as of {as_of}");
        }
    }

    #[test]
    fn a_part_that_was_lost_is_held_to_all_that_was_heard() {
        let (mut control, mut slot, mut price) = (opened(5), None::<Slot<()>>, None);
        look_derived(control.as_ref(), pos(5), &mut slot, &mut [], HERE, miss(1));
        let parts: &mut Parts<'_> = &mut [(&mut price, Some(at(7)))];
        fill_derived(&mut control, pos(5), &mut slot, parts, HERE, Token(1), (), pos(6)).unwrap();
        let news = News { stamp: Some(at(8)), position: pos(9) };
        invalidate(&mut control, &mut None::<Note>, HERE, news).unwrap();
        price = None;
        let parts: &mut Parts<'_> = &mut [(&mut price, Some(at(7)))];
        let looked = look_derived(control.as_ref(), pos(5), &mut slot, parts, HERE, miss(2));
        assert_eq!(looked, Looked::Vacant { floor: Stamp::default(), minimum: pos(6) });
    }

    #[test]
    fn bumping_everything_binds_what_depends_on_nothing() {
        let (mut control, mut slot, mut least) = (opened(5), None::<Slot<()>>, pos(5));
        look_derived(control.as_ref(), least, &mut slot, &mut [], HERE, miss(1));
        bump_all(&mut control, &mut least, HERE, pos(8)).unwrap();
        for (as_of, kept) in [(7, Err(Unkept::TooOld(pos(8)))), (8, Ok(()))] {
            let filled =
                fill_derived(&mut control, least, &mut slot, &mut [], HERE, Token(1), (), pos(as_of));
            assert_eq!(filled, kept);
        }
        bump_all(&mut control, &mut least, HERE, pos(9)).unwrap();
        let looked = look_derived(control.as_ref(), least, &mut slot, &mut [], HERE, miss(2));
        assert_eq!(looked, Looked::Vacant { floor: Stamp::default(), minimum: pos(8) });
    }

    #[test]
    fn who_gives_up_leaves_room_only_for_itself() {
        let (control, mut slot) = (opened(5), None::<Slot<()>>);
        let long = |token| Miss { lease: Duration::from_secs(9), ..miss(token) };
        look_derived(control.as_ref(), pos(5), &mut slot, &mut [], HERE, long(1));
        abandon(&mut slot, Token(2));
        let look = |slot: &mut _| {
            let looked = look_derived(control.as_ref(), pos(5), slot, &mut [], HERE, long(3));
            matches!(looked, Looked::Filling)
        };
        assert!(look(&mut slot));
        abandon(&mut slot, Token(1));
        assert!(!look(&mut slot));
    }
}
