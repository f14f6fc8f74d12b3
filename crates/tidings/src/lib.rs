//! The Tidings toolkit: caches that know when they are wrong.
//!
//! A service that owns a truth commits its state and a domain event in one transaction. A [`Relay`] publishes the event
//! to a durable log. Every service that serves cached answers runs a [`Consumer`], which decides what each event means
//! for it, and a [`Fence`] makes the decision safe against duplicates, delay, reordering, and the load that was already
//! in flight. A [`View`] serves the answers, and each one says how fresh it is.
//!
//! ```
//! use std::time::Duration;
//! use tidings::{Clock, Fence, FenceSettings, Fill, Loaded, Truth, Version, View};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! let fence = Fence::new(FenceSettings::default(), Clock::system());
//! let products = View::<String, String>::builder("product_detail", &fence)
//!     .truth(Truth::Push(Duration::from_secs(2)))
//!     .build()?;
//! let hit = products
//!     .get(&"SKU-1".to_owned(), async |fill: Fill| {
//!         // ... read the row and its version from the source ...
//!         let version = Version::new(7).ok_or("no version")?;
//!         fill.depends("price", "SKU-1", version);
//!         Ok(Loaded::new(version, "a lamp, 49.00".to_owned()))
//!     })
//!     .await?;
//! assert_eq!(hit.value().map(String::as_str), Some("a lamp, 49.00"));
//! println!("{}", hit.freshness());
//! # Ok::<(), tidings::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Start with [`View`] to read, [`Fence`] to see what reads rest on, [`DomainEvent`] to name what happens, and
//! [`Consumer`] to decide what it means here. Backends plug in at [`tidings_core::port`].

mod cached;
mod clock;
mod consumer;
mod event;
mod fence;
pub mod memory;
mod relay;
mod running;
mod view;

pub use cached::{Cached, Direct};
pub use clock::Clock;
pub use consumer::{Consumer, ConsumerBuilder, ConsumerCounts, Observer, Start};
pub use event::DomainEvent;
pub use fence::{Fence, FenceSettings};
pub use relay::{Relay, RelayCounts};
pub use running::Running;
pub use tidings_derive::DomainEvent;
pub use view::{BoxError, Fill, Loaded, Shared, Standing, View, ViewBuilder, ViewCounts};

pub use tidings_core::shared::{AsOf, Seen};
pub use tidings_core::{
    Certificate, Code, Data, Decision, Draft, Entity, Error, Event, Freshness, Offset, Outcome, Partition,
    Path, Position, Region, Result, Stamp, Time, Timeline, Topic, Truth, Version, Window,
};
