//! The retail platform of the article, end to end on Tidings.
//!
//! Five contexts, each a module with a state of its own: a file of SQLite or a database of PostgreSQL. None opens
//! another's: they meet in published read functions and in events.
//!
//! | context | owns | tells |
//! |---|---|---|
//! | [`catalog`] | `content/SKU` | `ProductContentUpdated`, when what customers see has changed |
//! | [`pricing`] | `price/SKU/region` | `BasePriceChanged`, `PromotionScheduled`, `PromotionActivated`, `PromotionExpired` |
//! | [`inventory`] | `stock/SKU/region` | `AvailableToSellAdjusted`, per node |
//! | [`experience`] | nothing: it assembles pages and listings and caches them | |
//! | [`checkout`] | orders; trusts no cache | |
//!
//! Start reading at [`experience`]: it decides what each event means for what it serves. [`platform`] wires everything
//! in one process, [`storefront`] is one copy of what customers see, alone or beside others; [`http`] is the API; [`load`] keeps it busy; [`witness`] lets a checker see all of it.

pub mod catalog;
pub mod checkout;
mod context;
pub mod digest;
pub mod experience;
pub mod http;
pub mod inventory;
pub mod load;
mod name;
mod place;
pub mod platform;
pub mod pricing;
mod refusal;
pub mod seed;
mod store;
pub mod storefront;
mod token;
pub mod witness;
mod zipf;

pub use experience::{ListingKey, ListingPage, ProductPage, Sort};
pub use inventory::Stock;
pub use name::{Market, Sku, offer_id};
pub use place::Place;
pub use platform::{Parts, Platform, Settings};
pub use pricing::Price;
pub use refusal::Refusal;
pub use storefront::{Reader, Storefront};
pub use token::{Token, Written};
pub use witness::{Fact, Observed, Shown, Unobserved, Witness};
pub use zipf::Zipf;

/// Keeps the example in the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
