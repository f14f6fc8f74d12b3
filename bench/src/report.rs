//! What was measured: a table for people, JSON for everything else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};

/// What is to be reached: of the ratio `ours / limit`, or of our own figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    AtMost(f64, &'static str),
    AtLeast(f64, &'static str),
}

impl Target {
    fn is_met(self, ours: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtMost(most) => ratio.map(|ratio| ratio <= most),
            Self::RatioAtLeast(least) => ratio.map(|ratio| ratio >= least),
            Self::AtMost(most, _) => Some(ours <= most),
            Self::AtLeast(least, _) => Some(ours >= least),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "<= {most}"),
            Self::RatioAtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most, unit) => write!(f, "<= {most} {unit}"),
            Self::AtLeast(least, unit) => write!(f, ">= {least} {unit}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The middle of several rounds, and how far they lay apart.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(sorted.len() / 2), min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }
}

/// One line of the result. A figure without a limit has no ratio.
#[derive(Serialize)]
struct Row {
    name: String,
    ours: f64,
    ours_min: f64,
    ours_max: f64,
    limit: Option<f64>,
    limit_name: Option<String>,
    unit: &'static str,
    ratio: Option<f64>,
    ratio_min: Option<f64>,
    ratio_max: Option<f64>,
    target: Option<Target>,
    ok: Option<bool>,
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    cpu: String,
    memory: String,
    kernel: String,
    rustc: String,
}

/// All rows so far, with the machine and the versions they were measured on.
#[derive(Serialize)]
pub(crate) struct Report {
    /// `quick` or `whole`.
    scale: &'static str,
    machine: Machine,
    versions: BTreeMap<&'static str, String>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(scale: &'static str) -> Self {
        let (machine, versions) = (Machine::this(), versions());
        let report = Self { scale, machine, versions, rows: Vec::new(), notes: Vec::new() };
        let Machine { cores, cpu, memory, kernel, rustc } = &report.machine;
        println!("{cores} cores, {cpu}, {memory}, Linux {kernel}, {rustc}; {scale}");
        report
    }

    pub(crate) fn section(&self, title: &str) {
        println!("\n{title}");
        println!("  {:<46} {:>26} {:>12} {:>19}  target", "", "ours (min .. max)", "limit", "ratio");
    }

    /// The version of something that runs beside us.
    pub(crate) fn version(&mut self, name: &'static str, version: &str) {
        if self.versions.insert(name, version.to_owned()).as_deref() != Some(version) {
            println!("\n{name} {version}");
        }
    }

    /// Ours beside a limit: samples of the same index were taken one after the other.
    pub(crate) fn versus(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &[f64],
        limit: (&str, &[f64]),
        target: Option<Target>,
    ) {
        let ratios: Vec<_> = ours.iter().zip(limit.1).map(|(ours, limit)| ours / limit).collect();
        self.row(name, unit, ours, Some(limit), Some(Spread::of(&ratios)), target);
    }

    /// A figure of ours that has no bare counterpart.
    pub(crate) fn alone(&mut self, name: &str, unit: &'static str, ours: &[f64], target: Option<Target>) {
        self.row(name, unit, ours, None, None, target);
    }

    /// Something that could not be measured, or has to be known to read a figure.
    pub(crate) fn note(&mut self, text: String) {
        println!("  {text}");
        self.notes.push(text);
    }

    fn row(
        &mut self,
        name: &str,
        unit: &'static str,
        ours: &[f64],
        limit: Option<(&str, &[f64])>,
        ratio: Option<Spread>,
        target: Option<Target>,
    ) {
        let own = Spread::of(ours);
        let row = Row {
            name: name.to_owned(),
            ours: own.median,
            ours_min: own.min,
            ours_max: own.max,
            limit: limit.map(|(_, samples)| Spread::of(samples).median),
            limit_name: limit.map(|(name, _)| name.to_owned()),
            unit,
            ratio: ratio.map(|ratio| ratio.median),
            ratio_min: ratio.map(|ratio| ratio.min),
            ratio_max: ratio.map(|ratio| ratio.max),
            target,
            ok: target.and_then(|target| target.is_met(own.median, ratio.map(|ratio| ratio.median))),
        };
        println!("{}", row.line(own));
        self.rows.push(row);
    }

    /// Where it falls short.
    pub(crate) fn summary(&self) {
        let short: Vec<_> = self.rows.iter().filter(|row| row.ok == Some(false)).collect();
        let held = self.rows.iter().filter(|row| row.ok.is_some()).count();
        println!("\n{} of {held} targets met", held - short.len());
        for row in short {
            let Some(target) = row.target else { continue };
            let found = row.ratio.filter(|_| !matches!(target, Target::AtMost(..) | Target::AtLeast(..)));
            let (found, unit) = found.map_or((row.ours, row.unit), |ratio| (ratio, "of the limit"));
            println!("  falls short: {}: {} {unit}, target {target}", row.name, figure(found));
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Row {
    fn line(&self, own: Spread) -> String {
        let spread = format!("{} ({} .. {})", figure(own.median), figure(own.min), figure(own.max));
        let limit = self.limit.map(figure).unwrap_or_default();
        let ratio = match (self.ratio, self.ratio_min, self.ratio_max) {
            (Some(ratio), Some(min), Some(max)) => format!("{ratio:.2} ({min:.2} .. {max:.2})"),
            _ => String::new(),
        };
        let verdict = match (self.target, self.ok) {
            (Some(target), Some(true)) => format!("{target} ok"),
            (Some(target), Some(false)) => format!("{target} SHORT"),
            _ => String::new(),
        };
        let beside = self.limit_name.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
        let name = format!("{} ({})", self.name, self.unit);
        format!("  {name:<46} {spread:>26} {limit:>12} {ratio:>19}  {verdict}{beside}")
    }
}

/// Three figures that count.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.01 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

impl Machine {
    fn this() -> Self {
        let line = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(key));
            found.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        let unknown = || "unknown".to_owned();
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: line("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory: line("/proc/meminfo", "MemTotal").unwrap_or_else(unknown),
            kernel: line("/proc/sys/kernel/osrelease", "").unwrap_or_else(unknown),
            rustc: rustc.unwrap_or_else(|_| unknown()),
        }
    }
}

/// The versions of what is compared, as they were locked.
fn versions() -> BTreeMap<&'static str, String> {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let locked = |name: &'static str| {
        let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        rest.split_once('"').map(|(version, _)| (name, version.to_owned()))
    };
    let crates = ["tidings", "quick_cache", "moka", "foyer", "rusqlite", "serde_json", "tokio"];
    let mut versions: BTreeMap<_, _> = crates.into_iter().filter_map(locked).collect();
    versions.insert("sqlite", rusqlite::version().to_owned());
    versions
}
