//! Appending: in order, without gaps, durable when it returns.
//!
//! Within a partition, nothing of an append may land behind something of it that is missing: a mark behind a lost event
//! would vouch for what is not there. The broker sees to that by sequence numbers, as long as the producer never gives
//! up one record and goes on with the next. So records do not time out one by one; when an append fails, for whatever
//! reason, its producer is given up with everything that is on its way, and the next append starts a new one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use tidings_core::Result;
use tokio::sync::Notify;

use crate::client::Context;
use crate::codec::Outgoing;
use crate::fault::Trouble;

/// A record, and where it goes.
pub(crate) struct Addressed<'a> {
    /// As the brokers call it.
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) out: Outgoing<'a>,
}

/// The producer in use, and how to make the next.
pub(crate) struct Writer {
    config: ClientConfig,
    context: Context,
    deadline: Duration,
    live: Mutex<Option<Arc<Live>>>,
}

/// One producer, until something fails.
struct Live {
    /// Always there, until the end takes it to a thread that may wait for it.
    producer: Option<ThreadedProducer<Deliveries>>,
    room: Arc<Notify>,
    /// Held while records are handed over, so that none is after the producer was given up.
    given_up: Mutex<bool>,
}

/// A record on its way to the producer.
type Handed<'a> = BaseRecord<'a, str, [u8], Arc<Flight>>;

/// What became of it.
enum HandOver<'a> {
    Done,
    /// There is no room now.
    Full(Handed<'a>),
    Failed(KafkaError),
}

impl Writer {
    pub(crate) fn new(config: ClientConfig, context: Context, deadline: Duration) -> Self {
        Self { config, context, deadline, live: Mutex::default() }
    }

    /// Appends records that were checked.
    pub(crate) async fn append<'a>(&self, batch: impl Iterator<Item = Result<Addressed<'a>>>) -> Result<()> {
        let live = self.live()?;
        let flight = Arc::new(Flight::default());
        let sent = tokio::time::timeout(self.deadline, async {
            self.send(&live, batch, &flight).await?;
            flight.landed(None);
            flight.done.notified().await;
            Ok(())
        });
        let given_up = GiveUp { writer: self, live: &live };
        let result = match sent.await {
            Ok(Ok(())) => flight.failure().map_or(Ok(()), |error| Err(self.fault(&error))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.trouble().silence("an append was not acknowledged in time")),
        };
        if result.is_ok() {
            std::mem::forget(given_up);
            self.trouble().over();
        }
        result
    }

    /// Hands the records to the producer, in order; waits for room in its queue.
    async fn send<'a>(
        &self,
        live: &Arc<Live>,
        batch: impl Iterator<Item = Result<Addressed<'a>>>,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        for addressed in batch {
            let Addressed { topic, partition, out } = addressed?;
            let mut record = BaseRecord::<str, [u8], _>::with_opaque_to(&topic, flight.clone())
                .partition(partition)
                .headers(out.headers);
            (record.key, record.payload) = (out.key, out.body);
            loop {
                match live.hand_over(record, flight) {
                    HandOver::Done => break,
                    HandOver::Full(back) => record = back,
                    HandOver::Failed(error) => {
                        return Err(self.fault(&flight.failure().unwrap_or(error)));
                    }
                }
                // Room comes with an answer; those who wait look again by themselves if another took it.
                let _ = tokio::time::timeout(Duration::from_millis(5), live.room.notified()).await;
            }
        }
        Ok(())
    }

    fn live(&self) -> Result<Arc<Live>> {
        let mut live = lock(&self.live);
        if let Some(live) = &*live {
            return Ok(live.clone());
        }
        let room = Arc::<Notify>::default();
        let context = Deliveries { context: self.context.clone(), room: room.clone() };
        let producer: ThreadedProducer<Deliveries> =
            self.config.create_with_context(context).map_err(|error| self.fault(&error))?;
        let new = Arc::new(Live { producer: Some(producer), room, given_up: Mutex::new(false) });
        *live = Some(new.clone());
        Ok(new)
    }

    /// Nothing more goes out of this producer, and everybody who waits for it is told.
    fn give_up(&self, gone: &Arc<Live>) {
        let mut live = lock(&self.live);
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, gone)) {
            *live = None;
        }
        drop(live);
        let mut given_up = lock(&gone.given_up);
        *given_up = true;
        gone.purge();
    }

    fn fault(&self, error: &KafkaError) -> tidings_core::Error {
        self.trouble().fault("an append failed", error)
    }

    fn trouble(&self) -> &Trouble {
        &self.context.trouble
    }
}

impl Live {
    fn hand_over<'a>(&self, record: Handed<'a>, flight: &Flight) -> HandOver<'a> {
        let given_up = lock(&self.given_up);
        let Some(producer) = self.producer.as_ref().filter(|_| !*given_up) else {
            return HandOver::Failed(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
        };
        flight.took_off();
        let Err((error, back)) = producer.send(record) else { return HandOver::Done };
        flight.landed(None);
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => HandOver::Full(back),
            error => HandOver::Failed(error),
        }
    }

    fn purge(&self) {
        if let Some(producer) = &self.producer {
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.purge();
        let producer = self.producer.take();
        // Its end waits for its threads.
        std::thread::spawn(move || drop(producer));
    }
}

/// Gives the producer up unless it is forgotten: after a failure, and when the caller goes away in the middle, because
/// the rest of its batch will not come.
struct GiveUp<'a> {
    writer: &'a Writer,
    live: &'a Arc<Live>,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.writer.give_up(self.live);
    }
}

/// One append on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Records that are not answered, and one for the append that still hands over.
    left: AtomicUsize,
    failed: Mutex<Option<KafkaError>>,
    done: Notify,
}

impl Default for Flight {
    fn default() -> Self {
        Self { left: AtomicUsize::new(1), failed: Mutex::default(), done: Notify::new() }
    }
}

impl Flight {
    fn took_off(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    fn landed(&self, error: Option<KafkaError>) {
        if let Some(error) = error {
            // The first failure is the cause of the others.
            lock(&self.failed).get_or_insert(error);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    fn failure(&self) -> Option<KafkaError> {
        lock(&self.failed).clone()
    }
}

/// Hears what becomes of each record.
struct Deliveries {
    context: Context,
    room: Arc<Notify>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        flight.landed(result.as_ref().err().map(|(error, _)| error.clone()));
        self.room.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
