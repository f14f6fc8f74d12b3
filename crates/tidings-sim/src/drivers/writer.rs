//! Whoever changes the truth: a row and its event, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use tidings::memory::MemoryOutbox;
use tidings::{Data, Draft, Result, Truth};
use tidings_testkit::history::{Nanos, Span};
use tidings_testkit::judge::Commit;

use super::draw::{EARLY, Shape, Spec};
use super::load::entities;
use super::names::{BARE, FIRST, Family, SECOND, WINDOWED};
use super::stage::{Stage, Who, wall_at};
use super::truth::{Row, window};
use crate::fault::Fault;

/// Commits as often as the history says.
pub(super) async fn write(stage: Arc<Stage>, outbox: Arc<MemoryOutbox>) -> Result<()> {
    let entities = subjects(&stage);
    for _ in 0..stage.draw.commits {
        // Some follow at once: then a relay finds several at a time.
        if stage.below(3) < 2 {
            stage.sleep_below(stage.draw.span).await;
        }
        let which = stage.below(u32::try_from(entities.len()).unwrap_or(1));
        let Some(entity) = entities.get(which as usize) else { continue };
        commit(&stage, &outbox, *entity).await?;
    }
    Ok(())
}

/// The entities that some view shows.
fn subjects(stage: &Stage) -> Vec<u32> {
    let mut entities = Vec::with_capacity(4);
    let shows = |shape| stage.draw.shows(shape);
    if [Shape::Item, Shape::Pair, Shape::Listing, Shape::Mixed].into_iter().any(shows) {
        entities.push(FIRST);
    }
    if [Shape::Item, Shape::Pair, Shape::Listing].into_iter().any(shows) {
        entities.push(SECOND);
    }
    if shows(Shape::Bare) || shows(Shape::Mixed) {
        entities.push(BARE);
    }
    if shows(Shape::Windowed) {
        entities.push(WINDOWED);
    }
    entities
}

async fn commit(stage: &Stage, outbox: &MemoryOutbox, entity: u32) -> Result<()> {
    let Some(named) = stage.names.entities.get(entity as usize) else { return Ok(()) };
    let began =
        stage.step(Who::Writer, 0x600 + u64::from(entity), || format!("begins to change {}", named.entity));
    stage.nap().await;
    // The row is locked until the last change of it can be read.
    while let Some(left) = stage.with(|book| {
        let newest = book.truth.of(entity).last().map_or(0, |row| row.visible);
        newest.checked_sub(stage.now()).filter(|left| *left > 0)
    }) {
        stage.sleep(u32::try_from(left.div_ceil(1_000_000)).unwrap_or(1)).await;
    }
    let windowed = named.family == Family::Windowed;
    let deleted = !windowed && stage.below(5) == 4;
    let poison = stage.strikes_often(Fault::Poison);
    let early = if stage.strikes_often(Fault::EarlyEvent) { 1 + stage.below(EARLY) } else { 0 };
    let span = windowed.then(|| window_of(stage)).flatten();
    let row = insert(stage, outbox, entity, deleted, poison, early, span)?;
    let lost = stage.strikes(Fault::LostAnswer);
    if early > 0 {
        stage.sleep(early).await;
    }
    stage.nap().await;
    let ended = stage.step(Who::Writer, 0x610 + u64::from(entity), || {
        let what = if deleted { "deletion" } else { "change" };
        let told = if lost { ", and is not told" } else { "" };
        let poison = if poison { ", whose event nobody can read" } else { "" };
        let window = span.map_or(String::new(), |span| {
            format!(
                ", in force from {:.3} ms to {:.3} ms",
                super::stage::ms(span.from),
                super::stage::ms(span.until)
            )
        });
        format!("has committed version {} of {}, a {what}{poison}{window}{told}", row.stamp, named.entity)
    });
    stage.with(|book| {
        book.tally.commits += 1;
        if !lost {
            book.truth.acknowledge(entity, row.stamp);
        }
        book.judge.commit(&Commit {
            entity,
            stamp: row.stamp,
            began,
            ended: if lost { Nanos::MAX } else { ended },
            deleted,
            digest: if deleted { 0 } else { row.digest },
            window: row.window,
            revokes: revokes(stage, entity),
        });
    });
    Ok(())
}

/// If every copy of the entity is of a view that would rather refuse: how soon nobody may answer from before a change.
fn revokes(stage: &Stage, entity: u32) -> Option<Duration> {
    let shows = |spec: &&Spec| {
        entities(spec.shape, FIRST).contains(&entity) || entities(spec.shape, SECOND).contains(&entity)
    };
    let bounds = stage.draw.specs.iter().filter(shows).map(|spec| match spec.truth {
        Truth::Revocable(bound) => Some(bound),
        _ => None,
    });
    let longest = bounds.collect::<Option<Vec<_>>>()?.into_iter().max();
    longest.filter(|_| !stage.draw.group)
}

/// The transaction itself: one moment.
fn insert(
    stage: &Stage,
    outbox: &MemoryOutbox,
    entity: u32,
    deleted: bool,
    poison: bool,
    early: u32,
    span: Option<Span>,
) -> Result<Row> {
    let committed = stage.step(Who::Writer, 0x620, || format!("commits entity {entity}"));
    let version = stage.with(|book| book.truth.of(entity).len()) as u64 + 1;
    let digest = digest(entity, version);
    let text = match (poison, deleted) {
        (true, _) => "?".into(),
        (false, true) => "0".into(),
        (false, false) => digest.to_string().into(),
    };
    let named = stage.names.entity(entity).cloned();
    let Some(subject) = named else {
        return Err(tidings::Error::new(tidings::Code::DEFECT, "no such entity"));
    };
    let draft = Draft {
        kind: stage.names.changed.clone(),
        entity: subject,
        version: None,
        window: window(span, wall_at),
        traceparent: None,
        data: Data::Json(text),
    };
    let stamps = outbox.commit(&[draft])?;
    let stamp = stamps.first().copied().unwrap_or_default();
    let visible = committed + u64::from(early) * 1_000_000;
    let row = Row { stamp, digest, deleted, window: span, committed, visible, acknowledged: false };
    stage.with(|book| book.truth.commit(entity, row));
    Ok(row)
}

/// A window that begins soon, or has begun, and ends later or never.
fn window_of(stage: &Stage) -> Option<Span> {
    let now = stage.now();
    let millis = |n: u32| u64::from(n) * 1_000_000;
    let from = now.saturating_sub(millis(20)) + millis(stage.below(120));
    let until = match stage.below(3) {
        0 => Nanos::MAX,
        _ => from + millis(20 + stage.below(100)),
    };
    Some(Span { from, until })
}

/// Tells every state from every other.
const fn digest(entity: u32, version: u64) -> u64 {
    ((entity as u64 + 1) << 32 | version).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}
