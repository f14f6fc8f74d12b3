//! One run of the platform: started on servers of its own, hurt, waited for, ended and judged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Handle;

use super::fault::Fault;
use super::inject;
use super::plan::{Draw, Episode};
use super::platform::{Platform, Settings};
use super::stage::Stage;
use super::stop::{Interrupted, Stop};
use super::table::{End, Judged, Outcome, said};

/// A while of peace before each fault, so that one's traces are not taken for another's.
const PEACE: Duration = Duration::from_secs(3);

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
        let mut stage = Stage::start(&self.directory, directory, &episode.faults, &self.runtime)?;
        let started = Platform::start(&self.settings, &stage.arguments(), directory);
        let hurt = started.and_then(|mut platform| {
            platform.wait_until_ready(&self.stop)?;
            self.hurt_all(&mut stage, &mut platform, episode, outcome)?;
            self.say(&format!("run {}: draining and judging", episode.name));
            let ended = platform.finish(&self.stop)?;
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
        for (at, fault) in episode.faults.iter().enumerate() {
            self.stop.pass(PEACE)?;
            let stop = self.stop.clone();
            let mut world =
                World { stage: &mut *stage, platform: &mut *platform, draw: &mut self.draw, stop: &stop };
            let (end, effect) = hurt(&mut world, *fault)?;
            let (name, said) = (fault.name(), said(&end));
            self.say(&format!("run {} {}/{count}: {name}: {effect}; {said}", episode.name, at + 1));
            // What comes after a fault that is not over would be blamed for it.
            let is_over = matches!(end, End::Recovered(_) | End::NotPermitted(_));
            outcome.ends.push((*fault, end));
            if !is_over {
                let left = count - at - 1;
                if left > 0 {
                    outcome.problems.push(format!("{left} faults after {name} were not injected"));
                }
                break;
            }
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        let elapsed = self.began.elapsed();
        let left = self.expected.saturating_sub(elapsed).as_secs().div_ceil(60);
        eprintln!("[{:>5} s, ~{left} min left] {what}", elapsed.as_secs());
    }
}

/// Injects one, and waits until everything is well again.
fn hurt(world: &mut World<'_>, fault: Fault) -> Result<(End, String)> {
    let nothing = "-".to_owned();
    if let Some(why) = inject::refused(world, fault) {
        return Ok((End::NotPermitted(why), nothing));
    }
    let effect = match inject::inject(world, fault) {
        Ok(effect) => effect,
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => return Ok((End::Failed(format!("{error:#}")), nothing)),
    };
    Ok((recovered(world, fault)?, effect))
}

fn recovered(world: &mut World<'_>, fault: Fault) -> Result<End> {
    let ended = Instant::now();
    let (mut first, mut since, mut well) = (None, None, 0);
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
        let status = match platform.status() {
            Ok(status) => status,
            Err(error) => {
                seen = format!("{error:#}");
                return Ok(false);
            }
        };
        seen = status.shown();
        // Twice in a row: an answer may have been under way when the fault ended.
        well = if status.is_well(platform.copies(), since.elapsed()) { well + 1 } else { 0 };
        Ok(well >= 2)
    });
    match is_well {
        Ok(true) => Ok(End::Recovered(ended.elapsed())),
        Ok(false) => Ok(End::Missed(format!("after {:?} {seen}", fault.deadline()))),
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => Ok(End::Missed(format!("{error:#}"))),
    }
}
