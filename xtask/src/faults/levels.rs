//! Whether the levels that copies share answer again after a fault.
//!
//! A level that is never live again breaks no promise: every read goes to the owners instead. So the copies' own counts
//! are what tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::status::{Copied, Drawn, Status};

/// The levels that copies speak of, and whether each has given any of them an answer.
pub(crate) fn answered(status: &Status) -> BTreeMap<String, bool> {
    let mut answered = BTreeMap::new();
    for shared in status.copies.iter().filter_map(|copy| copy.shared.as_ref()) {
        for (level, drawn) in &shared.levels {
            *answered.entry(level.clone()).or_default() |= drawn.l2_hits > 0;
        }
    }
    answered
}

/// What the levels have done since a fault was over.
pub(crate) struct Levels {
    /// Of each, what any copy had.
    levels: BTreeMap<String, Answers>,
    /// Of each copy, what it had from any level.
    copies: BTreeMap<String, Answers>,
}

#[derive(Default)]
struct Answers {
    /// What each copy had had when it first counted after the fault, or when last anybody was not answered.
    before: BTreeMap<String, Drawn>,
    are_had: bool,
}

impl Levels {
    /// Of these levels and copies, of none of which anything is known.
    pub(crate) fn new(levels: &BTreeSet<String>, copies: &[String]) -> Self {
        let unknown = |name: &String| (name.clone(), Answers::default());
        Self { levels: levels.iter().map(unknown).collect(), copies: copies.iter().map(unknown).collect() }
    }

    /// Takes in what was answered at this time after the fault's end, or later. What was counted before that end says nothing.
    pub(crate) fn hear(&mut self, status: &Status, since_end: Duration) {
        let since_end = since_end.as_secs_f64() * 1000.0;
        let newer = |copy: &'_ Copied| {
            let shared = copy.shared.as_ref().filter(|shared| shared.age_ms < since_end)?;
            Some((copy.name.clone(), shared.levels.clone()))
        };
        let said: Vec<_> = status.copies.iter().filter_map(newer).collect();
        for (name, level) in &mut self.levels {
            let of = |(copy, levels): &(String, BTreeMap<String, Drawn>)| {
                levels.get(name).map(|drawn| (copy.clone(), *drawn))
            };
            level.hear(&said.iter().filter_map(of).collect());
        }
        for (copy, levels) in said {
            let total = levels.into_values().fold(Drawn::default(), Drawn::with);
            self.copies.entry(copy.clone()).or_default().hear(&[(copy, total)].into());
        }
    }

    /// Whether each level has given an answer, each copy has had one, and none was left without one since.
    pub(crate) fn are_well(&self) -> bool {
        !self.levels.is_empty() && self.levels.values().chain(self.copies.values()).all(|a| a.are_had)
    }

    /// Which do not answer, and whom, for people.
    pub(crate) fn shown(&self) -> String {
        let missing = |of: &BTreeMap<String, Answers>| {
            let names = of.iter().filter(|(_, answers)| !answers.are_had).map(|(name, _)| name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        match (missing(&self.levels), missing(&self.copies)) {
            (levels, copies) if levels.is_empty() && copies.is_empty() => {
                "the shared levels answer".to_owned()
            }
            (levels, _) if !levels.is_empty() => format!("no answers from the shared levels of {levels}"),
            (_, copies) => format!("no answers from the shared levels to {copies}"),
        }
    }
}

impl Answers {
    /// A part that is not live, of several, shows in the looks that pass by.
    fn hear(&mut self, said: &BTreeMap<String, Drawn>) {
        let before = |copy: &String| self.before.get(copy);
        let passed_by = |(copy, drawn): (&String, &Drawn)| {
            before(copy).is_some_and(|before| drawn.l2_bypasses > before.l2_bypasses)
        };
        let was_hit = |(copy, drawn): (&String, &Drawn)| {
            before(copy).is_some_and(|before| drawn.l2_hits > before.l2_hits)
        };
        if said.iter().any(passed_by) {
            self.are_had = false;
            self.before.clone_from(said);
            return;
        }
        self.are_had |= said.iter().any(was_hit);
        for (copy, drawn) in said {
            self.before.entry(copy.clone()).or_insert(*drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const END: Duration = Duration::from_secs(10);

    /// What one copy says of one level.
    fn said(copy: &str, age_ms: u64, level: &str, l2_hits: u64, l2_bypasses: u64) -> Value {
        let drawn = json!({"l2_hits": l2_hits, "l2_bypasses": l2_bypasses, "l2_refused": 0});
        json!({"name": copy, "behind_ms": 1, "shared": {"age_ms": age_ms, "levels": {level: drawn}}})
    }

    fn status(copies: &[Value]) -> Status {
        serde_json::from_value(json!({"copies": copies})).unwrap()
    }

    /// Whether a level is well after these answers of the copies, all of them asked ten seconds after the fault's end.
    fn well_after(answers: &[&[Value]]) -> bool {
        let mut levels = Levels::new(&["price".to_owned()].into(), &["a".to_owned()]);
        for copies in answers {
            levels.hear(&status(copies), END);
        }
        levels.are_well()
    }

    fn price(copy: &str, l2_hits: u64, l2_bypasses: u64) -> Value {
        said(copy, 100, "price", l2_hits, l2_bypasses)
    }

    #[test]
    fn a_level_is_well_when_a_copy_has_had_a_newer_answer() {
        let silent = json!({"name": "b", "behind_ms": 1, "shared": null});
        let old = |l2_hits| said("a", 10_000, "price", l2_hits, 0);
        for (answers, expected) in [
            (&[][..], false),
            // All of what was had may have been had before the end.
            (&[&[price("a", 9, 0)][..]], false),
            (&[&[price("a", 9, 0)], &[price("a", 9, 0)]], false),
            (&[&[price("a", 9, 0)], &[price("a", 10, 0)]], true),
            // Once it was so it stays.
            (&[&[price("a", 9, 0)], &[price("a", 10, 0)], &[price("a", 10, 0)]], true),
            // Each copy that is known has to have had one.
            (&[&[price("a", 9, 0), price("b", 5, 0)], &[price("a", 9, 0), price("b", 6, 0)]], false),
            (&[&[price("a", 9, 0), price("b", 5, 0)], &[price("a", 10, 0), price("b", 5, 0)]], false),
            (&[&[price("a", 9, 0), price("b", 5, 0)], &[price("a", 10, 0), price("b", 6, 0)]], true),
            (&[&[price("b", 5, 0)], &[price("b", 6, 0)]], false),
            (&[&[price("a", 9, 0), silent.clone()], &[price("a", 9, 0), price("b", 6, 0)]], false),
            // What was counted before the end is not what came after is measured by.
            (&[&[old(9)], &[old(10)]], false),
            (&[&[old(9)], &[price("a", 10, 0)]], false),
            // Of another level.
            (&[&[said("a", 1, "stock", 9, 0)], &[said("a", 1, "stock", 10, 0)]], false),
        ] {
            assert_eq!(well_after(answers), expected, "{answers:?}");
        }
    }

    #[test]
    fn a_level_of_which_a_part_does_not_answer_is_not_well() {
        for (answers, expected) in [
            (&[&[price("a", 9, 3)][..], &[price("a", 10, 4)]][..], false),
            (&[&[price("a", 9, 3)], &[price("a", 10, 3)], &[price("a", 11, 4)]], false),
            // Somebody else is not answered.
            (&[&[price("a", 9, 3), price("b", 1, 0)], &[price("a", 10, 3), price("b", 1, 1)]], false),
            // Live again: an answer after the last look that passed by.
            (&[&[price("a", 9, 3)], &[price("a", 10, 4)], &[price("a", 10, 4)]], false),
            (&[&[price("a", 9, 3)], &[price("a", 10, 4)], &[price("a", 11, 4)]], true),
        ] {
            assert_eq!(well_after(answers), expected, "{answers:?}");
        }
    }

    #[test]
    fn every_level_has_to_answer_and_who_does_not_is_named() {
        let names = ["price".to_owned(), "stock".to_owned()];
        let mut levels = Levels::new(&names.into(), &["a".to_owned(), "b".to_owned()]);
        for l2_hits in [1, 2] {
            levels.hear(&status(&[price("a", l2_hits, 0)]), END);
        }
        assert!(!levels.are_well());
        assert_eq!(levels.shown(), "no answers from the shared levels of stock");
        for l2_hits in [1, 2] {
            levels.hear(&status(&[said("a", 0, "stock", l2_hits, 0)]), END);
        }
        assert!(!levels.are_well());
        assert_eq!(levels.shown(), "no answers from the shared levels to b");
        for l2_hits in [1, 2] {
            levels.hear(&status(&[said("b", 0, "stock", l2_hits, 0)]), END);
        }
        assert!(levels.are_well());
        assert_eq!(levels.shown(), "the shared levels answer");
        assert!(!Levels::new(&BTreeSet::new(), &[]).are_well(), "a platform without levels shows nothing");
    }

    #[test]
    fn before_anything_is_done_each_level_has_to_have_answered_once() {
        let seen = |copies: &[Value]| answered(&status(copies)).into_iter().collect::<Vec<_>>();
        assert!(seen(&[json!({"name": "a", "behind_ms": 1})]).is_empty());
        assert_eq!(seen(&[price("a", 0, 5), price("b", 0, 0)]), [("price".to_owned(), false)]);
        let two = [price("a", 0, 5), price("b", 1, 0), said("c", 0, "stock", 0, 0)];
        assert_eq!(seen(&two), [("price".to_owned(), true), ("stock".to_owned(), false)]);
    }
}
