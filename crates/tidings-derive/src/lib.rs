//! `#[derive(DomainEvent)]`: a struct as a typed domain event.
//!
//! A proc macro must live in a crate of its own; users reach it as `tidings::DomainEvent`. The derive writes what a
//! person would otherwise copy by hand and get subtly wrong (the type name, the entity's id), and refuses at compile
//! time names that are commands or table changes instead of business facts.

mod attributes;
mod expand;
mod name;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `tidings::DomainEvent` for a struct with named fields.
///
/// ```text
/// #[derive(DomainEvent, Serialize, Deserialize)]
/// #[event(context = "pricing", entity = "price", key = ["sku", "region"], version = "version")]
/// struct BasePriceChanged {
///     sku: String,
///     region: String,
///     version: u64,
///     cents: i64,
/// }
/// ```
///
/// | attribute | meaning |
/// |---|---|
/// | `context = ".."` | the context that owns the entity and publishes the event; required |
/// | `entity = ".."` | the entity's kind; required |
/// | `key = ".."` or `key = ["..", ".."]` | the fields that make up the entity's id, shown by `Display` and joined by `/`; required. No part but the last should ever hold a `/`: two ids would read the same |
/// | `version = ".."` | the field (`u64` or `Option<u64>`) with the row's version after the change; left out, 0 or `None` has the outbox assign it |
/// | `name = ".."` | the fact's name, if it differs from the struct's |
/// | `from = ".."`, `until = ".."` | the fields that bound the effective window: a `Time`, an `Option<Time>`, or any type that converts into one |
///
/// The event's type is `context.Name`. The name must state a fact in `UpperCamelCase` (`BasePriceChanged`): commands
/// (`UpdatePrice`, `InvalidatePrice`) and table changes (`PriceRowUpdated`, `price_row_updated`) do not compile.
#[proc_macro_derive(DomainEvent, attributes(event))]
pub fn derive_domain_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
