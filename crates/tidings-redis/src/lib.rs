//! Tidings on Redis and Valkey: the shared cache.
