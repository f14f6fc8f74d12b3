//! Wrong set-ups: one sentence with its remedy and code, and never the password.

use std::time::Duration;

use services::{Authority, Postgres, embedded_only};
use tidings_core::port::Outbox;
use tidings_core::{Code, Error};
use tidings_postgres::{Address, Discovery, PostgresOutbox, Settings};

use crate::support::{Database, decode, follow, publish, settings};

async fn refused(url: &str, discovery: Discovery) -> Error {
    let settings = Settings { patience: Duration::ZERO, ..settings(discovery) };
    let error = PostgresOutbox::open(&Address::parse(url).unwrap(), settings).await.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
    assert!(text.contains(error.code().remedy()), "{text}");
    error
}

#[tokio::test]
async fn each_wrong_set_up_is_one_sentence() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[("wal_level", "replica"), ("max_replication_slots", "1")]).unwrap();
    let database = Database::on(&server.url()).await;
    let client = database.connect().await;
    let owner = database.url_as("postgres", "tidings");
    assert_eq!(
        refused("postgres://u:secret@127.0.0.1:1/d", decode()).await.code(),
        Code::DATABASE_UNREACHABLE
    );
    for url in
        [database.url_as("postgres", "secret"), database.url_as("nobody", "secret"), format!("{owner}x")]
    {
        assert_eq!(refused(&url, decode()).await.code(), Code::DATABASE_LOGIN, "{url}");
    }
    assert_eq!(refused(&owner, decode()).await.code(), Code::WAL_LEVEL);
    client.batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'").await.unwrap();
    let plain = database.url_as("plain", "plain");
    assert_eq!(refused(&plain, Discovery::Claim).await.code(), Code::DATABASE_PRIVILEGE);
    client.batch_execute("GRANT tidings_relay TO plain").await.unwrap();
    let settings = settings(Discovery::Claim);
    drop(PostgresOutbox::open(&Address::parse(&plain).unwrap(), settings).await.unwrap());
    let empty = Database::empty(&server.url()).await;
    assert_eq!(refused(&empty.url_as("postgres", "tidings"), decode()).await.code(), Code::OUTBOX_MISSING);
    client.batch_execute("UPDATE tidings.meta SET system = system + 1").await.unwrap();
    let patient = Settings { patience: Duration::from_secs(20), ..Settings::new("/pricing") };
    let error = PostgresOutbox::open(&database.address(), patient).await.unwrap_err();
    assert_eq!(error.code(), Code::SOURCE_CHANGED, "{error}");
}

#[tokio::test]
async fn each_trouble_with_slots_is_one_sentence() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[("max_replication_slots", "1")]).unwrap();
    let database = Database::on(&server.url()).await;
    let client = database.connect().await;
    let owner = database.url_as("postgres", "tidings");
    client
        .batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT tidings_relay TO plain")
        .await
        .unwrap();
    let error = refused(&database.url_as("plain", "plain"), decode()).await;
    assert_eq!(error.code(), Code::DATABASE_PRIVILEGE, "{error}");
    let make = |plugin: &str| format!("SELECT pg_create_logical_replication_slot('tidings_x', '{plugin}')");
    client.batch_execute(&make("test_decoding")).await.unwrap();
    let named = |slot: &str| Discovery::Decode { slot: Some(slot.to_owned()) };
    let mut error = refused(&owner, named("tidings_x")).await;
    while error.code() == Code::LEASE_TAKEN {
        error = refused(&owner, named("tidings_x")).await;
    }
    assert_eq!(error.code(), Code::SLOT_FOREIGN, "{error}");
    let mut error = refused(&owner, decode()).await;
    while error.code() == Code::LEASE_TAKEN {
        error = refused(&owner, decode()).await;
    }
    assert_eq!(error.code(), Code::SLOTS_FULL, "{error}");
    client.batch_execute("SELECT pg_drop_replication_slot('tidings_x')").await.unwrap();
}

#[tokio::test]
async fn an_encrypted_connection_is_never_given_up_silently() {
    if embedded_only() {
        return;
    }
    let server = Postgres::start(&[]).unwrap();
    let named = server.url().replace("127.0.0.1", "localhost");
    let missing = format!("{named}?sslmode=verify-full&sslrootcert=missing.pem");
    assert_eq!(refused(&missing, decode()).await.code(), Code::DATABASE_TLS);
}

#[tokio::test]
async fn encrypted_by_the_authority_that_is_set_and_no_other() {
    if embedded_only() {
        return;
    }
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = Postgres::start(&[]).unwrap();
    server.encrypt(&ours).unwrap();
    let database = Database::on(&server.url()).await;
    let plain = database.url_as("postgres", "tidings");
    let by = |authority: &Authority| {
        let named = plain.replace("127.0.0.1", "localhost");
        format!("{named}?sslmode=verify-full&sslrootcert={}", authority.file().display())
    };
    assert_eq!(refused(&by(&other), decode()).await.code(), Code::DATABASE_TLS);
    // Both the session and the stream are encrypted, or they would be refused.
    let everybody = "hostssl all,replication all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(server.data().join("pg_hba.conf"), everybody).unwrap();
    server.query("SELECT pg_reload_conf()").unwrap();
    assert_eq!(refused(&plain, decode()).await.code(), Code::DATABASE_LOGIN);
    let address = Address::parse(&by(&ours)).unwrap();
    let outbox = PostgresOutbox::open(&address, settings(decode())).await.unwrap();
    let mut from = outbox.acknowledged().await.unwrap();
    follow(&*outbox, &mut from).await;
    let client = address.connect("test", "").await.unwrap();
    publish(&client, "price/1").await;
    assert_eq!(follow(&*outbox, &mut from).await.len(), 1);
}
