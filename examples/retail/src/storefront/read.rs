//! Reading through a copy, with a witness beside it.

use std::collections::HashSet;

use tidings::Cached;
use tidings_core::{Result, Stamp};

use super::Storefront;
use crate::catalog::CONTENT;
use crate::experience::{CATEGORY_LISTING, ListingKey, ListingPage, PRODUCT_DETAIL, ProductKey, ProductPage};
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

    /// What its copies hold, in no order: the read model behind listings, and what is cached and may be served. Ask once everything
    /// is applied; before, it is a state on the way.
    pub async fn held(&self) -> Answer<Vec<Shown>> {
        let mut held: HashSet<_> = self.experience.modelled().await?.into_iter().collect();
        held.extend(self.experience.cached()?);
        Ok(held.into_iter().collect())
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
        let shows = |page: Option<&ProductPage>| match page {
            Some(page) => page.shows(),
            None => Ok(vec![Shown::absent(CONTENT, sku.as_str())?]),
        };
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
