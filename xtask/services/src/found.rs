//! The programs that the servers need: where they are, and how they come onto this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// One installation at a time in this process; between processes the package manager keeps order itself.
static INSTALLING: Mutex<()> = Mutex::new(());

/// What tells Debian's packages whether they may start their service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What `look` finds, if need be after installing a Debian package, where that is permitted. An error names the command.
pub(crate) fn or_install<T>(what: &str, package: &str, look: impl Fn() -> Option<T>) -> Result<T> {
    if let Some(found) = look() {
        return Ok(found);
    }
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = look() {
        return Ok(found);
    }
    let command = format!("apt-get install -y --no-install-recommends {package}");
    if !is_root() || on_path("apt-get").is_none() {
        bail!("{what} is missing; install it, on Debian with `sudo {command}`");
    }
    eprintln!("{what} is missing; installing it: {command}");
    install(package).with_context(|| format!("{what} is missing, and `{command}` failed"))?;
    look().with_context(|| format!("{what} is still missing after `{command}`"))
}

/// The program of this name on the path.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Servers live where only administrators' paths point.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    id("-u", None).is_ok_and(|uid| uid == 0)
}

/// A user's number (`-u`) or group's number (`-g`); without a name, this process's.
pub(crate) fn id(option: &str, user: Option<&str>) -> Result<u32> {
    let output = Command::new("id").arg(option).args(user).output().context("cannot start id")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let whose = user.unwrap_or("this process");
    text.trim().parse().with_context(|| format!("`id {option}` does not know {whose}"))
}

fn install(package: &str) -> Result<()> {
    let _quiet = NoStart::new()?;
    if apt(&["install", "-y", "--no-install-recommends", package]).is_err() {
        apt(&["update"])?;
        apt(&["install", "-y", "--no-install-recommends", package])?;
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = command.output().context("cannot start apt-get")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "apt-get {}: {}",
            arguments.join(" "),
            said.trim().lines().last().unwrap_or("it says no reason")
        );
    }
    Ok(())
}

/// While this lives, packages do not start their service: the tests start servers of their own.
struct NoStart {
    is_ours: bool,
}

impl NoStart {
    fn new() -> Result<Self> {
        let is_ours = !Path::new(POLICY).exists();
        if is_ours {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .with_context(|| format!("cannot write {POLICY}"))?;
            executable(Path::new(POLICY))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NoStart {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}
