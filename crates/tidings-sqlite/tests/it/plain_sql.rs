//! Publishing by plain SQL: the same trigger, from SQL text and from another language with a SQLite of its own.

use tidings_core::{Code, Time};
use tidings_sqlite::fault;

use crate::support::Service;

#[test]
fn plain_sql_is_held_to_the_same_rules() {
    let service = Service::new();
    let db = service.connect();
    let insert = |columns: &str, values: &str| {
        db.execute_batch(&format!("INSERT INTO tidings_publish ({columns}) VALUES ({values})")).map_err(fault)
    };
    insert("type, entity, version", "'T', 'price/1', 5").unwrap();
    let long = "x".repeat(513);
    for (columns, values, code) in [
        ("entity", "'price/1'", Code::ATTRIBUTE_MISSING),
        ("type", "'T'", Code::ATTRIBUTE_MISSING),
        ("type, entity", "7, 'price/1'", Code::ATTRIBUTE_MISSING),
        ("type, entity", "'T', 'price'", Code::NAME_INVALID),
        ("type, entity", "'T', '/1'", Code::NAME_INVALID),
        ("type, entity", "'T', 'price/'", Code::NAME_INVALID),
        ("type, entity", "'', 'price/1'", Code::NAME_INVALID),
        ("type, entity", &format!("'{long}', 'price/1'"), Code::NAME_INVALID),
        ("type, entity", &format!("'T', 'price/{long}'"), Code::NAME_INVALID),
        ("type, entity", &format!("'T', '{long}/1'"), Code::NAME_INVALID),
        ("type, entity", "'T', 'price/' || char(10)", Code::NAME_INVALID),
        ("type, entity", "'T', 'price/' || char(0) || 'x'", Code::NAME_INVALID),
        ("type, entity", "'T', 'price/' || char(133)", Code::NAME_INVALID),
        ("type, entity", "'T' || char(8238), 'price/1'", Code::NAME_INVALID),
        ("type, entity", "'T', 'price/a' || char(8203)", Code::NAME_INVALID),
        ("type, entity, version", "'T', 'price/1', 5", Code::VERSION_REGRESSED),
        ("type, entity, version", "'T', 'price/1', 4", Code::VERSION_REGRESSED),
        ("type, entity, version", "'T', 'price/1', '6'", Code::ATTRIBUTE_INVALID),
        ("type, entity, version", "'T', 'price/1', 6.5", Code::ATTRIBUTE_INVALID),
        ("type, entity, version", "'T', 'price/2', -1", Code::ATTRIBUTE_INVALID),
        ("type, entity, data", "'T', 'price/1', '{'", Code::ATTRIBUTE_INVALID),
        ("type, entity, data", "'T', 'price/1', 7", Code::ATTRIBUTE_INVALID),
        ("type, entity, data", "'T', 'price/1', '\"' || hex(zeroblob(600000)) || '\"'", Code::OVERSIZED),
        ("type, entity, data, contenttype", "'T', 'price/1', zeroblob(900000), 'a/b'", Code::OVERSIZED),
        ("type, entity, effectivefrom", "'T', 'price/1', 'tomorrow'", Code::ATTRIBUTE_INVALID),
        ("type, entity, effectivefrom", "'T', 'price/1', '2026-11-24T00:00:00'", Code::ATTRIBUTE_INVALID),
        ("type, entity, effectiveuntil", "'T', 'price/1', '10:00Z'", Code::ATTRIBUTE_INVALID),
        ("type, entity, effectiveuntil", "'T', 'price/1', 1.5", Code::ATTRIBUTE_INVALID),
        ("type, entity, effectivefrom, effectiveuntil", "'T', 'price/1', 2, 1", Code::ATTRIBUTE_INVALID),
        ("type, entity, traceparent", "'T', 'price/1', char(10)", Code::NAME_INVALID),
    ] {
        let error = insert(columns, values).expect_err(&values[..values.len().min(60)]);
        assert_eq!(error.code(), code, "{columns}: {} gave {error}", &values[..values.len().min(60)]);
    }
    for conflict in ["OR IGNORE", "OR REPLACE", "OR FAIL"] {
        let sql = format!(
            "INSERT {conflict} INTO tidings_publish (type, entity, version) VALUES ('T', 'price/1', 5)"
        );
        assert_eq!(
            db.execute_batch(&sql).map_err(|e| fault(e).code()),
            Err(Code::VERSION_REGRESSED),
            "{conflict}"
        );
        db.execute_batch(&format!(
            "INSERT {conflict} INTO tidings_publish (type, entity) VALUES ('T', 'price/9')"
        ))
        .unwrap();
    }
    let count: i64 = db.query_row("SELECT count(*) FROM tidings_outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 4, "what was refused left something");
}

#[tokio::test]
async fn effective_times_may_be_text_or_microseconds() {
    let service = Service::new();
    for (written, expected) in [
        ("'2026-11-24T00:00:00Z'", "2026-11-24T00:00:00Z"),
        ("'2026-11-24T01:30:00.250+01:30'", "2026-11-24T00:00:00.25Z"),
        ("1795478400000001", "2026-11-24T00:00:00.000001Z"),
    ] {
        let sql = format!(
            "INSERT INTO tidings_publish (type, entity, effectivefrom) VALUES ('T', 'price/1', {written})"
        );
        service.connect().execute_batch(&sql).unwrap();
        let event = service.events().await.pop().unwrap();
        assert_eq!(event.window.from, Some(Time::parse(expected).unwrap()), "{written}");
    }
}

#[test]
fn settings_that_can_lose_a_commit_are_refused_for_plain_sql_too() {
    let service = Service::new();
    let db = service.connect();
    for (pragma, expected) in [
        ("synchronous=NORMAL", Err(Code::NOT_DURABLE)),
        ("synchronous=FULL", Ok(())),
        ("journal_mode=MEMORY", Err(Code::NOT_DURABLE)),
    ] {
        db.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        let done = db.execute_batch("INSERT INTO tidings_publish (type, entity) VALUES ('T', 'price/1')");
        assert_eq!(done.map_err(|e| fault(e).code()), expected, "{pragma}");
    }
}

const PYTHON: &str = r#"
import sqlite3, sys, json
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous=FULL")
publish = "INSERT INTO tidings_publish(type, entity, version, data) VALUES (?, ?, ?, ?)"
data = json.dumps({"cents": 1999, "name": "größe"})
db.execute("BEGIN")
db.execute("INSERT INTO price VALUES ('SKU-1', 1999)")
db.execute(publish, ("pricing.BasePriceChanged", "price/SKU-1", None, data))
db.execute(publish, ("pricing.BasePriceChanged", "price/SKU-1", 7, data))
db.execute("COMMIT")
db.execute("BEGIN")
db.execute(publish, ("pricing.BasePriceChanged", "price/SKU-1", None, data))
db.execute("ROLLBACK")
db.execute(publish, ("pricing.BasePriceChanged", "price/SKU-1", None, data))
for version, level in ((8, "FULL"), (None, "NORMAL")):
    db.execute("PRAGMA synchronous=" + level)
    try:
        db.execute(publish, ("pricing.BasePriceChanged", "price/SKU-1", version, data))
    except sqlite3.Error as e:
        print(e)
"#;

/// The database is ours, the SQLite library is that of the other language.
#[tokio::test]
async fn s68_another_language_publishes_without_a_library() {
    let service = Service::new();
    let mut python = match services::python(&[]) {
        Err(error) if services::embedded_only() => {
            eprintln!("skipped: publishing from another language: {error}");
            return;
        }
        python => python.unwrap(),
    };
    let output = python.args(["-c", PYTHON]).arg(service.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let refusals: Vec<_> = out.lines().map(|line| line.rsplit_once(' ').unwrap().1).collect();
    assert_eq!(refusals, ["[TD1007]", "[TD2006]"], "{out}");
    let events = service.events().await;
    assert_eq!(events.iter().map(|e| e.stamp.version.number()).collect::<Vec<_>>(), [1, 7, 8]);
    assert!(events.iter().all(|e| e.entity.as_str() == "price/SKU-1" && e.time > Time::from_micros(1 << 50)));
}
