//! Reading through a copy, with a witness beside it.

use std::collections::HashSet;

use tidings::Cached;
use tidings_core::{Result, Stamp};

use super::Storefront;
use crate::experience::{
    CATEGORY_LISTING, Kept, ListingKey, ListingPage, PRODUCT_DETAIL, ProductKey, ProductPage,
};
use crate::name::{Market, Sku};
use crate::refusal::Result as Answer;
use crate::token::Token;
use crate::witness::{Observed, Shown};

/// Somebody who reads one answer after another, and who never wants to see what is older than before.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    storefront: &'a Storefront,
    session: u64,
}

/// What a copy holds: the read model and the caches apart, each state once.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// What the read model behind listings holds.
    pub modelled: Vec<Shown>,
    /// What is cached of pages and listings, and is the truth if everything is applied; absences, too.
    pub cached: Vec<Shown>,
    /// The same of the parts of pages that copies share on a level, as this copy keeps them. What the level itself keeps is
    /// not among it.
    pub parts: Vec<Shown>,
    /// How many answers and parts are cached that may rightly be older, and are left out: from an epoch that is over, say.
    pub unvouched: usize,
}

impl Storefront {
    /// The reader of this number, which nobody else may have; 0 is any number of readers, none of whom remembers.
    #[must_use]
    pub const fn reader(&self, session: u64) -> Reader<'_> {
        Reader { storefront: self, session }
    }

    /// A product page; a value of `None` if there is no such product.
    pub async fn product(&self, sku: &Sku, market: Market) -> Answer<Cached<ProductPage>> {
        self.reader(0).product(sku, market).await
    }

    /// As [`Storefront::product`], and at least as new as what a write answered.
    pub async fn product_at_least(
        &self,
        sku: &Sku,
        market: Market,
        token: &Token,
    ) -> Answer<Cached<ProductPage>> {
        self.reader(0).product_at_least(sku, market, token).await
    }

    /// A listing.
    pub async fn listing(&self, key: &ListingKey) -> Answer<Cached<ListingPage>> {
        self.reader(0).listing(key).await
    }

    /// What its copies hold, in no order: the read model behind listings, and what is cached. Ask once everything is applied;
    /// before, it is a state on the way.
    pub async fn held(&self) -> Answer<Vec<Shown>> {
        let Holdings { modelled, cached, parts, .. } = self.holdings().await?;
        let held: HashSet<_> = modelled.into_iter().chain(cached).chain(parts).collect();
        Ok(held.into_iter().collect())
    }

    /// The same, apart. Ask before the consumer is started again: who may have missed something vouches for nothing that it
    /// cached before.
    pub async fn holdings(&self) -> Answer<Holdings> {
        let Kept { answers, parts, unvouched } = self.experience.cached()?;
        let once = |shown: Vec<Shown>| shown.into_iter().collect::<HashSet<_>>().into_iter().collect();
        let modelled = self.experience.modelled().await?;
        Ok(Holdings { modelled, cached: once(answers), parts: once(parts), unvouched })
    }
}

impl Reader<'_> {
    /// As [`Storefront::product`].
    pub async fn product(&self, sku: &Sku, market: Market) -> Answer<Cached<ProductPage>> {
        self.page(sku, market, None).await
    }

    /// As [`Storefront::product_at_least`].
    pub async fn product_at_least(
        &self,
        sku: &Sku,
        market: Market,
        token: &Token,
    ) -> Answer<Cached<ProductPage>> {
        self.page(sku, market, Some(token)).await
    }

    /// As [`Storefront::listing`].
    pub async fn listing(&self, key: &ListingKey) -> Answer<Cached<ListingPage>> {
        let began = self.storefront.parts.witness.now_ns();
        let page = self.storefront.experience.listing(key).await?;
        let shows = |page: Option<&ListingPage>| page.map_or_else(|| Ok(Vec::new()), ListingPage::shows);
        self.witness(CATEGORY_LISTING, key, None, began, &page, shows)?;
        Ok(page)
    }

    async fn page(&self, sku: &Sku, market: Market, token: Option<&Token>) -> Answer<Cached<ProductPage>> {
        let key = ProductKey { sku: sku.clone(), market };
        let began = self.storefront.parts.witness.now_ns();
        let page = match token {
            None => self.storefront.experience.product(&key).await?,
            Some(token) => self.storefront.experience.product_at_least(&key, token).await?,
        };
        let shows = |page: Option<&ProductPage>| ProductPage::shown(sku, page);
        self.witness(PRODUCT_DETAIL, &key, token, began, &page, shows)?;
        Ok(page)
    }

    fn witness<V>(
        &self,
        view: &'static str,
        key: &impl ToString,
        token: Option<&Token>,
        began_ns: u64,
        answer: &Cached<V>,
        shows: impl FnOnce(Option<&V>) -> Result<Vec<Shown>>,
    ) -> Answer<()> {
        let witness = &self.storefront.parts.witness;
        if !witness.is_listening() {
            return Ok(());
        }
        let ended_ns = witness.now_ns();
        witness.read(Observed {
            session: self.session,
            view,
            key: key.to_string(),
            shows: shows(answer.value())?,
            token: token.map(|token| (token.entity.clone(), Stamp::of(token.version))),
            began_ns,
            ended_ns,
            certificate: answer.certificate(),
        });
        Ok(())
    }
}
