//! What an answer shows, for people and for the trace.

use crate::machines::copy::Cell;
use crate::machines::draw::ENTITIES;

/// For people.
pub(super) fn words(cells: &[Option<Cell>; ENTITIES]) -> String {
    let word = |cell: &Cell| {
        let absent = if cell.absent { " (absent)" } else { "" };
        format!("price/{}@{}{absent}", cell.shown.entity, cell.stamp)
    };
    cells.iter().flatten().map(word).collect::<Vec<_>>().join(" ")
}

/// For the trace.
pub(super) fn shows_hash(cells: &[Option<Cell>; ENTITIES]) -> u64 {
    cells.iter().flatten().fold(0, |hash, cell| hash * 16 + cell.stamp.version.number())
}
