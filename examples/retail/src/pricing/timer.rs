//! Promotions begin and end by themselves, by Pricing's own clock. What is due is in the table, so a restart forgets
//! nothing.

use std::time::Duration;

use tidings::Clock;
use tidings_core::Time;
use tokio::sync::watch;

use super::{At, Due, Pricing, PromotionActivated, PromotionExpired, due, raise};
use crate::digest;
use crate::refusal::Result;
use crate::store::{Change, Sql};

/// Fewer than this, and all that was due has been told.
const AT_ONCE: usize = 64;
/// What a turn is about: no product, so that it never meets another turn.
const ALL: &str = "";
/// The clock is looked at again after this long at the latest: it may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl Pricing {
    /// Tells what has become due by now, and returns when something is due next.
    pub(crate) async fn turn(&self) -> Result<Option<Time>> {
        loop {
            let clock = self.clock.clone();
            let told = self.context.writer()?.command(ALL, move |change| turn(change, &clock)).await?;
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

fn next(db: &Sql<'_>) -> Result<Option<Time>> {
    let sql = "SELECT min(due_us) FROM (SELECT min(starts_us) AS due_us FROM promotion WHERE activated = 0
                                        UNION ALL SELECT min(ends_us) FROM promotion) AS due";
    Ok(db.one(sql, &[])?.get::<Option<i64>>(0)?.map(Time::from_micros))
}

/// What has become due. The first 64: told in one transaction at most.
const BEGUN: &str = "SELECT id, sku, region, percent, starts_us, ends_us FROM promotion
    WHERE activated = 0 AND starts_us <= $1 ORDER BY starts_us, id LIMIT 64";
const ENDED: &str = "SELECT id, sku, region, percent, starts_us, ends_us FROM promotion
    WHERE ends_us <= $1 AND activated = 1 ORDER BY ends_us, id LIMIT 64";

/// Begins before it ends: a promotion that was due and over while nobody was up is told in both steps.
fn turn(change: &mut Change<'_>, clock: &Clock) -> Result<usize> {
    let now = clock.wall().micros();
    let begun = select(change, BEGUN, now)?;
    let mut told = 0;
    for promotion in &begun {
        activate(change, promotion, clock)?;
        told += 1;
    }
    for promotion in select(change, ENDED, now)? {
        expire(change, &promotion, clock)?;
        told += 1;
    }
    Ok(told)
}

fn select(change: &Change<'_>, sql: &'static str, now: i64) -> Result<Vec<Due>> {
    change.sql().rows(sql, &[now.into()])?.iter().map(due).collect()
}

fn activate(change: &mut Change<'_>, promotion: &Due, clock: &Clock) -> Result<()> {
    change.sql().execute("UPDATE promotion SET activated = 1 WHERE id = $1", &[promotion.id.into()])?;
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
    change.sql().execute("DELETE FROM promotion WHERE id = $1", &[promotion.id.into()])?;
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
