//! What other programs write and read: the Kafka binding of CloudEvents, and what is no event at all.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset as At, TopicPartitionList};
use tidings_core::port::{Append, Log, Read, ReadLimit, Record};
use tidings_core::{Code, Data, Event, Mark, Time};
use tidings_kafka::KafkaSettings;

use crate::support::{at, broker, event, log, records, settings, topic, versions, write};

const LONG: Duration = Duration::from_secs(30);

fn name(settings: &KafkaSettings) -> String {
    format!("{}{}", settings.prefix, topic())
}

fn producer(broker: &str, more: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    more.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    config.create().unwrap()
}

type Sent<'a> = (&'a [(&'a str, Option<&'a str>)], Option<&'a [u8]>);

fn send(producer: &BaseProducer, topic: &str, (headers, body): Sent<'_>) {
    let mut owned = OwnedHeaders::new();
    for (key, value) in headers {
        owned = owned.insert(Header { key, value: *value });
    }
    let mut record = BaseRecord::<str, [u8]>::to(topic).partition(0).headers(owned);
    record.payload = body;
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

const REQUIRED: [(&str, Option<&str>); 6] = [
    ("ce_specversion", Some("1.0")),
    ("ce_id", Some("a-1")),
    ("ce_source", Some("/shop")),
    ("ce_type", Some("shop.PriceChanged")),
    ("ce_subject", Some("price/42")),
    ("ce_aggregateversion", Some("7")),
];
const STRUCTURED: &str = r#"{"specversion":"1.0","id":"a-1","source":"/shop","type":"shop.PriceChanged","subject":"price/42",
    "aggregateversion":7,"time":"2024-05-01T12:00:00Z","datacontenttype":"application/json","data":{"cents":5}}"#;

fn with<'a>(more: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, Option<&'a str>)> {
    let time = ("ce_time", Some("2024-05-01T12:00:00Z"));
    REQUIRED.into_iter().chain([time]).chain(more.iter().copied()).collect()
}

/// The cases of the binding: binary and structured mode, content types, null values; and what is none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_the_cloudevents_binding_are_read() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let (name, log) = (name(&settings), log(settings).await);
    let producer = producer(&broker, &[("enable.idempotence", "true")]);
    let json = ("content-type", Some("application/json"));
    let other = with(&[("content-type", Some("image/png"))]);
    let extended = with(&[
        json,
        ("ce_effectivefrom", Some("2024-06-01T00:00:00Z")),
        ("ce_timeline", Some("3")),
        ("ce_partitionkey", Some("price/42")),
        ("ce_tenant", Some("north")),
        ("unrelated", Some("x")),
        ("ce_nothing", None),
    ]);
    let (binary, notice) = (with(&[json]), with(&[]));
    let structured = [("content-type", Some("application/cloudevents+json; charset=UTF-8"))];
    let batched = [("content-type", Some("application/cloudevents-batch+json"))];
    let body = Some(r#"{"cents":5}"#.as_bytes());
    let json_data = Some(Data::Json(r#"{"cents":5}"#.into()));
    let png = Data::Bytes { content_type: "image/png".into(), bytes: [1, 2, 3].into() };
    let cases: Vec<(&str, Sent<'_>, Option<Data>)> = vec![
        ("binary", (&binary, body), json_data.clone()),
        ("binary, other bytes", (&other, Some(&[1, 2, 3])), Some(png)),
        ("binary, extensions", (&extended, body), json_data.clone()),
        ("binary, null value", (&notice, None), Some(Data::Empty)),
        ("binary, empty value", (&notice, Some(&[])), Some(Data::Empty)),
        ("structured", (&structured, Some(STRUCTURED.as_bytes())), json_data),
        ("structured, null value", (&structured, None), None),
        ("structured, cut off", (&structured, Some(&STRUCTURED.as_bytes()[..90])), None),
        ("a batch", (&batched, Some(b"[]")), None),
        ("no headers", (&[], body), None),
        ("a tombstone", (&[], None), None),
        ("no version", (&binary[..5], body), None),
        ("a mark without its numbers", (&[("ce_type", Some("tidings.Mark"))], None), None),
    ];
    cases.iter().for_each(|(_, sent, _)| send(&producer, &name, *sent));
    producer.flush(LONG).unwrap();
    let read = records(&*log, at(0, 0)).await;
    assert_eq!(read.len(), cases.len());
    for (stored, (case, _, expected)) in read.iter().zip(&cases) {
        match (&stored.record, expected) {
            (Record::Event(event), Some(data)) => {
                assert_eq!(&event.data, data, "{case}");
                assert_eq!((event.entity.as_str(), event.stamp.version.number()), ("price/42", 7), "{case}");
            }
            (Record::Unreadable(error), None) => assert_eq!(error.code(), Code::RECORD_UNREADABLE, "{case}"),
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
    let Record::Event(extended) = &read[2].record else { panic!() };
    assert_eq!(extended.stamp.timeline.0, 3);
    assert_eq!(extended.extensions, [("tenant".into(), "north".into())]);
    assert!(extended.window.from.is_some());
}

/// A plain consumer, from the beginning.
fn plain(broker: &str, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", "plain")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, At::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    (0..count).map(|_| consumer.poll(LONG).expect("a message").unwrap().detach()).collect()
}

fn headers(message: &OwnedMessage) -> Vec<(String, String)> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
    headers.map(|header| (header.key.to_owned(), text(header.value))).collect()
}

/// What we write is what the binding says, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_marks_and_gaps_are_written_as_cloudevents() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let (name, log) = (name(&settings), log(settings).await);
    let mut full = event("price/42", 7);
    full.stamp.timeline = tidings_core::Timeline(3);
    full.window.from = Some(Time::from_micros(0));
    full.extensions = vec![("tenant".into(), "north".into())];
    let notice = Event { data: Data::Empty, ..event("price/42", 8) };
    let own = |record| Append { partition: at(0, 0).partition, record };
    let mark = Mark { time: Time::from_micros(-5), head: u64::MAX };
    let batch = [
        write(0, full),
        write(0, notice),
        own(Record::Mark(mark)),
        own(Record::Gap("row 7 is no event".into())),
    ];
    log.append(&batch).await.unwrap();
    let read = plain(&broker, &name, 4);
    let expected = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(
        headers(&read[0]),
        expected(&[
            ("ce_specversion", "1.0"),
            ("ce_id", "price/42#7"),
            ("ce_source", "/pricing"),
            ("ce_type", "pricing.BasePriceChanged"),
            ("ce_subject", "price/42"),
            ("ce_time", "2023-11-14T22:13:20.123456Z"),
            ("ce_aggregateversion", "7"),
            ("ce_timeline", "3"),
            ("ce_effectivefrom", "1970-01-01T00:00:00.000000Z"),
            ("ce_partitionkey", "price/42"),
            ("ce_tenant", "north"),
            ("content-type", "application/json"),
        ])
    );
    assert_eq!((read[0].key(), read[0].payload()), (Some(&b"price/42"[..]), Some(&br#"{"cents":7}"#[..])));
    assert_eq!(read[1].payload(), None, "no data is the null value");
    let own = |kind: &str, id: &str| {
        vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_type", kind.to_owned()),
            ("ce_source", "/tidings/pricing".to_owned()),
            ("ce_id", id.to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<Vec<_>>()
    };
    let mut mark = own("tidings.Mark", "-5/18446744073709551615");
    mark.extend(expected(&[("ce_marktime", "-5"), ("ce_markhead", "18446744073709551615")]));
    assert_eq!((headers(&read[2]), read[2].payload()), (mark, None));
    let mut gap = own("tidings.Gap", "gap");
    gap.extend(expected(&[("content-type", "text/plain; charset=utf-8")]));
    assert_eq!((headers(&read[3]), read[3].payload()), (gap, Some(&b"row 7 is no event"[..])));
}

/// Others may write in transactions: what they abort is never read, what is open is not there yet, and the offsets that
/// transactions take up neither stop a reader nor make it spin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_others_leave_holes_that_are_passed_over() {
    let Some(broker) = broker() else { return };
    let settings = settings(&broker, 1);
    let (name, log) = (name(&settings), log(settings).await);
    let id = crate::support::unique();
    let producer = producer(&broker, &[("transactional.id", &id)]);
    producer.init_transactions(LONG).unwrap();
    let binary = with(&[]);
    let transaction = |commits: bool| {
        producer.begin_transaction().unwrap();
        send(&producer, &name, (&binary, None));
        producer.flush(LONG).unwrap();
        if commits {
            producer.commit_transaction(LONG).unwrap()
        } else {
            producer.abort_transaction(LONG).unwrap()
        }
    };
    [true, false, true, false].into_iter().for_each(transaction);
    let read = records(&*log, at(0, 0)).await;
    let offsets: Vec<_> = read.iter().map(|stored| stored.offset.0).collect();
    assert_eq!(offsets, [0, 4], "offsets 1, 3, 5 and 7 are marks of transactions, 2 and 6 were aborted");
    let head = log.bounds(&at(0, 0).partition).await.unwrap().1;
    assert_eq!(head.0, 8);
    for from in [5, 6, 8] {
        let Read::Records(none) = log.read(&at(0, from), ReadLimit::default()).await.unwrap() else {
            panic!()
        };
        assert!(none.is_empty(), "from {from}");
        let positions = [at(0, from)];
        let wait = log.wait(&positions);
        let spins = tokio::time::timeout(Duration::from_millis(300), wait).await;
        assert!(spins.is_err(), "from {from}: there is nothing, and yet the wait ended");
    }
    // Open: not there yet.
    producer.begin_transaction().unwrap();
    send(&producer, &name, (&binary, None));
    producer.flush(LONG).unwrap();
    log.append(&[write(0, event("price/1", 1))]).await.unwrap();
    assert_eq!(log.bounds(&at(0, 0).partition).await.unwrap().1.0, 8, "the head is before what is open");
    producer.commit_transaction(LONG).unwrap();
    tokio::time::timeout(LONG, log.wait(&[at(0, 5)])).await.unwrap().unwrap();
    assert_eq!(versions(&records(&*log, at(0, 5)).await), [7, 1]);
}
