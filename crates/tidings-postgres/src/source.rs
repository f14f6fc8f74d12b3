//! Where the source stands, for caches that many processes fill.

use std::time::Duration;

use tidings_core::port::Boxed;
use tidings_core::shared::level::Source;
use tidings_core::shared::{AsOf, Seen};
use tidings_core::{Code, Error, Result, Timeline};
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage, Transaction};

use crate::address::Address;
use crate::fault::fault;

/// How long an answer may take before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// In one message, and in a transaction of its own: the database can have another default, under which the position is
/// refused, and a pooler may refuse settings of the session, or give each transaction another one.
const WHERE: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT timeline, place FROM tidings.position(); COMMIT";

/// What this transaction reads has seen: every event whose place is at or before this one. It is often less than what
/// was seen, never more: as long as a transaction that writes is open, it stays before that one.
///
/// A transaction of any isolation but *read committed* reads in one snapshot, so this may be asked before or after the
/// state. Under *read committed* call `tidings.as_of()` in the very statement that reads; here that is refused. On a
/// standby, and in a transaction that was begun on one, the answer is the beginning of everything.
///
/// Errors: [`Code::SETTING_INVALID`] under *read committed*; [`Code::OUTBOX_MISSING`]; [`Code::DATABASE_PRIVILEGE`]
/// without one of the roles `tidings_reader`, `tidings_writer`, `tidings_relay`; those of the connection.
pub async fn as_of(transaction: &Transaction<'_>) -> Result<AsOf> {
    Ok(seen(transaction).await?.least)
}

/// As [`as_of`], with the newest that can be in what this transaction reads. A load that began the transaction itself tells
/// it with `Fill::read_present`; then an open transaction does not make its answer look old. On a standby, and in a transaction
/// that was begun on one, both are the beginning of everything.
///
/// Errors: as for [`as_of`].
pub async fn seen(transaction: &Transaction<'_>) -> Result<Seen> {
    let sql =
        "SELECT timeline, place, newest, current_setting('transaction_isolation')::text FROM tidings.as_of()";
    let row = transaction.query_typed_one(sql, &[]).await.map_err(fault)?;
    let isolation: &str = row.get(3);
    if !["repeatable read", "serializable"].contains(&isolation) {
        let what = format!("under {isolation}, the next statement reads another state than this one");
        return Err(Error::new(Code::SETTING_INVALID, what));
    }
    let timeline = Timeline(u32::try_from(row.get::<_, i32>(0)).unwrap_or_default());
    let at = |column| AsOf { timeline, at: u64::try_from(row.get::<_, i64>(column)).unwrap_or_default() };
    Ok(Seen { least: at(1), most: at(2) })
}

/// The source's position, for [`Source`]: asked of the primary, on a connection of its own that is made when it is
/// needed, and again after it broke.
#[derive(Debug)]
pub struct PostgresSource {
    address: Address,
    client: Mutex<Option<Client>>,
}

impl PostgresSource {
    /// The outbox of this database. Connects when it is first asked.
    #[must_use]
    pub fn new(address: &Address) -> Self {
        Self { address: address.clone(), client: Mutex::new(None) }
    }

    async fn ask(&self) -> Result<AsOf> {
        let mut kept = self.client.lock().await;
        let kept_one = kept.take().filter(|client| !client.is_closed());
        if let Some(client) = kept_one {
            // A connection can turn out to be broken, or to lead to what is no primary any more: a new one may do.
            if let Ok(position) = position(&client).await {
                *kept = Some(client);
                return Ok(position);
            }
        }
        let client = self.address.connect("tidings source", "").await?;
        let position = position(&client).await.map_err(|e| e.at(&self.address))?;
        *kept = Some(client);
        Ok(position)
    }
}

impl Source for PostgresSource {
    /// Errors: [`Code::DATABASE_STANDBY`], [`Code::OUTBOX_MISSING`], [`Code::DATABASE_PRIVILEGE`], those of a connection.
    fn position(&self) -> Boxed<'_, Result<AsOf>> {
        Box::pin(self.ask())
    }
}

async fn position(client: &Client) -> Result<AsOf> {
    match tokio::time::timeout(PATIENCE, client.simple_query(WHERE)).await {
        Ok(answer) => told(&answer.map_err(fault)?),
        Err(_) => Err(Error::new(Code::DATABASE_UNREACHABLE, format!("no answer after {PATIENCE:?}"))),
    }
}

fn told(answer: &[SimpleQueryMessage]) -> Result<AsOf> {
    let row =
        answer.iter().find_map(|part| if let SimpleQueryMessage::Row(row) = part { Some(row) } else { None });
    let position = row.and_then(|row| {
        let timeline = Timeline(row.get(0)?.parse().ok()?);
        Some(AsOf { timeline, at: row.get(1)?.parse().ok()? })
    });
    position.ok_or_else(|| Error::new(Code::DEFECT, "tidings.position() gave no position"))
}
