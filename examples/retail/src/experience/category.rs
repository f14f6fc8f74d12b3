//! Which category a product is in, for decisions that are made before anything is looked up.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::catalog::{ProductContentUpdated, check_category};
use crate::name::Sku;

/// Category by SKU, each fenced by the version of the content that said so.
#[derive(Debug, Default)]
pub(crate) struct Categories(RwLock<HashMap<Sku, (&'static str, u64)>>);

impl Categories {
    /// What a read model says.
    pub(crate) fn new(known: impl IntoIterator<Item = (Sku, &'static str, u64)>) -> Self {
        let known = known.into_iter().map(|(sku, category, version)| (sku, (category, version)));
        Self(RwLock::new(known.collect()))
    }

    /// The category, if the product is known.
    pub(crate) fn of(&self, sku: &Sku) -> Option<&'static str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(sku).map(|(category, _)| *category)
    }

    /// Takes in what an event says, unless something newer is known.
    pub(crate) fn learn(&self, event: &ProductContentUpdated) {
        let Ok(category) = check_category(&event.category) else { return };
        self.learn_all([(event.sku.clone(), category, event.version)]);
    }

    /// Takes in what the owner says, where nothing newer is known.
    pub(crate) fn learn_all(&self, said: impl IntoIterator<Item = (Sku, &'static str, u64)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (sku, category, version) in said {
            let held = known.entry(sku).or_insert((category, version));
            if held.1 < version {
                *held = (category, version);
            }
        }
    }
}
