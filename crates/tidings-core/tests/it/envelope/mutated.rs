//! Bytes that were an event once, or never: nothing panics, and what is taken is an event in full.
//!
//! `TIDINGS_FUZZ_SECONDS` sets how long (default 2), `TIDINGS_FUZZ_SEED` repeats a run that failed.

use proptest::strategy::{Strategy, ValueTree};
use tidings_core::envelope::{
    Limits, decode_binary, decode_draft, decode_json, decode_message, encode_binary, encode_json,
};

use super::arbitrary::event;
use super::budget::{Budget, runner, seed};
use super::round_trip::round_trip;

/// `SplitMix64`: enough to choose where to break things.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What is inserted where something breaks easily.
const TOKENS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"\\u0069d",
    b"-",
    b".",
    b"e9",
    b"0",
    b"18446744073709551616",
    b"\xFF",
    b"\xC3",
    b"\xE2\x80\xAE",
    b"\n",
    b" ",
    b",\"id\":\"x\"",
    b",\"data_base64\":\"AA==\"",
];

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => bytes[at] = dice.next() as u8,
            2 => bytes.insert(at, dice.next() as u8),
            3 => drop(bytes.drain(at..(at + 1 + dice.below(8)).min(bytes.len()))),
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, TOKENS[dice.below(TOKENS.len())].iter().copied())),
            _ => {
                let end = (at + dice.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

fn survives(bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let draft = decode_draft(bytes, &limits);
    match decode_json(bytes, &limits) {
        Ok(event) => {
            round_trip(&event);
            assert_eq!(draft.unwrap().draft.entity, event.entity, "every event is a draft too");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), tidings_core::error::Kind::Input, "{error}");
            assert!(error.what().len() < 1500, "{error}");
            false
        }
    }
}

#[test]
fn nothing_panics_and_what_decodes_encodes_to_its_equal() {
    let seed = seed();
    let (mut dice, mut runner) = (Dice(seed), runner(seed));
    let strategy = event();
    let budget = Budget::for_fuzzing();
    let (mut taken, mut refused) = (0_u64, 0_u64);
    while refused < 1_000 || taken < 100 || budget.is_left() {
        let event = strategy.new_tree(&mut runner).unwrap().current();
        let mut valid = Vec::new();
        encode_json(&event, &mut valid);
        for _ in 0..32 {
            let mut bytes = valid.clone();
            mutate(&mut bytes, &mut dice);
            *(if survives(&bytes) { &mut taken } else { &mut refused }) += 1;
            mutate_message(&event, &mut dice);
        }
        let random: Vec<u8> = (0..dice.below(200)).map(|_| dice.next() as u8).collect();
        survives(&random);
        let tokens: Vec<u8> =
            (0..dice.below(40)).flat_map(|_| TOKENS[dice.below(TOKENS.len())]).copied().collect();
        survives(&tokens);
    }
    println!("{taken} taken, {refused} refused");
}

fn mutate_message(event: &tidings_core::Event, dice: &mut Dice) {
    let limits = Limits::default();
    let message = encode_binary(event);
    let mut headers: Vec<(String, Vec<u8>)> =
        message.headers.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect();
    let mut body = message.body.to_vec();
    let hit = dice.below(headers.len() + 1);
    match headers.get_mut(hit) {
        Some((_, value)) if dice.below(2) == 0 => mutate(value, dice),
        Some((name, _)) => {
            let mut bytes = std::mem::take(name).into_bytes();
            mutate(&mut bytes, dice);
            *name = String::from_utf8_lossy(&bytes).into_owned();
        }
        None => mutate(&mut body, dice),
    }
    let headers = headers.iter().map(|(name, value)| (&**name, &**value));
    if let Ok(event) = decode_binary(headers.clone(), &body, &limits) {
        round_trip(&event);
    }
    if let Ok(event) = decode_message(headers, &body, &limits) {
        round_trip(&event);
    }
}

#[test]
fn nesting_of_any_depth_is_an_answer_and_not_a_stack() {
    for open in ["[", "{\"a\":", "[{\"a\":["] {
        for place in ["{\"data\":", "{\"id\":", "{\"x\":", ""] {
            let text = place.to_owned() + &open.repeat(1_000_000 / open.len());
            assert!(!survives(text.as_bytes()));
        }
    }
}
