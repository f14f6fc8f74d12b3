//! Languages that other people's clients are written in: their programs, and libraries fetched once into the user's cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cache, found};

/// Python with these packages, each as pip names it: `psycopg[binary]==3.3.9`.
///
/// # Errors
///
/// Python or its pip is missing and cannot be installed, or the packages cannot be fetched.
pub fn python(packages: &[&str]) -> Result<Command> {
    let python = found::or_install("Python with pip", "python3-pip", || {
        let python = found::on_path("python3")?;
        succeeds(Command::new(&python).args(["-m", "pip", "--version"])).then_some(python)
    })?;
    let mut command = Command::new(&python);
    command.env("PYTHONIOENCODING", "utf-8");
    if packages.is_empty() {
        return Ok(command);
    }
    // A package's machine code is for one version of Python.
    let version =
        say(Command::new(&python).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?;
    let libraries = cache::directory(&name(&format!("python{version}"), packages), |directory| {
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--target",
        ]);
        say(pip.arg(directory.join("libs")).args(packages)).map(drop)
    })?;
    command.env("PYTHONPATH", libraries);
    Ok(command)
}

/// Node with these packages, each as npm names it: `pg@8.23.1`.
///
/// # Errors
///
/// Node or npm is missing and cannot be installed, or the packages cannot be fetched.
pub fn node(packages: &[&str]) -> Result<Command> {
    let node = found::or_install("Node", "nodejs", || found::on_path("node"))?;
    let npm = found::or_install("npm", "npm", || found::on_path("npm"))?;
    let libraries = cache::directory(&name("node", packages), |directory| {
        let mut command = Command::new(npm);
        command.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        say(command.arg(directory.join("libs")).args(packages)).map(drop)
    })?;
    let mut command = Command::new(node);
    command.env("NODE_PATH", libraries.join("node_modules"));
    Ok(command)
}

/// Java with these libraries, each as Maven names it, `org.postgresql:postgresql:42.7.8`: runs a source file.
///
/// # Errors
///
/// Java's compiler or Maven is missing and cannot be installed, or the libraries cannot be fetched.
pub fn java(artifacts: &[&str]) -> Result<Command> {
    let java = found::or_install("Java with its compiler", "default-jdk-headless", || {
        let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/javac"));
        let compiler = home.filter(|path| path.is_file()).or_else(|| found::on_path("javac"))?;
        Some(compiler.with_file_name("java")).filter(|path| path.is_file())
    })?;
    let libraries = cache::directory(&name("java", artifacts), |directory| {
        let maven = found::or_install("Maven", "maven", || found::on_path("mvn"))?;
        for artifact in artifacts {
            let mut command = Command::new(&maven);
            command.args(["-B", "-ntp", "-q", "dependency:copy"]).arg(format!("-Dartifact={artifact}"));
            say(command.arg("-DoutputDirectory=libs").current_dir(directory))?;
        }
        Ok(())
    })?;
    let mut command = Command::new(java);
    command.args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp"]).arg(all_in(&libraries));
    Ok(command)
}

/// Has curl on the path, which the guides ask with.
///
/// # Errors
///
/// It is missing and cannot be installed.
pub fn curl() -> Result<()> {
    found::or_install("curl", "curl", || found::on_path("curl")).map(drop)
}

fn all_in(libraries: &Path) -> OsString {
    let mut path = libraries.as_os_str().to_owned();
    path.push("/*");
    path
}

/// What a directory of these packages is called.
fn name(language: &str, packages: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("{language}-{}", packages.join("-").chars().map(plain).collect::<String>())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// What a program says; if it fails, why.
fn say(command: &mut Command) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{} fails: {}{}", program.display(), said.trim(), why.trim());
    }
    Ok(said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_versions_apart_and_is_one_directory() {
        assert_eq!(name("python3.11", &["psycopg[binary]==3.3.9"]), "python3.11-psycopg-binary---3.3.9");
        assert_eq!(
            name("java", &["org.postgresql:postgresql:42.7.8"]),
            "java-org.postgresql-postgresql-42.7.8"
        );
    }
}
