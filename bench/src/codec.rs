//! Events to bytes and back, beside a bare struct with the same fields.

use std::hint::black_box;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings::{Data, Entity, Event, Stamp, Time, Timeline, Version, Window};
use tidings_core::envelope::{Limits, decode_json, encode_json};

use crate::measure::{contender, cpu_per, take_turns};
use crate::report::{Report, Target};

const ROUNDS: usize = 9;
const EVENTS: usize = 100_000;

/// What somebody would write by hand: the same fields, nothing checked, times left as text.
#[derive(Serialize, Deserialize)]
pub(crate) struct Bare {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    aggregateversion: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeline: Option<String>,
    partitionkey: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effectivefrom: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    datacontenttype: Option<String>,
    data: Box<RawValue>,
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let event = event()?;
    let mut bytes = Vec::new();
    encode_json(&event, &mut bytes);
    report.section(&format!("Codec, an event of {} bytes, CPU time", bytes.len()));
    let bare: Bare = serde_json::from_slice(&bytes)?;
    let mut same = Vec::new();
    serde_json::to_writer(&mut same, &bare)?;
    if same.len() != bytes.len() || decode_json(&bytes, &Limits::default())? != event {
        bail!("the two forms differ: {} and {} bytes", bytes.len(), same.len());
    }
    let limits = Limits::default();
    let figures = take_turns(
        ROUNDS,
        &mut [
            contender(|| {
                repeat(|out| {
                    encode_json(black_box(&event), out);
                    Ok(())
                })
            }),
            contender(|| repeat(|out| Ok(serde_json::to_writer(out, black_box(&bare))?))),
            contender(|| repeat(|_| Ok(decode_json(black_box(&bytes), &limits)?))),
            contender(|| repeat(|_| Ok(serde_json::from_slice::<Bare>(black_box(&bytes))?))),
        ],
    )?;
    let [encode, bare_encode, decode, bare_decode] = figures.as_slice() else {
        bail!("a contender is missing")
    };
    let target = Some(Target::RatioAtMost(1.2));
    report.versus("codec/encode", "ns", encode, ("serde_json derive", bare_encode), target);
    report.versus("codec/decode", "ns", decode, ("serde_json derive", bare_decode), target);
    Ok(())
}

fn repeat<T>(mut work: impl FnMut(&mut Vec<u8>) -> Result<T>) -> Result<f64> {
    let mut out = Vec::new();
    cpu_per(EVENTS, || {
        for _ in 0..EVENTS {
            out.clear();
            black_box(work(&mut out)?);
            black_box(&out);
        }
        Ok(())
    })
}

/// A typical event.
fn event() -> Result<Event> {
    Ok(Event {
        id: "0190b6a4-5d3e-7c1a-9f00-1c2d3e4f5a6b".into(),
        source: "/pricing".into(),
        kind: "pricing.BasePriceChanged".into(),
        entity: Entity::new("price", "SKU-004711")?,
        stamp: Stamp { timeline: Timeline(0), version: Version::new(42).unwrap_or_default() },
        time: Time::from_micros(1_795_000_000_123_456),
        window: Window::default(),
        traceparent: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Json(
            r#"{"sku":"SKU-004711","region":"eu-central","cents":1999,"currency":"EUR"}"#.into(),
        ),
    })
}
