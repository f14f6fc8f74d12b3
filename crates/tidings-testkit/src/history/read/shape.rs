//! Which fields a line of each kind needs, and which it may have.

use tidings_core::Result;

use super::super::line::FIELDS;
use super::unreadable;

/// The kinds of lines: the field that names them, those that they need, and those that they may have.
const KINDS: &[(&str, &[&str], &[&str])] = &[
    ("baseline", &["version"], &["deleted", "digest"]),
    ("commit", &["version", "began"], &["ended", "deleted", "digest", "window", "revokes", "late"]),
    ("applied", &["version", "copy", "outcome", "at"], &["late"]),
    (
        "read",
        &["key", "copy", "began", "ended", "label", "path", "shows"],
        &["session", "bound", "token", "late"],
    ),
    ("subscribed", &["from"], &["kind"]),
    ("marked", &["upto", "at"], &["kind", "late"]),
    ("epoch", &["at"], &["late"]),
    ("held", &["copy", "upto", "at"], &["version", "absent", "digest", "in_force", "late"]),
    ("lease", &["until", "at"], &["kind", "late"]),
    ("settled", &[], &[]),
    ("end", &[], &["digest"]),
    ("tidings_history", &[], &[]),
];

/// A kind of line by its fields' bits.
struct Shape {
    name: &'static str,
    own: u64,
    needed: u64,
    allowed: u64,
}

#[derive(Debug)]
pub(super) struct Shapes(Vec<Shape>);

impl Default for Shapes {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Shapes {
    pub(super) fn new() -> Self {
        let bit = |name: &&str| 1_u64 << FIELDS.iter().position(|field| field == name).unwrap_or(63);
        let bits = |names: &[&str]| names.iter().map(bit).fold(0, |all, bit| all | bit);
        let shape = |(name, needed, more): &(&'static str, &[&str], &[&str])| {
            let (own, needed) = (bit(name), bits(needed));
            Shape { name, own, needed, allowed: own | needed | bits(more) }
        };
        Self(KINDS.iter().map(shape).collect())
    }

    /// The kind of a line with these fields.
    pub(super) fn of(&self, present: u64) -> Result<&'static str> {
        let mut kinds = self.0.iter().filter(|shape| present & shape.own != 0);
        let Some(shape) = kinds.next() else {
            return Err(unreadable("no field says what kind of record this is"));
        };
        let name = |bits: u64| FIELDS.get(bits.trailing_zeros() as usize).copied().unwrap_or("?");
        if present & !shape.allowed != 0 {
            let field = name(present & !shape.allowed);
            return Err(unreadable(format!("a line of kind {:?} has no field {field:?}", shape.name)));
        }
        if shape.needed & !present != 0 {
            let field = name(shape.needed & !present);
            return Err(unreadable(format!("a line of kind {:?} needs the field {field:?}", shape.name)));
        }
        Ok(shape.name)
    }
}
