//! The end of a history: nothing goes wrong any more, everything is told, and what is still served is compared.

use super::reader::Around;
use super::source::From;
use super::{KEYS, SHARED, Shared};
use crate::mutant::Mutant;
use crate::tally::Tally;

/// How many steps everything may take to come to rest.
const PATIENCE: usize = 400;

impl Shared {
    /// No more faults: everything is published, seen, told and followed. False if it does not come to rest.
    pub(super) fn rest(&mut self, mutant: Option<Mutant>, tally: &mut Tally) -> bool {
        while self.publish() + self.see() > 0 {}
        self.source.settle();
        for copy in 0..self.copies.len() {
            while self.follow(copy) > 0 {}
        }
        self.members[1 - self.owner].start(self.log.len());
        for _ in 0..PATIENCE {
            self.witness.now += 10;
            if self.committed >= self.log.len() && self.store.is_live() {
                break;
            }
            self.member(self.owner, false, mutant, tally);
        }
        for which in 0..self.readers.len() {
            let mut reader = self.readers[which];
            while !reader.is_idle() {
                self.witness.now += 10;
                let Self { copies, source, store, witness, draw, .. } = self;
                let (lease, told, bare) = (draw.lease, !draw.untold, draw.bare);
                let mut around = Around { copies, source, store, witness, tally, mutant, lease, told, bare };
                reader.step(From::Primary, &mut around);
            }
            self.readers[which] = reader;
        }
        self.committed >= self.log.len() && self.store.is_live()
    }

    /// Whatever is still served must now be the truth.
    pub(super) fn look_at_the_end(&mut self) {
        self.witness.now += 10;
        for key in 0..KEYS {
            if let Some(answer) = self.store.served(key) {
                let least = self.witness.newest(SHARED, key);
                self.witness.shown(SHARED, key, self.witness.now, least, &answer.value);
                self.witness.held(SHARED, key, &answer.value);
            }
            for copy in &self.copies {
                if let Some(answer) = copy.served(key) {
                    let least = self.witness.newest(copy.number, key);
                    self.witness.shown(copy.number, key, self.witness.now, least, &answer.value);
                    self.witness.held(copy.number, key, &answer.value);
                }
            }
        }
    }
}
