//! A small disk in memory, which can be filled.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::owner;

/// Unmounts when this program ends, however it ends.
const GUARD: &str = r#"read -r line; umount -l -- "$1""#;

/// What fills it.
const FILLER: &str = "filler";

/// A mounted one. Dropping it unmounts it.
pub(crate) struct Disk {
    at: PathBuf,
    campaign: PathBuf,
    guard: Child,
}

impl Disk {
    /// Mounts one of this size in a new directory inside `campaign`.
    pub(crate) fn mount(campaign: &Path, name: &str, megabytes: u32) -> Result<Self> {
        let at = campaign.join(name);
        std::fs::create_dir(&at)?;
        owner::inside(campaign, &at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=755"), "tidings-faults"]).arg(&at);
        let output = mount.stdin(Stdio::null()).output().context("cannot start mount")?;
        if !output.status.success() {
            bail!("no disk can be mounted here: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(&at).stdin(Stdio::piped()).stdout(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut guard, 0);
        match guard.stderr(Stdio::null()).spawn() {
            Ok(guard) => Ok(Self { at, campaign: campaign.to_owned(), guard }),
            Err(error) => {
                unmount(&at);
                Err(error).context("cannot start sh")
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Takes all the room there is. What is freed meanwhile, others may have: so this is called again and again.
    pub(crate) fn fill(&self) -> Result<u64> {
        owner::inside(&self.campaign, &self.at)?;
        let mut file = File::options().create(true).append(true).open(self.at.join(FILLER))?;
        let mut taken = 0;
        // Ever smaller pieces, so that not even a page is left.
        for size in [1 << 20, 1 << 12] {
            let zeros = vec![0; size];
            loop {
                match file.write(&zeros) {
                    Ok(count) => taken += u64::try_from(count)?,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("the disk cannot be filled"),
                }
            }
        }
        Ok(taken)
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        // Emptied first: a child that is just being started may still hold the file, and removal frees nothing then.
        let filler = self.at.join(FILLER);
        let emptied = File::options().write(true).truncate(true).open(&filler);
        emptied.and_then(|_| std::fs::remove_file(&filler)).context("the disk cannot be emptied")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of its input is the guard's sign; it unmounts.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn unmount(at: &Path) {
    let _ = Command::new("umount").arg("-l").arg("--").arg(at).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_full_and_then_it_is_not() {
        let campaign = tempfile::tempdir().unwrap();
        let disk = match Disk::mount(campaign.path(), "disk", 4) {
            Ok(disk) => disk,
            Err(error) => return eprintln!("skipped: {error:#}"),
        };
        let file = disk.path().join("file");
        std::fs::write(&file, "before").unwrap();
        assert!(disk.fill().unwrap() > 3 << 20);
        let full = std::fs::write(disk.path().join("more"), "x").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let _held = File::open(disk.path().join(FILLER)).unwrap();
        disk.free().unwrap();
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
        drop(disk);
        assert!(!file.exists(), "it is unmounted");
    }
}
