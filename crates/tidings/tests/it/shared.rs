//! A consumer that shares a group's work: partitions are given to it and taken away while it works.

use std::future::ready;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidings::memory::MemoryLog;
use tidings::{
    Code, Consumer, Data, Entity, Error, Event, Observer, Offset, Outcome, Partition, Position, Result,
    Running, Stamp, Time, Topic, Version, Window,
};
use tidings_core::port::{Append, Batch, Boxed, Change, Log, Membership, Record, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::shop::settle;

const PATIENCE: Duration = Duration::from_secs(10);

/// A member that is told what to say.
struct Scripted {
    log: Arc<MemoryLog>,
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<Change>>>,
    released: Mutex<Vec<(Partition, Option<Offset>)>>,
    fences: AtomicBool,
    left: AtomicBool,
}

impl Membership for Scripted {
    fn changed(&self) -> Boxed<'_, Result<Change>> {
        Box::pin(async {
            match self.changes.lock().await.recv().await {
                Some(change) => change,
                None => Err(Error::new(Code::STOPPING, "the group was left")),
            }
        })
    }

    /// Notes what was committed before.
    fn release(&self, partitions: &[Partition]) {
        for partition in partitions {
            let committed = futures_now(self.log.committed("search", partition));
            self.released.lock().push((partition.clone(), committed));
        }
    }

    fn commit<'a>(&'a self, positions: &'a [Position]) -> Boxed<'a, Result<()>> {
        if self.fences.load(Ordering::Relaxed) && positions.iter().any(|at| at.partition.index == 0) {
            return Box::pin(ready(Err(Error::new(Code::FENCED, "somebody else has it"))));
        }
        self.log.commit("search", positions)
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

fn futures_now<T>(mut answer: Boxed<'_, Result<Option<T>>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match answer.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer.unwrap(),
        std::task::Poll::Pending => panic!("memory answers at once"),
    }
}

/// A store that applies only as often as it is let.
struct Gate {
    permits: Semaphore,
    entered: AtomicUsize,
    begun: Mutex<Vec<usize>>,
    is_away: AtomicBool,
    applied: Mutex<Vec<(u32, u64)>>,
}

impl Store for Gate {
    fn begin<'a>(&'a self, _: &'a str, partitions: &'a [Partition]) -> Boxed<'a, Result<()>> {
        if self.is_away.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(Error::new(Code::BUSY, "the store is away"))));
        }
        self.begun.lock().push(partitions.len());
        Box::pin(ready(Ok(())))
    }

    fn apply<'a>(&'a self, batch: Batch<'a>) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.entered.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.unwrap().forget();
            let partition = batch.next.partition.index;
            let applied = batch.events.iter().map(|event| (partition, event.stamp.version.number()));
            self.applied.lock().extend(applied);
            Ok(())
        })
    }

    fn open_epoch<'a>(&'a self, why: &'a str) -> Boxed<'a, Result<()>> {
        panic!("nothing was missed, but: {why}")
    }
}

#[derive(Default)]
struct Began(Mutex<Vec<Vec<u64>>>);

impl Observer for Began {
    fn outcomes(&self, _: &[(Arc<Event>, Outcome)]) {}

    fn began(&self, positions: &[Position]) {
        self.0.lock().push(positions.iter().map(|at| at.offset.0).collect());
    }
}

struct Group {
    log: Arc<MemoryLog>,
    member: Arc<Scripted>,
    tell: mpsc::UnboundedSender<Result<Change>>,
    gate: Arc<Gate>,
    began: Arc<Began>,
    running: Running,
}

impl Group {
    fn start(permits: usize) -> Self {
        let log = MemoryLog::new(NonZeroU32::new(2).unwrap());
        let (tell, changes) = mpsc::unbounded_channel();
        let member = Arc::new(Scripted {
            log: log.clone(),
            changes: tokio::sync::Mutex::new(changes),
            released: Mutex::default(),
            fences: AtomicBool::new(false),
            left: AtomicBool::new(false),
        });
        let gate = Arc::new(Gate {
            permits: Semaphore::new(permits),
            entered: AtomicUsize::new(0),
            begun: Mutex::default(),
            is_away: AtomicBool::new(false),
            applied: Mutex::default(),
        });
        let began = Arc::<Began>::default();
        let builder = Consumer::builder("search", log.clone()).shared_by(member.clone());
        let running = builder.store(gate.clone()).observer(began.clone()).build().unwrap().spawn();
        Self { log, member, tell, gate, began, running }
    }

    async fn append(&self, index: u32, versions: std::ops::RangeInclusive<u64>) {
        for version in versions {
            let record = Record::Event(Arc::new(event(version)));
            self.log.append(&[Append { partition: part(index), record }]).await.unwrap();
        }
    }

    async fn tell(&self, change: Change) {
        self.tell.send(Ok(change)).unwrap();
        settle().await;
    }

    async fn assign(&self, positions: &[(u32, u64)]) {
        let at = |(index, offset): &(u32, u64)| Position { partition: part(*index), offset: Offset(*offset) };
        self.tell(Change::Assigned(positions.iter().map(at).collect())).await;
    }

    async fn committed(&self, index: u32) -> Option<u64> {
        self.log.committed("search", &part(index)).await.unwrap().map(|offset| offset.0)
    }

    fn applied(&self) -> Vec<(u32, u64)> {
        self.gate.applied.lock().clone()
    }
}

/// Lets so much of the paused time pass, with everything that happens meanwhile.
async fn pass(time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    settle().await;
    for _ in 0..time.div_duration_f64(STEP).ceil() as u64 {
        tokio::time::advance(STEP).await;
        settle().await;
    }
}

fn part(index: u32) -> Partition {
    Partition { topic: Topic::new("pricing").unwrap(), index }
}

fn event(version: u64) -> Event {
    Event {
        id: format!("{version}").into(),
        source: "/pricing".into(),
        kind: "pricing.Changed".into(),
        entity: Entity::new("price", "1").unwrap(),
        stamp: Stamp::of(Version::new(version).unwrap()),
        time: Time::from_micros(1),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Empty,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_is_finished_committed_and_released_and_the_rest_goes_on() {
    let group = Group::start(0);
    group.append(0, 1..=2).await;
    group.assign(&[(0, 0), (1, 0)]).await;
    assert_eq!(group.gate.entered.load(Ordering::Relaxed), 1, "the batch is with the store");
    group.append(0, 3..=4).await;
    group.tell(Change::Revoked(vec![part(0)])).await;
    assert!(group.member.released.lock().is_empty(), "others wait for what was begun");
    group.gate.permits.add_permits(100);
    settle().await;
    assert_eq!(*group.member.released.lock(), [(part(0), Some(Offset(2)))], "committed first");
    assert_eq!(group.applied(), [(0, 1), (0, 2)], "what comes after is the next member's");
    group.append(1, 7..=7).await;
    settle().await;
    assert_eq!(group.applied().last(), Some(&(1, 7)), "what stays is not interrupted");
    assert_eq!(*group.gate.begun.lock(), [2], "one beginning for one assignment");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_does_not_end_is_ended_before_the_patience_of_the_others() {
    let group = Group::start(0);
    group.append(0, 1..=2).await;
    group.assign(&[(0, 0)]).await;
    let began = Instant::now();
    group.tell(Change::Revoked(vec![part(0)])).await;
    while group.member.released.lock().is_empty() {
        pass(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    group.gate.permits.add_permits(100);
    settle().await;
    assert_eq!((group.applied(), group.committed(0).await), (vec![], None), "it was aborted");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_dropped_where_it_is_and_begins_again_where_the_group_stands() {
    let group = Group::start(0);
    group.append(0, 1..=3).await;
    group.assign(&[(0, 0)]).await;
    group.tell(Change::Lost(vec![part(0)])).await;
    group.gate.permits.add_permits(100);
    pass(Duration::from_secs(1)).await;
    assert_eq!((group.applied(), group.committed(0).await), (vec![], None), "neither applied nor committed");
    assert!(group.member.released.lock().is_empty(), "there is nothing to release");
    group.assign(&[(0, 2)]).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((group.applied(), group.committed(0).await), (vec![(0, 3)], Some(3)));
    assert_eq!(*group.began.0.lock(), [vec![0], vec![2]], "observers hear of each assignment");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_twice_has_one_lane() {
    let group = Group::start(0);
    group.append(0, 1..=3).await;
    group.assign(&[(0, 0)]).await;
    group.assign(&[(0, 2)]).await;
    group.gate.permits.add_permits(100);
    pass(Duration::from_secs(1)).await;
    assert_eq!((group.applied(), group.committed(0).await), (vec![(0, 3)], Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_ends_its_lane_and_nothing_else() {
    let group = Group::start(100);
    group.member.fences.store(true, Ordering::Relaxed);
    group.append(0, 1..=1).await;
    group.assign(&[(0, 0), (1, 0)]).await;
    pass(Duration::from_secs(1)).await;
    group.append(0, 2..=2).await;
    group.append(1, 7..=7).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(group.applied(), [(0, 1), (1, 7)], "its lane has ended");
    assert_eq!((group.committed(0).await, group.committed(1).await), (None, Some(1)));
    assert!(!group.running.is_finished());
    // The change that took it away comes a little later.
    group.tell(Change::Lost(vec![part(0)])).await;
    assert!(!group.running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_does_not_keep_changes_from_being_heard() {
    let group = Group::start(100);
    group.gate.is_away.store(true, Ordering::Relaxed);
    group.append(0, 1..=1).await;
    group.append(1, 7..=7).await;
    group.assign(&[(0, 0), (1, 0)]).await;
    group.tell(Change::Revoked(vec![part(0)])).await;
    assert_eq!(*group.member.released.lock(), [(part(0), None)]);
    group.gate.is_away.store(false, Ordering::Relaxed);
    pass(Duration::from_secs(60)).await;
    assert_eq!(group.applied(), [(1, 7)]);
    assert_eq!((group.gate.begun.lock().len(), group.began.0.lock().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_drains_takes_nothing_on_and_leaves() {
    let group = Group::start(0);
    group.append(0, 1..=2).await;
    group.assign(&[(0, 0)]).await;
    let (log, member, gate, tell) = (group.log, group.member, group.gate, group.tell);
    let stopping = tokio::spawn(group.running.stop(Duration::from_secs(60)));
    settle().await;
    tell.send(Ok(Change::Assigned(vec![Position { partition: part(1), offset: Offset(0) }]))).unwrap();
    settle().await;
    gate.permits.add_permits(100);
    stopping.await.unwrap().unwrap();
    assert!(member.left.load(Ordering::Relaxed));
    assert_eq!(log.committed("search", &part(0)).await.unwrap(), Some(Offset(2)));
    assert_eq!(*gate.begun.lock(), [1], "who leaves takes on nothing more");
}

#[tokio::test(start_paused = true)]
async fn a_failing_member_is_borne_and_a_group_that_was_left_ends_the_consumer() {
    let mut group = Group::start(100);
    group.append(0, 1..=1).await;
    group.assign(&[(0, 0)]).await;
    group.tell.send(Err(Error::new(Code::BUSY, "for a while"))).unwrap();
    pass(Duration::from_secs(60)).await;
    group.append(0, 2..=2).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((group.applied(), group.committed(0).await), (vec![(0, 1), (0, 2)], Some(2)));
    drop(group.tell);
    let ended = group.running.finished().await.unwrap_err();
    assert_eq!(ended.code(), Code::STOPPING, "{ended}");
    assert!(group.member.left.load(Ordering::Relaxed));
}

#[test]
fn a_member_says_what_is_followed_and_from_where() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let group = Group::start(0);
    let builder = || Consumer::builder("search", group.log.clone()).shared_by(group.member.clone());
    let topic = Topic::new("pricing").unwrap();
    let twice = builder().topics([&topic]).store(group.gate.clone()).build();
    assert_eq!(twice.err().map(|error| error.code()), Some(Code::SETTING_INVALID));
    let head = builder().start(tidings::Start::Head).store(group.gate.clone()).build();
    assert_eq!(head.err().map(|error| error.code()), Some(Code::SETTING_INVALID));
}
