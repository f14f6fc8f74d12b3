//! Free TCP ports of this machine.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the range from which systems take the ports of outgoing connections.
///
/// A port from that range can be taken, while its server is down, by a client that reconnects: even by one that
/// connects to that very port, and then talks to itself.
const RANGE: std::ops::Range<u64> = 12_000..32_000;

/// A port that nobody listened at a moment ago. Somebody else may be faster, so a start that fails is tried again.
pub(crate) fn free() -> Result<u16> {
    for _ in 0..200 {
        let drawn = RANGE.start + RandomState::new().build_hasher().finish() % (RANGE.end - RANGE.start);
        let Ok(port) = u16::try_from(drawn) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free TCP port between {} and {}", RANGE.start, RANGE.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let ports: std::collections::BTreeSet<_> = (0..20).map(|_| free().unwrap()).collect();
        assert!(ports.len() > 10, "{ports:?}");
        for port in ports {
            assert!(RANGE.contains(&u64::from(port)));
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
