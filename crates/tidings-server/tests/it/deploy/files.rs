//! The files beside the guide, as far as they can be looked over without what they are for.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{GUIDE, has};
use crate::support::path;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(tree().join("docs/guide/deploy").join(name)).unwrap()
}

/// Every metric that the alerts name is told by a relay.
pub(super) fn alerts_know(metrics: &str) {
    let told: BTreeSet<_> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let alerts = text("alerts.yaml");
    let words = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<_> = words.filter(|word| word.starts_with("tidings_relay_")).collect();
    assert!(named.len() > 4, "{named:?}");
    for name in named {
        assert!(told.contains(name), "{name} is not among the relay's metrics:\n{metrics}");
    }
}

/// A YAML file as JSON.
fn yaml(name: &str) -> Value {
    const READ: &str = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let file = std::fs::File::open(tree().join("docs/guide/deploy").join(name)).unwrap();
    let mut python = services::python(&["pyyaml==6.0.3"]).unwrap();
    let output = python.args(["-c", READ]).stdin(file).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{name} is no YAML");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let unit = text("tidings-relay@.service");
    let seconds = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
        value.strip_suffix('s').unwrap().parse::<u64>().unwrap()
    };
    assert!(seconds("TimeoutStopSec") > 10, "longer than a relay drains");
    if !has("systemd-analyze") {
        println!("not checked: the unit, since there is no systemd-analyze");
        return;
    }
    assert_eq!(verified(&unit), "");
    // It can find something.
    assert!(verified(&unit.replace("Restart=on-failure", "Restarts=on-failure")).contains("Restarts"));
    assert!(verified(&unit.replace("Type=exec", "Type=ecex")).contains("ecex"));
}

/// What systemd has to say about a unit, with this build's binary in the place of the installed one.
fn verified(unit: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidings-relay@pricing-1.service");
    let installed = "/usr/local/bin/tidings ";
    assert!(unit.contains(installed), "{unit}");
    std::fs::write(&file, unit.replace(installed, &format!("{} ", env!("CARGO_BIN_EXE_tidings")))).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", path(&file)]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // It also says what is wrong with units of the machine.
    said.lines().filter(|line| line.contains("tidings-relay@")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_container_file_copies_what_is_there_and_gives_up_root() {
    println!("not run: the Containerfile and compose.yaml, which need a container engine");
    let file = text("Containerfile").replace("\\\n", " ");
    let lines: Vec<_> =
        file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    const KNOWN: &[&str] = &[
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    ];
    for line in &lines {
        let (word, rest) = line.split_once(' ').unwrap();
        assert!(KNOWN.contains(&word), "{line}");
        if let (true, None) = (word == "COPY", rest.strip_prefix("--from=")) {
            let mut names: Vec<_> = rest.split_whitespace().collect();
            names.pop();
            for name in names {
                assert!(tree().join(name).exists(), "{line}");
            }
        }
    }
    let user = lines.iter().rposition(|line| line.starts_with("USER ") && !line.contains("root")).unwrap();
    let last_stage = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    assert!(user > last_stage, "what runs is not root");
    // What is copied is a workspace by itself.
    let image = tempfile::tempdir().unwrap();
    let copied =
        lines.iter().filter_map(|line| line.strip_prefix("COPY ")).filter(|rest| !rest.starts_with("--from"));
    for name in copied.flat_map(|rest| rest.split_whitespace().rev().skip(1)) {
        symlink(tree().canonicalize().unwrap().join(name), image.path().join(name)).unwrap();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--locked", "--format-version=1"]).stdout(Stdio::null());
    assert!(cargo.current_dir(image.path()).status().unwrap().success());
}

#[test]
fn the_compose_file_names_what_is_there() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            let (needed, how) = (needed.0, &needed.1["condition"]);
            let other = services.get(needed).unwrap_or_else(|| panic!("{name} needs {needed}"));
            let has_check = other["healthcheck"]["test"].is_array();
            assert!(how != "service_healthy" || has_check, "{name}: {needed} has no health to wait for");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let from = volume.split(':').next().unwrap();
            let is_there = match from.strip_prefix("./") {
                Some(file) => tree().join("docs/guide/deploy").join(file).is_file(),
                None => compose["volumes"].as_object().unwrap().contains_key(from),
            };
            assert!(is_there, "{name}: {volume}");
        }
        for port in service["ports"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(port.starts_with("127.0.0.1:"), "{name} would answer strangers at {port}");
        }
    }
    let relays: Vec<_> = services.keys().filter(|name| name.starts_with("relay-")).collect();
    assert_eq!(relays, ["relay-1", "relay-2"]);
    // The secrets that it asks for are those that the guide makes.
    let source = text("compose.yaml");
    let asked: BTreeSet<_> =
        source.split("${").skip(1).map(|rest| rest.split("_PASSWORD:?}").next().unwrap()).collect();
    let (_, made) = GUIDE.split_once("for name in POSTGRES ").unwrap();
    let made = made.split(';').next().unwrap().split(' ').chain(["POSTGRES"]).collect();
    assert_eq!(asked, made);
}

#[test]
fn the_relay_of_the_compose_file_can_be_read() {
    // It gets as far as asking for the address.
    let file = tree().join("docs/guide/deploy/relay.toml");
    let mut command = crate::support::command(&["doctor", "--config", path(&file)]);
    let said = command.env_remove("TIDINGS_SOURCE").output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("TIDINGS_SOURCE is not set"), "{said}");
}

#[test]
fn the_alerts_are_rules() {
    let alerts = yaml("alerts.yaml");
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 4);
    for rule in rules {
        assert!(rule["alert"].is_string() && rule["expr"].is_string(), "{rule}");
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
    }
}
