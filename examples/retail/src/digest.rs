//! Content as a number: two answers that show the same version of an entity must show the same content.
//!
//! Owners give the digest of what they committed, readers that of what they were shown. Each is made only of what every
//! answer shows, so that an answer of any view can be compared.

/// What is said about a product, as far as pages and listings both show it.
#[must_use]
pub fn content(title: &str, thumbnail: Option<&str>) -> u64 {
    // No text has a zero byte in it.
    digest([title.as_bytes(), &[0], thumbnail.unwrap_or_default().as_bytes()])
}

/// A price without its promotions: which of them is in force depends on the time, and not on the version alone.
#[must_use]
pub fn price(base_cents: u32) -> u64 {
    digest([&base_cents.to_be_bytes()])
}

/// What can be sold.
#[must_use]
pub fn stock(available: u64) -> u64 {
    digest([&available.to_be_bytes()])
}

/// FNV-1a, folded to 32 bits so that histories stay short; never 0.
fn digest<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let hash = parts.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash >> 32) ^ (hash & 0xffff_ffff)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_differs() {
        let texts = [("a", None), ("a", Some("b")), ("ab", None), ("", Some("a"))];
        let mut digests: Vec<_> = texts.iter().map(|(title, thumbnail)| content(title, *thumbnail)).collect();
        digests.extend([price(0), price(1), price(256), stock(0), stock(1), stock(256)]);
        let all = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), all);
        assert!(!digests.contains(&0), "0 is none");
    }
}
