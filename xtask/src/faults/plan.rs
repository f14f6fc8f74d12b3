//! Which faults are injected, how often, in which runs, in which order: decided before anything starts, from a seed.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::fault::Fault;

/// What a run costs before its first fault: servers, a catalogue.
pub(crate) const START: Duration = Duration::from_secs(30);
/// What it costs after its last: draining, judging.
pub(crate) const FINISH: Duration = Duration::from_secs(20);
/// What a fault costs besides its own duration: recovery, and a while of peace.
const AROUND: Duration = Duration::from_secs(8);
/// The mixed run is worth its start only if it has time for this much.
const WORTH: Duration = Duration::from_secs(60);
/// The name of the run in which faults of all families follow one another.
pub(crate) const MIXED: &str = "mixed";

/// One run of the platform, with what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) name: &'static str,
    pub(crate) faults: Vec<Fault>,
    /// How many of the faults, from the first one on, are there for their first time.
    pub(crate) first: usize,
    /// When it should be over. What is there once more is left out if it would end later: a slow machine is to come to the
    /// first time of the last fault before it comes to the second of the first.
    pub(crate) until: Duration,
}

/// Whether a fault is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// It would be its first time, and there is no time: that has to be said.
    NoTime,
    /// It was there before, and the time is for others.
    Enough,
}

impl Episode {
    /// Whether it is the turn of the fault at this place, if the run would then be over at `over`, and may be so until `limit`.
    pub(crate) fn turn(&self, at: usize, over: Duration, limit: Option<Duration>) -> Turn {
        match limit {
            Some(limit) if at < self.first && over > limit => Turn::NoTime,
            Some(limit) if at >= self.first && over > limit.min(self.until) => Turn::Enough,
            _ => Turn::Now,
        }
    }
}

/// Numbers that look random and follow from a seed: the splitmix64 of Steele, Lea and Flood.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these; nothing of nothing.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
        of.get(usize::try_from(self.next() % count).ok()?)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            items.swap(last, usize::try_from(self.next() % bound).unwrap_or(0));
        }
    }
}

/// What is to be done in so much time: each fault as often as there should be time for, and once in any case: whether there
/// was, the campaign sees. `only` names faults or families; without it, all are meant, and what is left of the time goes to
/// a mixed run.
pub(crate) fn plan(time: Duration, seed: u64, only: &[String]) -> Result<Vec<Episode>> {
    for name in only {
        let known = Fault::all().any(|fault| is_named(fault, name)) || name == MIXED;
        ensure!(known, "there is no fault {name:?}; there are {}", names());
    }
    let wanted = |fault: &Fault| only.is_empty() || only.iter().any(|name| is_named(*fault, name));
    let faults: Vec<_> = Fault::all().filter(wanted).collect();
    let mut draw = Draw::new(seed);
    let mut episodes: Vec<Episode> = Vec::new();
    for fault in &faults {
        match episodes.iter_mut().find(|episode| episode.name == fault.run()) {
            Some(episode) => episode.faults.push(*fault),
            None => episodes.push(Episode {
                name: fault.run(),
                faults: vec![*fault],
                first: 0,
                until: Duration::ZERO,
            }),
        }
    }
    // Else it would always be the same ones that a slow machine does not come to.
    draw.shuffle(&mut episodes);
    let starts = (START + FINISH).saturating_mul(u32::try_from(episodes.len()).unwrap_or(u32::MAX));
    let once: Duration = faults.iter().map(|fault| cost(*fault)).sum();
    let rounds = match once.as_secs() {
        0 => 0,
        once => (time.saturating_sub(starts).as_secs() / once).clamp(1, 100),
    };
    for episode in &mut episodes {
        let one = episode.faults.clone();
        episode.faults = Vec::new();
        episode.first = one.len();
        for _ in 0..rounds {
            let mut round = one.clone();
            draw.shuffle(&mut round);
            episode.faults.extend(round);
        }
    }
    let mut spent = Duration::ZERO;
    for episode in &mut episodes {
        spent += length(episode);
        episode.until = spent;
    }
    if only.is_empty() || only.iter().any(|name| name == MIXED) {
        episodes.extend(mixed(&mut draw, time.saturating_sub(spent), only.iter().any(|name| name == MIXED)));
    }
    Ok(episodes)
}

/// How long these should take.
pub(crate) fn expected(episodes: &[Episode]) -> Duration {
    episodes.iter().map(length).sum()
}

fn length(episode: &Episode) -> Duration {
    START + FINISH + episode.faults.iter().map(|fault| cost(*fault)).sum::<Duration>()
}

/// A full disk needs a disk of its own, and a truncated log changes what is judged: those stay among themselves.
fn mixed(draw: &mut Draw, time: Duration, is_asked: bool) -> Option<Episode> {
    let apart = |fault: &Fault| matches!(fault, Fault::DiskFull(_) | Fault::Truncated);
    let all: Vec<_> = Fault::all().filter(|fault| !apart(fault)).collect();
    let around = START + FINISH;
    let time = if is_asked { time.max(around + WORTH) } else { time };
    let mut left = time.checked_sub(around).filter(|left| *left >= WORTH)?;
    let mut faults = Vec::new();
    while let Some(fault) = draw.one(&all).copied() {
        let Some(rest) = left.checked_sub(cost(fault)) else { break };
        left = rest;
        faults.push(fault);
    }
    // It is for what is left of the time, so the campaign's own end is its end.
    Some(Episode { name: MIXED, faults, first: 0, until: Duration::MAX })
}

/// How long it should take, with what belongs to it.
pub(crate) fn cost(fault: Fault) -> Duration {
    fault.lasts() + AROUND
}

fn is_named(fault: Fault, name: &str) -> bool {
    fault.name() == name || fault.family() == name
}

fn names() -> String {
    let mut names: Vec<_> = Fault::all().map(Fault::name).collect();
    for family in Fault::all().map(Fault::family) {
        if !names.contains(&family) {
            names.push(family);
        }
    }
    names.push(MIXED);
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn every_fault_comes_at_least_once_however_short_the_time() {
        for time in [Duration::ZERO, minutes(20), minutes(60)] {
            let episodes = plan(time, 1, &[]).unwrap();
            for fault in Fault::all() {
                assert!(episodes.iter().any(|episode| episode.faults.contains(&fault)), "{fault:?}");
            }
            let alike = |episode: &Episode| episode.faults.iter().all(|fault| fault.run() == episode.name);
            assert!(episodes.iter().all(|episode| episode.name == MIXED || alike(episode)));
            // The first time of each comes before the second of any other in its run.
            for episode in episodes.iter().filter(|episode| episode.name != MIXED) {
                let mut first = episode.faults[..episode.first].to_vec();
                first.sort_unstable();
                first.dedup();
                assert_eq!(first.len(), episode.first);
                assert!(episode.faults.iter().all(|fault| first.contains(fault)));
            }
            assert!(episodes.windows(2).all(|two| two[0].until < two[1].until));
        }
    }

    #[test]
    fn more_time_is_used_and_not_exceeded() {
        let times = |time| plan(time, 1, &[]).unwrap().iter().map(|e| e.faults.len()).sum::<usize>();
        assert!(times(minutes(60)) > times(minutes(25)));
        for time in [minutes(30), minutes(60), minutes(240)] {
            let spent = expected(&plan(time, 1, &[]).unwrap());
            assert!(spent <= time && spent + minutes(2) > time, "{spent:?} of {time:?}");
        }
    }

    #[test]
    fn what_there_is_no_time_for_is_said_and_no_second_time_takes_the_time_of_a_first() {
        let faults = vec![Fault::KillCopy, Fault::PauseCopy, Fault::KillCopy];
        let episode = Episode { name: "processes", faults, first: 2, until: minutes(2) };
        for (at, over, limit, expected) in [
            (0, minutes(1), Some(minutes(3)), Turn::Now),
            // The plan was too hopeful; there is time all the same.
            (1, minutes(3), Some(minutes(3)), Turn::Now),
            (1, minutes(4), Some(minutes(3)), Turn::NoTime),
            (2, minutes(2), Some(minutes(3)), Turn::Now),
            (2, minutes(3), Some(minutes(3)), Turn::Enough),
            (2, minutes(2), Some(minutes(1)), Turn::Enough),
            (1, minutes(99), None, Turn::Now),
        ] {
            assert_eq!(episode.turn(at, over, limit), expected, "{at} {over:?} {limit:?}");
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        let of = |seed| plan(minutes(60), seed, &[]).unwrap();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        // No run is always among those that a slow machine does not come to; only the mixed one is for what is left.
        let names = |seed| of(seed).iter().map(|episode| episode.name).collect::<Vec<_>>();
        let mut last: Vec<_> = (0..50).map(|seed| names(seed)[4]).collect();
        last.sort_unstable();
        last.dedup();
        let mut all = names(7);
        assert_eq!(all.pop(), Some(MIXED));
        all.sort_unstable();
        assert_eq!(last, all);
    }

    #[test]
    fn only_what_is_named_is_done() {
        let only = |names: &[&str]| {
            plan(minutes(5), 1, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let episodes = only(&["relay-kill", "redis"]).unwrap();
        let of = |name| &episodes.iter().find(|episode| episode.name == name).unwrap().faults;
        assert_eq!(episodes.len(), 2);
        assert!(of("processes").iter().all(|fault| *fault == Fault::KillLeader));
        assert!(of("servers").len() > 4);
        let error = only(&["earthquake"]).unwrap_err().to_string();
        assert!(error.contains("relay-kill") && error.contains("mixed"), "{error}");
        let mixed = only(&["mixed"]).unwrap();
        assert!(mixed.len() == 1 && !mixed[0].faults.is_empty());
        assert!(!mixed[0].faults.contains(&Fault::Truncated));
    }
}
