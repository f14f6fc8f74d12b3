//! What the judge is told of the source.

use tidings_core::Time;
use tidings_testkit::history::{Nanos, Span};
use tidings_testkit::judge;

use super::{NEVER, Source};
use crate::machines::draw::Nature;
use crate::machines::stage::Stage;

impl Source {
    /// Tells the judge what was committed.
    pub(in crate::machines) fn record(&self, stage: &mut Stage<'_>) {
        for (entity, states) in self.states.iter().enumerate() {
            for state in states {
                let nanos = |micros: u64| if micros == NEVER { Nanos::MAX } else { micros * 1000 };
                let here = |time: Time| {
                    u64::try_from(time.micros() - stage.setup.skew).unwrap_or(0).saturating_mul(1000)
                };
                let effective = stage.setup.natures[entity] == Nature::Effective;
                let window = effective.then(|| Span {
                    from: state.window.from.map_or(0, here),
                    until: state.window.until.map_or(Nanos::MAX, here),
                });
                let revokes = (stage.setup.natures[entity] == Nature::Revocable).then(|| stage.setup.sla());
                stage.judge.commit(&judge::Commit {
                    entity: u32::try_from(entity).unwrap_or(0),
                    stamp: state.stamp,
                    began: nanos(state.began),
                    ended: nanos(state.ended),
                    deleted: state.deleted,
                    digest: state.digest,
                    window,
                    revokes,
                });
            }
        }
    }
}
