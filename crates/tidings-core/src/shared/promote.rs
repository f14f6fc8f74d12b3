//! From the shared level into a process: a fill like any other, of which the copy knows less.
//!
//! A load that began under a ticket read the source after the ticket was taken, or a replica that lags by a known bound.
//! An answer of the shared level may be as old as its bucket is behind, and nothing bounds that: its consumer may stand
//! still while this copy goes on. So besides the ticket, which is taken before the shared level is asked, the answer's
//! own as-of counts.

use super::AsOf;
use crate::version::Stamp;

/// What a copy notes with its ticket, before it asks the shared level; both rise with what it keeps until the fill lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passage {
    /// The oldest state that this copy's floors cover: where it began to follow the log, or opened its newest epoch, or,
    /// if that is later, the newest state known of a floor that it has forgotten.
    pub least: AsOf,
    /// The newest position it had applied when the ticket was taken, or has seen in a fill that it kept since.
    pub heard: AsOf,
}

/// The answer was read from too old a state; it would have to be from this one or a later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Behind(pub AsOf);

/// Something was heard or shown of which nobody can tell where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unplaced;

/// Whether an answer may go on to the [fence](crate::fence), which then holds it to its floors and its ticket.
///
/// For one with a version the floors say the rest. One without a version is good only if nothing has moved since it
/// was read, and the ticket knows only of what moved since the ticket.
pub fn promotes(stamp: Option<Stamp>, as_of: AsOf, passage: Passage) -> Result<(), Behind> {
    let needed = match stamp {
        Some(_) => passage.least,
        None => passage.least.max(passage.heard),
    };
    if as_of < needed { Err(Behind(needed)) } else { Ok(()) }
}

/// What one snapshot of the source has seen, in the order of its commits: everything up to `least`, some of what came after,
/// and nothing after `most`.
///
/// Transactions do not commit in the order in which they are numbered. As long as an old one is open, `least` stays before
/// it; `most` goes on. So `least` says what an answer is sure to contain, and `most` how late its snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// Everything up to here is in it.
    pub least: AsOf,
    /// Nothing after this is in it. More than `least` only if the present of the primary was read: on what follows it, what
    /// is newest says nothing of what is still to come before that.
    pub most: AsOf,
}

impl Seen {
    /// A state of which only the one is known.
    #[must_use]
    pub const fn at(position: AsOf) -> Self {
        Self { least: position, most: position }
    }

    /// Whether a load that said it reads the present has read something older than `heard`, which the shared level had heard
    /// of before the load began.
    ///
    /// What was read with its version is the primary's present if the snapshot was taken after something as new had ended
    /// there: what it lacks nobody could read yet. What has no version, and what was read from elsewhere, must contain all
    /// that was heard.
    #[must_use]
    pub fn is_before(self, heard: AsOf, is_versioned: bool) -> bool {
        let read = if is_versioned { self.most.max(self.least) } else { self.least };
        read < heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Timeline;

    const fn pos(timeline: u32, at: u64) -> AsOf {
        AsOf { timeline: Timeline(timeline), at }
    }

    #[test]
    fn with_versions_a_snapshot_is_as_late_as_the_newest_that_it_could_contain() {
        for (what, least, most, is_versioned, expected) in [
            ("all that was heard", 150, 150, false, false),
            ("an older transaction is open", 148, 150, true, false),
            ("the same, without a version", 148, 150, false, true),
            ("from before", 148, 149, true, true),
            ("of what follows a primary", 148, 148, true, true),
            ("of a standby", 0, 0, true, true),
        ] {
            let seen = Seen { least: pos(1, least), most: pos(1, most) };
            assert_eq!(seen.is_before(pos(1, 150), is_versioned), expected, "{what}");
        }
        let deposed = Seen { least: pos(0, 900), most: pos(0, 999) };
        assert!(deposed.is_before(pos(1, 150), true), "a primary that has been replaced");
    }
}
