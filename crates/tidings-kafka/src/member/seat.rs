//! What a member holds, and which commits may still be made for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::Partition;

/// What this member holds.
#[derive(Default)]
pub(super) struct Seat {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with the number of its assignment.
    held: BTreeMap<Partition, u64>,
    /// The assignments that the driver has heard of. One that it has not belongs to nobody yet: what comes for it is of
    /// an older one.
    heard: BTreeMap<Partition, u64>,
    assignments: u64,
    /// Those being taken away, and whom to tell once they are released.
    leaving: Option<(BTreeSet<Partition>, Sender<()>)>,
    /// Commits that are with the client.
    in_flight: usize,
    left: bool,
}

/// Partitions and the assignments under which they are held.
pub(super) type Tickets = Vec<(Partition, u64)>;

/// A commit that is with the client. No partition changes hands meanwhile.
pub(super) struct InFlight<'a>(&'a Seat);

impl Seat {
    /// Also those being taken away.
    pub(super) fn held(&self) -> Vec<Partition> {
        self.lock().held.keys().cloned().collect()
    }

    /// These are held from now on, by an assignment of this number.
    pub(super) fn take(&self, partitions: &[Partition]) -> u64 {
        let mut state = self.lock();
        state.assignments += 1;
        let number = state.assignments;
        state.held.extend(partitions.iter().map(|partition| (partition.clone(), number)));
        number
    }

    /// The driver hears of an assignment.
    pub(super) fn hear<'a>(&self, partitions: impl Iterator<Item = &'a Partition>, number: u64) {
        self.lock().heard.extend(partitions.map(|partition| (partition.clone(), number)));
    }

    pub(super) fn give_up(&self, partitions: &[Partition]) {
        self.lock().held.retain(|partition, _| !partitions.contains(partition));
    }

    /// These are to be released by their driver; the answer says when they all are.
    pub(super) fn ask_back(&self, partitions: &[Partition]) -> Receiver<()> {
        let (done, released) = channel();
        let mut state = self.lock();
        if !state.left {
            state.leaving = Some((partitions.iter().cloned().collect(), done));
        }
        released
    }

    pub(super) fn release(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        if let Some((left, done)) = &mut state.leaving {
            left.retain(|partition| !partitions.contains(partition));
            if left.is_empty() {
                let _ = done.send(());
                state.leaving = None;
            }
        }
    }

    pub(super) fn stop_asking(&self) {
        self.lock().leaving = None;
    }

    /// What entitles the driver to commit these, as far as it knows; or the first that it may not.
    pub(super) fn tickets<'a>(
        &self,
        partitions: impl Iterator<Item = &'a Partition>,
    ) -> Result<Tickets, &'a Partition> {
        let state = self.lock();
        partitions
            .map(|partition| match (state.held.get(partition), state.heard.get(partition)) {
                (Some(held), Some(heard)) if held == heard => Ok((partition.clone(), *held)),
                _ => Err(partition),
            })
            .collect()
    }

    /// Whether all of them are still held, under the same assignments.
    pub(super) fn holds(&self, tickets: &Tickets) -> bool {
        let state = self.lock();
        tickets.iter().all(|(partition, number)| state.held.get(partition) == Some(number))
    }

    /// Begins a commit, if everything is still held as it was. Otherwise it would be made under a later assignment.
    pub(super) fn begin(&self, tickets: &Tickets) -> Option<InFlight<'_>> {
        let mut state = self.lock();
        if !tickets.iter().all(|(partition, number)| state.held.get(partition) == Some(number)) {
            return None;
        }
        state.in_flight += 1;
        Some(InFlight(self))
    }

    /// Waits until no commit is with the client; false if one still is. One that waits in the client for longer would
    /// be sent under the next generation, and could take a position back.
    pub(super) fn settle(&self, at_most: Duration) -> bool {
        let state = self.lock();
        let waited = self.settled.wait_timeout_while(state, at_most, |state| state.in_flight > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.in_flight == 0
    }

    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.left = true;
        state.leaving = None;
        state.held.clear();
    }

    pub(super) fn has_left(&self) -> bool {
        self.lock().left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::Topic;

    use super::*;

    fn seat() -> (Seat, Vec<Partition>) {
        let partition = Partition { topic: Topic::new("pricing").unwrap(), index: 0 };
        (Seat::default(), vec![partition])
    }

    #[test]
    fn a_commit_of_an_earlier_assignment_is_not_begun() {
        let (seat, own) = seat();
        let first = seat.take(&own);
        seat.hear(own.iter(), first);
        let tickets = seat.tickets(own.iter()).unwrap();
        seat.give_up(&own);
        let second = seat.take(&own);
        assert!(seat.begin(&tickets).is_none(), "it waited while the partition was lost and regained");
        assert!(!seat.holds(&tickets));
        assert_eq!(seat.tickets(own.iter()).err(), Some(&own[0]), "the driver has not heard of it yet");
        seat.hear(own.iter(), second);
        assert!(seat.begin(&seat.tickets(own.iter()).unwrap()).is_some());
    }

    #[test]
    fn nothing_changes_hands_while_a_commit_is_with_the_client() {
        let (seat, own) = seat();
        let number = seat.take(&own);
        seat.hear(own.iter(), number);
        let tickets = seat.tickets(own.iter()).unwrap();
        let commit = seat.begin(&tickets).unwrap();
        assert!(!seat.settle(Duration::from_millis(1)));
        drop(commit);
        assert!(seat.settle(Duration::ZERO));
    }

    #[test]
    fn whoever_has_left_is_not_waited_for() {
        let (seat, own) = seat();
        let waits = seat.ask_back(&own);
        seat.leave();
        assert!(waits.recv_timeout(Duration::ZERO).is_err());
        assert!(seat.ask_back(&own).recv_timeout(Duration::from_secs(60)).is_err());
    }
}
