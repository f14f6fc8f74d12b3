//! The Experience API's consumer: which events it takes, and in which order they take effect.

use std::sync::Arc;

use tidings::{Consumer, ConsumerBuilder, Fence, Observer, Start};
use tidings_core::{Result, Topic};

use super::{Experience, decide};
use crate::catalog::ProductContentUpdated;
use crate::inventory::AvailableToSellAdjusted;
use crate::pricing::{BasePriceChanged, PromotionActivated, PromotionExpired, PromotionScheduled};

/// The consumer's name.
pub(crate) const CONSUMER: &str = "experience-api";

/// Completes the consumer.
///
/// The read model is changed before anything is invalidated: whoever loads a listing again because of the news finds
/// the news in it. The read model also keeps the position, in the transaction that changes it; there is no other.
pub(crate) fn consumer(
    builder: ConsumerBuilder,
    experience: &Experience,
    fence: &Arc<Fence>,
    topics: &[Topic],
    observer: Arc<dyn Observer>,
) -> Result<Consumer> {
    let known = || experience.categories.clone();
    let (a, b, c, d, e, f) = (known(), known(), known(), known(), known(), known());
    builder
        .topics(topics)
        .start(Start::At(experience.positions()))
        .on::<BasePriceChanged, _>(move |event, _| decide::price_moved(&a, &event.sku, event.region))
        .on::<PromotionScheduled, _>(|_, _| decide::promotion_scheduled())
        .on::<PromotionActivated, _>(move |event, _| decide::price_moved(&b, &event.sku, event.region))
        .on::<PromotionExpired, _>(move |event, _| decide::price_moved(&c, &event.sku, event.region))
        .on::<AvailableToSellAdjusted, _>(move |event, _| decide::stock_moved(&d, event))
        .on::<ProductContentUpdated, _>(move |event, _| decide::content_moved(&e, event))
        .when_parked(move |event| decide::parked(&f, event))
        .store(experience.sources.projection.clone())
        .store(fence.clone())
        .observer(observer)
        .build()
}
