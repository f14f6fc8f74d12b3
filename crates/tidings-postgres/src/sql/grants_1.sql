REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tidings FROM PUBLIC;
GRANT USAGE ON SCHEMA tidings TO tidings_writer, tidings_relay, tidings_reader;
GRANT EXECUTE ON FUNCTION tidings.as_of(), tidings.position() TO tidings_writer, tidings_relay, tidings_reader;
GRANT EXECUTE ON FUNCTION tidings.publish(text, text, json, bigint, timestamptz, timestamptz, text, text, bytea),
    tidings.record(text, text, json, bigint, timestamptz, timestamptz, text, text, bytea) TO tidings_writer;
GRANT SELECT ON SEQUENCE tidings.outbox_seq TO tidings_relay;
GRANT SELECT ON tidings.meta, tidings.outbox, tidings.parked, tidings.relay TO tidings_relay;
GRANT UPDATE ON tidings.relay TO tidings_relay;
GRANT INSERT, UPDATE ON tidings.parked TO tidings_relay;
GRANT EXECUTE ON FUNCTION tidings.timeline(), tidings.maintain(interval, integer), tidings.make_partitions(integer),
    tidings.drop_partition(interval), tidings.trim_default(interval) TO tidings_relay;

SELECT tidings.make_partitions(3);
