//! The end of a history: faults stop, everything drains, and what is held is compared with the truth.

use std::time::Duration;

use tidings::{Error, Freshness, Result, Running};
use tidings_testkit::history::State;
use tidings_testkit::judge::{Read, Shown};

use super::draw::Shape;
use super::fate::Cast;
use super::host::Process;
use super::load::entities;
use super::reader::{judge, told, weight};
use super::stage::{Who, nanos_at};

/// The longest that anything may take to drain, once nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// As much as ages are told too old by, so that the last mark speaks of all commits.
const COARSE: Duration = Duration::from_millis(30);

impl Cast {
    /// From now on nothing goes wrong.
    pub(super) fn heal(&self) -> Result<()> {
        self.stage.with(|book| book.healed = true);
        self.stage.step(Who::Fate, 0x900, || "all is well from here on".to_owned());
        let links = self.relays.iter().map(|relay| &relay.link);
        let links = links.chain(self.hosts.iter().map(|host| &host.link));
        for link in links.chain(self.group.iter().map(|group| &group.link)) {
            link.cut(0);
            link.pause(0);
        }
        Ok(())
    }

    /// Lets everything come to rest, and notes what is held then.
    pub(super) async fn rest(&self) {
        tokio::time::sleep(self.stage.draw.mark_every + COARSE).await;
        for relay in &self.relays {
            self.drain(relay.take()).await;
        }
        for host in &self.hosts {
            let running = host.process().and_then(|process| process.take_running());
            self.drain(running).await;
        }
        for running in self.group.iter().flat_map(|group| group.take()) {
            self.drain(Some(running)).await;
        }
        for host in &self.hosts {
            if let Some(process) = host.process() {
                self.note_held(&process);
            }
        }
        self.note_shelf();
    }

    async fn drain(&self, running: Option<Running>) {
        let Some(running) = running else {
            return self.stage.defect("a driver is missing at the end".to_owned());
        };
        if let Err(error) = running.stop(PATIENCE).await {
            self.stage.defect(gave_up(&error));
        }
    }

    fn note_held(&self, process: &Process) {
        let stage = &self.stage;
        for (view, spec) in process.views.iter().zip(&stage.draw.specs) {
            for key in 0..if spec.shape == Shape::Item { 2 } else { 1 } {
                let Some(hit) = view.cached(&key) else { continue };
                let Freshness::Within(age) = hit.freshness() else { continue };
                let absent = [Shown {
                    entity: entities(spec.shape, key).first().copied().unwrap_or_default(),
                    state: State::Absent,
                }];
                let shows = hit.value().map_or(absent.as_slice(), |answer| &answer.shows);
                let at = stage.step(Who::Host(0), 0x910 + shows.iter().map(weight).sum::<u64>(), || {
                    format!("copy {} holds {}, {}", process.copy, told(shows), hit.freshness())
                });
                let upto = at.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
                let certificate = hit.certificate();
                let read = Read {
                    copy: process.copy,
                    session: 0,
                    token: None,
                    began: at,
                    ended: at,
                    freshness: certificate.freshness,
                    path: certificate.path,
                    bound: Some(view.bound()),
                };
                judge(stage, spec, read, shows);
                stage.with(|book| {
                    shows.iter().for_each(|shown| book.judge.held(process.copy, *shown, upto, at));
                });
            }
        }
    }

    fn note_shelf(&self) {
        let stage = &self.stage;
        let Some(group) = &self.group else { return };
        let Some(upto) = group.shelf.caught_up().map(nanos_at) else { return };
        for entity in 0..u32::try_from(stage.names.entities.len()).unwrap_or(0) {
            let Some(shown) = group.shelf.look(entity) else { continue };
            let at =
                stage.step(Who::Group(0), 0x920 + weight(&shown), || format!("holds {}", told(&[shown])));
            stage.with(|book| book.judge.held(group.shelf.copy(), shown, upto, at));
        }
    }
}

fn gave_up(error: &Error) -> String {
    format!("a driver gave up or did not drain: {error}")
}
