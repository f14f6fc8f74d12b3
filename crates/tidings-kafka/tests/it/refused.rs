//! A wrong set-up is named, in one sentence, and never hangs.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use services::Kafka;
use tidings_core::port::{Append, Log, Record};
use tidings_core::{Code, Data, Error, Mark, Time};
use tidings_kafka::{KafkaLog, KafkaSettings, Mechanism, Sasl, Tls};

use crate::support::{at, broker, event, log, records, settings, topic, versions, write};

fn quick(mut settings: KafkaSettings) -> KafkaSettings {
    settings.timeout = Duration::from_secs(2);
    settings.append_timeout = Duration::from_secs(4);
    settings
}

/// The error of the first call, which must come in time.
async fn refusal(settings: KafkaSettings) -> Error {
    let limit = 2 * settings.timeout;
    let began = Instant::now();
    let log = KafkaLog::open(settings).unwrap();
    let error = log.partitions(&topic()).await.unwrap_err();
    assert!(began.elapsed() < limit, "after {:?}: {error}", began.elapsed());
    let text = error.to_string();
    assert!(text.contains(error.code().remedy()) && !text.contains('\n'), "{text}");
    assert!(!text.contains("secret"), "{text}");
    println!("{text}");
    error
}

#[tokio::test]
async fn nobody_there_is_tried_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = quick(KafkaSettings::new(format!("127.0.0.1:{port}")));
    assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_UNREACHABLE);
    // A host that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = KafkaSettings { brokers: silent.local_addr().unwrap().to_string(), ..settings };
    assert_eq!(refusal(settings).await.code(), Code::KAFKA_UNREACHABLE);
}

#[tokio::test]
async fn a_topic_that_may_not_be_created_or_does_not_fit_is_refused() {
    let Some(broker) = broker() else { return };
    let mut settings = settings(&broker, 3);
    settings.topics.create = false;
    assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_TOPIC_MISSING);
    settings.topics.create = true;
    log(settings.clone()).await;
    // Fewer than declared, and more: they were added since, and entities are no longer where they were.
    for declared in [4, 2] {
        settings.topics.partitions = declared;
        assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_PARTITIONS);
    }
    settings.topics.partitions = 3;
    settings.topics.keep = Some(Duration::from_secs(365 * 86_400));
    assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_TOPIC_UNFIT);
    settings.topics.keep = None;
    settings.limits.bytes = 8 << 20;
    assert_eq!(refusal(settings).await.code(), Code::KAFKA_TOPIC_UNFIT);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_before_anything_is_sent() {
    let Some(broker) = broker() else { return };
    let mut settings = settings(&broker, 1);
    settings.limits.bytes = 10_000;
    let log = log(settings).await;
    let mut large = event("page/1", 2);
    large.data = Data::Json(format!("\"{}\"", "x".repeat(10_000)).into());
    let batch = [write(0, event("page/1", 1)), write(0, large), write(0, event("page/1", 3))];
    let error = log.append(&batch).await.unwrap_err();
    assert_eq!(error.code(), Code::KAFKA_RECORD_TOO_LARGE, "{error}");
    assert_eq!(error.kind().policy(), tidings_core::error::Policy::Park);
    assert!(error.to_string().contains("page/1"), "{error}");
    assert!(records(&*log, at(0, 0)).await.is_empty());
}

async fn change_topic(broker: &str, name: &str, key: &str, value: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
    admin.alter_configs([&change], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
}

/// The broker may refuse what the settings allow, if the topic was changed since it was checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_append_works_after_the_broker_refused_one() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let name = format!("{}{}", settings.prefix, topic());
    let log = log(settings).await;
    change_topic(&broker, &name, "max.message.bytes", "20000").await;
    let mut large = event("page/1", 1);
    large.data = Data::Json(format!("\"{}\"", "x".repeat(100_000)).into());
    let error = log.append(&[write(0, large)]).await.unwrap_err();
    assert_eq!(error.code(), Code::KAFKA_RECORD_TOO_LARGE, "{error}");
    log.append(&[write(0, event("price/1", 1))]).await.expect("a new producer");
    assert_eq!(versions(&records(&*log, at(0, 0)).await), [1]);
}

/// What was changed while the log was open is noticed, and nothing is written to a topic that loses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_changed_since_is_noticed() {
    let Some(broker) = broker() else { return };
    let mut settings = settings(&broker, 1);
    settings.check_every = Duration::ZERO;
    let name = format!("{}{}", settings.prefix, topic());
    let log = log(settings).await;
    log.append(&[write(0, event("price/1", 1))]).await.unwrap();
    change_topic(&broker, &name, "message.timestamp.type", "CreateTime").await;
    let error = log.append(&[write(0, event("price/1", 2))]).await.unwrap_err();
    assert_eq!(error.code(), Code::KAFKA_TOPIC_UNFIT, "{error}");
    change_topic(&broker, &name, "message.timestamp.type", "LogAppendTime").await;
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let more = NewPartitions::new(&name, 2);
    admin.create_partitions([&more], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    // The cluster tells of them a little later.
    tidings_testkit::until("added partitions are refused", async || {
        let error = log.append(&[write(0, event("price/1", 3))]).await.err()?;
        (error.code() == Code::KAFKA_PARTITIONS).then_some(())
    })
    .await;
}

/// Of several positions, one that cannot be recorded fails the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_done_in_part_has_failed() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let (group, log) = (settings.prefix.clone(), log(settings).await);
    let error = log.commit(&group, &[at(0, 1), at(9, 1)]).await.unwrap_err();
    assert_eq!(error.code(), Code::KAFKA_TOPIC_MISSING, "{error}");
}

/// A compacted topic takes no record without a key, such as a mark. What was handed over behind it is on its way in
/// other requests, and must not land either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_a_record_that_the_broker_refuses() {
    const BEFORE: u64 = 6000;
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let name = format!("{}{}", settings.prefix, topic());
    let log = log(settings).await;
    change_topic(&broker, &name, "cleanup.policy", "compact").await;
    let mut batch: Vec<_> = (1..=2 * BEFORE).map(|version| write(0, event("price/1", version))).collect();
    let mark = Record::Mark(Mark { time: Time::from_micros(1), head: 1 });
    batch.insert(BEFORE as usize, Append { partition: at(0, 0).partition, record: mark });
    let error = log.append(&batch).await.unwrap_err();
    assert_eq!(error.code(), Code::KAFKA_TOPIC_UNFIT, "{error}");
    let landed = versions(&records(&*log, at(0, 0)).await);
    let count = landed.len() as u64;
    assert!(count > 0, "there was one request only, and so nothing to overtake");
    let hole = (1..).zip(&landed).find(|(expected, found)| expected != *found);
    assert_eq!(hole, None, "a hole, or another order: expected and found");
    assert!(count <= BEFORE, "{count} events landed, also behind the one that was refused");
}

#[tokio::test]
async fn refused_tls_and_sasl_are_named() {
    let Some(plain) = broker() else { return };
    let mut settings = quick(settings(&plain, 1));
    settings.tls = Some(Tls::default());
    assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_TLS);
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required user_relay=\"right\";";
    let guarded = Kafka::start(&[
        ("listeners", "SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
        ("listener.security.protocol.map", "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("inter.broker.listener.name", "SASL_PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        (
            "listener.name.sasl_plaintext.plain.sasl.jaas.config",
            &format!("{}{}", jaas.trim_end_matches(';'), " username=\"relay\" password=\"right\";"),
        ),
    ])
    .unwrap();
    settings.brokers = guarded.bootstrap();
    settings.tls = None;
    let sasl = |password: &str| {
        Some(Sasl { mechanism: Mechanism::Plain, user: "relay".into(), password: password.into() })
    };
    settings.sasl = sasl("secret");
    assert_eq!(refusal(settings.clone()).await.code(), Code::KAFKA_SASL);
    settings.sasl = sasl("right");
    settings.timeout = Duration::from_secs(20);
    settings.append_timeout = Duration::from_secs(30);
    let log = log(settings).await;
    log.append(&[write(0, event("price/1", 1))]).await.unwrap();
    assert_eq!(versions(&records(&*log, at(0, 0)).await), [1]);
}
