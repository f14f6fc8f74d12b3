//! The platform as a whole: real files, real log, real drivers.

#![expect(clippy::unwrap_used, reason = "what a test sets up must succeed")]

/// Each of these functions as a test of its own on SQLite, and on PostgreSQL.
macro_rules! on_each_engine {
    ($settings:expr; $($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::fixture::Fixture::start_with($settings).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(shop) = crate::fixture::Fixture::on_postgres($settings).await {
                    super::$name(shop).await;
                }
            })*
        }
    };
}

mod checkout;
mod databases;
mod events;
mod experience;
mod fixture;
mod flow;
mod gaps;
mod holdings;
mod http;
mod storefronts;
mod witness;
mod writers;
