// Reads events from a topic, prints what it sees, and writes two of its own. Needs kafka-clients.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

class Client {
    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], topic = arguments[1];
        int count = Integer.parseInt(arguments[2]);
        read(brokers, topic, count);
        write(brokers, topic);
    }

    static void read(String brokers, String topic, int count) {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "none");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 0);
            for (int seen = 0; seen < count; ) {
                var records = consumer.poll(Duration.ofSeconds(30));
                if (records.isEmpty()) {
                    throw new IllegalStateException("nothing to read");
                }
                for (ConsumerRecord<String, byte[]> record : records) {
                    if (seen++ < count) {
                        System.out.println(String.join("|", record.key(), header(record, "ce_type"),
                            header(record, "ce_aggregateversion"), header(record, "ce_effectivefrom"),
                            text(record.value())));
                    }
                }
            }
        }
    }

    static void write(String brokers, String topic) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            var binary = new ProducerRecord<>(topic, 0, "price/42", "{\"cents\":1}".getBytes(StandardCharsets.UTF_8));
            Map.of("ce_specversion", "1.0", "ce_id", "java-1", "ce_source", "/java", "ce_type", "java.PriceChanged",
                "ce_subject", "price/42", "ce_aggregateversion", "101", "ce_time", "2024-05-01T12:00:00Z",
                "ce_tenant", "north", "content-type", "application/json")
                .forEach((name, value) -> binary.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
            producer.send(binary).get();
            String event = "{\"specversion\":\"1.0\",\"id\":\"java-2\",\"source\":\"/java\","
                + "\"type\":\"java.PriceChanged\",\"subject\":\"price/42\",\"aggregateversion\":\"102\","
                + "\"time\":\"2024-05-01T12:00:01Z\",\"data\":{\"cents\":2}}";
            var structured = new ProducerRecord<>(topic, 0, "price/42", event.getBytes(StandardCharsets.UTF_8));
            structured.headers().add("content-type", "application/cloudevents+json".getBytes(StandardCharsets.UTF_8));
            producer.send(structured).get();
        }
    }

    static String header(ConsumerRecord<?, ?> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? "-" : text(header.value());
    }

    static String text(byte[] value) {
        return value == null ? "-" : new String(value, StandardCharsets.UTF_8);
    }
}
