//! What one copy has shown of one entity.

use tidings_core::{Entity, Stamp};

use crate::history::{Nanos, Read};

/// The reads that showed a newer version than every read that ended before them: both times and versions rise.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<Step>);

#[derive(Debug)]
struct Step {
    ended: Nanos,
    stamp: Stamp,
    /// The read that showed it first, as evidence, with this entity alone.
    read: Read,
}

impl Seen {
    /// A read of the same timeline that ended before `time` and showed a newer version than this.
    pub(super) fn newest_before(&self, time: Nanos, stamp: Stamp) -> Option<&Read> {
        let earlier = self.0.partition_point(|step| step.ended < time);
        let newest = self.0.iter().take(earlier).rev().find(|step| step.stamp.timeline == stamp.timeline)?;
        (newest.stamp > stamp).then_some(&newest.read)
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, read: &Read, entity: &Entity, stamp: Stamp) {
        // Reads come almost in the order in which they ended, and most show nothing new.
        let at = match self.0.last() {
            Some(last) if read.ended >= last.ended => self.0.len(),
            _ => self.0.partition_point(|step| step.ended <= read.ended),
        };
        if at.checked_sub(1).and_then(|before| self.0.get(before)).is_some_and(|step| step.stamp >= stamp) {
            return;
        }
        let overtaken = self.0.iter().skip(at).take_while(|step| step.stamp <= stamp).count();
        let read = Read {
            copy: read.copy.clone(),
            view: read.view.clone(),
            key: read.key.clone(),
            deps: vec![(entity.clone(), stamp)],
            ..*read
        };
        let step = Step { ended: read.ended, stamp, read };
        drop(self.0.splice(at..at + overtaken, [step]));
    }

    /// Keeps the newest of what ended before `time`, which all later reads are held to.
    pub(super) fn forget_before(&mut self, time: Nanos) {
        let old = self.0.partition_point(|step| step.ended < time);
        self.0.drain(..old.saturating_sub(1));
    }
}
