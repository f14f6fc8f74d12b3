//! Opening a context's state, and making it if it is new.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tidings_core::port::{Cursor, Outbox};
use tidings_core::{Code, Error};
use tidings_postgres::{Address, schema};
use tidings_sqlite::{SqliteOutbox, outbox};

use super::keeper::Keeper;
use super::postgres::{Database, Mode};
use super::writer::{Engine, Writer};
use super::{Readers, Sql, Table, sqlite};
use crate::place::{Place, with_database};
use crate::refusal::Result;
use crate::seed::Catalogue;
use crate::witness::Witness;

/// The version of the contexts' tables that this program writes and understands.
const FORMAT: i64 = 1;
/// Sessions with which a context writes to PostgreSQL: while one waits for its commit to be durable, others go on.
const LANES: i32 = 4;

/// The tables of a context, for each engine.
#[derive(Clone, Copy)]
pub(crate) struct Schema {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    /// Whether it tells others of changes.
    pub(crate) publishes: bool,
}

/// Who opens a context.
pub(crate) enum Role<'a> {
    /// Its owner, who makes what is missing.
    Owner { catalogue: &'a Catalogue, witness: Arc<dyn Witness> },
    /// Somebody who reads what it says.
    Reader,
}

/// Where a context's state is.
pub(crate) enum Home {
    File { outbox: Option<Arc<SqliteOutbox>> },
    Database { address: Box<Address> },
}

impl Home {
    /// How many events no relay has read yet.
    pub(crate) async fn unpublished(&self) -> tidings_core::Result<u64> {
        match self {
            Self::File { outbox: None } => Ok(0),
            Self::File { outbox: Some(outbox) } => waiting(outbox).await,
            Self::Database { address } => {
                let client = address.connect("retail", "").await?;
                // Only asked what would be lost.
                Ok(schema::uninstall(&client).await?.unrelayed)
            }
        }
    }
}

async fn waiting(outbox: &SqliteOutbox) -> tidings_core::Result<u64> {
    let (mut count, mut after): (u64, Cursor) = (0, outbox.acknowledged().await?);
    loop {
        let scan = outbox.scan(after, 1024).await?;
        count += scan.rows.len() as u64;
        match scan.rows.last() {
            Some(last) if !scan.complete => after = last.cursor,
            _ => return Ok(count),
        }
    }
}

/// Opens the state of the context of this name. A new one is filled; one that has a baseline keeps it.
pub(crate) fn open(
    name: &'static str,
    place: &Place,
    schema: Schema,
    readers: usize,
    role: Role<'_>,
    fill: fn(&Catalogue) -> Vec<Table<'_>>,
) -> Result<(Option<Writer>, Readers, Home)> {
    match place.database(name)? {
        None => open_file(name, place.dir().join(format!("{name}.db")), schema, readers, role, fill),
        Some(url) => open_database(name, place, &url, schema, readers, role, fill),
    }
}

fn open_file(
    name: &'static str,
    path: PathBuf,
    schema: Schema,
    readers: usize,
    role: Role<'_>,
    fill: fn(&Catalogue) -> Vec<Table<'_>>,
) -> Result<(Option<Writer>, Readers, Home)> {
    let Role::Owner { catalogue, witness } = role else {
        return Ok((None, Readers::of_file(&path, readers)?, Home::File { outbox: None }));
    };
    let mut connection = sqlite::open_writer(&path, schema.sqlite)?;
    let mut wake: Box<dyn Fn() + Send + Sync> = Box::new(|| {});
    let mut opened = None;
    if schema.publishes {
        outbox::install(&connection)?;
        file_baseline(&mut connection, catalogue, fill).map_err(|refusal| refusal.at(&path))?;
        let outbox = SqliteOutbox::open(&path, &format!("/{name}"))?;
        let woken = outbox.clone();
        wake = Box::new(move || woken.wake());
        opened = Some(outbox);
    }
    let writer = Writer::start(name, vec![Engine::File(connection)], witness, wake)?;
    Ok((Some(writer), Readers::of_file(&path, readers)?, Home::File { outbox: opened }))
}

fn file_baseline(
    connection: &mut Connection,
    catalogue: &Catalogue,
    fill: fn(&Catalogue) -> Vec<Table<'_>>,
) -> Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS baseline (seed INTEGER NOT NULL, format INTEGER NOT NULL) STRICT",
    )?;
    baseline(&Sql::Files(&tx), catalogue, fill)?;
    Ok(tx.commit()?)
}

fn open_database(
    name: &'static str,
    place: &Place,
    url: &str,
    schema: Schema,
    readers: usize,
    role: Role<'_>,
    fill: fn(&Catalogue) -> Vec<Table<'_>>,
) -> Result<(Option<Writer>, Readers, Home)> {
    let address = Address::parse(url)?;
    let database = Database { address: address.clone(), application: format!("retail {name}") };
    let home = Home::Database { address: Box::new(address) };
    let pool = Readers::of_database(&database, readers);
    let Role::Owner { catalogue, witness } = role else {
        return Ok((None, pool, home));
    };
    make(place, name)?;
    let mut keeper = Keeper::writer(database.clone(), 0);
    let mut others: Vec<_> = (1..LANES).map(|lane| Keeper::writer(database.clone(), lane)).collect();
    // Whoever wrote before has ended on all of them, and nothing of it is under way, before it is looked what there is.
    for other in &mut others {
        other.link()?;
    }
    let link = keeper.link()?;
    link.making(true);
    if schema.publishes {
        link.set_up(async |client| schema::install(client).await?.apply(client).await)?;
    }
    let session = link.begin(Mode::Write)?;
    session.batch(schema.postgres)?;
    session.batch("CREATE TABLE IF NOT EXISTS baseline (seed bigint NOT NULL, format bigint NOT NULL)")?;
    baseline(&Sql::Postgres(&session), catalogue, fill).map_err(|refusal| refusal.named(name))?;
    session.commit()?;
    link.making(false);
    let engines = std::iter::once(keeper).chain(others).map(|keeper| Engine::Database(Box::new(keeper)));
    let writer = Writer::start(name, engines.collect(), witness, Box::new(|| {}))?;
    Ok((Some(writer), pool, home))
}

/// Makes the database, if there is none of its name.
fn make(place: &Place, context: &str) -> Result<()> {
    let Place::Postgres { server, prefix, .. } = place else { return Ok(()) };
    let url =
        Address::parse(server).map(|_| server.clone()).or_else(|_| with_database(server, "postgres"))?;
    let database = Database { address: Address::parse(&url)?, application: "retail".to_owned() };
    let name = format!("{prefix}{context}");
    let mut keeper = Keeper::reader(database);
    let link = keeper.link()?;
    link.making(true);
    let made = link.set_up(async |client| {
        let found = "SELECT 1 FROM pg_database WHERE datname = $1";
        if client.query_opt(found, &[&name]).await.map_err(tidings_postgres::fault)?.is_none() {
            // The name is one that needs no quotes.
            let create = format!("CREATE DATABASE {name} TEMPLATE template0");
            client.batch_execute(&create).await.map_err(tidings_postgres::fault)?;
        }
        Ok(())
    });
    Ok(made?)
}

/// What a new state begins with, in the transaction that also notes that it has begun.
fn baseline(db: &Sql<'_>, catalogue: &Catalogue, fill: fn(&Catalogue) -> Vec<Table<'_>>) -> Result<()> {
    match db.one("SELECT max(format) FROM baseline", &[])?.get::<Option<i64>>(0)? {
        Some(format) if format > FORMAT => {
            let what = format!("the tables have format {format}; this program knows {FORMAT}");
            return Err(Error::new(Code::STORE_TOO_NEW, what).into());
        }
        Some(_) => {}
        None => {
            for table in fill(catalogue) {
                db.insert(&table)?;
            }
            let seed = i64::from_ne_bytes(catalogue.seed.to_ne_bytes());
            db.execute("INSERT INTO baseline (seed, format) VALUES ($1, $2)", &[seed.into(), FORMAT.into()])?;
        }
    }
    Ok(())
}
