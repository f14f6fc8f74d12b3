//! Tidings on SQLite: the embedded default, one file per part and no server.
//!
//! - [`outbox`]: events recorded in the caller's own transaction, from Rust or from plain SQL in any language, and
//!   [`SqliteOutbox`], the relay's view of them;
//! - [`SqliteLog`]: the durable, replayable log in one file;
//! - [`SqliteProjection`]: a read model whose position is saved in the transaction that changes it;
//! - [`fault`]: the one place where a failure of SQLite becomes an instruction.
//!
//! Every connection is used by one thread that belongs to it, because SQLite blocks and futures must not.
//! The futures run on any tokio runtime that has its timers on.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tidings_core::{Data, Draft, Entity, Window};
//!
//! let draft = Draft {
//!     kind: "pricing.BasePriceChanged".into(),
//!     entity: Entity::new("price", "SKU-1")?,
//!     version: None,
//!     window: Window::default(),
//!     traceparent: None,
//!     data: Data::Json(r#"{"cents":1999}"#.into()),
//! };
//! let mut db = rusqlite::Connection::open("pricing.db")?;
//! tidings_sqlite::outbox::install(&db)?;
//! let tx = db.transaction()?;
//! tx.execute("UPDATE price SET cents = 1999 WHERE sku = 'SKU-1'", [])?;
//! let recorded = tidings_sqlite::outbox::record(&tx, &draft)?;
//! tx.commit()?;
//! println!("published as version {}", recorded.stamp);
//! # Ok(())
//! # }
//! ```

mod clock;
mod fault;
mod log;
mod open;
pub mod outbox;
mod projection;
mod watch;
mod worker;

pub use clock::{Clock, system_clock};
pub use fault::fault;
pub use log::{LogSettings, SqliteLog};
pub use open::wait_for_locks;
pub use outbox::{Parked, Recorded, SqliteOutbox};
pub use projection::{Apply, Gap, SqliteProjection};
