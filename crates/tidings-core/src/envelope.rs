//! An event as `CloudEvents` 1.0 bytes, and back.
//!
//! Two shapes carry the same event. *Structured* mode is one JSON object ([`encode_json`], [`decode_json`]); *binary*
//! mode is a list of headers with the data as it is ([`encode_binary`], [`decode_binary`]), as the Kafka binding has
//! it; [`decode_message`] tells them apart. [`decode_draft`] reads what a person may leave to the outbox to fill in.
//!
//! Beside the specification's own attributes (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>):
//!
//! | attribute | value |
//! |---|---|
//! | `subject` | the entity, `kind/id` |
//! | `aggregateversion` | the version, as a decimal string: a `CloudEvents` integer has only 32 bits; a JSON integer is read too |
//! | `timeline` | the timeline, as a decimal string; absent is 0 |
//! | `effectivefrom`, `effectiveuntil` | the window, RFC 3339 |
//! | `partitionkey` | the entity again, for tools that route by it; on input it is the subject or absent |
//! | `traceparent` | W3C trace context |
//!
//! Bytes come from anywhere, so a decoder never panics, never recurses, and never builds a tree of values: it takes
//! each attribute as it passes, refuses the first one that is wrong, and keeps the data as the text that it is. An
//! event that passes [`check`] reads back exactly as it was.

mod attribute;
mod binary;
mod check;
mod collect;
mod data;
mod draft;
mod json;
mod limits;
mod rfc3339;

pub use binary::{Message, decode_binary, decode_message, encode_binary};
pub use check::{check, check_draft};
pub use draft::DraftEvent;
pub use json::{decode_draft, decode_json, encode_json, encode_line};
pub use limits::Limits;
