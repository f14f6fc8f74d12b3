//! Numbers for names.

use std::hash::Hasher;

use tidings_core::Result;

use super::hash::Fast;
use crate::history::Name;

/// Names in the order in which they were met.
#[derive(Debug)]
pub(super) struct Table<T> {
    names: Vec<T>,
    /// Half of a name's hash and its number plus one, where the other half says or in the next place that was free.
    /// Twice as many as there are names, or more; a power of two.
    places: Vec<(u32, u32)>,
    /// Numbers by where the name is in memory: most callers use the same few again and again. A wrong one does no harm.
    recent: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { names: Vec::new(), places: Vec::new(), recent: Vec::new() }
    }
}

pub(super) fn hash_of(text: &str) -> u64 {
    let mut hash = Fast::default();
    hash.write(text.as_bytes());
    hash.finish()
}

/// The upper half, and where to look first.
const fn split(hash: u64) -> (u32, usize) {
    ((hash >> 32) as u32, hash as u32 as usize)
}

impl<T> Table<T>
where
    for<'a> &'a T: Name<T>,
{
    pub(super) fn name(&self, number: u32) -> Option<&T> {
        self.names.get(number as usize)
    }

    /// The number, and whether it is new.
    ///
    /// # Errors
    /// If it is no such name.
    pub(super) fn number<N: Name<T>>(&mut self, name: N) -> Result<(u32, bool)> {
        let spot = spot(name.text()) & self.recent.len().wrapping_sub(1);
        for spot in [spot, spot ^ 1] {
            if let Some(number) = self.recent.get(spot)
                && self.name(*number).is_some_and(|known| name.is(known))
            {
                return Ok((*number, false));
            }
        }
        let (half, mut place) = split(hash_of(name.text()));
        while let Some((of, number)) = self.places.get(place & self.places.len().wrapping_sub(1)) {
            let Some(number) = number.checked_sub(1) else { break };
            if *of == half
                && let Some(known) = self.name(number)
                && known.text() == name.text()
            {
                if name.is(known) {
                    self.note(spot, number);
                }
                return Ok((number, false));
            }
            place += 1;
        }
        let own = name.own()?;
        let number = self.names.len() as u32;
        self.names.push(own);
        self.place(number);
        Ok((number, true))
    }

    /// Moves what was here to the place beside it.
    fn note(&mut self, spot: usize, number: u32) {
        let before = self.recent.get_mut(spot).map(|recent| std::mem::replace(recent, number));
        if let (Some(before), Some(beside)) = (before, self.recent.get_mut(spot ^ 1)) {
            *beside = before;
        }
    }

    /// Finds a place for the newest name, and for all others if that takes more room.
    fn place(&mut self, number: u32) {
        if self.names.len() * 2 <= self.places.len() {
            return self.place_one(number);
        }
        let room = (self.names.len() * 4).next_power_of_two();
        self.places = vec![(0, 0); room];
        self.recent = vec![0; room];
        (0..=number).for_each(|number| self.place_one(number));
    }

    fn place_one(&mut self, number: u32) {
        let Some(name) = self.names.get(number as usize) else { return };
        let (half, mut place) = split(hash_of(name.text()));
        let mask = self.places.len() - 1;
        while self.places.get(place & mask).is_some_and(|(_, number)| *number != 0) {
            place += 1;
        }
        if let Some(free) = self.places.get_mut(place & mask) {
            *free = (half, number + 1);
        }
    }
}

/// A number from a place in memory.
fn spot(text: &str) -> usize {
    let address = text.as_ptr() as usize as u64;
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_name_has_one_number_whoever_says_it() {
        let mut table = Table::<Arc<str>>::default();
        let names: Vec<Arc<str>> = (0..5000).map(|number| format!("name {number}").into()).collect();
        for again in [false, true] {
            for (number, name) in (0..).zip(&names) {
                assert_eq!(table.number(name).unwrap(), (number, !again));
                assert_eq!(table.number(&*format!("name {number}")).unwrap(), (number, false));
                let other: Arc<str> = name.to_string().into();
                assert_eq!(table.number(&other).unwrap(), (number, false), "the same name elsewhere");
                assert_eq!(table.name(number), Some(name));
            }
        }
        assert_eq!(table.name(5000), None);
    }
}
