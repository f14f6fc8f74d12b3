//! A history in words.

use std::fmt::Write;

use super::Shared;
use super::draw::Act;

impl Shared {
    /// One line of the timeline: who did what, and what there is now.
    pub(super) fn line(&self, act: Act, result: u64) -> String {
        let Self { witness, source, log, store, copies, turn, .. } = self;
        let (at, position, published) = (witness.now, source.position(), log.len());
        let mut line = format!("{at:>5}  ");
        let said = match act {
            Act::Read => write!(line, "reader {turn} of k{}: {}", self.readers[*turn].key(), read(result)),
            Act::Member => write!(line, "member {turn}: {}", member(result)),
            Act::Follow => write!(line, "copy {}: {}", copies[*turn].number, done(result, "applies")),
            Act::Fault(fault) => {
                write!(line, "fault: {}{}", fault.name(), if result > 0 { "" } else { ", in vain" })
            }
            act => write!(line, "{act:?}: {}", done(result, "done")),
        };
        let said = said.and_then(|()| write!(line, " | source {position}, {published} published | {store}"));
        let said = copies.iter().fold(said, |said, copy| said.and_then(|()| write!(line, " | {copy}")));
        debug_assert!(said.is_ok(), "writing to a string");
        line
    }
}

const fn done(result: u64, what: &'static str) -> &'static str {
    if result > 0 { what } else { "nothing to do" }
}

/// In the order of `Stepped`.
const fn member(result: u64) -> &'static str {
    match result {
        0 => "nothing to do",
        1 => "tells a key",
        2 => "waits for another's opening",
        3 => "works on opening an epoch",
        _ => "opens an epoch",
    }
}

/// What the steps of a reader answer.
const fn read(result: u64) -> &'static str {
    match result {
        1 => "hit in its own cache",
        2 => "begins, nothing in its own cache",
        6 => "loads from the primary",
        7 => "loads from the replica",
        8 => "loads from the old primary",
        10 => "fill of L2 refused",
        11 => "fill of L2 kept",
        12 => "takes its ticket now",
        16 => "hit in L2",
        17 => "miss in L2, gets a token",
        18 => "miss in L2, somebody else is loading",
        19 => "L2 is not live",
        20 => "answers without keeping",
        21 => "fill of its own cache refused",
        22 => "fill of its own cache kept",
        _ => "rests",
    }
}
