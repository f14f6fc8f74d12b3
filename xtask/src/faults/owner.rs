//! Nothing is signalled, wiped or filled before it is proven to be this campaign's own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A process that is proven to be ours. There is no other way to get one, and signals are sent to nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned(u32);

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: u32,
}

impl Owned {
    /// A process that this one has started.
    pub(crate) fn child(pid: u32) -> Result<Self> {
        Self::child_of(std::process::id(), pid)
    }

    /// A process that was started by one of ours.
    pub(crate) fn grandchild(parent: Self, pid: u32) -> Result<Self> {
        Self::child(parent.0)?;
        Self::child_of(parent.0, pid)
    }

    fn child_of(parent: u32, pid: u32) -> Result<Self> {
        let stat = stat(pid).with_context(|| format!("there is no process {pid}"))?;
        ensure!(
            stat.parent == parent,
            "process {pid} was started by {} and not by {parent}; it is left alone",
            stat.parent
        );
        Ok(Self(pid))
    }

    pub(crate) fn pid(self) -> u32 {
        self.0
    }

    /// Whether it still runs; one that is stopped does, a dead one that nobody has noticed does not.
    pub(crate) fn runs(self) -> bool {
        stat(self.0).is_some_and(|stat| !"ZX".contains(stat.state))
    }

    /// Whether it is stopped by a signal.
    pub(crate) fn is_stopped(self) -> bool {
        stat(self.0).is_some_and(|stat| stat.state == 'T')
    }

    /// Sends a signal by its name. By the shell, which has `kill` built in; sending one from here would take unsafe code.
    pub(crate) fn signal(self, name: &str) -> Result<()> {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"kill -"$1" "$2" 2>/dev/null"#, "kill", name, &self.0.to_string()]);
        if !shell.status().context("cannot start sh")?.success() {
            bail!("cannot send SIG{name} to process {}", self.0);
        }
        Ok(())
    }
}

/// A place that is not inside this campaign's directory is not touched.
pub(crate) fn inside(campaign: &Path, place: &Path) -> Result<()> {
    let real =
        |path: &Path| path.canonicalize().with_context(|| format!("no such place: {}", path.display()));
    let (campaign, place) = (real(campaign)?, real(place)?);
    ensure!(
        place.starts_with(&campaign) && place != campaign,
        "{} is not inside {}; it is left alone",
        place.display(),
        campaign.display()
    );
    Ok(())
}

fn stat(pid: u32) -> Option<Stat> {
    read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// State and parent come after the name, which may hold anything, parentheses too.
fn read(line: &str) -> Option<Stat> {
    let mut words = line.rsplit(')').next()?.split_whitespace();
    Some(Stat { state: words.next()?.chars().next()?, parent: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_a_parent() {
        let stat = read("12 (a) S 1 (b) T 34 34 0");
        assert_eq!(stat, Some(Stat { state: 'T', parent: 34 }));
        assert_eq!(read("12"), None);
    }

    #[test]
    fn only_a_child_and_its_child_are_ours() {
        let mut ours = Command::new("sh");
        ours.args(["-c", "sleep 60 & echo $!; wait"]);
        let mut ours = ours.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(ours.stdout.take().unwrap()), &mut line)
            .unwrap();
        let theirs = line.trim().parse().unwrap();
        let parent = Owned::child(ours.id()).unwrap();
        let child = Owned::grandchild(parent, theirs).unwrap();
        assert!(Owned::child(theirs).unwrap_err().to_string().contains("left alone"));
        assert!(Owned::child(1).is_err() && Owned::grandchild(parent, std::process::id()).is_err());
        assert!(Owned::grandchild(Owned(1), theirs).is_err());
        child.signal("KILL").unwrap();
        ours.wait().unwrap();
        assert!(!child.runs() && !parent.runs() && Owned::child(parent.pid()).is_err());
    }

    #[test]
    fn a_place_outside_is_not_ours_by_whatever_name() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(ours.path().join("data")).unwrap();
        std::os::unix::fs::symlink(theirs.path(), ours.path().join("link")).unwrap();
        inside(ours.path(), &ours.path().join("data")).unwrap();
        for place in ["", "link", "data/..", "gone"] {
            assert!(inside(ours.path(), &ours.path().join(place)).is_err(), "{place}");
        }
    }
}
