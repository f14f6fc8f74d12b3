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
    /// The number under which nobody else may write here while this session lasts, if it writes.
    lane: Option<i32>,
    link: Option<Link>,
    /// The last session of a writer: what it left under way must end before another goes on.
    former: Option<Peer>,
    tries: Tries,
}

/// When it may be tried to connect.
pub(super) struct Tries {
    pause: Duration,
    not_before: Option<Instant>,
}

impl Tries {
    pub(super) const fn new() -> Self {
        Self { pause: PAUSE.0, not_before: None }
    }

    /// Refuses for a while after one that failed.
    pub(super) fn check(&self, database: &Database) -> Result<()> {
        if self.not_before.is_none_or(|at| Instant::now() >= at) {
            return Ok(());
        }
        let what = format!("{database}: the database did not answer just now");
        Err(Error::new(Code::DATABASE_UNREACHABLE, what))
    }

    pub(super) fn note(&mut self, connected: bool) {
        *self = match connected {
            true => Self::new(),
            false => {
                let not_before = Some(Instant::now() + self.pause);
                Self { pause: (self.pause * 2).min(PAUSE.1), not_before }
            }
        };
    }
}

impl Keeper {
    pub(super) const fn reader(database: Database) -> Self {
        Self { database, lane: None, link: None, former: None, tries: Tries::new() }
    }

    pub(super) fn writer(database: Database, lane: i32) -> Self {
        Self { lane: Some(lane), ..Self::reader(database) }
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
        self.tries.check(&self.database)?;
        let opened = Link::open(&self.database).and_then(|link| {
            if let Some(lane) = self.lane {
                self.former = Some(link.write_alone(lane, self.former.take())?);
            }
            Ok(link)
        });
        self.tries.note(opened.is_ok());
        opened
    }
}
