//! What strikes from outside: machines die, stand still or are cut off, logs are cut short, clocks are set.

use std::sync::Arc;

use tidings::memory::{MemoryLog, MemoryOutbox};
use tidings::{Offset, Partition, Position, Result};
use tidings_core::port::{Cursor, Log, Retention};

use super::draw::INCIDENTS;
use super::group::Group;
use super::host::Host;
use super::link::Link;
use super::relays::RelayPost;
use super::stage::{Stage, Who};
use crate::fault::Fault;

/// Everybody whom something can happen to.
pub(super) struct Cast {
    pub(super) stage: Arc<Stage>,
    pub(super) log: Arc<MemoryLog>,
    pub(super) outbox: Arc<MemoryOutbox>,
    pub(super) relays: Vec<Arc<RelayPost>>,
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) group: Option<Arc<Group>>,
}

/// Lets happen what the history has drawn.
pub(super) async fn strike(cast: Arc<Cast>) -> Result<()> {
    let stage = &cast.stage;
    let kinds: Vec<_> = INCIDENTS.iter().copied().filter(|fault| cast.can_befall(*fault)).collect();
    for _ in 0..stage.draw.incidents {
        if stage.draw.has(Fault::OldDump)
            && let Some(group) = &cast.group
        {
            group.save();
        }
        stage.sleep_below(2 * stage.draw.span).await;
        let which = stage.below(u32::try_from(kinds.len()).unwrap_or(1));
        let Some(fault) = kinds.get(which as usize) else { return Ok(()) };
        if cast.befall(*fault).await? {
            stage.struck(*fault);
        }
    }
    Ok(())
}

impl Cast {
    /// Whether the history has drawn it, and there is somebody whom it can happen to.
    fn can_befall(&self, fault: Fault) -> bool {
        self.stage.draw.has(fault)
            && match fault {
                Fault::Rebalance | Fault::OldDump => self.group.is_some(),
                Fault::ClockJump | Fault::Wipe => !self.hosts.is_empty(),
                _ => true,
            }
    }

    async fn befall(&self, fault: Fault) -> Result<bool> {
        match fault {
            Fault::Kill => self.kill().await,
            Fault::Pause => Ok(self.hold(Link::pause, "stands still")),
            Fault::Partition => Ok(self.hold(Link::cut, "is cut off")),
            Fault::ClockJump => Ok(self.set_a_clock()),
            Fault::Truncation => self.truncate().await,
            Fault::Rebalance => self.rebalance().await,
            Fault::Wipe => Ok(self.wipe()),
            Fault::OldDump => self.put_back().await,
            Fault::Poison => self.damage().await,
            _ => Ok(false),
        }
    }

    /// One of so many places.
    fn pick<T: Clone>(&self, of: &[T]) -> Option<T> {
        let place = self.stage.below(u32::try_from(of.len()).unwrap_or(1));
        of.get(place as usize).cloned()
    }

    async fn kill(&self) -> Result<bool> {
        match self.stage.below(3) {
            0 => {
                let Some(host) = self.pick(&self.hosts) else { return Ok(false) };
                host.kill();
                self.stage.sleep_below(50).await;
                host.start()?;
            }
            1 => {
                let Some(relay) = self.pick(&self.relays) else { return Ok(false) };
                relay.kill();
                self.stage.sleep_below(50).await;
                relay.start();
            }
            _ => {
                let Some(group) = &self.group else { return Ok(false) };
                group.kill();
                self.stage.sleep_below(50).await;
                group.start()?;
            }
        }
        Ok(true)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let hosts = self.hosts.iter().map(|host| host.link.clone());
        let relays = self.relays.iter().map(|relay| relay.link.clone());
        let groups = self.group.iter().map(|group| group.link.clone());
        hosts.chain(relays).chain(groups).collect()
    }

    fn hold(&self, hold: impl FnOnce(&Link, u64), what: &str) -> bool {
        let millis = 20 + self.stage.below(200);
        let Some(link) = self.pick(&self.links()) else { return false };
        self.stage.step(Who::Fate, 0x800, || format!("{} {what} for {millis} ms", link.who));
        hold(&link, self.stage.now() + u64::from(millis) * 1_000_000);
        true
    }

    fn set_a_clock(&self) -> bool {
        let error = self.stage.draw.clock_error;
        let off_by = i64::from(self.stage.below(2 * error + 1)) - i64::from(error);
        let process = self.pick(&self.hosts).and_then(|host| host.process());
        let Some(process) = process else { return false };
        self.stage
            .step(Who::Fate, 0x801, || format!("the clock of copy {} is set {off_by} us off", process.copy));
        process.set_clock(self.stage.now(), off_by);
        true
    }

    async fn truncate(&self) -> Result<bool> {
        let removed = self.log.retain(Retention { age: None, bytes: Some(0) }).await?;
        self.stage.step(Who::Fate, 0x802, || format!("{removed} records are removed from the log"));
        Ok(removed > 0)
    }

    async fn rebalance(&self) -> Result<bool> {
        let Some(group) = &self.group else { return Ok(false) };
        self.stage.step(Who::Fate, 0x803, || "the group has a new owner, the old one goes on".to_owned());
        group.start()?;
        self.stage.sleep_below(60).await;
        group.retire();
        Ok(true)
    }

    fn wipe(&self) -> bool {
        let process = self.pick(&self.hosts).and_then(|host| host.process());
        let Some(process) = process else { return false };
        self.stage.step(Who::Fate, 0x804, || format!("copy {} loses what it has cached", process.copy));
        process.views.iter().for_each(tidings::View::clear);
        true
    }

    async fn put_back(&self) -> Result<bool> {
        let Some(group) = &self.group else { return Ok(false) };
        group.kill();
        // Its tasks may still be in the middle of a step.
        self.stage.sleep(1).await;
        let done = group.put_back();
        group.start()?;
        Ok(done)
    }

    /// A row or a record cannot be read any more.
    async fn damage(&self) -> Result<bool> {
        if self.stage.below(2) == 1 {
            let next = self.stage.with(|book| book.tally.commits);
            let damaged = self.outbox.damage(Cursor(next.max(1)));
            self.stage.step(Who::Fate, 0x805, || format!("row {next} is damaged: {damaged}"));
            return Ok(damaged);
        }
        let index = self.stage.below(self.stage.draw.partitions);
        let partition = Partition { topic: self.stage.names.topic.clone(), index };
        let (earliest, head) = self.log.bounds(&partition).await?;
        let back = u64::from(self.stage.below(3)) + 1;
        let at = Offset(head.0.saturating_sub(back).max(earliest.0));
        let damaged = self.log.damage(&Position { partition, offset: at });
        self.stage.step(Who::Fate, 0x806, || format!("the record at {at} is damaged: {damaged}"));
        Ok(damaged)
    }
}
