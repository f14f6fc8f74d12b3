//! One line on a terminal that says how it goes.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use retail::Platform;
use tokio::time::Instant;

use super::recorder::Recorder;
use crate::units::{self, count};

/// The line; nothing if nobody would see it.
pub(crate) struct Progress {
    visible: bool,
    lasting: Option<Duration>,
}

impl Progress {
    pub(crate) fn new(lasting: Option<Duration>) -> Self {
        Self { visible: std::io::stderr().is_terminal(), lasting }
    }

    /// Shows it until dropped.
    pub(crate) async fn show(&mut self, platform: &Platform, recorder: &Recorder, began: Instant) {
        if !self.visible {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let judged = recorder.judged();
            let stats = platform.stats();
            let committed: u64 = stats.contexts.iter().map(|context| context.events).sum();
            let of = self.lasting.map_or_else(String::new, |all| format!(" of {}", units::duration(all)));
            let line = format!(
                "{}{of}  {} events, {} applied  {} reads judged: {} stale, {} false labels  commit to applied {}",
                units::duration(began.elapsed()),
                count(committed),
                count(stats.consumer.applied + stats.consumer.superseded),
                count(judged.counts.reads),
                judged.counts.stale_reads,
                judged.counts.false_labels,
                units::duration(Duration::from_micros(judged.p50_us)),
            );
            self.write(&line);
        }
    }

    /// Leaves the line empty for what is said next.
    pub(crate) fn clear(&self) {
        if self.visible {
            self.write("");
        }
    }

    #[expect(clippy::unused_self, reason = "only a shown line is written")]
    fn write(&self, line: &str) {
        let mut terminal = std::io::stderr().lock();
        // A terminal that is gone needs no progress.
        let _ = write!(terminal, "\r\x1b[K{line}").and_then(|()| terminal.flush());
    }
}
