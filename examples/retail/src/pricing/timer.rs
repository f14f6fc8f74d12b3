//! Promotions begin and end by themselves, by Pricing's own clock. What is due is in the table, so a restart forgets
//! nothing.

use std::time::Duration;

use rusqlite::OptionalExtension;
use tidings::Clock;
use tidings_core::Time;
use tokio::sync::watch;

use super::{At, Due, Pricing, PromotionActivated, PromotionExpired, due, raise};
use crate::digest;
use crate::refusal::Result;
use crate::store::Change;

/// Told in one transaction at most.
const AT_ONCE: usize = 64;
/// The clock is looked at again after this long at the latest: it may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl Pricing {
    /// Tells what has become due by now, and returns when something is due next.
    pub(crate) async fn turn(&self) -> Result<Option<Time>> {
        loop {
            let clock = self.clock.clone();
            let told = self.context.writer.command(move |change| turn(change, &clock)).await?;
            if told < AT_ONCE {
                return self.context.readers.read(next).await;
            }
        }
    }

    /// Turns until told to stop. A failure is waited out: the price in force does not depend on the timer, only the
    /// news of it does.
    pub(crate) async fn run_timer(&self, mut stop: watch::Receiver<bool>) {
        let mut next = None;
        loop {
            let pause = match next {
                Some(next) => Time::since(next, self.clock.wall()).min(LONGEST_SLEEP),
                None => LONGEST_SLEEP,
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.scheduled.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            next = match self.turn_if_due().await {
                Ok(next) => next,
                Err(_) => Some(self.clock.wall().plus(LONGEST_SLEEP)),
            };
        }
    }

    /// Does not begin a write transaction unless something is due.
    async fn turn_if_due(&self) -> Result<Option<Time>> {
        let upcoming = self.context.readers.read(next).await?;
        match upcoming {
            Some(at) if at <= self.clock.wall() => self.turn().await,
            other => Ok(other),
        }
    }
}

fn next(db: &rusqlite::Connection) -> Result<Option<Time>> {
    let mut query = db.prepare_cached(
        "SELECT min(at) FROM (SELECT min(starts_us) AS at FROM promotion WHERE activated = 0
                              UNION ALL SELECT min(ends_us) FROM promotion)",
    )?;
    let at: Option<Option<i64>> = query.query_row([], |row| row.get(0)).optional()?;
    Ok(at.flatten().map(Time::from_micros))
}

/// Begins before it ends: a promotion that was due and over while nobody was up is told in both steps.
fn turn(change: &mut Change<'_>, clock: &Clock) -> Result<usize> {
    let now = clock.wall().micros();
    let begun = select(change, "activated = 0 AND starts_us <= ?1 ORDER BY starts_us, id", now)?;
    let mut told = 0;
    for promotion in &begun {
        activate(change, promotion, clock)?;
        told += 1;
    }
    for promotion in select(change, "ends_us <= ?1 AND activated = 1 ORDER BY ends_us, id", now)? {
        expire(change, &promotion, clock)?;
        told += 1;
    }
    Ok(told)
}

fn select(change: &Change<'_>, which: &str, now: i64) -> Result<Vec<Due>> {
    let sql = format!(
        "SELECT id, sku, region, percent, starts_us, ends_us FROM promotion WHERE {which} LIMIT {AT_ONCE}"
    );
    let mut query = change.sql().prepare_cached(&sql)?;
    let rows = query.query_map([now], due)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn activate(change: &mut Change<'_>, promotion: &Due, clock: &Clock) -> Result<()> {
    change
        .sql()
        .prepare_cached("UPDATE promotion SET activated = 1 WHERE id = ?1")?
        .execute([promotion.id])?;
    let after = raise(change, &promotion.sku, promotion.market, clock)?;
    change.publish(
        &PromotionActivated {
            sku: promotion.sku.clone(),
            region: promotion.market,
            version: after.version.number(),
            promotion: promotion.id,
            percent: promotion.percent,
            starts: promotion.starts,
            ends: promotion.ends,
            cents: after.cents,
        },
        digest::price(after.base_cents),
    )?;
    Ok(())
}

fn expire(change: &mut Change<'_>, promotion: &Due, clock: &Clock) -> Result<()> {
    change.sql().prepare_cached("DELETE FROM promotion WHERE id = ?1")?.execute([promotion.id])?;
    let after = raise(change, &promotion.sku, promotion.market, clock)?;
    change.publish(
        &PromotionExpired {
            sku: promotion.sku.clone(),
            region: promotion.market,
            version: after.version.number(),
            promotion: promotion.id,
            ended: At(promotion.ends.0),
            cents: after.cents,
        },
        digest::price(after.base_cents),
    )?;
    Ok(())
}
