//! What a transaction snapshot sees, as PostgreSQL writes it: `xmin:xmax:xip,xip`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_core::{Code, Error, Result};

/// So many ids at most are listed beside those that a snapshot lists itself.
const MOST_RUNNING: u64 = 4096;

/// A snapshot, kept as its text, too, because that is how it goes back to the server.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) text: Arc<str>,
    /// Every transaction with a lower id had ended.
    pub(super) oldest: u64,
    ended_before: u64,
    running: Arc<BTreeSet<u64>>,
}

impl Snapshot {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::new(Code::DEFECT, format!("{text:?} is not a snapshot"));
        let mut parts = text.splitn(3, ':');
        let (Some(oldest), Some(end), Some(running)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| invalid());
        let running = running.split(',').filter(|xid| !xid.is_empty()).map(number);
        Ok(Self {
            text: text.into(),
            oldest: number(oldest)?,
            ended_before: number(end)?,
            running: Arc::new(running.collect::<Result<_>>()?),
        })
    }

    /// The same, with every id that was given when `next` was the next one: of the transactions that run, a snapshot lists
    /// none with an id after the last one that has ended. `None` if those are too many to be listed.
    pub(super) fn up_to(self, next: u64) -> Option<Self> {
        if next <= self.ended_before {
            return Some(self);
        } else if next - self.ended_before > MOST_RUNNING {
            return None;
        }
        let mut running = (*self.running).clone();
        running.extend(self.ended_before..next);
        let list: Vec<_> = running.iter().map(u64::to_string).collect();
        let text = format!("{}:{next}:{}", self.oldest, list.join(",")).into();
        Some(Self { text, oldest: self.oldest, ended_before: next, running: Arc::new(running) })
    }

    /// Whether a transaction that committed is seen.
    pub(super) fn sees(&self, xid: u64) -> bool {
        xid < self.ended_before && !self.running.contains(&xid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_ended() {
        let snapshot = Snapshot::parse("733:740:733,736").unwrap();
        let seen = [732, 733, 734, 736, 739, 740].map(|xid| snapshot.sees(xid));
        assert_eq!(seen, [true, false, true, false, true, false]);
        assert!(!Snapshot::parse("1:1:").unwrap().sees(1));
        let same = snapshot.clone().up_to(743).unwrap();
        assert_eq!((&*same.text, same.oldest), ("733:743:733,736,740,741,742", 733));
        assert_eq!(
            [732, 734, 739, 740, 742, 743].map(|xid| same.sees(xid)),
            [true, true, true, false, false, false]
        );
        assert_eq!(&*snapshot.clone().up_to(740).unwrap().text, "733:740:733,736");
        assert_eq!(&*Snapshot::parse("9:9:").unwrap().up_to(10).unwrap().text, "9:10:9");
        assert!(snapshot.up_to(740 + MOST_RUNNING + 1).is_none());
        assert!(Snapshot::parse("1:1").is_err() && Snapshot::parse("a:b:c").is_err());
    }
}
