//! Tidings on PostgreSQL: the transactional outbox, and the relay's two ways of reading it.
//!
//! - [`schema`]: installing, upgrading, checking and removing the outbox, each as a plan that is shown before it is done;
//! - [`record()`]: an event in the caller's own transaction; from any other language, `SELECT tidings.publish(...)`;
//! - [`PostgresOutbox`]: the relay's view, by logical decoding or by claiming;
//! - [`PostgresSource`], [`as_of()`] and [`seen()`]: positions, for caches that many processes fill;
//! - [`doctor`]: settings of the server under which events could be late, or un-happen;
//! - [`fault()`]: the one place where a failure of PostgreSQL becomes an instruction.
//!
//! ```no_run
//! # async fn change() -> Result<(), Box<dyn std::error::Error>> {
//! use tidings_core::{Data, Draft, Entity, Window};
//! use tidings_postgres::{Address, record, schema};
//!
//! let address = Address::parse("postgresql://pricing:password@localhost/pricing")?;
//! let mut client = address.connect("pricing", "").await?;
//! schema::install(&client).await?.apply(&mut client).await?;
//!
//! let draft = Draft {
//!     kind: "pricing.BasePriceChanged".into(),
//!     entity: Entity::new("price", "SKU-1")?,
//!     version: None,
//!     window: Window::default(),
//!     traceparent: None,
//!     data: Data::Json(r#"{"cents":1999}"#.into()),
//! };
//! let transaction = client.transaction().await?;
//! transaction.execute("UPDATE price SET cents = 1999 WHERE sku = 'SKU-1'", &[]).await?;
//! let recorded = record(&transaction, &draft).await?;
//! transaction.commit().await?;
//! println!("published as version {}", recorded.stamp);
//! # Ok(())
//! # }
//! ```

mod address;
pub mod doctor;
mod fault;
pub mod outbox;
mod record;
mod row;
pub mod schema;
mod source;

pub use address::Address;
pub use fault::fault;
pub use outbox::{Discovery, PostgresOutbox, Settings};
pub use record::{Recorded, record};
pub use source::{PostgresSource, as_of, seen};
