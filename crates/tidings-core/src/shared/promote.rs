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
