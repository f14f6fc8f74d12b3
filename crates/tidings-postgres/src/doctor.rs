//! Looking a server over before anything depends on it: settings under which events could be late, or un-happen.
//!
//! It only reads. Connect as the user that relays, since the rights are that user's.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Code, Result, Time};
use tokio_postgres::Client;

use crate::fault::fault;
use crate::outbox::Discovery;
use crate::schema;

/// A clock that is further off than this shows in every age that is told.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);
/// A slot that holds back more than this is worth a look.
const RETAINED_BYTES: i64 = 1 << 30;
/// A transaction that is open for longer than this holds up what waits for it.
const OPEN_TOO_LONG: f64 = 600.0;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Note,
    /// It works, but something can go wrong that need not.
    Warning,
    /// It does not work, or events can be lost or un-happen.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub what: String,
    /// How to mend it.
    pub remedy: String,
    /// The fault that comes of it, if it has a code.
    pub code: Option<Code>,
}

impl Finding {
    fn new(level: Level, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level, what: what.into(), remedy: remedy.into(), code: None }
    }

    fn because(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }
}

/// Looks over the server, and the outbox if there is one. `now` is this machine's clock. Nothing found is good.
///
/// Errors: those of the connection.
pub async fn examine(client: &Client, discovery: &Discovery, now: Time) -> Result<Vec<Finding>> {
    let facts = Facts::read(client).await?;
    let mut findings = facts.durability();
    findings.extend(facts.clock(now));
    findings.extend(facts.installation());
    if let Discovery::Decode { .. } = discovery {
        findings.extend(facts.decoding());
        findings.extend(slots(client).await?);
    }
    if facts.flag("installed") && facts.flag("usage") {
        findings.extend(outbox(client).await?);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Ok(findings)
}

/// Settings by their names, and a few facts beside them.
struct Facts(BTreeMap<String, String>);

impl Facts {
    async fn read(client: &Client) -> Result<Self> {
        let rows = client.query_typed(include_str!("sql/facts.sql"), &[]).await.map_err(fault)?;
        Ok(Self(
            rows.iter()
                .map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default()))
                .collect(),
        ))
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "on" | "t")
    }

    fn durability(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in ["fsync", "full_page_writes"] {
            if !self.flag(name) {
                let what = format!("{name} is off: a crash can undo commits that were published");
                findings.push(
                    Finding::new(Level::Error, what, format!("set {name} = on")).because(Code::NOT_DURABLE),
                );
            }
        }
        match (self.text("synchronous_commit"), self.text("synchronous_standby_names")) {
            ("off", _) => findings.push(Finding::new(
                Level::Note,
                "synchronous_commit is off; transactions that record an event are raised to on by themselves",
                "nothing for events; set it to on if other commits must survive a crash, too",
            )),
            (_, "") if self.number("standbys") > 0 => findings.push(Finding::new(
                Level::Warning,
                "the standbys are asynchronous: after a failover, events that were published may not have happened",
                "name them in synchronous_standby_names; or live with it: a failover starts a new timeline, which \
                 consumers take as news",
            )),
            _ => {}
        }
        if self.flag("standby") {
            let what = "the server is a standby";
            findings.push(
                Finding::new(Level::Error, what, Code::DATABASE_STANDBY.remedy())
                    .because(Code::DATABASE_STANDBY),
            );
        }
        findings
    }

    fn clock(&self, now: Time) -> Option<Finding> {
        let server = Time::from_micros(self.number("clock"));
        let off = server.since(now).max(now.since(server));
        let what = format!("the clocks of the database and of this machine differ by {off:.1?}");
        let remedy = "have both follow NTP; ages are told by the database's clock";
        (off > CLOCK_TOLERANCE).then(|| Finding::new(Level::Warning, what, remedy))
    }

    fn installation(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.flag("installed") {
            let what = "this database has no outbox";
            findings.push(
                Finding::new(Level::Error, what, Code::OUTBOX_MISSING.remedy()).because(Code::OUTBOX_MISSING),
            );
            return findings;
        }
        if !self.flag("usage") || !self.flag("relay") {
            let what = format!("the user {} may not relay", self.text("user"));
            let remedy = format!("GRANT tidings_relay TO {}", self.text("user"));
            findings.push(Finding::new(Level::Error, what, remedy).because(Code::DATABASE_PRIVILEGE));
        }
        if self.text("cache") != "1" {
            let what =
                "the sequence tidings.outbox_seq hands out numbers in advance, out of the order of commits";
            let remedy = "ALTER SEQUENCE tidings.outbox_seq CACHE 1";
            findings.push(Finding::new(Level::Error, what, remedy));
        }
        findings
    }

    fn decoding(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.text("wal_level") != "logical" {
            let what = format!("wal_level is {}", self.text("wal_level"));
            findings
                .push(Finding::new(Level::Error, what, Code::WAL_LEVEL.remedy()).because(Code::WAL_LEVEL));
        }
        if !self.flag("replication") {
            let what = format!(
                "the user {} may not replicate; a role it belongs to does not pass that on",
                self.text("user")
            );
            let remedy = format!("ALTER ROLE {} REPLICATION", self.text("user"));
            findings.push(Finding::new(Level::Error, what, remedy).because(Code::DATABASE_PRIVILEGE));
        }
        if self.flag("installed") && self.text("publication") != "insert via root" {
            let what =
                "the publication tidings is missing, or not of exactly the inserts into tidings.outbox";
            let remedy = "DROP PUBLICATION IF EXISTS tidings; CREATE PUBLICATION tidings FOR TABLE tidings.outbox \
                          WITH (publish = 'insert', publish_via_partition_root = true)";
            findings.push(Finding::new(Level::Error, what, remedy));
        }
        let (most, used) = (self.number("max_replication_slots"), self.number("slots"));
        if used >= most && self.number("own_slots") == 0 {
            let what = format!("all {most} replication slots are in use");
            findings
                .push(Finding::new(Level::Error, what, Code::SLOTS_FULL.remedy()).because(Code::SLOTS_FULL));
        }
        if self.text("max_slot_wal_keep_size") == "-1" {
            findings.push(Finding::new(
                Level::Warning,
                "max_slot_wal_keep_size is unlimited: a relay that stands still fills the database's disk",
                "set it to what the disk can spare; a slot that is lost by it is replaced, and its rows are read from the table",
            ));
        }
        if self.number("server_version_num") >= 170_000 && self.number("standbys") > 0 {
            if self.text("synchronized_standby_slots").is_empty() {
                let what = "synchronized_standby_slots is empty: events can be published that no standby has";
                findings.push(Finding::new(Level::Warning, what, "name the standbys' physical slots in it"));
            }
        } else if self.number("standbys") > 0 {
            let what =
                "slots do not survive a failover before PostgreSQL 17: the relay then reads the table again";
            findings.push(Finding::new(
                Level::Note,
                what,
                "nothing; some events are sent twice after a failover",
            ));
        }
        findings
    }
}

async fn slots(client: &Client) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for row in client.query_typed(include_str!("sql/slots.sql"), &[]).await.map_err(fault)? {
        let (name, ours, active, status, retained): (String, bool, bool, String, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
        if ours && status == "lost" {
            let what = format!("the slot {name} is lost");
            findings
                .push(Finding::new(Level::Warning, what, Code::SLOT_LOST.remedy()).because(Code::SLOT_LOST));
        } else if retained > RETAINED_BYTES {
            let idle = if active { "" } else { ", which nobody reads," };
            let what =
                format!("the slot {name}{idle} holds back {} MiB of the log ({status})", retained >> 20);
            let remedy =
                format!("have it read, or SELECT pg_drop_replication_slot('{name}') if nobody needs it");
            findings.push(Finding::new(Level::Warning, what, remedy));
        }
    }
    Ok(findings)
}

async fn outbox(client: &Client) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let row = client.query_typed_one(include_str!("sql/state.sql"), &[]).await.map_err(fault)?;
    if row.get::<_, i64>(0) > schema::VERSION {
        findings.push(
            Finding::new(Level::Error, "a newer version installed the outbox", Code::STORE_TOO_NEW.remedy())
                .because(Code::STORE_TOO_NEW),
        );
    }
    if !row.get::<_, bool>(1) {
        findings.push(
            Finding::new(
                Level::Error,
                "the outbox was made in another cluster",
                Code::SOURCE_CHANGED.remedy(),
            )
            .because(Code::SOURCE_CHANGED),
        );
    }
    if row.get::<_, i64>(2) == 0 {
        findings.push(Finding::new(
            Level::Warning,
            "there is no partition for tomorrow",
            "run SELECT tidings.maintain('7 days') daily; the relay does it by itself",
        ));
    }
    if row.get::<_, bool>(3) {
        findings.push(Finding::new(
            Level::Note,
            "rows are in the default partition, from which they are deleted one by one",
            "run SELECT tidings.maintain('7 days') daily, before the day begins",
        ));
    }
    let parked: i64 = row.get(4);
    if parked > 0 {
        findings.push(Finding::new(
            Level::Warning,
            format!("{parked} events are parked"),
            "look at tidings.parked",
        ));
    }
    let longest: f64 = row.get(5);
    if longest > OPEN_TOO_LONG {
        let what =
            format!("a transaction is open for {longest:.0} s; making a slot waits for it, and vacuum does");
        findings.push(Finding::new(
            Level::Warning,
            what,
            "end it: SELECT pid, query FROM pg_stat_activity ORDER BY xact_start",
        ));
    }
    Ok(findings)
}
