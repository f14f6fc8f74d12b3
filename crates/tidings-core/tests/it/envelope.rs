//! Events as bytes.

mod accepted;
mod arbitrary;
mod binary;
mod budget;
mod drafts;
mod made;
mod mutated;
mod refused;
mod round_trip;
mod specification;

use tidings_core::envelope::{Limits, decode_json};
use tidings_core::{Event, Result};

/// A complete event with `members` in front of its data; a member that it has already is left out.
fn with(members: &str) -> String {
    let mut text = String::from("{");
    for (name, value) in [
        ("specversion", r#""1.0""#),
        ("id", r#""e-1""#),
        ("source", r#""/pricing""#),
        ("type", r#""pricing.BasePriceChanged""#),
        ("subject", r#""price/42""#),
        ("time", r#""2026-11-23T10:00:00Z""#),
        ("aggregateversion", r#""7""#),
    ] {
        if !members.contains(&format!("\"{name}\":")) {
            text += &format!("\"{name}\":{value},");
        }
    }
    if members.is_empty() {
        text.pop();
    }
    text + members + "}"
}

/// As [`with`], without one member.
fn without(name: &str) -> String {
    let text = with("");
    let start = text.find(&format!("\"{name}\":")).unwrap();
    let end = text[start..].find(',').map_or(text.len() - 1, |comma| start + comma + 1);
    let mut text = text[..start].to_owned() + &text[end..];
    if text.ends_with(",}") {
        text.truncate(text.len() - 2);
        text.push('}');
    }
    text
}

fn decode(text: &str) -> Result<Event> {
    decode_json(text.as_bytes(), &Limits::default())
}
