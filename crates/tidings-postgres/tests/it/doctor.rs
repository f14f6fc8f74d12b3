//! What the doctor finds on a good server, and on a bad one.

use services::{Postgres, embedded_only};
use tidings_core::{Code, Time};
use tidings_postgres::doctor::{Finding, Level, examine};

use crate::support::{Database, decode};

fn now() -> Time {
    let micros = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    Time::from_micros(i64::try_from(micros).unwrap())
}

fn has(findings: &[Finding], level: Level, text: &str) -> bool {
    findings.iter().any(|finding| finding.level == level && finding.what.contains(text))
}

#[tokio::test]
async fn a_good_server_has_no_errors() {
    let Some(database) = Database::new().await else { return };
    let findings = examine(&database.connect().await, &decode(), now()).await.unwrap();
    assert!(findings.iter().all(|finding| finding.level < Level::Error), "{findings:#?}");
    assert!(has(&findings, Level::Warning, "max_slot_wal_keep_size"), "{findings:#?}");
    let late = Time::from_micros(now().micros() + 5_000_000);
    let findings = examine(&database.connect().await, &decode(), late).await.unwrap();
    assert!(has(&findings, Level::Warning, "clocks"), "{findings:#?}");
}

#[tokio::test]
async fn a_bad_server_is_told_what_to_mend() {
    if embedded_only() {
        return;
    }
    let server =
        Postgres::start(&[("wal_level", "replica"), ("fsync", "off"), ("synchronous_commit", "off")])
            .unwrap();
    let empty = Database::empty(&server.url()).await;
    let findings = examine(&empty.connect().await, &decode(), now()).await.unwrap();
    assert!(findings.iter().any(|finding| finding.code == Some(Code::OUTBOX_MISSING)), "{findings:#?}");
    let database = Database::on(&server.url()).await;
    let client = database.connect().await;
    client.batch_execute("ALTER SEQUENCE tidings.outbox_seq CACHE 50").await.unwrap();
    client.batch_execute("DROP PUBLICATION IF EXISTS tidings").await.unwrap();
    client.batch_execute("UPDATE tidings.meta SET system = 1").await.unwrap();
    client.batch_execute("CREATE ROLE plain; GRANT USAGE ON SCHEMA tidings TO plain").await.unwrap();
    let findings = examine(&client, &decode(), now()).await.unwrap();
    for text in ["fsync", "wal_level", "hands out numbers", "publication", "another cluster"] {
        assert!(has(&findings, Level::Error, text), "{text}: {findings:#?}");
    }
    assert!(has(&findings, Level::Note, "synchronous_commit"), "{findings:#?}");
    assert!(findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.level)));
    client.batch_execute("REVOKE USAGE ON SCHEMA tidings FROM plain; SET ROLE plain").await.unwrap();
    let findings = examine(&client, &decode(), now()).await.unwrap();
    assert!(
        has(&findings, Level::Error, "may not relay") && has(&findings, Level::Error, "may not replicate"),
        "{findings:#?}"
    );
}
