//! The relay's view of the outbox.
//!
//! Two ways lead to the rows. By **logical decoding** ([`Discovery::Decode`], the main one) the server tells of each
//! commit in order. By **claiming** ([`Discovery::Claim`], where logical decoding is not allowed) the table is asked for
//! what became visible since the last look. Both keep each entity's order, and both keep their progress in one place,
//! the table `tidings.relay`, which commits with nothing else and is never ahead of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_core::port::{Boxed, Cursor, Outbox, Scan};
use tidings_core::{Code, Error, Result, Time};
use tokio::sync::Mutex;

use crate::address::Address;

mod claim;
mod control;
mod pgoutput;
mod slot;
mod snapshot;
mod stream;
mod window;

use claim::Claim;
use control::{Control, Reading};
use stream::Stream;
use window::Window;

/// How long a step may take before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the table while rows keep coming, and after a quiet while.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Between two tries for a slot that another session is just letting go.
const SLOT_POLL: Duration = Duration::from_millis(20);

/// How committed rows are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// By logical decoding, from this replication slot; `None` names it after the database.
    Decode {
        /// The slot: up to 63 lower-case letters, digits and underscores.
        slot: Option<String>,
    },
    /// By asking the table.
    Claim,
}

/// How an outbox is read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its events come from: a URI reference such as `/pricing`.
    pub source: Arc<str>,
    /// How committed rows are found.
    pub discovery: Discovery,
    /// How many bytes of rows are held in memory; the server's two newest answers come on top of that.
    pub window_bytes: usize,
    /// How often a quiet outbox confirms its place in the server's log, so that it holds none of it back.
    pub confirm_every: Duration,
    /// How long opening waits for another relay to let go of the outbox.
    pub patience: Duration,
    /// How long making a replication slot waits for the transactions that are under way: it needs the end of them all.
    pub slot_patience: Duration,
}

impl Settings {
    /// The usual settings for events from this source.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            discovery: Discovery::Decode { slot: None },
            window_bytes: 16 << 20,
            confirm_every: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            slot_patience: PATIENCE,
        }
    }
}

/// The outbox of one database, read in commit order by the one relay that leads.
///
/// A second relay that opens the same outbox stands by: it is refused with [`Code::LEASE_TAKEN`], which is retried, until
/// the first one's connection has ended. The one that comes takes over with a higher epoch; should the first one wake
/// again, it is refused with [`Code::FENCED`].
#[derive(Debug)]
pub struct PostgresOutbox {
    address: Address,
    settings: Settings,
    core: Mutex<Core>,
}

#[derive(Debug)]
struct Core {
    session: Option<Session>,
    window: Window,
    acknowledged: u64,
    /// This relay's epoch, once it led.
    epoch: i64,
    /// What the last complete scan vouched for.
    vouched: Time,
}

#[derive(Debug)]
struct Session {
    control: Control,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Claim(Claim),
    Decode(Box<Stream>),
}

impl Engine {
    /// Whether the table has something for it.
    async fn is_behind(&self, control: &Control) -> Result<bool> {
        match self {
            Self::Claim(claim) => claim.is_behind(control).await,
            Self::Decode(stream) => stream.is_behind(control).await,
        }
    }
}

impl PostgresOutbox {
    /// Opens the outbox of this database and takes the lead.
    ///
    /// Errors: [`Code::OUTBOX_MISSING`], [`Code::STORE_TOO_NEW`], [`Code::LEASE_TAKEN`] while another relay leads,
    /// [`Code::SOURCE_CHANGED`], those of a connection, and for logical decoding [`Code::WAL_LEVEL`], [`Code::SLOT_IN_USE`],
    /// [`Code::SLOTS_FULL`], [`Code::SLOT_FOREIGN`], [`Code::DATABASE_PRIVILEGE`], and [`Code::BUSY`] if a transaction that
    /// stays open keeps the slot from being made.
    pub async fn open(address: &Address, settings: Settings) -> Result<Arc<Self>> {
        let window = Window::new(settings.window_bytes);
        let core = Core { session: None, window, acknowledged: 0, epoch: 0, vouched: Time::from_micros(0) };
        let outbox = Self { address: address.clone(), settings, core: Mutex::new(core) };
        outbox.ready(&mut *outbox.core.lock().await).await?;
        Ok(Arc::new(outbox))
    }

    /// Connects, if there is no connection. Everything that was not acknowledged is then delivered again.
    async fn ready(&self, core: &mut Core) -> Result<()> {
        if core.session.is_some() {
            return Ok(());
        }
        // Besides what it may wait for others: the lease, the slot, and the transactions that a new slot waits for.
        let limit = PATIENCE + self.settings.patience * 2 + self.settings.slot_patience;
        let connected = tokio::time::timeout(limit, self.connect(core)).await;
        connected.unwrap_or_else(|_| Err(no_answer(limit).at(&self.address)))
    }

    async fn connect(&self, core: &mut Core) -> Result<()> {
        let (control, progress) = Control::open(&self.address, core.epoch, self.settings.patience).await?;
        core.epoch = control.epoch;
        core.acknowledged = core.acknowledged.max(progress.position);
        core.window.restart(progress.position);
        let engine = match &self.settings.discovery {
            Discovery::Claim => Engine::Claim(Claim::new(&progress.resume)),
            Discovery::Decode { slot } => {
                let slot = slot.clone().unwrap_or_else(|| self.address.slot());
                let from = Instant::now();
                let slot_patience = self.settings.slot_patience;
                let stream = loop {
                    let (position, resume) = (progress.position, &progress.resume);
                    let opened =
                        Stream::open(&self.address, &slot, &control, position, resume, slot_patience);
                    match Box::pin(opened).await {
                        Err(e)
                            if e.code() == Code::SLOT_IN_USE && from.elapsed() < self.settings.patience =>
                        {
                            tokio::time::sleep(SLOT_POLL).await;
                        }
                        opened => break opened.map_err(|e| e.at(&self.address))?,
                    }
                };
                Engine::Decode(Box::new(stream))
            }
        };
        core.session = Some(Session { control, engine });
        Ok(())
    }

    /// Does a step in a session; after a failure, the next step begins a new one.
    async fn step<T>(&self, step: impl AsyncFnOnce(&Self, &mut Core) -> Result<T>) -> Result<T> {
        let mut core = self.core.lock().await;
        Box::pin(self.ready(&mut core)).await?;
        let done = match tokio::time::timeout(PATIENCE, step(self, &mut core)).await {
            Ok(done) => done,
            Err(_) => Err(no_answer(PATIENCE)),
        };
        done.map_err(|e| {
            core.session = None;
            e.at(&self.address)
        })
    }
}

fn no_answer(after: Duration) -> Error {
    Error::new(Code::DATABASE_UNREACHABLE, format!("no answer after {after:?}"))
}

impl Core {
    fn session(&mut self) -> Result<(&mut Session, &mut Window)> {
        let missing = || Error::new(Code::DEFECT, "there is no session");
        Ok((self.session.as_mut().ok_or_else(missing)?, &mut self.window))
    }

    async fn scan(&mut self, outbox: &PostgresOutbox, after: Cursor, limit: usize) -> Result<Scan> {
        let reading = Reading { source: outbox.settings.source.clone(), not_before: self.vouched };
        let (session, window) = self.session()?;
        window.make_room(after);
        let control = &session.control;
        let read_up_to = match &mut session.engine {
            Engine::Claim(claim) => claim.fill(control, window, &reading, after, limit).await?,
            Engine::Decode(stream) => stream.fill(control, window, &reading, after, limit).await?,
        };
        let (rows, all_listed) = window.after(after, limit);
        let complete = read_up_to.filter(|_| all_listed);
        self.vouched = self.vouched.max(complete.unwrap_or(self.vouched));
        self.confirm_idle(outbox.settings.confirm_every).await?;
        // Of what is not complete, no time is known but the last one.
        Ok(Scan { rows, complete: complete.is_some(), time: complete.unwrap_or(self.vouched) })
    }

    /// A quiet outbox says that it needs no more of the server's log.
    async fn confirm_idle(&mut self, every: Duration) -> Result<()> {
        let acknowledged = self.acknowledged;
        let (session, window) = self.session()?;
        if let Engine::Decode(stream) = &mut session.engine {
            let quiet = acknowledged >= window.top();
            if let Some(resume) = quiet.then(|| stream.idle(every)).flatten() {
                session.control.save(acknowledged, &resume).await?;
                stream.confirm(&resume);
            }
        }
        Ok(())
    }

    async fn acknowledge(&mut self, cursor: Cursor) -> Result<()> {
        let (session, window) = self.session()?;
        let cursor = Cursor(cursor.0.min(window.top()));
        if let Some((position, resume)) = window.resume_at(cursor) {
            session.control.save(position, &resume).await?;
            if let Engine::Decode(stream) = &mut session.engine {
                stream.confirm(&resume);
            }
        }
        window.forget(cursor);
        self.acknowledged = self.acknowledged.max(cursor.0);
        Ok(())
    }

    /// Whether there may be rows after `after`; waits for them.
    async fn wait(&mut self, outbox: &PostgresOutbox, after: Cursor, at_most: Duration) -> Result<bool> {
        let deadline = Instant::now() + at_most;
        let reading = Reading { source: outbox.settings.source.clone(), not_before: self.vouched };
        let (session, window) = self.session()?;
        if window.count_after(after) > 0 {
            return Ok(true);
        }
        let (mut pause, most) = POLL;
        match &mut session.engine {
            Engine::Decode(stream) if !stream.is_catching_up() => {
                stream.wait(window, &reading, after, deadline).await
            }
            engine => loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(false);
                } else if engine.is_behind(&session.control).await? {
                    return Ok(true);
                }
                tokio::time::sleep(pause.min(left)).await;
                pause = (pause * 2).min(most);
            },
        }
    }
}

impl Outbox for PostgresOutbox {
    /// What is acknowledged is not listed again.
    fn scan(&self, after: Cursor, limit: usize) -> Boxed<'_, Result<Scan>> {
        Box::pin(async move {
            let mut core = self.core.lock().await;
            if core.window.has_dropped(after) {
                core.session = None;
            }
            drop(core);
            self.step(async |outbox, core| core.scan(outbox, after, limit).await).await
        })
    }

    fn acknowledged(&self) -> Boxed<'_, Result<Cursor>> {
        Box::pin(self.step(async |_, core| Ok(Cursor(core.acknowledged))))
    }

    fn acknowledge(&self, cursor: Cursor) -> Boxed<'_, Result<()>> {
        Box::pin(self.step(async move |_, core| core.acknowledge(cursor).await))
    }

    fn park<'a>(&'a self, cursor: Cursor, reason: &'a Error) -> Boxed<'a, Result<()>> {
        Box::pin(self.step(async move |_, core| {
            let (session, window) = core.session()?;
            session.control.park(cursor.0, window.seq(cursor), reason).await
        }))
    }

    fn wait(&self, after: Cursor, at_most: Duration) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            // In slices, so that a step of the relay is never taken for a server that does not answer.
            let from = Instant::now();
            loop {
                let left = at_most.saturating_sub(from.elapsed());
                let slice = left.min(PATIENCE / 2);
                if self.step(async |outbox, core| core.wait(outbox, after, slice).await).await?
                    || slice == left
                {
                    return Ok(());
                }
            }
        })
    }
}
