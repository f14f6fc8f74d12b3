//! What readers ask of one bucket goes together: while scripts are under way, others gather, and share the next one. What
//! a script costs by itself, above all the question which life of the store this is, is then paid once for all of them.
//! Who comes alone waits for nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use tidings_core::error::{Code, Error, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::script::{Reply, Script};
use crate::wire::{Unasked, Wire};

/// So many scripts of one bucket are under way at once: while the answers to one are on their way, the server has another.
const UNDER_WAY: usize = 2;
/// The most requests in one script: each stops the server for a few microseconds.
const REQUESTS: usize = 64;
/// A script takes no more requests once it has so many bytes, and does no more once its answers have (`serve.lua`).
const BYTES: usize = 256 << 10;

/// One request, as the script `serve` takes it.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) slot: String,
    pub(crate) args: Vec<Vec<u8>>,
}

impl Request {
    fn bytes(&self) -> usize {
        self.slot.len() + self.args.iter().map(Vec::len).sum::<usize>()
    }
}

type Answer = Result<Value, RedisError>;

struct Waiting {
    request: Request,
    answer: oneshot::Sender<Answer>,
    since: Instant,
}

/// Who waits for a script of this bucket.
struct Bucket {
    control: String,
    /// How many more scripts may be under way.
    turns: usize,
    waiting: VecDeque<Waiting>,
}

/// The readers' way to the store.
pub(crate) struct Batcher {
    wire: Arc<Wire>,
    serve: Script,
    buckets: Box<[Mutex<Bucket>]>,
    runtime: Handle,
}

impl Batcher {
    /// For buckets with these control records. Runs on the runtime of the caller.
    pub(crate) fn new(wire: Arc<Wire>, serve: Script, controls: impl Iterator<Item = String>) -> Arc<Self> {
        let bucket = |control| Mutex::new(Bucket { control, turns: UNDER_WAY, waiting: VecDeque::new() });
        let buckets = controls.map(bucket).collect();
        Arc::new(Self { wire, serve, buckets, runtime: Handle::current() })
    }

    /// A request on behalf of a read, which has somewhere else to go.
    pub(crate) async fn ask(self: &Arc<Self>, bucket: u32, request: Request) -> Result<Reply, Unasked> {
        self.wire.guarded(self.answered(bucket, request)).await
    }

    async fn answered(self: &Arc<Self>, bucket: u32, request: Request) -> Result<Reply> {
        let (answer, waits) = oneshot::channel();
        let waiting = Waiting { request, answer, since: Instant::now() };
        self.begin(bucket as usize, waiting)?;
        match tokio::time::timeout(self.wire.timeout(), waits).await {
            Ok(Ok(answer)) => Reply::new(answer.map_err(|error| self.wire.fault(&error))?),
            // It was not asked for any more, or not answered.
            Ok(Err(_)) | Err(_) => Err(self.wire.late()),
        }
    }

    /// Never in the caller's own future, which may not be polled for long: the others would wait for it.
    fn begin(self: &Arc<Self>, bucket: usize, waiting: Waiting) -> Result<()> {
        let mut queue = self.lock(bucket)?;
        if queue.turns == 0 {
            queue.waiting.push_back(waiting);
            return Ok(());
        }
        queue.turns -= 1;
        drop(queue);
        let turn = Turn { batcher: self.clone(), bucket };
        self.runtime.spawn(turn.serve(vec![waiting]));
        Ok(())
    }

    /// The answers to some requests, in their order.
    pub(crate) async fn run(&self, bucket: usize, requests: &[Request]) -> Vec<Answer> {
        let Ok(control) = self.lock(bucket).map(|bucket| bucket.control.clone()) else {
            return Vec::new();
        };
        let keys: Vec<_> =
            std::iter::once(&*control).chain(requests.iter().map(|request| &*request.slot)).collect();
        let counts: Vec<_> = requests.iter().map(|request| request.args.len().to_string()).collect();
        let args: Vec<&[u8]> = requests
            .iter()
            .zip(&counts)
            .flat_map(|(request, count)| {
                let head = [request.name.as_bytes(), count.as_bytes()];
                head.into_iter().chain(request.args.iter().map(Vec::as_slice))
            })
            .collect();
        match self.wire.run(&self.serve, &keys, &args).await {
            Ok(Value::Array(answers)) if answers.len() == requests.len() => {
                answers.into_iter().map(Value::extract_error).collect()
            }
            // Each says what it was.
            Ok(other) => requests.iter().map(|_| Ok(other.clone())).collect(),
            Err(error) => requests.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn lock(&self, bucket: usize) -> Result<MutexGuard<'_, Bucket>> {
        let bucket = self.buckets.get(bucket);
        let bucket = bucket.ok_or_else(|| Error::new(Code::DEFECT, "there is no such bucket"))?;
        Ok(bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to have a script under way. Whoever has done with it, or is dropped in the middle, hands it on to those who
/// wait.
struct Turn {
    batcher: Arc<Batcher>,
    bucket: usize,
}

impl Turn {
    async fn serve(self, batch: Vec<Waiting>) {
        let (requests, rest): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.request, (waiting.answer, waiting.since))).unzip();
        let answers = self.batcher.run(self.bucket, &requests).await;
        let mut later = Vec::new();
        for ((request, (answer, since)), found) in requests.into_iter().zip(rest).zip(answers) {
            if is_later(&found) {
                later.push(Waiting { request, answer, since });
            } else {
                // Whoever has gone in the meantime does not need it.
                let _ = answer.send(found);
            }
        }
        if let Ok(mut bucket) = self.batcher.lock(self.bucket) {
            later.into_iter().rev().for_each(|waiting| bucket.waiting.push_front(waiting));
        }
    }
}

/// Whether a script has done nothing for this request, because its answers had become too many bytes.
fn is_later(found: &Answer) -> bool {
    let Ok(Value::Array(values)) = found else { return false };
    matches!(values.first(), Some(Value::BulkString(word)) if word == b"later")
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Ok(mut bucket) = self.batcher.lock(self.bucket) else { return };
        let batch = bucket.take(self.batcher.wire.timeout() / 2);
        if batch.is_empty() {
            bucket.turns += 1;
            return;
        }
        drop(bucket);
        let turn = Self { batcher: self.batcher.clone(), bucket: self.bucket };
        self.batcher.runtime.spawn(turn.serve(batch));
    }
}

impl Bucket {
    /// Those who have waited longest, and still do; not those who will be gone before they are answered, as others would
    /// wait for what they claim.
    fn take(&mut self, patience: Duration) -> Vec<Waiting> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < REQUESTS && bytes < BYTES {
            let Some(waiting) = self.waiting.pop_front() else { break };
            if !waiting.answer.is_closed() && waiting.since.elapsed() < patience {
                bytes += waiting.request.bytes();
                batch.push(waiting);
            }
        }
        batch
    }
}
