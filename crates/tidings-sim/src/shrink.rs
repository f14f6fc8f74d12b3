//! Makes a failing history smaller, by trying: cut its choices, lower them, and keep what still fails in the same way.
//!
//! As in delta debugging (Zeller, Hildebrandt 2002), on choices instead of input, as Hypothesis does it (MacIver,
//! Donaldson 2020): whatever the script says, the world makes a valid history of it.

use std::time::{Duration, Instant};

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// So many histories,
    pub tries: u64,
    /// and no longer than this.
    pub time: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { tries: 300_000, time: Duration::from_secs(10) }
    }
}

/// Runs a script: the choices that were really made if it still fails in the same way.
pub type Fails<'a> = dyn FnMut(&[u32]) -> Option<Vec<u32>> + 'a;

/// The smallest failing script that was found, and after how many tries. Shorter is smaller; of the same length, the one
/// with the smaller sum.
pub fn shrink(script: &[u32], effort: Effort, fails: &mut Fails<'_>) -> (Vec<u32>, u64) {
    let until = Instant::now() + effort.time;
    let mut search = Search { best: trimmed(script.to_vec()), tries: 0, most: effort.tries, until, fails };
    loop {
        let before = search.best.clone();
        search.cut_the_end();
        search.cut_chunks();
        search.clear_chunks();
        search.lower();
        search.lower_and_cut();
        if search.best == before {
            search.cut_and_mend();
        }
        if search.best == before || search.is_over() {
            return (search.best, search.tries);
        }
    }
}

struct Search<'a, 'b> {
    best: Vec<u32>,
    tries: u64,
    most: u64,
    until: Instant,
    fails: &'a mut Fails<'b>,
}

impl Search<'_, '_> {
    fn is_over(&self) -> bool {
        self.tries >= self.most || Instant::now() > self.until
    }

    /// Whether this smaller script fails too; then it is the best.
    fn attempt(&mut self, candidate: Vec<u32>) -> bool {
        let candidate = trimmed(candidate);
        if size(&candidate) >= size(&self.best) || self.is_over() {
            return false;
        }
        self.tries += 1;
        let Some(made) = (self.fails)(&candidate) else { return false };
        // What was made is what the script came to mean: never more, often less.
        let made = trimmed(made);
        self.best = if size(&made) < size(&candidate) { made } else { candidate };
        true
    }

    fn without(&self, from: usize, to: usize) -> Vec<u32> {
        let kept = self.best.iter().enumerate().filter(|(at, _)| *at < from || *at >= to);
        kept.map(|(_, choice)| *choice).collect()
    }

    fn with(&self, from: usize, to: usize, choice: u32) -> Vec<u32> {
        let mut changed = self.best.clone();
        changed.iter_mut().take(to).skip(from).for_each(|old| *old = choice);
        changed
    }

    /// The shortest beginning that fails, if failing were monotone.
    fn cut_the_end(&mut self) {
        let mut low = 0;
        while low < self.best.len() {
            let middle = low.midpoint(self.best.len());
            if !self.attempt(self.without(middle, self.best.len())) {
                low = middle + 1;
            }
        }
    }

    fn cut_chunks(&mut self) {
        self.chunks(|search, from, to| search.attempt(search.without(from, to)));
    }

    fn clear_chunks(&mut self) {
        self.chunks(|search, from, to| search.attempt(search.with(from, to, 0)));
    }

    /// Halves, quarters and so on down to single choices, each from the end to the beginning.
    fn chunks(&mut self, attempt: impl Fn(&mut Self, usize, usize) -> bool) {
        let mut length = self.best.len() / 2;
        while length > 0 {
            let mut end = self.best.len();
            while end > 0 && !self.is_over() {
                let start = end.saturating_sub(length);
                attempt(self, start, end);
                end = start.min(self.best.len());
            }
            length /= 2;
        }
    }

    /// Each choice as low as it can be, found by halving.
    fn lower(&mut self) {
        for at in 0..self.best.len() {
            let mut low = 0;
            while let Some(&choice) = self.best.get(at).filter(|choice| **choice > low) {
                let middle = low.midpoint(choice);
                if !self.attempt(self.with(at, at + 1, middle)) {
                    low = middle + 1;
                }
            }
        }
    }

    /// A number of things, and those things themselves: one less of both. What comes last would find most of it too,
    /// after very many more tries.
    fn lower_and_cut(&mut self) {
        const LONGEST: usize = 12;
        for at in 0..self.best.len() {
            for length in 1..=LONGEST {
                let mut start = self.best.len();
                while start > at + 1 && !self.is_over() {
                    start -= 1;
                    let mut candidate = self.without(start, start + length);
                    if !lower(&mut candidate, at) || self.attempt(candidate) {
                        break;
                    }
                }
            }
        }
    }

    /// What is cut out shifts the meaning of what follows: with one change behind it, the rest may mean the same again.
    /// Tries very many, so it comes last, and stops at the first that fails.
    fn cut_and_mend(&mut self) {
        const LONGEST: usize = 4;
        const LARGEST: u32 = 4;
        for length in 1..=LONGEST {
            for start in (0..self.best.len()).rev() {
                for count in (0..=start).rev() {
                    let mut cut = self.without(start, start + length);
                    // At the beginning of the cut nothing is counted: there the cut is tried by itself.
                    if count < start && !lower(&mut cut, count) {
                        continue;
                    }
                    for at in start..cut.len() {
                        for choice in 0..LARGEST {
                            let mut candidate = cut.clone();
                            candidate.iter_mut().skip(at).take(1).for_each(|old| *old = choice);
                            if self.attempt(candidate) || self.is_over() {
                                return;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One less of what is counted there; false if nothing is.
fn lower(script: &mut [u32], at: usize) -> bool {
    let count = script.get_mut(at).filter(|count| (1..=64).contains(*count));
    count.map(|count| *count -= 1).is_some()
}

/// After its end a script says zero anyway.
fn trimmed(mut script: Vec<u32>) -> Vec<u32> {
    while script.last() == Some(&0) {
        script.pop();
    }
    script
}

fn size(script: &[u32]) -> (usize, u64) {
    (script.len(), script.iter().map(|choice| u64::from(*choice)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Effort = Effort { tries: 100_000, time: Duration::from_secs(600) };

    fn check(script: &[u32], fails: impl Fn(&[u32]) -> bool, expected: &[u32]) {
        let mut fails = |script: &[u32]| fails(script).then(|| script.to_vec());
        assert_eq!(shrink(script, PATIENT, &mut fails).0, expected);
    }

    #[test]
    fn what_does_not_matter_goes_and_what_does_is_lowered() {
        let long: Vec<u32> = (0..200).map(|at| at * 37 % 101).collect();
        check(&long, |_| true, &[]);
        check(&long, |script| script.iter().any(|choice| *choice >= 42), &[42]);
        check(&long, |script| script.iter().filter(|choice| **choice >= 7).count() >= 3, &[7, 7, 7]);
        check(&long, |script| script.get(5).is_some_and(|choice| *choice > 10), &[0, 0, 0, 0, 0, 11]);
    }

    #[test]
    fn a_count_goes_down_with_what_it_counts() {
        // The first choice says how many pairs follow; one of them is (9, 9). Nothing may follow the last pair.
        let fails = |script: &[u32]| {
            let (count, pairs) = script.split_first().unwrap_or((&0, &[]));
            pairs.len() == 2 * *count as usize && pairs.chunks(2).any(|pair| pair == [9, 9])
        };
        check(&[4, 1, 2, 9, 9, 3, 4, 5, 6], fails, &[1, 9, 9]);
    }

    #[test]
    fn it_never_tries_more_often_than_it_may() {
        let mut ran = 0;
        let effort = Effort { tries: 10, ..PATIENT };
        let (_, tries) = shrink(&vec![5; 500], effort, &mut |script| {
            ran += 1;
            (script.len() > 400).then(|| script.to_vec())
        });
        assert_eq!((ran, tries), (10, 10));
    }
}
