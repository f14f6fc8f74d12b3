//! What a transaction snapshot sees, as PostgreSQL writes it: `xmin:xmax:xip,xip`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_core::{Code, Error, Result};

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
        assert!(Snapshot::parse("1:1").is_err() && Snapshot::parse("a:b:c").is_err());
    }
}
