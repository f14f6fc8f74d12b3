//! `tidings dev`: the whole flow in one process.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::{Dev, path, run, status, until};

#[test]
fn a_run_under_load_is_accounted_for_to_the_last_event() {
    let dir = tempfile::tempdir().unwrap();
    let (data, report) = (dir.path().join("data"), dir.path().join("r.json"));
    let args = [
        "dev",
        "--for",
        "3s",
        "--load",
        "100",
        "--port",
        "0",
        "--data",
        path(&data),
        "--report",
        path(&report),
    ];
    for round in 1..=2 {
        let said = run(&args);
        assert_eq!(said.code, Some(0), "{said:?}");
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"));
        let applied = number("events_applied") + number("events_superseded") + number("events_parked");
        assert_eq!(number("events_committed"), applied, "{report}");
        assert!(number("events_committed") > 50 && number("reads") > 500, "round {round}: {report}");
        assert!(number("http_reads") > 50 && number("http_failed") == 0, "{report}");
        for zero in [
            "stale_reads",
            "false_labels",
            "violations",
            "records_unjudged",
            "left_unpublished",
            "left_unapplied",
        ] {
            assert_eq!(number(zero), 0, "{zero} in {report}");
        }
        for measured in ["hit_ratio", "commit_to_applied_ms_p50", "commit_to_applied_ms_p99", "rss_mb_max"] {
            assert!(report[measured].as_f64().is_some_and(|value| value > 0.0), "{measured} in {report}");
        }
        assert!(report["fills_refused"].is_u64());
        assert!(
            report.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array()),
            "flat"
        );
    }
}

#[test]
fn the_printed_requests_work_as_printed() {
    services::curl().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let args = ["dev", "--port", "0", "--load", "0", "--products", "50", "--data", path(dir.path())];
    let mut child = crate::support::command(&args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let curls: Vec<String> = lines
        .by_ref()
        .filter_map(|line| line.unwrap().split_once("curl ").map(|(_, args)| format!("curl {args}")))
        .take(2)
        .collect();
    let answers: Vec<Value> = curls
        .iter()
        .map(|curl| {
            let output = std::process::Command::new("sh").args(["-c", curl]).output().unwrap();
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{curl}: {e} in {output:?}"))
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answers[0]["product"]["cents"].is_u64(), "{}", answers[0]);
    assert!(answers[1]["token"].is_string(), "{}", answers[1]);
}

#[test]
fn a_change_is_seen_by_the_next_reader_and_on_the_console() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(&["--data", path(dir.path()), "--load", "0", "--products", "50"]);
    let page = || {
        let (code, body) = dev.get("/products/SKU-00001?region=eu");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_ne!(page()["product"]["base_cents"], 1234);
    let change = json!({ "region": "eu", "amount_cents": 1234 }).to_string();
    let (code, body) = dev.ask("PUT", "/prices/SKU-00001", &change).unwrap();
    assert_eq!(code, 200, "{body}");
    until("the new price is served", || (page()["product"]["base_cents"] == 1234).then_some(()));

    let (code, html) = dev.get("/");
    assert_eq!(code, 200);
    for word in ["product_detail", "category_listing", "pricing", "experience-api", "Every answer was honest"]
    {
        assert!(html.contains(word), "without a script, too: {word}");
    }
    for asset in ["/console/style.css", "/console/console.js", "/console/icon.svg"] {
        assert_eq!(dev.get(asset).0, 200, "{asset}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing is fetched from elsewhere");
    let mut stream = dev.connect().unwrap();
    write!(stream, "GET /console/events HTTP/1.1\r\nhost: {}\r\n\r\n", dev.host).unwrap();
    let mut seen = Vec::new();
    let boards = until("two boards", || {
        let mut block = [0; 4096];
        let read = stream.read(&mut block).unwrap();
        seen.extend_from_slice(&block[..read]);
        let text = String::from_utf8_lossy(&seen);
        (text.matches("id=\"verdict\"").count() >= 2).then(|| text.into_owned())
    });
    assert!(boards.contains("text/event-stream"));
    assert_eq!(dev.get("/nowhere").0, 404);

    // With a browser still connected.
    let said = dev.stop("INT");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("left      0 unpublished, 0 unapplied, 0 parked"), "{said:?}");
    assert_eq!(status(dir.path())["running"], Value::Null);
    assert!(!dir.path().join("running.json").exists());
}

#[test]
fn without_a_directory_nothing_stays_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut command =
        crate::support::command(&["dev", "--for", "100ms", "--load", "0", "--port", "0", "--products", "20"]);
    let output = command.env("TMPDIR", temp.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn what_was_parked_before_a_restart_is_no_surprise_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--data", path(dir.path()), "--load", "0", "--products", "20"];
    let dev = Dev::start(&args);
    // A service in another language, whose event nobody here can read.
    let mut db = rusqlite::Connection::open(dir.path().join("pricing.db")).unwrap();
    tidings_sqlite::wait_for_locks(&db).unwrap();
    let tx = db.transaction().unwrap();
    tx.execute_batch(
        "UPDATE price SET base_cents = 1, version = version + 1 WHERE sku = 'SKU-00001' AND region = 'eu';
         INSERT INTO tidings_publish (type, entity, version, data)
         SELECT 'pricing.BasePriceChanged', 'price/' || sku || '/' || region, version, '{\"other\":true}'
         FROM price WHERE sku = 'SKU-00001' AND region = 'eu';",
    )
    .unwrap();
    tx.commit().unwrap();
    let parked = || (status(dir.path())["parked_total"].as_u64() > Some(0)).then_some(());
    until("the event is parked", parked);
    // Its checker saw nobody commit that; what counts is the next one's verdict.
    drop(dev);

    let dev = Dev::start(&args);
    let (code, body) = dev.get("/products/SKU-00001?region=eu");
    assert_eq!(code, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["product"]["base_cents"], 1);
    let said = dev.stop("INT");
    assert_eq!(said.code, Some(0), "its owner has the new price, and that is no invention: {said:?}");
}
