//! A service with prices: its table, its events, and the outbox somebody would write by hand.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tidings::{Data, Draft, Entity, Topic, Window};

/// The type of its events.
pub(crate) const KIND: &str = "pricing.BasePriceChanged";
/// How many different prices there are.
pub(crate) const PRICES: usize = 1000;
const DATA: &str = r#"{"region":"eu-central","cents":1999,"currency":"EUR","reason":"spring sale"}"#;

/// The same columns as the outbox of Tidings, without its rules.
const BY_HAND: &str = "
    CREATE TABLE by_hand (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL, aggregatetype TEXT NOT NULL, aggregateid TEXT NOT NULL,
        type TEXT NOT NULL, version INTEGER NOT NULL, timeline INTEGER NOT NULL, time INTEGER NOT NULL,
        effectivefrom INTEGER, effectiveuntil INTEGER, traceparent TEXT, contenttype TEXT, payload
    );
    CREATE TABLE last (entity TEXT PRIMARY KEY, timeline INTEGER NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;";
const INSERT: &str = "
    INSERT INTO by_hand (id, aggregatetype, aggregateid, type, version, timeline, time, payload)
    VALUES (lower(hex(randomblob(18))), 'price', ?1, ?2, ?3, 0, CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?4)";

pub(crate) fn topic() -> Result<Topic> {
    Ok(Topic::new("pricing")?)
}

pub(crate) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")?;
    Ok(connection)
}

/// The service's database, with both outboxes.
pub(crate) fn create(path: &Path) -> Result<Connection> {
    let mut connection = open(path)?;
    connection.execute_batch(
        "CREATE TABLE price (id TEXT PRIMARY KEY, cents INTEGER, version INTEGER) WITHOUT ROWID",
    )?;
    connection.execute_batch(BY_HAND)?;
    tidings_sqlite::outbox::install(&connection)?;
    let tx = connection.transaction()?;
    for number in 0..PRICES {
        tx.execute("INSERT INTO price VALUES (?1, 0, 0)", [id(number)])?;
    }
    tx.commit()?;
    Ok(connection)
}

pub(crate) fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// The state change.
pub(crate) fn update(tx: &Transaction<'_>, number: usize) -> Result<()> {
    let sql = "UPDATE price SET cents = cents + 1, version = version + 1 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute([id(number)])?;
    Ok(())
}

/// The event, by hand: one row of the same columns.
pub(crate) fn insert(connection: &Connection, number: usize) -> Result<()> {
    let version = i64::try_from(number)?;
    connection.prepare_cached(INSERT)?.execute(params![id(number), KIND, version, DATA])?;
    Ok(())
}

/// The last version of the entity, by hand.
pub(crate) fn assign(connection: &Connection, number: usize) -> Result<()> {
    let sql = "INSERT INTO last VALUES (?1, 0, 1) ON CONFLICT (entity) DO UPDATE SET version = version + 1";
    connection.prepare_cached(sql)?.execute([format!("price/{}", id(number))])?;
    Ok(())
}

/// The event of a change.
pub(crate) fn draft(number: usize) -> Result<Draft> {
    Ok(Draft {
        kind: Arc::from(KIND),
        entity: Entity::new("price", &id(number))?,
        version: None,
        window: Window::default(),
        traceparent: None,
        data: Data::Json(DATA.into()),
    })
}

fn id(number: usize) -> String {
    format!("SKU-{:06}", number % PRICES)
}

/// The number of a price.
pub(crate) fn number(id: &str) -> Option<usize> {
    id.strip_prefix("SKU-")?.parse().ok()
}
