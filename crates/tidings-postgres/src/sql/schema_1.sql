-- The outbox of Tidings, version 1. It lives beside the service's own tables, so that state and event commit together.
--
-- To publish, from any language, inside the transaction that changes the state:
--
--     SELECT tidings.publish('pricing.BasePriceChanged', 'price/SKU-1', '{"cents":1999}');
--
-- It returns the version that the event was given.
CREATE SCHEMA tidings;

-- One row: what this outbox is.
CREATE TABLE tidings.meta (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version integer NOT NULL,
    -- The timeline of events is this, and what the server's own timeline has risen by since `physical`.
    timeline       integer NOT NULL DEFAULT 0 CHECK (timeline >= 0),
    physical       integer NOT NULL,
    -- The cluster that transaction ids and places in the write-ahead log are of.
    system         bigint  NOT NULL,
    -- The log takes events of 1 MiB; what is left is for the attributes.
    max_data_bytes integer NOT NULL DEFAULT 1040384
);

-- The last version of each entity: survives its events, and the deletion of the entity itself.
CREATE TABLE tidings.entity (
    entity   text COLLATE "C" PRIMARY KEY,
    timeline integer NOT NULL,
    version  bigint  NOT NULL
) WITH (fillfactor = 70);

-- CACHE 1 and taken under the entity's row lock: within an entity, the order of seq is the order of commits. Never to be
-- set back.
CREATE SEQUENCE tidings.outbox_seq CACHE 1;

-- The columns id, aggregatetype, aggregateid, type and payload are those that other outbox readers know.
-- Rows are inserted, never updated, and go with their whole partition.
CREATE TABLE tidings.outbox (
    seq            bigint      NOT NULL,
    id             uuid        NOT NULL,
    xid            xid8        NOT NULL,
    aggregatetype  text        NOT NULL,
    aggregateid    text        NOT NULL,
    type           text        NOT NULL,
    timeline       integer     NOT NULL,
    version        bigint      NOT NULL,
    time           timestamptz NOT NULL,
    effectivefrom  timestamptz,
    effectiveuntil timestamptz,
    traceparent    text,
    contenttype    text,
    payload        json,
    body           bytea
) PARTITION BY RANGE (time);
-- With seq, so that the rows of one transaction are read in their order, from any place on.
CREATE INDEX outbox_xid ON tidings.outbox (xid, seq);
CREATE INDEX outbox_seq_order ON tidings.outbox (seq);
-- What no partition was made for in time: no writer ever fails for want of one.
CREATE TABLE tidings.outbox_default PARTITION OF tidings.outbox DEFAULT;

-- Rows that the relay set aside, whole, so that they outlive their partition.
CREATE TABLE tidings.parked (
    -- Its place in the outbox; negative where the relay only knew its cursor.
    seq    bigint PRIMARY KEY,
    cursor bigint      NOT NULL,
    time   timestamptz NOT NULL DEFAULT clock_timestamp(),
    code   text        NOT NULL,
    reason text        NOT NULL,
    row    json
);

-- One row: how far the relay is. The only truth about that; the slot is kept at or behind it.
CREATE TABLE tidings.relay (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Rises with every relay that takes over; what an older one still sends is refused.
    epoch    bigint      NOT NULL DEFAULT 0,
    -- How many rows were acknowledged: the relay's cursor.
    position bigint      NOT NULL DEFAULT 0,
    -- Every row that is visible in this snapshot is acknowledged. At first, none is.
    done     pg_snapshot NOT NULL DEFAULT '1:1:',
    -- While a batch is under way: besides, every row up to `seq` that is visible in this one. Else the rows of all
    -- transactions that are neither seen by `done` nor in its list are after `seq`.
    next     pg_snapshot,
    seq      bigint      NOT NULL DEFAULT 0,
    -- By logical decoding: every transaction that ended up to here is acknowledged. NULL: read the table from `done` on.
    lsn      pg_lsn,
    changed  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);

INSERT INTO tidings.meta (schema_version, physical, system)
SELECT 1, ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer, system_identifier
FROM pg_control_system();
INSERT INTO tidings.relay DEFAULT VALUES;

CREATE PUBLICATION tidings FOR TABLE tidings.outbox
    WITH (publish = 'insert', publish_via_partition_root = true);
