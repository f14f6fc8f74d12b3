//! The outbox in the database: what installing, upgrading and removing it would do, and doing it.

use tidings_core::port::Cursor;
use tidings_core::{Code, Error, Result, Time};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, SimpleQueryMessage};

use crate::fault::fault;

/// The version of the schema that this program writes and understands.
pub const VERSION: i64 = 1;

/// What every version adds to the one before, oldest first.
const MIGRATIONS: [&[Step]; 1] = [&[
    Step {
        what: "make the roles tidings_writer, tidings_relay and tidings_reader, unless they are there",
        impact: "none on what runs; needs CREATEROLE if they are not there",
        sql: include_str!("sql/roles.sql"),
    },
    Step {
        what: "make the schema tidings with its tables, and the publication tidings of inserts into the outbox",
        impact: "none on what runs: only new objects; a publication by itself keeps no log",
        sql: include_str!("sql/schema_1.sql"),
    },
    Step {
        what: "make the functions tidings.publish and tidings.record, and those they stand on",
        impact: "none on what runs",
        sql: include_str!("sql/functions_1.sql"),
    },
    Step {
        what: "make the functions tidings.as_of and tidings.position, for caches that many processes fill",
        impact: "none on what runs",
        sql: include_str!("sql/positions_1.sql"),
    },
    Step {
        what: "make the function tidings.maintain, and the partitions of today and the next days",
        impact: "none on what runs",
        sql: include_str!("sql/upkeep_1.sql"),
    },
    Step {
        what: "let tidings_writer publish, tidings_relay read and keep its progress, tidings_reader ask for positions; \
               nobody else",
        impact: "services need GRANT tidings_writer, the relay GRANT tidings_relay and the attribute REPLICATION, \
                 what only reads GRANT tidings_reader",
        sql: include_str!("sql/grants_1.sql"),
    },
]];

const UNINSTALL: Step = Step {
    what: "drop the schema tidings with all its events and versions, and the publication tidings",
    impact: "events that were not relayed are lost; statements that call tidings.publish fail from then on; roles stay",
    sql: include_str!("sql/uninstall.sql"),
};

/// One thing that would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub what: &'static str,
    /// What it means for what runs.
    pub impact: &'static str,
    /// How.
    pub sql: &'static str,
}

/// What would be done, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version that is there, if any.
    pub from: Option<i64>,
    /// The version that will be there, if any.
    pub to: Option<i64>,
    /// What is to be done; nothing if the database is as it should be.
    pub steps: Vec<Step>,
    /// Replication slots of this database that would be dropped.
    pub slots: Vec<String>,
    /// Rows that are lost by it.
    pub unrelayed: u64,
}

impl Plan {
    /// Does it, in one transaction; slots go last.
    ///
    /// Errors: [`Code::DATABASE_PRIVILEGE`], [`Code::BUSY`] if somebody did it meanwhile, those of the connection.
    pub async fn apply(&self, client: &mut Client) -> Result<()> {
        if !self.steps.is_empty() {
            let transaction = client.transaction().await.map_err(fault)?;
            // Two at once would both start from what they found.
            let lock = "SELECT pg_advisory_xact_lock(hashtext('tidings.schema'))";
            transaction.batch_execute(lock).await.map_err(fault)?;
            if installed(&transaction).await? != self.from {
                return Err(Error::new(Code::BUSY, "the outbox was changed since this was planned"));
            }
            for step in &self.steps {
                transaction.batch_execute(step.sql).await.map_err(|e| fault(e).at(step.what))?;
            }
            transaction.commit().await.map_err(fault)?;
        }
        for slot in &self.slots {
            let drop = "SELECT pg_drop_replication_slot($1)";
            client.query_typed(drop, &[(slot, Type::TEXT)]).await.map_err(|e| fault(e).at(slot))?;
        }
        Ok(())
    }
}

/// What installing would do; nothing if it is there.
///
/// Errors: [`Code::STORE_TOO_NEW`] if a newer version installed it, [`Code::SERVER_TOO_OLD`], and
/// [`Code::SETTING_INVALID`] for a database whose encoding is not UTF8.
pub async fn install(client: &Client) -> Result<Plan> {
    let sql = "SELECT current_setting('server_version_num')::bigint, pg_encoding_to_char(encoding)::text
               FROM pg_database WHERE datname = current_database()";
    let row = client.query_typed_one(sql, &[]).await.map_err(fault)?;
    let (version, encoding): (i64, String) = (row.get(0), row.get(1));
    if version < 140_000 {
        return Err(Error::new(
            Code::SERVER_TOO_OLD,
            format!("the server is PostgreSQL {}", version / 10_000),
        ));
    }
    if encoding != "UTF8" {
        return Err(Error::new(
            Code::SETTING_INVALID,
            format!("the database's encoding is {encoding}, not UTF8"),
        ));
    }
    let from = installed(client).await?;
    from.map_or(Ok(()), check_version)?;
    let done = usize::try_from(from.unwrap_or_default()).unwrap_or_default();
    let steps = MIGRATIONS.iter().skip(done).flat_map(|steps| steps.iter().copied()).collect();
    Ok(Plan { from, to: Some(VERSION), steps, slots: Vec::new(), unrelayed: 0 })
}

/// What upgrading an installed outbox would do; nothing if it is of this version.
///
/// Errors: as [`install`], and [`Code::OUTBOX_MISSING`].
pub async fn upgrade(client: &Client) -> Result<Plan> {
    let plan = install(client).await?;
    match plan.from {
        Some(_) => Ok(plan),
        None => Err(Error::new(Code::OUTBOX_MISSING, "this database has no outbox")),
    }
}

/// What removing would do, with how many rows no relay has read.
pub async fn uninstall(client: &Client) -> Result<Plan> {
    let Some(from) = installed(client).await? else {
        return Ok(Plan { from: None, to: None, steps: Vec::new(), slots: Vec::new(), unrelayed: 0 });
    };
    let sql = "SELECT count(*) FROM tidings.outbox WHERE NOT pg_visible_in_snapshot(xid, (SELECT done FROM tidings.relay))";
    let rows = client.query_typed_one(sql, &[]).await.map_err(fault)?.get::<_, i64>(0);
    let sql = "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()
               AND plugin = 'pgoutput' AND slot_name LIKE 'tidings%'";
    let slots = client.query_typed(sql, &[]).await.map_err(fault)?;
    Ok(Plan {
        from: Some(from),
        to: None,
        steps: vec![UNINSTALL],
        slots: slots.iter().map(|row| row.get(0)).collect(),
        unrelayed: u64::try_from(rows).unwrap_or_default(),
    })
}

/// Makes the daily partitions of the days to come and drops those whose rows are all acknowledged and older than `keep`.
/// To be called now and then, by the relay, on a session that is in no transaction. Waits for nobody, and holds each lock
/// no longer than one step takes. Returns how many it made and dropped.
pub async fn maintain(client: &Client, keep: std::time::Duration) -> Result<(u32, u32)> {
    let keep = keep.as_secs();
    upkeep(client, &format!("tidings.trim_default('{keep} seconds') IS NULL")).await?;
    let made = upkeep(client, "tidings.make_partitions(3)").await?;
    let mut dropped = 0;
    while upkeep(client, &format!("tidings.drop_partition('{keep} seconds')")).await? > 0 {
        dropped += 1;
    }
    Ok((made, dropped))
}

/// One step, in a transaction of its own, under the isolation that it needs, whatever the session's default is.
async fn upkeep(client: &Client, call: &str) -> Result<u32> {
    let sql = format!("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SELECT {call}; COMMIT");
    let answer = match client.simple_query(&sql).await {
        Ok(answer) => answer,
        Err(e) => {
            // Should this fail as well, then the session is gone; the first failure says why.
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(fault(e));
        }
    };
    let value = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(value.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// An event that the relay could not publish and set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Where it was.
    pub cursor: Cursor,
    /// When it was set aside, by the database's clock.
    pub time: Time,
    /// The code of the reason, `TDnnnn`.
    pub code: String,
    /// The reason as one sentence.
    pub reason: String,
    /// The whole row as JSON, if it was still there.
    pub row: Option<String>,
}

/// The events that were set aside, oldest first, at most `limit`.
pub async fn parked(client: &Client, limit: usize) -> Result<Vec<Parked>> {
    let sql = include_str!("sql/parked.sql");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = client.query_typed(sql, &[(&limit, Type::INT8)]).await.map_err(fault)?;
    let parked = found.iter().map(|row| Parked {
        cursor: Cursor(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()),
        time: Time::from_micros(row.get(1)),
        code: row.get(2),
        reason: row.get(3),
        row: row.get(4),
    });
    Ok(parked.collect())
}

/// The installed version; `None` if there is no outbox here.
async fn installed(client: &impl GenericClient) -> Result<Option<i64>> {
    let there =
        client.query_typed_one("SELECT to_regclass('tidings.meta') IS NOT NULL", &[]).await.map_err(fault)?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "SELECT schema_version::bigint FROM tidings.meta";
    client.query_typed_one(sql, &[]).await.map(|row| Some(row.get(0))).map_err(fault)
}

pub(crate) fn check_version(version: i64) -> Result<()> {
    if version <= VERSION {
        return Ok(());
    }
    let what = format!("this database has version {version} of the outbox; this program knows {VERSION}");
    Err(Error::new(Code::STORE_TOO_NEW, what))
}
