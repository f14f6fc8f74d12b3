//! A TCP proxy that can be told to misbehave: between the platform and each of its servers there is one.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// How many chunks wait in each direction; then the sender has to wait, as at a full window.
const WAITING: usize = 64;

/// What it does to all its connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Hands on every byte.
    Pass,
    /// Resets every connection, new ones as soon as they are made.
    Cut,
    /// Closes nothing, takes connections, and moves no byte either way: as if the cable were out. What was sent meanwhile
    /// arrives when it is over.
    HalfOpen,
    /// Hands on every byte this much later.
    Delay { up: Duration, down: Duration },
    /// Hands on so many bytes per second and connection, each way.
    Throttle(u32),
}

/// A proxy in front of one server. Dropping it closes its port and its connections.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// The server's port; 0 while there is none.
    server: watch::Sender<u16>,
    /// How many connections were made, and how many were reset.
    made: AtomicU64,
    reset: AtomicU64,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// Opens one on a free port of 127.0.0.1, in front of a server that is not yet known.
    pub(crate) fn open(runtime: &Handle) -> Result<Self> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listening).context("no port for a proxy")?;
        let port = listener.local_addr()?.port();
        let (made, reset) = (AtomicU64::new(0), AtomicU64::new(0));
        let (mode, server) = (watch::Sender::new(Mode::Pass), watch::Sender::new(0));
        let shared = Arc::new(Shared { mode, server, made, reset });
        let accepting = runtime.spawn(accept(listener, shared.clone()));
        Ok(Self { port, shared, accepting })
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Puts it in front of the server at this port of 127.0.0.1.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.server.send_replace(port);
    }

    /// From now on it does this.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// How many connections were made so far, and how many it has reset.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.made.load(Ordering::Relaxed), self.shared.reset.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Mode::Cut);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // An error is that of one connection, or one too many files; either passes.
    loop {
        if let Ok((client, _)) = listener.accept().await {
            shared.made.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(connection(client, shared.clone()));
        }
    }
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut modes = shared.mode.subscribe();
    // Nothing reaches the server while nothing moves.
    let _ = modes.wait_for(|mode| *mode != Mode::HalfOpen).await;
    let port = *shared.server.borrow();
    let is_cut = *modes.borrow() == Mode::Cut;
    let server = if is_cut { None } else { TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok() };
    let Some(mut server) = server else { return shared.reset(&[&client]) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let up = pump(from_client, to_server, Way::Up, shared.mode.subscribe());
        let down = pump(from_server, to_client, Way::Down, shared.mode.subscribe());
        tokio::select! {
            biased;
            _ = modes.wait_for(|mode| *mode == Mode::Cut) => false,
            moved = async { tokio::try_join!(up, down) } => moved.is_ok(),
        }
    };
    if !ended {
        shared.reset(&[&client, &server]);
    }
}

impl Shared {
    /// The next thing that happens to these is that they are dropped; the other side then sees a reset.
    fn reset(&self, streams: &[&TcpStream]) {
        self.reset.fetch_add(1, Ordering::Relaxed);
        for stream in streams {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Moves bytes one way until their end, which it hands on as well.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    modes: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(WAITING);
    let (reading, mut writing) = (modes.clone(), modes);
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(count) => count,
                Err(error) => {
                    // Not even this gets through while nothing moves.
                    let _ = reading.clone().wait_for(|mode| *mode != Mode::HalfOpen).await;
                    return Err(error);
                }
            };
            let due = Instant::now() + delay(*reading.borrow(), way);
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            if count == 0 || sender.send((due, chunk)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            let _ = writing.wait_for(|mode| *mode != Mode::HalfOpen).await;
            to.write_all(&chunk).await?;
            let mode = *writing.borrow();
            if let Mode::Throttle(rate) = mode {
                let seconds = chunk.len() as f64 / f64::from(rate.max(1));
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
        let _ = writing.wait_for(|mode| *mode != Mode::HalfOpen).await;
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

fn delay(mode: Mode, way: Way) -> Duration {
    match (mode, way) {
        (Mode::Delay { up, .. }, Way::Up) => up,
        (Mode::Delay { down, .. }, Way::Down) => down,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
