use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

/// Stands in for the binary: it says that it has one process, which it starts again if it ends, until it is asked to end.
/// That process does not end with its parent: the system sends a hang-up to who is stopped and left alone.
const STAND_IN: &str = r#"#!/bin/sh
[ "$1" = check-history ] && exit "$(cat "${2%/*}/judged")"
while [ $# -gt 0 ]; do case $1 in --data) data=$2;; --report) report=$2;; esac; shift; done
mkdir "$data"
trap 'kill $child; cp "${data%/*}/prepared" "$report"; exit 0' TERM
restarts=0
while :; do
    (trap '' HUP; exec sleep 600) & child=$!
    echo "[{\"name\":\"copy-1\",\"kind\":\"copy\",\"pid\":$child,\"restarts\":$restarts}]" > "$data/part"
    mv "$data/part" "$data/processes.json"
    wait $child
    restarts=$((restarts + 1))
done
"#;

const SOON: Duration = Duration::from_secs(20);

struct Place {
    directory: tempfile::TempDir,
    settings: Settings,
}

fn place(report: &Value, judged: &str) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("stand-in");
    // Written by a process of its own: a file that some other test's child still holds open for writing cannot be run.
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$1\"", "sh"])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), STAND_IN.as_bytes()).unwrap();
    shell.wait().unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.path().join("prepared"), report.to_string()).unwrap();
    std::fs::write(directory.path().join("judged"), judged).unwrap();
    let at_most = Duration::from_secs(60);
    Place { directory, settings: Settings { program, load: 1, products: 1, seed: 1, at_most } }
}

fn start(place: &Place) -> (Platform, Process) {
    let platform =
        Platform::start(&place.settings, &[("--redis", "x".into())], place.directory.path()).unwrap();
    (Stop::default().until(SOON, || Ok(!platform.processes().is_empty())).unwrap()).then_some(()).unwrap();
    let copy = platform.processes().remove(0);
    (platform, copy)
}

fn good() -> Value {
    json!({
        "events_committed": 5, "violations": 0, "stale_reads": 0, "false_labels": 0, "events_lost": 0, "l2_hits": 7
    })
}

#[test]
fn a_process_of_the_platform_is_killed_and_comes_back() {
    let place = place(&good(), "0");
    let (platform, copy) = start(&place);
    let owned = platform.prove(&copy).unwrap();
    owned.signal("KILL").unwrap();
    let is_back = || Ok(platform.processes().iter().any(|process| process.restarts == 1));
    assert!(Stop::default().until(SOON, is_back).unwrap());
    assert!(platform.prove(&copy).is_err(), "a process that is gone is nobody's");
    let somebody = Process { pid: Some(std::process::id()), ..copy };
    assert!(platform.prove(&somebody).unwrap_err().to_string().contains("left alone"));
    let ended = platform.finish(&Stop::default()).unwrap();
    assert_eq!((ended.judged.committed, ended.problems), (5, Vec::new()));
}

#[test]
fn a_dropped_platform_leaves_nobody_not_even_who_is_stopped() {
    let place = place(&good(), "0");
    let (platform, copy) = start(&place);
    let (owned, parent) = (platform.prove(&copy).unwrap(), Owned::child(platform.child.id()).unwrap());
    owned.signal("STOP").unwrap();
    assert!(Stop::default().until(SOON, || Ok(owned.is_stopped())).unwrap());
    drop(platform);
    assert!(!parent.runs());
    assert!(Stop::default().until(SOON, || Ok(!owned.runs())).unwrap());
}

#[test]
fn a_second_judgement_that_differs_is_a_problem() {
    let place = place(&good(), "1");
    let ended = start(&place).0.finish(&Stop::default()).unwrap();
    assert!(ended.problems.len() == 1 && ended.problems[0].contains("check-history says no"), "{ended:?}");
}

#[test]
fn a_report_that_says_less_is_no_good_report() {
    for name in ["events_committed", "violations", "stale_reads", "false_labels", "events_lost", "l2_hits"] {
        let mut report = good();
        report.as_object_mut().unwrap().remove(name);
        assert!(judged(&report).unwrap_err().to_string().contains(name));
    }
    for name in ["events_committed", "l2_hits"] {
        let mut idle = good();
        idle[name] = json!(0);
        assert!(judged(&idle).is_err(), "{name}");
    }
    assert!(judged(&good()).is_ok());
}

#[test]
fn a_platform_that_ends_by_itself_is_noticed_with_its_last_words() {
    let mut place = place(&good(), "0");
    place.settings.program = "false".into();
    let mut platform = Platform::start(&place.settings, &[], place.directory.path()).unwrap();
    let error = platform.wait_until_ready(&Stop::default()).unwrap_err().to_string();
    assert!(error.contains("ended by itself"), "{error}");
}

#[test]
fn relays_are_known_by_name_and_kind() {
    let process = |name: &str, kind: &str| {
        context(&Process { name: name.into(), kind: kind.into(), pid: None, at: None, restarts: 0 })
    };
    assert_eq!(process("relay-price-list-2", "relay").as_deref(), Some("price-list"));
    assert_eq!(process("copy-1", "copy"), None);
    assert_eq!(process("relay-x-1", "copy"), None);
}
