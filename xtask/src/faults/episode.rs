//! One run of the platform: started on servers of its own, hurt, waited for, ended and judged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Handle;

use super::fault::Fault;
use super::inject;
use super::levels::Levels;
use super::plan::{Draw, Episode, Turn, cost};
use super::platform::{Platform, Settings};
use super::stage::Stage;
use super::status;
use super::stop::{Interrupted, Stop};
use super::table::{End, Judged, Outcome, said};

/// A while of peace before each fault, so that one's traces are not taken for another's.
const PEACE: Duration = Duration::from_secs(3);

/// Why something was not run, in the table.
const NO_TIME: &str = "no time was left";

/// What all runs share.
pub(crate) struct Campaign {
    pub(crate) directory: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) keep: bool,
    pub(crate) draw: Draw,
    pub(crate) stop: Stop,
    pub(crate) runtime: Handle,
    pub(crate) began: Instant,
    pub(crate) expected: Duration,
    /// When it ends; nothing is begun that would end later.
    pub(crate) limit: Option<Duration>,
    /// How long the last run took before its first fault, and after its last.
    pub(crate) start: Duration,
    pub(crate) finish: Duration,
}

/// A run while it runs.
pub(crate) struct World<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) platform: &'a mut Platform,
    pub(crate) draw: &'a mut Draw,
    pub(crate) stop: &'a Stop,
}

impl Campaign {
    /// Runs one. An error is an end of the campaign; whatever goes wrong in the run itself is in its outcome.
    pub(crate) fn run(&mut self, number: usize, episode: &Episode) -> Result<Outcome> {
        let began = Instant::now();
        let shortest = episode.faults.iter().map(|fault| cost(*fault)).min().unwrap_or_default();
        let over = self.began.elapsed() + self.start + shortest + self.finish;
        if self.limit.is_some_and(|limit| over > limit) {
            self.say(&format!("run {}: {NO_TIME}", episode.name));
            return Ok(Outcome::not_run(episode, NO_TIME));
        }
        let directory = self.directory.join(format!("{:02}-{}", number + 1, episode.name));
        std::fs::create_dir(&directory)?;
        self.say(&format!("run {}: starting servers and the platform", episode.name));
        let mut outcome = Outcome {
            name: episode.name,
            ends: Vec::new(),
            judged: Judged::default(),
            problems: Vec::new(),
            kept: None,
            took: Duration::ZERO,
        };
        let ran = self.run_in(&directory, episode, &mut outcome);
        outcome.took = began.elapsed();
        match ran {
            Err(error) if error.is::<Interrupted>() => {
                eprintln!("the files of the interrupted run are in {}", directory.display());
                return Err(error);
            }
            Err(error) => outcome.problems.push(format!("{error:#}")),
            Ok(()) => {}
        }
        if outcome.is_good() && !self.keep {
            std::fs::remove_dir_all(&directory)?;
        } else {
            outcome.kept = Some(directory);
        }
        self.say(&format!("run {}: {}", episode.name, if outcome.is_good() { "good" } else { "BAD" }));
        for problem in &outcome.problems {
            eprintln!("    {problem}");
        }
        Ok(outcome)
    }

    fn run_in(&mut self, directory: &Path, episode: &Episode, outcome: &mut Outcome) -> Result<()> {
        let began = Instant::now();
        let mut stage = Stage::start(&self.directory, directory, &episode.faults, &self.runtime)?;
        let started = Platform::start(&self.settings, &stage.arguments(), directory);
        let hurt = started.and_then(|mut platform| {
            platform.wait_until_ready(&self.stop)?;
            self.start = began.elapsed();
            self.hurt_all(&mut stage, &mut platform, episode, outcome)?;
            self.say(&format!("run {}: draining and judging", episode.name));
            let asked = Instant::now();
            let ended = platform.finish(&self.stop)?;
            self.finish = asked.elapsed();
            outcome.judged = ended.judged;
            outcome.problems.extend(ended.problems);
            Ok(())
        });
        stage.keep_logs(directory);
        hurt
    }

    fn hurt_all(
        &mut self,
        stage: &mut Stage,
        platform: &mut Platform,
        episode: &Episode,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let count = episode.faults.len();
        // How far behind the copies are by themselves, before anything was done to them.
        let mut usual = None;
        for (at, fault) in episode.faults.iter().enumerate() {
            let over = self.began.elapsed() + cost(*fault) + self.finish;
            match episode.turn(at, over, self.limit) {
                Turn::Now => {}
                Turn::NoTime => {
                    outcome.ends.push((*fault, End::NotRun(NO_TIME.to_owned())));
                    continue;
                }
                Turn::Enough => continue,
            }
            let worst = self.peace(platform)?;
            if self.has_relapsed(outcome, usual, worst) {
                not_run_after_relapse(episode, at, outcome);
                return Ok(());
            }
            let usual = *usual.get_or_insert(worst);
            let stop = self.stop.clone();
            let mut world =
                World { stage: &mut *stage, platform: &mut *platform, draw: &mut self.draw, stop: &stop };
            let (end, effect) = hurt(&mut world, *fault, usual)?;
            let (name, said) = (fault.name(), said(&end));
            self.say(&format!("run {} {}/{count}: {name}: {effect}; {said}", episode.name, at + 1));
            // What comes after a fault that is not over would be blamed for it.
            let is_over = matches!(end, End::Recovered(_) | End::NotRun(_));
            outcome.ends.push((*fault, end));
            if !is_over {
                let why = format!("{name} was not over");
                let left = episode.faults.iter().take(episode.first).skip(at + 1);
                outcome.ends.extend(left.map(|fault| (*fault, End::NotRun(why.clone()))));
                return Ok(());
            }
        }
        let worst = self.peace(platform)?;
        self.has_relapsed(outcome, usual, worst);
        Ok(())
    }

    /// Whether the copies, well again after the last fault, fell back in the peace after it: then it was not over.
    fn has_relapsed(&self, outcome: &mut Outcome, usual: Option<Duration>, worst: Duration) -> bool {
        let Some(seen) = usual.and_then(|usual| status::relapse(usual, worst)) else { return false };
        let recovered = |(_, end): &&mut (Fault, End)| matches!(end, End::Recovered(_));
        let Some((fault, end)) = outcome.ends.iter_mut().rev().find(recovered) else { return false };
        *end = End::Missed(seen);
        let (name, said) = (fault.name(), said(end));
        self.say(&format!("run {}: {name}: {said}", outcome.name));
        true
    }

    /// Lets a while of peace pass. Returns how far behind the copies were meanwhile, at the most. Before the
    /// first fault that is what is usual here: on a busy machine it can be more than a fault is worth.
    fn peace(&self, platform: &Platform) -> Result<Duration> {
        let mut usual = Duration::ZERO;
        self.stop.until(PEACE, || {
            let behind = platform.status().ok().and_then(|status| status.behind());
            usual = usual.max(behind.unwrap_or_default());
            Ok(false)
        })?;
        Ok(usual)
    }

    fn say(&self, what: &str) {
        let elapsed = self.began.elapsed();
        let left = self.expected.saturating_sub(elapsed).as_secs().div_ceil(60);
        eprintln!("[{:>5} s, ~{left} min left] {what}", elapsed.as_secs());
    }
}

/// What is there for the first time, from this place on, is not run: it would be blamed for what came before.
fn not_run_after_relapse(episode: &Episode, at: usize, outcome: &mut Outcome) {
    let left = episode.faults.iter().take(episode.first).skip(at);
    let end = End::NotRun("what was recovered before it relapsed".to_owned());
    outcome.ends.extend(left.map(|fault| (*fault, end.clone())));
}

/// Injects one, and waits until everything is well again.
fn hurt(world: &mut World<'_>, fault: Fault, usual: Duration) -> Result<(End, String)> {
    let nothing = "-".to_owned();
    if let Some(why) = inject::refused(world, fault) {
        return Ok((End::NotRun(why), nothing));
    }
    let effect = match inject::inject(world, fault) {
        Ok(effect) => effect,
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => return Ok((End::Failed(format!("{error:#}")), nothing)),
    };
    Ok((recovered(world, fault, usual)?, effect))
}

fn recovered(world: &mut World<'_>, fault: Fault, usual: Duration) -> Result<End> {
    let ended = Instant::now();
    let close = status::close(usual);
    let (mut first, mut since, mut well) = (None, None, 0);
    let mut levels = Levels::new(world.platform.levels(), world.platform.copies());
    let mut seen = "nothing was recorded after its end".to_owned();
    let World { stage, platform, stop, .. } = world;
    let is_well = stop.until(fault.deadline(), || {
        platform.check_running()?;
        // Marks alone are no proof: an event has to have been recorded since, and its mark to have been applied.
        if since.is_none() {
            let Ok(recorded) = inject::recorded(stage, platform) else { return Ok(false) };
            since = (recorded > *first.get_or_insert(recorded)).then(Instant::now);
        }
        let Some(since) = since else { return Ok(false) };
        // Before it is asked: what it says is then newer than its age makes it.
        let (since_end, since) = (ended.elapsed(), since.elapsed());
        let status = match platform.status() {
            Ok(status) => status,
            Err(error) => {
                seen = format!("{error:#}");
                return Ok(false);
            }
        };
        levels.hear(&status, since_end);
        seen = format!("{}; {}", status.shown(), levels.shown());
        let is_well = status.is_well(platform.copies(), since, close) && levels.are_well();
        // Twice in a row: an answer may have been under way when the fault ended.
        well = if is_well { well + 1 } else { 0 };
        Ok(well >= 2)
    });
    match is_well {
        Ok(true) => Ok(End::Recovered(ended.elapsed())),
        Ok(false) => Ok(End::Missed(format!("after {:?} {seen}", fault.deadline()))),
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => Ok(End::Missed(format!("{error:#}"))),
    }
}
