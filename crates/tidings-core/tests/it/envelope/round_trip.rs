//! What goes out comes back, in both modes and across them.

use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use tidings_core::Event;
use tidings_core::envelope::{
    Limits, check, decode_binary, decode_json, encode_binary, encode_json, encode_line,
};

use super::arbitrary::event;
use super::budget::{Budget, runner, seed};

/// How long to look for a counter-example; at least [`CASES`] are tried.
const BUDGET: Duration = Duration::from_secs(2);
const CASES: u32 = 256;

#[test]
fn json_and_binary_and_across() {
    let (mut runner, strategy) = (runner(seed()), event());
    let (budget, mut tried) = (Budget::of(BUDGET), 0);
    while tried < CASES || budget.is_left() {
        round_trip(&strategy.new_tree(&mut runner).unwrap().current());
        tried += 1;
    }
    println!("{tried} events");
}

/// Checks that this event is the same after each mode, and after one behind the other.
pub(super) fn round_trip(event: &Event) {
    let limits = Limits::default();
    check(event, &limits).unwrap_or_else(|e| panic!("{event:?}: {e}"));

    let mut json = Vec::new();
    encode_json(event, &mut json);
    serde_json::from_slice::<serde::de::IgnoredAny>(&json).unwrap_or_else(|e| panic!("{event:?}: {e}"));
    let from_json = decode_json(&json, &limits).unwrap_or_else(|e| panic!("{event:?}: {e}"));
    assert_eq!(from_json, *event);

    let message = encode_binary(&from_json);
    let headers = message.headers.iter().map(|(name, value)| (&**name, &**value));
    let from_binary =
        decode_binary(headers, message.body, &limits).unwrap_or_else(|e| panic!("{event:?}: {e}"));
    assert_eq!(from_binary, *event);

    let mut line = Vec::new();
    encode_line(&from_binary, &mut line);
    assert_eq!(line.iter().position(|b| matches!(b, b'\n' | b'\r')), Some(line.len() - 1));
    assert_eq!(decode_json(&line, &limits).unwrap().stamp, event.stamp);
}
