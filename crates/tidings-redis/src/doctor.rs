//! Whether a server is fit for the shared cache.

use std::fmt;

use redis::{Value, cmd};
use tidings_core::error::{Code, Error, Result};

use crate::level::{Inner, RedisLevel};
use crate::{fault, layout};

/// Something that the doctor found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Whether the cache should not be used like this. Otherwise it is only worth knowing.
    pub serious: bool,
    /// What, and how to mend it.
    pub error: Error,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.serious { "error" } else { "warning" }, self.error)
    }
}

/// Looks at the server, and changes nothing. Nothing found is an empty list.
///
/// # Errors
/// The server does not answer.
pub async fn doctor(level: &RedisLevel) -> Result<Vec<Finding>> {
    let inner = &*level.inner;
    let mut findings = Vec::new();
    let mut found = |serious: bool, code: Code, what: String| {
        findings.push(Finding { serious, error: Error::new(code, what).at(inner.wire.at()) });
    };
    let server = inner.info("server").await?;
    if let Some(what) = too_old(&server) {
        found(true, Code::REDIS_TOO_OLD, what);
    }
    let (policy, limit) = (inner.setting("maxmemory-policy").await?, inner.setting("maxmemory").await?);
    if let Some((serious, what)) = eviction(&policy, &limit) {
        found(serious, Code::REDIS_EVICTION, what);
    }
    if inner.settings.cluster {
        let state = inner.text(cmd("CLUSTER").arg("INFO")).await?;
        if let Some(what) = uncovered(&state) {
            found(true, Code::REDIS_CLUSTER, what);
        }
    } else if inner.info("cluster").await?.contains("cluster_enabled:1") {
        found(
            true,
            Code::REDIS_CLUSTER,
            "the server is a node of a Cluster, and the settings say it is none".into(),
        );
    }
    for bucket in 0..inner.keys.buckets() {
        let key = inner.keys.control(bucket);
        match inner.wire.plain(cmd("GET").arg(&key)).await {
            Ok(Value::BulkString(stored)) if layout::control(&stored).is_none() => {
                let what =
                    format!("the control record {key} is of an unknown format; its bucket is not live");
                found(true, Code::REDIS_FORMAT, what);
            }
            Ok(_) => {}
            Err(error) if error.code() == Code::REDIS_KEY_TYPE => {
                found(true, Code::REDIS_KEY_TYPE, format!("{key} is not a string"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

impl Inner {
    async fn info(&self, section: &str) -> Result<String> {
        self.text(cmd("INFO").arg(section)).await
    }

    /// One node's answer; of a Cluster that answers with one per node, all of them.
    async fn text(&self, cmd: &redis::Cmd) -> Result<String> {
        Ok(texts(&self.wire.plain(cmd).await?).join("\n"))
    }

    /// A setting; empty if this user may not read it, or the service hides it.
    async fn setting(&self, name: &str) -> Result<String> {
        match self.wire.plain(cmd("CONFIG").arg("GET").arg(name)).await {
            Ok(value) => Ok(texts(&value).into_iter().rfind(|text| text != name).unwrap_or_default()),
            Err(error) if fault::is_outage(&error) => Err(error),
            Err(_) => Ok(String::new()),
        }
    }
}

/// Every text in an answer, in order.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Map(pairs) => {
            pairs.iter().flat_map(|(key, value)| [texts(key), texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

/// What is wrong with the version, if anything.
fn too_old(server: &str) -> Option<String> {
    let of = |name: &str| server.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (kind, version, least) = match of("valkey_version") {
        Some(version) => ("Valkey", version, (7, 2)),
        None => ("Redis", of("redis_version")?, (7, 0)),
    };
    let mut numbers = version.trim().split('.').map_while(|number| number.parse::<u32>().ok());
    let found = (numbers.next()?, numbers.next().unwrap_or(0));
    (found < least).then(|| format!("{kind} {} lacks what the scripts need", version.trim()))
}

/// What eviction would do, if it is not what it should: only what has a time to live may go. Control records have none.
fn eviction(policy: &str, limit: &str) -> Option<(bool, String)> {
    match (policy, limit) {
        (_, "" | "0") => None,
        ("noeviction", _) => {
            Some((true, "maxmemory-policy is noeviction: once full, the cache keeps nothing new".into()))
        }
        (policy, _) if policy.starts_with("volatile-") || policy.is_empty() => None,
        (policy, _) => Some((
            false,
            format!(
                "maxmemory-policy is {policy}: it may evict a control record, and its whole bucket with it"
            ),
        )),
    }
}

/// What of a Cluster does not answer, if anything.
fn uncovered(state: &str) -> Option<String> {
    let of = |name: &str| state.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let (ok, slots) = (of("cluster_slots_ok")?, of("cluster_state")?);
    (ok != "16384" || slots != "ok")
        .then(|| format!("{ok} of the Cluster's 16384 slots are served, its state is {slots}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_the_least_are_named() {
        for (server, old) in [
            ("redis_version:7.0.15\r\n", false),
            ("redis_version:6.2.14\r\n", true),
            ("redis_version:10.0.0\r\n", false),
            ("redis_version:7.2.4\r\nvalkey_version:7.2.5\r\n", false),
            ("redis_version:7.2.4\r\nvalkey_version:7.1.0\r\n", true),
            ("server_name:other\r\n", false),
        ] {
            assert_eq!(too_old(server).is_some(), old, "{server}");
        }
    }

    #[test]
    fn eviction_may_take_only_what_has_a_time_to_live() {
        for (policy, limit, expected) in [
            ("noeviction", "0", None),
            ("allkeys-lru", "0", None),
            ("volatile-lru", "100", None),
            ("noeviction", "100", Some(true)),
            ("allkeys-lru", "100", Some(false)),
            ("allkeys-random", "100", Some(false)),
        ] {
            assert_eq!(eviction(policy, limit).map(|(serious, _)| serious), expected, "{policy} {limit}");
        }
    }

    #[test]
    fn a_cluster_is_covered_whole_or_named() {
        assert_eq!(uncovered("cluster_state:ok\r\ncluster_slots_ok:16384\r\n"), None);
        assert!(uncovered("cluster_state:fail\r\ncluster_slots_ok:10923\r\n").is_some());
    }
}
