//! Whether copies ended where their source is (promise I9).

use std::collections::BTreeMap;
use std::fmt::{Debug, Display, Write};

const SHOWN: usize = 10;

/// Asserts that every copy holds exactly the source's states, and shows the first differences if not.
///
/// # Panics
/// If a copy lacks a key, has one too many, or has another state.
///
/// ```
/// use tidings_testkit::assert_converged;
///
/// let source = [("price/1", 100), ("price/2", 250)];
/// assert_converged(source, [("cache", source), ("search", source)]);
/// ```
#[track_caller]
pub fn assert_converged<K, V, N, C>(
    source: impl IntoIterator<Item = (K, V)>,
    copies: impl IntoIterator<Item = (N, C)>,
) where
    K: Ord + Debug,
    V: PartialEq + Debug,
    N: Display,
    C: IntoIterator<Item = (K, V)>,
{
    let source: BTreeMap<K, V> = source.into_iter().collect();
    let mut report = String::new();
    for (name, copy) in copies {
        let found = differences(&source, &copy.into_iter().collect());
        if !found.is_empty() {
            let _ = write!(report, "\n{name}: {} of {} states differ", found.len(), source.len());
            found.iter().take(SHOWN).for_each(|line| report.extend(["\n  ", line]));
        }
    }
    assert!(report.is_empty(), "not converged:{report}");
}

fn differences<K: Ord + Debug, V: PartialEq + Debug>(
    source: &BTreeMap<K, V>,
    copy: &BTreeMap<K, V>,
) -> Vec<String> {
    let missing_or_other = source.iter().filter_map(|(key, truth)| match copy.get(key) {
        Some(held) if held == truth => None,
        Some(held) => Some(format!("{key:?} is {held:?}, the source has {truth:?}")),
        None => Some(format!("{key:?} is missing, the source has {truth:?}")),
    });
    let extra = copy.iter().filter(|(key, _)| !source.contains_key(key));
    missing_or_other
        .chain(extra.map(|(key, held)| format!("{key:?} is {held:?}, the source has none")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_other_and_extra_states_are_all_differences() {
        let source = BTreeMap::from([("a", 1), ("b", 2)]);
        for (copy, differing) in [
            (vec![("a", 1), ("b", 2)], 0),
            (vec![("a", 1)], 1),
            (vec![("a", 1), ("b", 3)], 1),
            (vec![("a", 1), ("b", 2), ("c", 3)], 1),
            (vec![("c", 3)], 3),
        ] {
            let copy: BTreeMap<_, _> = copy.into_iter().collect();
            assert_eq!(differences(&source, &copy).len(), differing, "{copy:?}");
        }
    }

    #[test]
    #[should_panic(expected = "cache: 1 of 1 states differ")]
    fn the_assertion_names_the_copy() {
        assert_converged([("a", 1)], [("search", [("a", 1)]), ("cache", [("a", 2)])]);
    }
}
