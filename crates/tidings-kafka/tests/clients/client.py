"""Reads events from a topic, prints what it sees, and writes two of its own. Needs confluent-kafka."""

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

consumer = Consumer({"bootstrap.servers": brokers, "group.id": "python", "auto.offset.reset": "error"})
consumer.assign([TopicPartition(topic, 0, 0)])
for _ in range(count):
    message = consumer.poll(30)
    if message is None or message.error():
        sys.exit(f"nothing to read: {message and message.error()}")
    headers = dict(message.headers())
    print(message.key().decode(), headers["ce_type"].decode(), headers["ce_aggregateversion"].decode(),
          headers.get("ce_effectivefrom", b"-").decode(),
          "-" if message.value() is None else message.value().decode(), sep="|", flush=True)
consumer.close()

producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
producer.produce(topic, partition=0, key="price/42", value=b'{"cents":1}', headers={
    "ce_specversion": "1.0", "ce_id": "python-1", "ce_source": "/python", "ce_type": "python.PriceChanged",
    "ce_subject": "price/42", "ce_aggregateversion": "101", "ce_time": "2024-05-01T12:00:00Z",
    "ce_tenant": "north", "content-type": "application/json"})
producer.produce(topic, partition=0, key="price/42", headers={
    "content-type": "application/cloudevents+json; charset=UTF-8"},
    value=b'{"specversion":"1.0","id":"python-2","source":"/python","type":"python.PriceChanged",'
          b'"subject":"price/42","aggregateversion":"102","time":"2024-05-01T12:00:01Z","data":{"cents":2}}')
producer.flush(30)
