//! What things are called: one hash tag per bucket, so that all that a script touches is in one slot of a Cluster.

use tidings_core::error::{Code, Error, Result};
use tidings_core::shared::level::Key;

/// The names of one cache within a store.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    namespace: Box<str>,
    buckets: u32,
}

impl Keys {
    pub(crate) fn new(namespace: &str, buckets: u32) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if namespace.is_empty() || namespace.len() > 64 || !namespace.chars().all(plain) {
            let what =
                format!("the namespace {namespace:?} is not of 1 to 64 letters, digits, '-', '_' or '.'");
            return Err(Error::new(Code::SETTING_INVALID, what));
        }
        if !(1..=1024).contains(&buckets) {
            return Err(Error::new(
                Code::SETTING_INVALID,
                format!("{buckets} buckets; 1 to 1024 are possible"),
            ));
        }
        Ok(Self { namespace: namespace.into(), buckets })
    }

    pub(crate) const fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The bucket of a key. Every process must find the same, so the hash is written down here (FNV-1a, 64 bits).
    pub(crate) fn bucket(&self, key: &Key) -> u32 {
        let bytes = key.view.bytes().chain([b'/']).chain(key.key.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The low bits of FNV are the better mixed ones; the shift folds in the rest.
        u32::try_from((hash ^ (hash >> 32)) % u64::from(self.buckets)).unwrap_or(0)
    }

    fn base(&self, bucket: u32) -> String {
        format!("td1:{{{}:{bucket}}}:", self.namespace)
    }

    /// A bucket's control record.
    pub(crate) fn control(&self, bucket: u32) -> String {
        self.base(bucket) + "c"
    }

    /// A key's slot.
    pub(crate) fn slot(&self, key: &Key) -> String {
        format!("{}k:{key}", self.base(self.bucket(key)))
    }

    /// What a name within a bucket is called in the store.
    #[cfg(test)]
    pub(crate) fn note(&self, bucket: u32, name: &str) -> String {
        self.base(bucket) + name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_bucket_has_its_hash_tag() {
        let keys = Keys::new("shop", 16).unwrap();
        let key = Key { view: "product".into(), key: "{42}".into() };
        let bucket = keys.bucket(&key);
        assert_eq!(keys.slot(&key), format!("td1:{{shop:{bucket}}}:k:product/{{42}}"));
        for name in [keys.control(bucket), keys.note(bucket, "e:price/42"), keys.slot(&key)] {
            assert!(name.starts_with(&format!("td1:{{shop:{bucket}}}:")), "{name}");
        }
    }

    #[test]
    fn keys_spread_over_buckets_and_stay_where_they_are() {
        let keys = Keys::new("shop", 16).unwrap();
        let mut counts = [0; 16];
        for n in 0..1600 {
            counts[keys.bucket(&Key { view: "product".into(), key: n.to_string().into() }) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        let fixed = Key { view: "product".into(), key: "42".into() };
        assert_eq!(keys.bucket(&fixed), 4, "another answer would orphan every deployed cache");
    }

    #[test]
    fn names_that_would_move_the_hash_tag_are_refused() {
        for bad in ["", "a{b", "a}b", "a:b", "a b"] {
            assert!(Keys::new(bad, 1).is_err(), "{bad:?}");
        }
        assert!(Keys::new("shop", 0).is_err());
    }
}
