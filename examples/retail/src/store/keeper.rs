//! Keeps one session with a database, and begins another when it is lost: with pauses that grow, and never waiting for
//! one. Meanwhile whoever asks is refused at once.

use std::time::{Duration, Instant};

use tidings_core::{Code, Error, Result};

use super::postgres::{Database, Link, Mode, Peer, Session};

/// Between two tries to connect: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// At most one session with a database.
pub(super) struct Keeper {
    database: Database,
    /// Whether nobody else may write here while this session lasts.
    alone: bool,
    link: Option<Link>,
    /// The last session of a writer: what it left under way must end before another goes on.
    former: Option<Peer>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Keeper {
    pub(super) const fn reader(database: Database) -> Self {
        Self { database, alone: false, link: None, former: None, pause: PAUSE.0, not_before: None }
    }

    pub(super) fn writer(database: Database) -> Self {
        Self { alone: true, ..Self::reader(database) }
    }

    /// Begins a transaction, on a new session if the last one is lost.
    pub(super) fn begin(&mut self, mode: Mode) -> Result<Session<'_>> {
        self.link()?.begin(mode)
    }

    /// The session.
    pub(super) fn link(&mut self) -> Result<&mut Link> {
        if !self.link.as_ref().is_some_and(Link::is_alive) {
            // What was sent on the old one and not answered must not be waited for by the new one.
            self.link = None;
            self.link = Some(self.connect()?);
        }
        self.link.as_mut().ok_or_else(|| Error::new(Code::DEFECT, "there is no session"))
    }

    fn connect(&mut self) -> Result<Link> {
        if let Some(at) = self.not_before
            && Instant::now() < at
        {
            let what = format!("{}: the database did not answer just now", self.database);
            return Err(Error::new(Code::DATABASE_UNREACHABLE, what));
        }
        let opened = Link::open(&self.database).and_then(|link| {
            if self.alone {
                self.former = Some(link.write_alone(self.former.take())?);
            }
            Ok(link)
        });
        (self.not_before, self.pause) = match &opened {
            Ok(_) => (None, PAUSE.0),
            Err(_) => (Some(Instant::now() + self.pause), (self.pause * 2).min(PAUSE.1)),
        };
        opened
    }
}
