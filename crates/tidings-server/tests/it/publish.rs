//! `publish`, `tail` and `status`, on a stopped and on a running directory.

use serde_json::{Value, json};

use crate::support::{Dev, line, path, run, run_with, status, tail, until};

#[test]
fn what_is_published_waits_for_the_next_dev_and_keeps_all_that_it_brought() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let data = dir.path().join("data");
    let events = [
        line(
            "price/a",
            json!({ "id": "first", "source": "/shop", "time": "2026-11-20T08:00:00Z", "colour": "blue" }),
        ),
        line("price/a", json!({})),
        String::new(),
        line("price/b", json!({ "aggregateversion": "41" })),
    ];
    std::fs::write(&file, events.join("\n")).unwrap();
    let said = run(&["publish", "--data", path(&data), path(&file)]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("published 3, refused 0\nthey wait in the outbox; "), "{said:?}");
    assert_eq!(status(&data)["outboxes"][0]["waiting"], 3);
    assert_eq!(status(&data)["running"], Value::Null);
    assert!(tail(&data).is_empty());

    let said = run(&[
        "dev",
        "--data",
        path(&data),
        "--for",
        "100ms",
        "--load",
        "0",
        "--port",
        "0",
        "--products",
        "50",
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let found = tail(&data);
    let shown: Vec<_> = found
        .iter()
        .map(|line| {
            (line["event"]["subject"].as_str().unwrap(), line["event"]["aggregateversion"].as_str().unwrap())
        })
        .collect();
    // The first says that it is the oldest.
    assert_eq!(shown, [("price/a", "1"), ("price/a", "2"), ("price/b", "41")]);
    let first = &found[0]["event"];
    assert_eq!([&first["id"], &first["source"], &first["colour"]], ["first", "/shop", "blue"]);
    assert_eq!(found[0]["topic"], "published");
    let now = status(&data);
    assert_eq!(
        now["outboxes"].as_array().unwrap().iter().map(|o| o["waiting"].as_u64().unwrap()).sum::<u64>(),
        0
    );
    let lags = now["groups"].as_array().unwrap();
    assert!(lags.len() >= 4 && lags.iter().all(|lag| lag["events"] == 0), "{now}");

    let said = run(&["tail", "--data", path(&data), "--topic", "published"]);
    assert_eq!(said.out.lines().count(), 3, "{said:?}");
    assert!(said.out.contains("price/b v41"), "{said:?}");
    let said = run(&["tail", "--data", path(&data), "--topic", "published", "--from", "end"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    let said = run(&["tail", "--data", path(&data), "--topic", "prices"]);
    assert!(said.code == Some(1) && said.err.contains("no topic"), "{said:?}");
    let marks = run(&["tail", "--data", path(&data), "--topic", "published", "--marks"]);
    assert!(marks.out.contains("mark, everything up to row 3"), "{marks:?}");
}

#[test]
fn s56_what_cannot_be_read_is_parked_with_its_reason_and_the_rest_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(&["--data", path(dir.path()), "--load", "0", "--products", "50"]);
    let poison = line("price/bad", json!({ "data": { "sku": 7 } }));
    let input = format!("{}\n{poison}\n{}\n", line("price/a", json!({})), line("price/b", json!({})));
    let said = run_with(&["publish", "--data", path(dir.path())], input.as_bytes());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(&format!("http://{} takes them to the log", dev.host)), "{said:?}");
    let group = |status: &Value| {
        let groups = status["groups"].as_array().unwrap();
        groups
            .iter()
            .find(|lag| lag["group"] == "published" && lag["events"] == 0)
            .map(|lag| lag["next"].clone())
    };
    let now = until("the poison is parked and passed", || {
        let now = dev.status();
        (now["parked_total"] == 1 && group(&now).is_some()).then_some(now)
    });
    assert_eq!(now["parked"][0]["entity"], "price/bad");
    assert!(now["parked"][0]["reason"].as_str().unwrap().contains("[TD1011]"), "{now}");
    assert_eq!(status(dir.path())["running"]["address"], format!("http://{}", dev.host));
    assert_eq!(tail(dir.path()).len(), 3);
    let board = until("the console shows it", || {
        let (_, page) = dev.get("/");
        page.contains("price/bad").then_some(page)
    });
    assert!(board.contains("TD1011"));
    let said = dev.stop("TERM");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("1 parked"), "{said:?}");
}

#[test]
fn unknown_types_pass_if_told_so_and_each_line_has_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let input = format!("{}\nnonsense\n", line("order/7", json!({ "type": "orders.Placed" })));
    let said =
        run_with(&["publish", "--data", path(dir.path()), "--allow-unknown", "--json"], input.as_bytes());
    assert_eq!(said.code, Some(1));
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "line": 1, "published": "order/7", "version": 1 }));
    assert_eq!((&lines[1]["line"], &lines[1]["code"]), (&json!(2), &json!("TD1001")));
    assert_eq!(lines[2], json!({ "published": 1, "refused": 1, "relay": "waiting" }));
}
