//! Structured mode: the whole event as one JSON object.
//!
//! Format: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.

mod decode;
mod encode;

pub use decode::{decode_draft, decode_json};
pub(super) use encode::number;
pub use encode::{encode_json, encode_line};
