//! How large the binary is, and what it takes while nothing happens.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::l1::memory::resident;
use crate::report::{Report, Target};
use crate::sqlite::directory;

const SETTLE: Duration = Duration::from_secs(3);
const SAMPLES: usize = 5;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    report.section("The binary");
    let program = std::env::current_exe()?;
    let binary = program.parent().context("this program is nowhere")?.join("tidings");
    let Ok(metadata) = std::fs::metadata(&binary) else {
        report.note(format!("{} is not there: cargo build --release -p tidings-server", binary.display()));
        return Ok(());
    };
    let megabytes = metadata.len() as f64 / 1e6;
    report.alone("size/binary", "MB", &[megabytes], Some(Target::AtMost(40.0, "MB")));
    match idle(&binary)? {
        Some(samples) => report.alone("size/idle-rss", "MiB", &samples, None),
        None => {
            report.note("`tidings dev --load 0` did not stay up, so its memory at rest is not known.".into())
        }
    }
    Ok(())
}

/// Ends the process that is measured, whatever happens.
pub(crate) struct Guest(pub(crate) Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Resident memory of a `dev` without load, every half second; `None` if it ended.
fn idle(binary: &Path) -> Result<Option<Vec<f64>>> {
    let data = directory()?;
    let mut dev = Command::new(binary);
    dev.args(["dev", "--load", "0", "--port", "0", "--data"]).arg(data.path().join("data"));
    dev.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guest = Guest(dev.spawn()?);
    std::thread::sleep(SETTLE);
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        if guest.0.try_wait()?.is_some() {
            return Ok(None);
        }
        samples.push(resident(&guest.0.id().to_string())? / (1 << 20) as f64);
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(Some(samples))
}
