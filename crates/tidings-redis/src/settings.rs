//! How the shared cache is reached and used.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::breaker::BreakerSettings;

/// How the shared cache is reached and used. Every process that uses one cache needs the same namespace and buckets.
#[derive(Clone)]
pub struct Settings {
    /// `redis://`, `rediss://` (TLS) or `redis+unix://` addresses: one, or some nodes of a Cluster.
    pub addresses: Vec<String>,
    /// The authorities that sign the servers' certificates, PEM, for `rediss://`; `None` takes the system's.
    pub authority: Option<PathBuf>,
    /// Whether it is a Cluster.
    pub cluster: bool,
    /// The name of this cache within the store.
    pub namespace: String,
    /// How many parts it has. Each lies in one slot of a Cluster, and each hears all news: as few as spread the load.
    pub buckets: u32,
    /// How long one request may take; then the read goes to the source.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How many requests may be under way at once.
    pub in_flight: usize,
    /// How long others wait for a load before they begin their own.
    pub lease: Duration,
    /// How long a fill may come after its miss; longer than any load takes.
    pub placeholder: Duration,
    /// How many bytes an answer may have.
    pub largest: usize,
    /// When a store that fails is left alone.
    pub breaker: BreakerSettings,
}

impl Settings {
    /// The usual settings for one server, or, if the address lists several with commas, for a Cluster.
    #[must_use]
    pub fn new(addresses: &str, namespace: &str) -> Self {
        let addresses: Vec<_> = addresses.split(',').map(|address| address.trim().to_owned()).collect();
        let cluster = addresses.len() > 1;
        Self {
            addresses,
            authority: None,
            cluster,
            namespace: namespace.into(),
            buckets: if cluster { 16 } else { 1 },
            timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(2),
            in_flight: 256,
            lease: Duration::from_secs(3),
            placeholder: Duration::from_secs(60),
            largest: 1 << 20,
            breaker: BreakerSettings::default(),
        }
    }
}

impl fmt::Debug for Settings {
    /// Without the addresses: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, namespace, buckets, .. } = self;
        let mut debug = f.debug_struct("Settings");
        debug.field("cluster", cluster).field("namespace", namespace).field("buckets", buckets);
        debug.finish_non_exhaustive()
    }
}
