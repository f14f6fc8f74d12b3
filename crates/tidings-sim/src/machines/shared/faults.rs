//! What goes wrong by itself.

use super::witness::MOST_COPIES;
use super::{KEYS, Shared, consumer};
use crate::choices::Choices;
use crate::fault::Fault;

impl Shared {
    /// Lets a fault strike; false if there was nothing to strike at.
    pub(super) fn strike(&mut self, fault: Fault, choices: &mut Choices) -> bool {
        match fault {
            Fault::Double => self.redeliver(choices),
            Fault::Kill => self.kill(choices),
            Fault::Rebalance => {
                // The old owner goes on with what it has, but commits no more.
                self.owner = 1 - self.owner;
                self.members[self.owner].start(self.committed);
                true
            }
            Fault::Wipe => {
                self.store.wipe();
                true
            }
            Fault::OldDump => {
                self.store.restart();
                true
            }
            Fault::Eviction => self.store.evict(choices.below(KEYS as u32) as usize),
            Fault::ControlLost => {
                self.store.evict_control();
                true
            }
            Fault::StoreFailover => {
                self.store.fail_over();
                if choices.chance(300) {
                    // And back at once: what was written between is gone, under the same roof as before.
                    self.store.replicate();
                    self.store.fail_over();
                }
                true
            }
            Fault::Failover => {
                self.fail_over();
                true
            }
            _ => false,
        }
    }

    /// An event that was heard before comes again, however late.
    fn redeliver(&mut self, choices: &mut Choices) -> bool {
        let known = self.committed.min(self.log.len());
        let index = choices.below(known as u32) as usize;
        let second = choices.chance(300);
        let Some(event) = self.log.get(index).filter(|_| index < known) else { return false };
        consumer::tell(event, second, &mut self.store, &mut self.witness, self.draw.carries).is_ok()
    }

    fn kill(&mut self, choices: &mut Choices) -> bool {
        let which = choices.below((2 + self.copies.len()) as u32) as usize;
        if let Some(member) = self.members.get_mut(which) {
            member.start(self.committed);
            return true;
        }
        if self.next_copy + 2 > MOST_COPIES {
            return false;
        }
        self.copies[which - 2] = self.start_copy();
        true
    }

    /// The source's replica takes over. Commits that it had not replayed are lost; their writers may have been told.
    fn fail_over(&mut self) {
        let now = self.witness.now;
        for (event, began) in self.source.unseen().iter().zip(self.begun.drain(..)) {
            if let Some(entity) = event.entity {
                self.witness.committed(entity, event.stamp, began, u64::MAX);
            }
        }
        let state = self.source.fail_over();
        for (entity, stamp) in state.into_iter().enumerate() {
            self.witness.committed(entity, stamp, now, now);
        }
    }
}
