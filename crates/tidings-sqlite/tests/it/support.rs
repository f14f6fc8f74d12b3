//! What the tests share: places, drafts, events, and mounted file systems.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::port::{Append, Cursor, Log, Outbox, Pending, Read, ReadLimit, Record, Stored};
use tidings_core::{
    Data, Draft, Entity, Event, Offset, Partition, Position, Stamp, Time, Topic, Version, Window,
};
use tidings_sqlite::{SqliteOutbox, outbox};

/// Far beyond what any step takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A database of a service, with the outbox installed and a table of its own.
pub(crate) struct Service {
    pub(crate) dir: TempDir,
}

impl Service {
    pub(crate) fn new() -> Self {
        let service = Self { dir: TempDir::new().unwrap() };
        let db = service.connect();
        db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).unwrap();
        outbox::install(&db).unwrap();
        db.execute_batch("CREATE TABLE price (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL)").unwrap();
        service
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("pricing.db")
    }

    pub(crate) fn connect(&self) -> Connection {
        let db = Connection::open(self.path()).unwrap();
        db.busy_timeout(DEADLINE).unwrap();
        db
    }

    pub(crate) fn outbox(&self) -> Arc<SqliteOutbox> {
        SqliteOutbox::open(self.path(), "/pricing").unwrap()
    }

    /// Commits one event without a state change.
    pub(crate) fn commit(&self, draft: &Draft) -> outbox::Recorded {
        let mut db = self.connect();
        let tx = db.transaction().unwrap();
        let recorded = outbox::record(&tx, draft).unwrap();
        tx.commit().unwrap();
        recorded
    }

    pub(crate) async fn rows(&self) -> Vec<Pending> {
        let scan = self.outbox().scan(Cursor(0), 1_000_000).await.unwrap();
        assert!(scan.complete);
        scan.rows
    }

    pub(crate) async fn events(&self) -> Vec<Arc<Event>> {
        self.rows().await.into_iter().map(|row| row.event.unwrap()).collect()
    }
}

pub(crate) fn draft(entity: &str, version: Option<u64>) -> Draft {
    Draft {
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::parse(entity).unwrap(),
        version: version.map(|v| Version::new(v).unwrap()),
        window: Window::default(),
        traceparent: None,
        data: Data::Json("{\"cents\":1999}".into()),
    }
}

pub(crate) fn event(entity: &str, version: u64, filler: usize) -> Arc<Event> {
    Arc::new(Event {
        id: format!("{entity}#{version}").into(),
        source: "/pricing".into(),
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::parse(entity).unwrap(),
        stamp: Stamp::of(Version::new(version).unwrap()),
        time: Time::from_micros(1_700_000_000_000_000),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Json(format!("\"{}\"", "x".repeat(filler)).into()),
    })
}

pub(crate) fn partition(index: u32) -> Partition {
    Partition { topic: Topic::new("pricing").unwrap(), index }
}

pub(crate) fn at(offset: u64) -> Position {
    Position { partition: partition(0), offset: Offset(offset) }
}

pub(crate) fn write(event: Arc<Event>) -> Append {
    Append { partition: partition(0), record: Record::Event(event) }
}

/// Everything in partition 0, from its earliest record; panics at a hole.
pub(crate) async fn everything(log: &dyn Log) -> Vec<Stored> {
    let (earliest, head) = log.bounds(&partition(0)).await.unwrap();
    let mut all: Vec<Stored> = Vec::new();
    let mut next = earliest;
    while next < head {
        match log.read(&at(next.0), ReadLimit::default()).await.unwrap() {
            Read::Records(records) => all.extend(records),
            Read::Gap { resume } => panic!("a hole at {next}, resume at {resume}"),
        }
        next = all.last().unwrap().offset.next();
    }
    assert!(all.iter().map(|stored| stored.offset.0).eq(earliest.0..head.0), "offsets have a hole");
    all
}

/// (entity, version) of the events among these records.
pub(crate) fn versions(records: &[Stored]) -> Vec<(String, u64)> {
    let event = |stored: &Stored| match &stored.record {
        Record::Event(event) => Some((event.entity.to_string(), event.stamp.version.number())),
        _ => None,
    };
    records.iter().filter_map(event).collect()
}

/// A file system of a few megabytes in memory, if this user may mount one.
pub(crate) struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path());
        mounted.then_some(Self { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn make_read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro"], self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.dir.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}
