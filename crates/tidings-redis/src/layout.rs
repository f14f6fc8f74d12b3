//! What is stored, byte by byte: the control record of a bucket, the note of a thing, the slot of a key.
//!
//! Everything begins with the format (`T1`) and one letter for what it is. Numbers are hexadecimal digits of fixed
//! width, so that scripts compare them as text, in any locale, without losing bits, and people can read them. What
//! begins otherwise, or has another length, is not understood: a slot of that kind is a miss, a control record of that
//! kind is not live. The scripts (`script/*.lua`) know the same offsets.

use tidings_core::entity::{Entity, Region};
use tidings_core::shared::level::{Kept, Part, Thing};
use tidings_core::shared::{AsOf, Control, Epoch, Incarnation, Line, Note, Phase, Slot, Token};
use tidings_core::{Stamp, Timeline, Version};

/// What a note or answer says where no version is known.
const NO_STAMP: &str = "------------------------";
/// Where a position begins in the text of an answer, and where what it was derived from does.
const AS_OF: usize = 43;
const PARTS: usize = 85;

/// Sixteen digits.
pub(crate) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// Eight digits of timeline, sixteen of place.
pub(crate) fn as_of(as_of: AsOf) -> String {
    format!("{:08x}{:016x}", as_of.timeline.0, as_of.at)
}

/// Eight digits of timeline, sixteen of version; or dashes.
pub(crate) fn stamp(stamp: Option<Stamp>) -> String {
    match stamp {
        Some(stamp) => format!("{:08x}{:016x}", stamp.timeline.0, stamp.version.number()),
        None => NO_STAMP.into(),
    }
}

/// What a thing is called within a bucket.
pub(crate) fn name(thing: &Thing) -> String {
    match thing {
        Thing::Entity(entity) => format!("e:{entity}"),
        Thing::Region(region) => format!("r:{region}"),
    }
}

fn thing(name: &str) -> Option<Thing> {
    match name.split_at_checked(2)? {
        ("e:", entity) => Entity::parse(entity).ok().map(Thing::Entity),
        ("r:", region) => {
            let (name, value) = region.split_once('/')?;
            Region::new(name, value).ok().map(Thing::Region)
        }
        _ => None,
    }
}

/// What an answer was derived from: how many, then of each the length of its name, its stamp and its name.
pub(crate) fn parts(parts: &[Part]) -> String {
    let mut text = format!("{:02x}", parts.len());
    for part in parts {
        let name = name(&part.thing);
        text.push_str(&format!("{:04x}{}{name}", name.len(), stamp(part.stamp)));
    }
    text
}

/// Reads the slot of a key that holds an answer, of which a script says whether its soft time to live is over.
pub(crate) fn kept(stored: &[u8], soft: bool) -> Option<Kept> {
    let as_of = position(text(stored, AS_OF, 24)?)?;
    let flags = u8::try_from(number(text(stored, PARTS - 2, 2)?)?).ok()?;
    let count = usize::try_from(number(text(stored, PARTS, 2)?)?).ok()?;
    let (mut parts, mut at) = (Vec::with_capacity(count), PARTS + 2);
    for _ in 0..count {
        let length = usize::try_from(number(text(stored, at, 4)?)?).ok()?;
        let stamp = version(text(stored, at + 4, 24)?)?;
        let thing = thing(text(stored, at + 28, length)?)?;
        parts.push(Part { thing, stamp });
        at += 28 + length;
    }
    Some(Kept { value: stored.get(at..)?.into(), parts, as_of, soft, flags })
}

/// Reads a control record, and where every region was bumped last.
#[must_use]
pub fn control(stored: &[u8]) -> Option<(Control, AsOf)> {
    let place = |at| position(text(stored, at, 24)?);
    let phase = match (text(stored, 0, 3)?, stored.len()) {
        ("T1o", 107) => Phase::Opening,
        ("T1l", 107) => Phase::Live(Line { since: place(35)?, position: place(59)? }),
        _ => return None,
    };
    let epoch = Epoch(number(text(stored, 3, 16)?)?);
    let incarnation = Incarnation(number(text(stored, 19, 16)?)?);
    Some((Control { epoch, incarnation, phase }, place(83)?))
}

/// Reads the note of a thing.
#[must_use]
pub fn note(stored: &[u8]) -> Option<Note> {
    if stored.len() != 91 || text(stored, 0, 3)? != "T1n" {
        return None;
    }
    let epoch = Epoch(number(text(stored, 3, 16)?)?);
    let (heard, minimum) = (position(text(stored, 43, 24)?)?, position(text(stored, 67, 24)?)?);
    let floor = version(text(stored, 19, 24)?)??;
    Some(Note { floor, heard, ..Slot::vacant(epoch, minimum, None) })
}

/// Reads the token of a placeholder; `None` if it is none, or if nobody loads.
#[must_use]
pub fn token(stored: &[u8]) -> Option<Token> {
    let placeholder = stored.len() == 75 && text(stored, 0, 3)? == "T1v";
    let token = number(text(stored, 43, 16)?)?;
    (placeholder && token != 0).then_some(Token(token))
}

fn text(stored: &[u8], at: usize, length: usize) -> Option<&str> {
    std::str::from_utf8(stored.get(at..at.checked_add(length)?)?).ok()
}

pub(crate) fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

pub(crate) fn position(digits: &str) -> Option<AsOf> {
    let (timeline, at) = digits.split_at_checked(8)?;
    Some(AsOf { timeline: Timeline(u32::from_str_radix(timeline, 16).ok()?), at: number(at)? })
}

/// Outer `None`: unreadable; inner: no version.
#[expect(clippy::option_option, reason = "unreadable is not the same as without a version")]
fn version(digits: &str) -> Option<Option<Stamp>> {
    if digits == NO_STAMP {
        return Some(None);
    }
    let AsOf { timeline, at } = position(digits)?;
    Some(Some(Stamp { timeline, version: Version::new(at)? }))
}

/// Reads a floor as a script tells it.
pub(crate) fn floor(digits: &str) -> Option<Stamp> {
    version(digits)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> (Vec<u8>, Vec<Part>) {
        let stamp = Stamp { timeline: Timeline(3), version: Version::MAX };
        let derived = vec![
            Part { thing: Thing::Entity(Entity::new("price", "Ä/42").unwrap()), stamp: Some(stamp) },
            Part { thing: Thing::Region(Region::new("category", "shoes").unwrap()), stamp: None },
        ];
        let at = as_of(AsOf { timeline: Timeline(1), at: u64::MAX });
        let head = format!("T1k{}{at}{at}{}7f{}", hex(9), hex(0), parts(&derived));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(b"\xff\x00value");
        (bytes, derived)
    }

    #[test]
    fn an_answer_reads_back() {
        let (bytes, derived) = answer();
        let read = kept(&bytes, true).unwrap();
        assert_eq!(read.parts, derived);
        assert_eq!((read.flags, read.soft, &*read.value), (0x7f, true, &b"\xff\x00value"[..]));
        assert_eq!(read.as_of, AsOf { timeline: Timeline(1), at: u64::MAX });
    }

    #[test]
    fn what_is_cut_off_before_its_value_is_not_understood() {
        let (bytes, _) = answer();
        let head = bytes.len() - b"\xff\x00value".len();
        for length in 0..head {
            assert_eq!(kept(&bytes[..length], false), None, "{length} bytes");
        }
    }

    #[test]
    fn text_has_the_order_of_numbers() {
        let place = |timeline, at| as_of(AsOf { timeline: Timeline(timeline), at });
        let ascending = [place(0, 9), place(0, 10), place(0, 1 << 63), place(1, 0), place(16, 0)];
        assert!(ascending.is_sorted() && ascending.iter().all(|text| text.len() == NO_STAMP.len()));
    }

    #[test]
    fn another_format_is_not_understood() {
        let record = format!("T1l{}{}{}", hex(1), hex(2), as_of(AsOf::default()).repeat(3));
        assert!(control(record.as_bytes()).is_some());
        for other in [record.replace("T1", "T2"), record.replace("T1l", "T1x"), format!("{record}0")] {
            assert_eq!(control(other.as_bytes()), None, "{other}");
        }
    }
}
