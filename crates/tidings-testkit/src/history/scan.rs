//! The quick way to read a line: one that is spelled as [`super::Writer`] spells it. Every other line, good or bad, is
//! left to [`super::line`], which says what is wrong with it.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use tidings_core::{Stamp, Version};

use super::line::{Text, version};
use super::raw::{Raw, RawCommit, RawRead};
use super::read::digest;
use super::{InForce, Nanos, Span, State, words};

/// What a read of the line shows: where the entity's name is in the line, and what of it.
pub(super) type Place = (Range<usize>, State);

/// What a line says.
#[derive(Debug)]
pub(super) enum Scanned<'a> {
    Record(Raw<&'a str, &'a str>),
    Settled(Nanos),
}

/// What a line says, if it is spelled as expected. What its read shows goes to `shows`.
pub(super) fn scan<'a>(line: &'a [u8], shows: &mut Vec<Place>) -> Option<Scanned<'a>> {
    shows.clear();
    let text = str::from_utf8(line).ok()?;
    let mut scan = Scan { text, at: 0 };
    let said = scan.line(shows)?;
    scan.eat(b"}\n")?;
    (scan.at == line.len()).then_some(said)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    #[inline]
    fn has<const N: usize>(&self, what: &[u8; N]) -> bool {
        self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.first_chunk() == Some(what))
    }

    #[inline]
    fn eat<const N: usize>(&mut self, what: &[u8; N]) -> Option<()> {
        self.has(what).then(|| self.at += N)
    }

    /// What follows, if this does.
    #[inline]
    fn after<T, const N: usize>(
        &mut self,
        what: &[u8; N],
        then: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.eat(what).is_none() {
            return Some(None);
        }
        then(self).map(Some)
    }

    /// A text without escapes: where it is.
    fn place(&mut self) -> Option<Range<usize>> {
        self.eat(b"\"")?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = plain(rest)?;
        let place = self.at..self.at + length;
        self.at = place.end;
        self.eat(b"\"")?;
        Some(place)
    }

    fn text(&mut self) -> Option<&'a str> {
        let place = self.place()?;
        self.text.get(place)
    }

    fn number(&mut self) -> Option<u64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let (mut number, mut length) = (0_u64, 0);
        for digit in digits {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            length += 1;
        }
        // A number has no leading zero.
        if length == 0 || (length > 1 && rest.first() == Some(&b'0')) {
            return None;
        }
        self.at += length;
        Some(number)
    }

    fn line(&mut self, shows: &mut Vec<Place>) -> Option<Scanned<'a>> {
        let raw = match self.text.as_bytes().get(2..4)? {
            b"re" => Raw::Read(self.read(shows)?),
            b"ap" => self.applied()?,
            b"co" => Raw::Commit(self.commit()?),
            b"ma" => {
                let (copy, kind) = self.word(b"{\"marked\":")?;
                Raw::Marked { copy, kind, upto: self.field(b",\"upto\":")?, at: self.field(b",\"at\":")? }
            }
            b"he" => self.held()?,
            b"le" => {
                let (copy, kind) = self.word(b"{\"lease\":")?;
                Raw::Lease { copy, kind, until: self.field(b",\"until\":")?, at: self.field(b",\"at\":")? }
            }
            b"ep" => {
                self.eat(b"{\"epoch\":")?;
                Raw::Epoch { copy: self.text()?, at: self.field(b",\"at\":")? }
            }
            b"se" => return self.field(b"{\"settled\":").map(Scanned::Settled),
            b"su" => {
                let (copy, kind) = self.word(b"{\"subscribed\":")?;
                Raw::Subscribed { copy, kind, from: self.field(b",\"from\":")? }
            }
            b"ba" => {
                self.eat(b"{\"baseline\":")?;
                let (entity, stamp) = (self.text()?, self.version()?);
                let deleted = self.eat(b",\"deleted\":true").is_some();
                Raw::Baseline { entity, stamp, deleted, digest: self.digest()? }
            }
            _ => return None,
        };
        Some(Scanned::Record(raw))
    }

    #[inline]
    fn field<const N: usize>(&mut self, name: &[u8; N]) -> Option<u64> {
        self.eat(name)?;
        self.number()
    }

    #[inline]
    fn duration<const N: usize>(&mut self, name: &[u8; N]) -> Option<Option<Duration>> {
        self.after(name, Self::number).map(|nanos| nanos.map(Duration::from_nanos))
    }

    /// A copy, and perhaps a kind.
    #[inline]
    fn word<const N: usize>(&mut self, open: &[u8; N]) -> Option<(&'a str, Option<&'a str>)> {
        self.eat(open)?;
        Some((self.text()?, self.after(b",\"kind\":", Self::text)?))
    }

    fn version(&mut self) -> Option<Stamp> {
        self.eat(b",\"version\":")?;
        self.stamp()
    }

    fn stamp(&mut self) -> Option<Stamp> {
        if self.has(b"\"") {
            return version(self.text()?);
        }
        Version::new(self.number()?).map(Stamp::of)
    }

    fn digest(&mut self) -> Option<Option<u64>> {
        self.after(b",\"digest\":", |scan| digest(Some(&Text(Cow::Borrowed(scan.text()?)))).ok()?)
    }

    fn state(&mut self) -> Option<State> {
        if self.eat(b",\"absent\":true").is_some() {
            return Some(State::Absent);
        }
        let (stamp, digest) = (self.version()?, self.digest()?);
        let in_force = self.after(b",\"in_force\":", |scan| {
            if scan.eat(b"\"nothing\"").is_some() {
                return Some(InForce::Nothing);
            }
            scan.stamp().map(InForce::Version)
        })?;
        Some(State::At { stamp, digest, in_force })
    }

    fn applied(&mut self) -> Option<Raw<&'a str, &'a str>> {
        self.eat(b"{\"applied\":")?;
        let (entity, stamp) = (self.text()?, self.version()?);
        self.eat(b",\"copy\":")?;
        let copy = self.text()?;
        self.eat(b",\"outcome\":")?;
        let outcome = words::to_outcome(self.text()?)?;
        Some(Raw::Applied { copy, entity, stamp, outcome, at: self.field(b",\"at\":")? })
    }

    fn commit(&mut self) -> Option<RawCommit<&'a str>> {
        self.eat(b"{\"commit\":")?;
        let (entity, stamp, began) = (self.text()?, self.version()?, self.field(b",\"began\":")?);
        let ended = self.after(b",\"ended\":", Self::number)?;
        let deleted = self.eat(b",\"deleted\":true").is_some();
        let digest = self.digest()?;
        let window = self.after(b",\"window\":[", |scan| {
            let (from, until) = (scan.number()?, scan.field(b",")?);
            scan.eat(b"]")?;
            (from <= until).then_some(Span { from, until })
        })?;
        let revokes = self.duration(b",\"revokes\":")?;
        Some(RawCommit { entity, stamp, began, ended, deleted, digest, window, revokes })
    }

    fn held(&mut self) -> Option<Raw<&'a str, &'a str>> {
        self.eat(b"{\"held\":")?;
        let (entity, state) = (self.text()?, self.state()?);
        self.eat(b",\"copy\":")?;
        let copy = self.text()?;
        Some(Raw::Held {
            copy,
            entity,
            state,
            upto: self.field(b",\"upto\":")?,
            at: self.field(b",\"at\":")?,
        })
    }

    fn read(&mut self, shows: &mut Vec<Place>) -> Option<RawRead<&'a str, &'a str>> {
        self.eat(b"{\"read\":")?;
        let view = self.text()?;
        self.eat(b",\"key\":")?;
        let key = self.text()?;
        self.eat(b",\"copy\":")?;
        let copy = self.text()?;
        let session = self.after(b",\"session\":", Self::number)?.unwrap_or(0);
        let (began, ended) = (self.field(b",\"began\":")?, self.field(b",\"ended\":")?);
        self.eat(b",\"label\":")?;
        let freshness = words::to_label(self.text()?)?;
        self.eat(b",\"path\":")?;
        let path = words::to_path(self.text()?)?;
        let bound = self.duration(b",\"bound\":")?;
        let token = self.after(b",\"token\":{\"entity\":", |scan| {
            let token = (scan.text()?, scan.version()?);
            scan.eat(b"}")?;
            Some(token)
        })?;
        self.eat(b",\"shows\":[")?;
        while !self.has(b"]") {
            if !shows.is_empty() {
                self.eat(b",")?;
            }
            self.eat(b"{\"entity\":")?;
            shows.push((self.place()?, self.state()?));
            self.eat(b"}")?;
        }
        self.eat(b"]")?;
        Some(RawRead { copy, session, view, key, token, began, ended, freshness, path, bound })
    }
}

/// Where the first byte is that is not simply part of a text: a quote, a backslash, or what is below a space.
fn plain(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of every byte below `limit`, up to the first at least.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let is_any = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut words = text.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let ends = is_any(word, b'"') | is_any(word, b'\\') | below(word, u64::from(b' '));
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let last = words.remainder().iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    Some(at + last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_the_first_byte_that_is_not_plain() {
        for length in 0..40 {
            for end in 0..=u8::MAX {
                let text =
                    [vec![b'\x80'; length / 2], vec![b'z'; length - length / 2], vec![end, b'"']].concat();
                let is_plain = !matches!(end, b'"' | b'\\' | ..b' ');
                assert_eq!(plain(&text), Some(length + usize::from(is_plain)), "{length} {end}");
                assert_eq!(plain(&text[..length]), None);
            }
        }
    }
}
