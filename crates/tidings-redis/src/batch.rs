//! What readers ask of one bucket goes together: while scripts are under way, others gather, and share the next one. What
//! a script costs by itself, above all the question which life of the store this is, is then paid once for all of them.
//! Who comes alone waits for nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
/// A script takes no more requests once it has so many bytes.
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
        let answer = match self.begin(bucket as usize, request)? {
            Begun::Now(turn, request) => {
                let mut answers = self.run(turn.bucket, std::slice::from_ref(&request)).await;
                answers.pop().ok_or_else(|| Error::new(Code::DEFECT, "a script was not asked"))?
            }
            Begun::Waits(answer) => match tokio::time::timeout(self.wire.timeout(), answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => return Err(Error::new(Code::STOPPING, "the shared cache")),
                Err(_) => return Err(self.wire.late()),
            },
        };
        Reply::new(answer.map_err(|error| self.wire.fault(&error))?)
    }

    fn begin(self: &Arc<Self>, bucket: usize, request: Request) -> Result<Begun> {
        let mut queue = self.lock(bucket)?;
        if queue.turns > 0 {
            queue.turns -= 1;
            return Ok(Begun::Now(Turn { batcher: self.clone(), bucket }, request));
        }
        let (answer, waits) = oneshot::channel();
        queue.waiting.push_back(Waiting { request, answer });
        Ok(Begun::Waits(waits))
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

enum Begun {
    Now(Turn, Request),
    Waits(oneshot::Receiver<Answer>),
}

/// The right to have a script under way. Whoever has done with it, or is dropped in the middle, hands it on to those who
/// wait.
struct Turn {
    batcher: Arc<Batcher>,
    bucket: usize,
}

impl Turn {
    async fn serve(self, batch: Vec<Waiting>) {
        let (requests, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.request, waiting.answer)).unzip();
        for (answer, to) in self.batcher.run(self.bucket, &requests).await.into_iter().zip(answers) {
            // Whoever has gone in the meantime does not need it.
            let _ = to.send(answer);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Ok(mut bucket) = self.batcher.lock(self.bucket) else { return };
        let batch = bucket.take();
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
    /// Those who have waited longest, and still do: a claim for nobody would hold up others.
    fn take(&mut self) -> Vec<Waiting> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < REQUESTS && bytes < BYTES {
            let Some(waiting) = self.waiting.pop_front() else { break };
            if !waiting.answer.is_closed() {
                bytes += waiting.request.bytes();
                batch.push(waiting);
            }
        }
        batch
    }
}
