//! Logical decoding: rows as they are committed.

use std::future::Future;
use std::task::Poll;
use std::time::{Duration, Instant};

use pgwire_replication::{Lsn, ReplicationClient, ReplicationEvent};
use tidings_core::port::Cursor;
use tidings_core::{Code, Error, Result, Time};

use super::claim::Claim;
use super::control::{Control, Horizon, Reading};
use super::slot;
use super::snapshot::Snapshot;
use super::window::{Resume, Window};
use crate::address::Address;
use crate::fault::stream_fault;
use crate::row::{self, Row};

use super::pgoutput::Decoder;

/// Messages that may wait between the socket and the window; each is one row.
const MESSAGES: usize = 64;
/// A row is refused by the outbox's functions far below this.
const MESSAGE_BYTES: usize = 64 << 20;
/// So many rows are handed on at once, before it is asked whether they are all.
const MANY: usize = 256;
/// How often, at least, it is looked what is visible while there are always more rows.
const LOOK: Duration = Duration::from_secs(1);
/// How often the server hears what is acknowledged.
const STATUS: Duration = Duration::from_millis(250);
/// From 1970 to 2000, where PostgreSQL's clock begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// One replication session. Every transaction it tells of is committed, so its rows are delivered as they come, in
/// bounded memory however large the transaction is; only acknowledgements wait for its end.
pub(super) struct Stream {
    client: ReplicationClient,
    decoder: Decoder,
    /// The transaction under way: when it was committed, and the last number before it.
    inside: Option<(Time, u64)>,
    /// Every transaction that ended up to here has been read.
    progress: u64,
    /// A new slot: first, what the table has.
    catching_up: Option<CatchUp>,
    /// Rows that this snapshot sees were read from the table, or acknowledged before.
    seen: Snapshot,
    /// Rows of transactions that began after `seen` are after this place in the table.
    low: i64,
    /// The last place that was seen.
    reached: i64,
    candidate: Option<Candidate>,
    looked_at: Instant,
    /// Rows came while they were waited for, and have not been handed on.
    is_awaited: bool,
    /// What is acknowledged durably.
    saved: Option<u64>,
    confirmed_at: Instant,
}

/// A snapshot that is to become `seen`.
struct Candidate {
    snapshot: Snapshot,
    is_listed: bool,
    low: i64,
    /// Everything it sees ended before this place in the log.
    written: u64,
}

/// Reading the table until the stream can take over.
///
/// A transaction is in the log before it is visible. One that was committed before the slot began, and becomes visible
/// later, is only in the table; what it keeps locked until then is published after it. So the table is read on until every
/// transaction has ended that had an id when there was a slot already: then each that the stream begins behind has been
/// read, in its order.
struct CatchUp {
    claim: Claim,
    /// All with a lower id must have ended.
    until: u64,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Stream {
    /// Starts streaming where `resume` says; or, where it or the slot cannot say, from a new slot after what the table has.
    pub(super) async fn open(
        address: &Address,
        name: &str,
        control: &Control,
        position: u64,
        resume: &Resume,
        patience: Duration,
    ) -> Result<Self> {
        let slot = slot::ready(control, name, patience).await?;
        // The slot never gets ahead of what is saved. If it is ahead, then it is not the one that was left here.
        let from = resume.lsn.filter(|lsn| !slot.is_new && slot.confirmed <= *lsn);
        if from.is_none() && resume.lsn.is_some() {
            control.save(position, &Resume { lsn: None, ..resume.clone() }).await?;
        }
        let start = from.unwrap_or(slot.confirmed);
        let config = address
            .replication(name, "tidings")
            .with_start_lsn(Lsn(start))
            .with_status_interval(STATUS)
            .with_buffer_size(MESSAGES)
            .with_max_message_size(MESSAGE_BYTES)
            .with_application_name("tidings relay stream")
            .with_options(row::SESSION);
        let mut client = ReplicationClient::connect(config).await.map_err(stream_fault)?;
        client.wait_started().await.map_err(stream_fault)?;
        slot::check_active(control, name).await?;
        let catching_up = match from {
            Some(_) => None,
            None => Some(CatchUp { claim: Claim::new(resume), until: control.next_id().await? }),
        };
        Ok(Self {
            client,
            decoder: Decoder::default(),
            inside: None,
            progress: start,
            catching_up,
            seen: resume.done.clone(),
            low: resume.seq,
            reached: resume.seq,
            candidate: None,
            looked_at: Instant::now(),
            is_awaited: false,
            saved: from,
            confirmed_at: Instant::now(),
        })
    }

    /// Reads into the window, at least until there are `limit` rows after `after`, or everything has been read that was
    /// visible at some time after the call began: that time. After a wait that ended with rows, only what has come.
    pub(super) async fn fill(
        &mut self,
        control: &Control,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        limit: usize,
    ) -> Result<Option<Time>> {
        if self.is_catching_up() {
            let complete = self.catch_up(control, window, reading, after, limit).await?;
            if self.is_catching_up() {
                return Ok(complete);
            }
        }
        let is_awaited = std::mem::take(&mut self.is_awaited);
        let came = self.pump(window, reading, after, limit, Until::Empty).await?;
        let there = window.count_after(after);
        if there >= limit || window.is_full() || there >= MANY {
            // Where there is always more, nothing is ever complete, and what has been read must get on all the same.
            if self.candidate.is_none() && self.looked_at.elapsed() >= LOOK {
                self.look(control).await?;
            }
            return Ok(None);
        }
        // What was waited for need not wait for the answer whether it is all, too: it is committed, and in its order. The
        // next scan asks, so marks are late by one append at most. Had the queue been full, there would be more behind it,
        // and few rows at a time would never catch up.
        if is_awaited && there > 0 && came < MESSAGES && self.inside.is_none() {
            return Ok(None);
        }
        let (time, flushed) = self.look(control).await?;
        let until = Until::Progress(flushed, Instant::now() + Duration::from_secs(1));
        self.pump(window, reading, after, limit, until).await?;
        Ok((self.progress >= flushed && self.inside.is_none()).then_some(time))
    }

    /// Sees what is visible, for later, and returns the source's clock and how far the log was flushed after that.
    async fn look(&mut self, control: &Control) -> Result<(Time, u64)> {
        // Before the snapshot, so that it is a place that was taken before.
        let reached = self.reached;
        let Horizon { time, now, flushed, written } = control.horizon().await?;
        self.looked_at = Instant::now();
        if self.candidate.is_none() {
            let (snapshot, is_listed) = now.listed();
            self.candidate = Some(Candidate { snapshot, is_listed, low: reached, written });
        }
        Ok((time, flushed))
    }

    /// Reads the table, until the stream can take over; the time is when everything was visible that has been read.
    async fn catch_up(
        &mut self,
        control: &Control,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        limit: usize,
    ) -> Result<Option<Time>> {
        let Some(CatchUp { claim, until }) = &mut self.catching_up else { return Ok(None) };
        // Taken before the table is read for the last time, so all that it sees will have been read.
        let reached = claim.reached();
        let before = control.horizon().await?.now;
        let complete = claim.fill(control, window, reading, after, limit).await?;
        if complete.is_none() || before.oldest() < *until {
            return Ok(complete);
        }
        self.reached = claim.reached();
        let (seen, is_listed) = before.listed();
        (self.seen, self.low) = (seen, if is_listed { reached } else { 0 });
        self.catching_up = None;
        // What ended before the slot began is visible in `seen`.
        window.mark(self.resume(self.progress));
        Ok(complete)
    }

    /// Whether rows are still read from the table: the stream has not taken over.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// While catching up: whether the table has rows that have not been read, or the stream can take over.
    pub(super) async fn is_behind(&self, control: &Control) -> Result<bool> {
        let Some(CatchUp { claim, until }) = &self.catching_up else { return Ok(true) };
        Ok(claim.is_behind(control).await? || control.horizon().await?.now.oldest() >= *until)
    }

    /// Where to go on once everything up to here, the end of a transaction, is acknowledged.
    fn resume(&self, lsn: u64) -> Resume {
        Resume { done: self.seen.clone(), next: None, seq: self.low, lsn: Some(lsn) }
    }

    /// Returns how many messages came.
    async fn pump(
        &mut self,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        limit: usize,
        until: Until,
    ) -> Result<usize> {
        let mut came = 0;
        while window.count_after(after) < limit && !window.is_full() {
            let event = match until {
                Until::Empty => self.ready().await,
                Until::Progress(place, _) if self.progress >= place && self.inside.is_none() => break,
                Until::Rows(_) if self.inside.is_none() && window.count_after(after) > 0 => break,
                Until::Progress(_, deadline) | Until::Rows(deadline) => {
                    let wait = deadline.saturating_duration_since(Instant::now());
                    tokio::time::timeout(wait, self.client.recv()).await.ok()
                }
            };
            let Some(event) = event else { break };
            came += 1;
            match event.map_err(stream_fault)? {
                Some(event) => self.on(event, window, reading)?,
                None => return Err(Error::new(Code::DATABASE_UNREACHABLE, "the replication stream ended")),
            }
        }
        Ok(came)
    }

    /// What has arrived already.
    async fn ready(&mut self) -> Option<pgwire_replication::Result<Option<ReplicationEvent>>> {
        let mut next = std::pin::pin!(self.client.recv());
        std::future::poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn on(&mut self, event: ReplicationEvent, window: &mut Window, reading: &Reading) -> Result<()> {
        match event {
            ReplicationEvent::Begin { commit_time_micros, .. } => {
                let time = Time::from_micros(commit_time_micros.saturating_add(EPOCH_MICROS));
                self.inside = Some((time, window.top()));
            }
            ReplicationEvent::XLogData { data, .. } => {
                let Some(columns) = self.decoder.read(&data)? else { return Ok(()) };
                let row = reading.row(&columns, self.inside.map(|(time, _)| time));
                self.reach(&row);
                if !self.seen.sees(row.xid) {
                    window.push(row);
                }
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.progress = self.progress.max(end_lsn.0);
                self.accept_candidate();
                if self.inside.take().is_some_and(|(_, before)| window.top() > before) {
                    window.mark(self.resume(end_lsn.0));
                }
            }
            // Inside a transaction it is no promise: the rest is still to come.
            ReplicationEvent::KeepAlive { wal_end, .. } if self.inside.is_none() => {
                self.progress = self.progress.max(wal_end.0);
            }
            _ => {}
        }
        Ok(())
    }

    /// What a snapshot sees took its place before it.
    fn reach(&mut self, row: &Row) {
        self.reached = self.reached.max(row.seq);
        if let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.snapshot.sees(row.xid))
        {
            candidate.low = candidate.low.max(row.seq);
        }
    }

    /// Once everything that a snapshot sees has been read, a relay can read on from that snapshot, should the slot get lost.
    fn accept_candidate(&mut self) {
        let progress = self.progress;
        if let Some(candidate) = self.candidate.take_if(|candidate| candidate.written <= progress) {
            self.low = if candidate.is_listed { candidate.low } else { 0 };
            self.seen = candidate.snapshot;
        }
    }

    /// Whether there may be rows after `after`; waits for them until the deadline.
    pub(super) async fn wait(
        &mut self,
        window: &mut Window,
        reading: &Reading,
        after: Cursor,
        deadline: Instant,
    ) -> Result<bool> {
        self.pump(window, reading, after, MANY, Until::Rows(deadline)).await?;
        self.is_awaited = window.count_after(after) > 0;
        Ok(window.is_full() || self.is_awaited)
    }

    /// What was saved as acknowledged may be confirmed to the server.
    pub(super) fn confirm(&mut self, resume: &Resume) {
        if let Some(lsn) = resume.lsn {
            self.saved = Some(lsn);
            self.confirmed_at = Instant::now();
            self.client.update_applied_lsn(Lsn(lsn));
        }
    }

    /// Where to resume if nothing is unacknowledged, and it is time to say so: a quiet outbox must not hold the log back.
    pub(super) fn idle(&mut self, every: Duration) -> Option<Resume> {
        if self.inside.is_some() || self.catching_up.is_some() {
            return None;
        }
        let due = self.saved.is_none()
            || (self.confirmed_at.elapsed() >= every && self.saved < Some(self.progress));
        if !due {
            return None;
        }
        self.accept_candidate();
        Some(self.resume(self.progress))
    }
}

/// When to stop reading from the stream, at the latest.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// Nothing more has arrived.
    Empty,
    /// Everything up to a place in the log has been read.
    Progress(u64, Instant),
    /// A transaction with rows was read.
    Rows(Instant),
}
