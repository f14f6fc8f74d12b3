//! Standing by, leading, draining.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tidings::Relay;
use tidings_core::error::Policy;
use tidings_core::port::Log;
use tidings_core::retry::Backoff;
use tidings_core::{Code, Error, Result, Topic, relay};
use tidings_kafka::KafkaLog;
use tidings_postgres::{Address, PostgresOutbox, schema};
use tidings_sqlite::SqliteLog;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::board::{Board, Phase, Side, is_turn_of_another};
use super::config::Config;
use super::http;
use super::watched::{WatchedLog, WatchedOutbox};

/// How often one that stands by looks whether it is its turn.
const TURN: Duration = Duration::from_millis(200);
/// How often partitions are made and dropped.
const UPKEEP: Duration = Duration::from_secs(3600);

/// Relays until it is told to stop.
pub(crate) async fn run(config: Config) -> Result<ExitCode> {
    // Whatever could be refused is asked for before anything is started.
    let service = Service::new(&config)?;
    let mut asked = Asked::listen()?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::new(Code::PORT_IN_USE, format!("another program listens on {listen}"))
        }
        _ => Error::new(Code::SETTING_INVALID, format!("cannot listen on {listen}")).because(e),
    })?;
    let at = listener.local_addr().unwrap_or(listen);
    crate::out::line(&format!("relay     http://{at}/status"))?;
    let answering = tokio::spawn(http::serve(listener, service.board.clone()));
    let ended = Box::pin(service.work(&mut asked)).await;
    answering.abort();
    ended.map(|()| ExitCode::SUCCESS)
}

struct Service<'a> {
    config: &'a Config,
    board: Arc<Board>,
    address: Address,
    topic: Topic,
    /// The log, and the same with the board.
    plain: Arc<dyn Log>,
    log: Arc<dyn Log>,
    settings: relay::Settings,
}

impl<'a> Service<'a> {
    fn new(config: &'a Config) -> Result<Self> {
        let (address, topic) = (config.address()?, config.topic()?);
        let mut settings = config.relay();
        let plain: Arc<dyn Log> = match (config.kafka()?, config.sqlite()) {
            (Some(kafka), _) => {
                let log = KafkaLog::open(kafka)?;
                settings.limits = log.limits();
                log
            }
            (None, Some(path)) => SqliteLog::open(path)?,
            (None, None) => return Err(Error::new(Code::SETTING_INVALID, "[log] names no log")),
        };
        let board = Arc::new(Board::new(topic.as_str()));
        let log = Arc::new(WatchedLog { inner: plain.clone(), board: board.clone() });
        Ok(Self { config, board, address, topic, plain, log, settings })
    }

    async fn work(&self, asked: &mut Asked) -> Result<()> {
        let ready = async {
            self.reach(&self.board.source, || self.address.connect("tidings relay", "")).await?;
            self.reach(&self.board.log, || self.plain.partitions(&self.topic)).await
        };
        tokio::select! {
            biased;
            () = asked.next() => return Ok(()),
            ready = ready => ready?,
        };
        loop {
            let outbox = tokio::select! {
                biased;
                () = asked.next() => return Ok(()),
                outbox = self.turn() => outbox?,
            };
            self.board.enter(Phase::Leading);
            let outbox = Arc::new(WatchedOutbox { inner: outbox, board: self.board.clone() });
            let relay = Relay::new(self.topic.clone(), outbox, self.log.clone()).settings(self.settings);
            self.board.count(relay.counts());
            let mut running = relay.spawn();
            let ended = tokio::select! {
                biased;
                () = asked.next() => None,
                ended = running.finished() => Some(ended),
                never = self.upkeep() => never,
            };
            match ended {
                None => return self.drain(running).await,
                Some(Err(error)) if is_turn_of_another(&error) => {
                    eprintln!("tidings: {error}");
                    self.board.hold(false);
                }
                Some(ended) => return ended,
            }
        }
    }

    async fn drain(&self, running: tidings::Running) -> Result<()> {
        self.board.enter(Phase::Draining);
        if *self.board.paused().borrow() {
            // What is held stays where it is.
            return Ok(());
        }
        match running.stop(self.config.drain()).await {
            // Nothing is lost: what was not acknowledged is sent again after the next start, or by who leads now.
            Err(error) if error.code() == Code::STOPPING || is_turn_of_another(&error) => {
                eprintln!("tidings: {error}");
                Ok(())
            }
            ended => ended,
        }
    }

    /// Waits until this relay leads.
    async fn turn(&self) -> Result<Arc<PostgresOutbox>> {
        let mut attempt = 0;
        loop {
            let mut settings = self.config.source();
            settings.patience = TURN;
            let opened = Box::pin(PostgresOutbox::open(&self.address, settings)).await;
            let pause = match &opened {
                Err(error) if is_turn_of_another(error) => {
                    self.board.source.note(&Ok(()));
                    self.board.enter(Phase::StandingBy);
                    attempt = 0;
                    TURN
                }
                _ => {
                    self.board.source.note(&opened);
                    attempt += 1;
                    pause(attempt)
                }
            };
            match opened {
                Err(error) if is_turn_of_another(&error) || may_pass(&error) => {
                    tokio::time::sleep(pause).await;
                }
                opened => return opened,
            }
        }
    }

    /// Tries until it works, if it is a matter of waiting.
    async fn reach<T, F>(&self, side: &Side, step: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        for attempt in 1.. {
            let result = Box::pin(step()).await;
            match result {
                Err(error) if may_pass(&error) => {
                    side.note::<T>(&Err(error));
                    tokio::time::sleep(pause(attempt)).await;
                }
                result => {
                    // What ends the start is said at the end.
                    if result.is_ok() {
                        side.note(&result);
                    }
                    return result;
                }
            }
        }
        Err(Error::new(Code::OVERLOADED, "the attempts are used up"))
    }

    /// Partitions for the days to come, and none that are old.
    async fn upkeep<T>(&self) -> T {
        let mut told = None;
        loop {
            let done = async {
                let client = self.address.connect("tidings relay upkeep", "").await?;
                schema::maintain(&client, self.config.keep()).await
            };
            match Box::pin(done).await {
                Ok(_) => told = None,
                Err(error) => {
                    if told != Some(error.code()) {
                        eprintln!("tidings: the outbox's partitions are not kept up: {error}");
                    }
                    told = Some(error.code());
                }
            }
            tokio::time::sleep(UPKEEP).await;
        }
    }
}

/// Whether waiting alone may help. What is set up wrongly is refused at the start, and waited out once it runs.
fn may_pass(error: &Error) -> bool {
    error.kind() == tidings_core::error::Kind::Retry && error.kind().policy() == Policy::Backoff
}

fn pause(attempt: u32) -> Duration {
    Backoff::default().wait(attempt, rand::random())
}

/// Ctrl-C, or what a supervisor sends.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    fn listen() -> Result<Self> {
        let failed = |e| Error::new(Code::DEFECT, "signals cannot be heard").because(e);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
