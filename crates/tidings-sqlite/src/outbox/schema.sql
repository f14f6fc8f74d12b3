-- The outbox of Tidings, version 1. Lives beside the service's own tables, so that state and event commit together.
--
-- To publish, from any language, inside the transaction that changes the state:
--
--     INSERT INTO tidings_publish(type, entity, version, data, effectivefrom, effectiveuntil, traceparent)
--     VALUES ('pricing.BasePriceChanged', 'price/SKU-1', NULL, '{"cents":1999}', NULL, NULL, NULL);
--
-- version NULL has the next one assigned; times are microseconds since 1970 or RFC 3339 text; data is JSON text, or
-- a blob with its contenttype.

CREATE TABLE IF NOT EXISTS tidings_meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO tidings_meta (name, value)
SELECT * FROM (
    SELECT 'outbox_schema', 1
    UNION ALL SELECT 'timeline', 0
    UNION ALL SELECT 'acknowledged', 0
    -- The log takes events of 1 MiB; what is left is for the attributes.
    UNION ALL SELECT 'max_data_bytes', 1040384
) WHERE NOT EXISTS (SELECT 1 FROM tidings_meta WHERE name = 'outbox_schema');

-- The columns id, aggregatetype, aggregateid, type and payload are those that other outbox readers know.
-- Not AUTOINCREMENT, which costs every commit one more page: the trigger itself never gives out a seq again.
CREATE TABLE IF NOT EXISTS tidings_outbox (
    seq            INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL,
    aggregatetype  TEXT    NOT NULL,
    aggregateid    TEXT    NOT NULL,
    type           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    timeline       INTEGER NOT NULL,
    time           INTEGER NOT NULL,
    effectivefrom  INTEGER,
    effectiveuntil INTEGER,
    traceparent    TEXT,
    contenttype    TEXT,
    payload
);

-- The last version of each entity: survives the pruning of its events, and the deletion of the entity itself.
CREATE TABLE IF NOT EXISTS tidings_entity (
    entity   TEXT PRIMARY KEY,
    timeline INTEGER NOT NULL,
    version  INTEGER NOT NULL
) WITHOUT ROWID;

-- Rows that the relay set aside.
CREATE TABLE IF NOT EXISTS tidings_parked (
    seq    INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    code   TEXT    NOT NULL,
    reason TEXT    NOT NULL
);

-- time (microseconds) and checked are for the Rust libraries, which check before they come here: 1 says that names,
-- data and times are in order, 2 that the durability settings are, too.
CREATE VIEW IF NOT EXISTS tidings_publish
    (type, entity, version, data, effectivefrom, effectiveuntil, traceparent, contenttype, time, checked) AS
SELECT type, aggregatetype || '/' || aggregateid, version, payload,
       effectivefrom, effectiveuntil, traceparent, contenttype, time, NULL
FROM tidings_outbox;

-- Texts are 'what; remedy [code]'. Only literals: SQLite before 3.47 takes nothing else here.
CREATE TRIGGER IF NOT EXISTS tidings_publish_insert INSTEAD OF INSERT ON tidings_publish
BEGIN
    SELECT CASE
        WHEN NEW.checked IS NOT 2 AND ((SELECT synchronous FROM pragma_synchronous) < 2
            OR (SELECT journal_mode FROM pragma_journal_mode) IN ('off', 'memory'))
        THEN RAISE(ABORT, 'this connection may lose what it committed; set PRAGMA synchronous=FULL (or EXTRA) and a journal_mode other than OFF and MEMORY [TD2006]')
        WHEN NEW.checked IN (1, 2) THEN NULL

        WHEN typeof(NEW.type) <> 'text' OR typeof(NEW.entity) <> 'text'
        THEN RAISE(ABORT, 'an event needs a type and an entity; give both as text [TD1004]')
        WHEN instr(NEW.entity, '/') < 2
            OR length(CAST(NEW.entity AS BLOB)) = instr(CAST(NEW.entity AS BLOB), CAST('/' AS BLOB))
        THEN RAISE(ABORT, 'the entity is not of the form kind/id; write it as price/42 [TD1006]')
        WHEN length(CAST(NEW.type AS BLOB)) NOT BETWEEN 1 AND 512
            OR instr(CAST(NEW.entity AS BLOB), CAST('/' AS BLOB)) > 513
            OR length(CAST(NEW.entity AS BLOB)) - instr(CAST(NEW.entity AS BLOB), CAST('/' AS BLOB)) > 512
        THEN RAISE(ABORT, 'the type, entity kind or entity id is empty or longer than 512 bytes; shorten it [TD1006]')
        WHEN instr(CAST(NEW.type || NEW.entity || ifnull(NEW.traceparent, '') AS BLOB), x'00') > 0
            -- Control characters, and those that are invisible or turn the direction of text.
            OR NEW.type || NEW.entity || ifnull(NEW.traceparent, '') || ifnull(NEW.contenttype, '')
                GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159)
                    || char(173, 1564, 6158) || char(8203) || '-' || char(8207) || char(8232) || '-' || char(8238)
                    || char(8288) || '-' || char(8303) || char(65279) || char(65529) || '-' || char(65531) || ']*'
        THEN RAISE(ABORT, 'the type, entity or traceparent has a control or direction character; remove it [TD1006]')

        WHEN typeof(NEW.version) NOT IN ('integer', 'null')
        THEN RAISE(ABORT, 'the version is not a positive whole number; give the version of the row, or NULL to have it assigned [TD1005]')

        WHEN typeof(NEW.data) NOT IN ('text', 'blob', 'null')
            OR (typeof(NEW.data) = 'text' AND ifnull(NEW.contenttype, 'application/json') = 'application/json'
                AND NOT json_valid(NEW.data))
        THEN RAISE(ABORT, 'the data is not JSON; give JSON text, or a blob with its contenttype [TD1005]')

        WHEN (typeof(NEW.effectivefrom) = 'text' AND (strftime('%s', NEW.effectivefrom) IS NULL
                OR NEW.effectivefrom NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*[Z0-9]'
                OR NOT (NEW.effectivefrom GLOB '*Z' OR NEW.effectivefrom GLOB '*T*[+-][0-9][0-9]:[0-9][0-9]')))
            OR (typeof(NEW.effectiveuntil) = 'text' AND (strftime('%s', NEW.effectiveuntil) IS NULL
                OR NEW.effectiveuntil NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*[Z0-9]'
                OR NOT (NEW.effectiveuntil GLOB '*Z' OR NEW.effectiveuntil GLOB '*T*[+-][0-9][0-9]:[0-9][0-9]')))
            OR typeof(NEW.effectivefrom) IN ('real', 'blob') OR typeof(NEW.effectiveuntil) IN ('real', 'blob')
        THEN RAISE(ABORT, 'an effective time is not a time; give microseconds since 1970, or RFC 3339 text with an offset such as 2026-11-24T00:00:00Z [TD1005]')
        WHEN typeof(NEW.time) NOT IN ('integer', 'null') OR typeof(NEW.traceparent) NOT IN ('text', 'null')
            OR length(CAST(NEW.traceparent AS BLOB)) > 512
            OR typeof(NEW.contenttype) NOT IN ('text', 'null') OR length(CAST(NEW.contenttype AS BLOB)) > 512
        THEN RAISE(ABORT, 'time, traceparent or contenttype is of the wrong type or too long; correct it, or leave it out [TD1005]')
    END;

    -- What only the database can say, under its write lock.
    SELECT CASE
        WHEN NEW.version <= (SELECT version FROM tidings_entity WHERE entity = NEW.entity
            AND timeline = (SELECT value FROM tidings_meta WHERE name = 'timeline'))
        THEN RAISE(ABORT, 'the version does not follow the last one of its entity; take versions from the row of the entity, or give NULL to have it assigned [TD1007]')
        WHEN NEW.version < 1
        THEN RAISE(ABORT, 'the version is not positive; give the version of the row, or NULL to have it assigned [TD1005]')
        WHEN NEW.version IS NULL AND 9223372036854775807 = (SELECT version FROM tidings_entity
            WHERE entity = NEW.entity AND timeline = (SELECT value FROM tidings_meta WHERE name = 'timeline'))
        THEN RAISE(ABORT, 'the entity has used the highest version there is; start a new timeline [TD1007]')

        -- Bytes travel as base64.
        WHEN length(CAST(NEW.data AS BLOB)) * CASE WHEN typeof(NEW.data) = 'blob'
                OR ifnull(NEW.contenttype, 'application/json') <> 'application/json' THEN 4 ELSE 3 END / 3
            > (SELECT value FROM tidings_meta WHERE name = 'max_data_bytes')
        THEN RAISE(ABORT, 'the data is larger than the limit; carry a reference instead of the body [TD1002]')
    END;

    -- Plain statements, not an upsert: the caller's own INSERT OR ... would override its conflict clause.
    INSERT INTO tidings_entity (entity, timeline, version)
    SELECT NEW.entity, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM tidings_entity WHERE entity = NEW.entity);

    UPDATE tidings_entity
    SET version = ifnull(NEW.version, CASE version WHEN 9223372036854775807 THEN 1 ELSE version + 1 END),
        timeline = (SELECT value FROM tidings_meta WHERE name = 'timeline')
    WHERE entity = NEW.entity;

    INSERT INTO tidings_outbox (seq, id, aggregatetype, aggregateid, type, version, timeline, time,
                                effectivefrom, effectiveuntil, traceparent, contenttype, payload)
    SELECT
        -- Above every row there is and, should they all be pruned, above what was acknowledged before.
        1 + max(ifnull((SELECT max(seq) FROM tidings_outbox), 0),
                (SELECT value FROM tidings_meta WHERE name = 'acknowledged')),
        -- UUIDv7: 48 bits of milliseconds, then random bits. SQLite's clock does not move within a statement.
        substr(clock.ms, 1, 8) || '-' || substr(clock.ms, 9) || '-7' || substr(clock.noise, 1, 3) || '-'
            || substr('89ab', 1 + (random() & 3), 1) || substr(clock.noise, 4, 3) || '-' || substr(clock.noise, 7, 12),
        substr(NEW.entity, 1, instr(NEW.entity, '/') - 1), substr(NEW.entity, instr(NEW.entity, '/') + 1),
        NEW.type, last.version, last.timeline, clock.micros,
        CASE typeof(NEW.effectivefrom) WHEN 'text' THEN CAST(strftime('%s', NEW.effectivefrom) AS INTEGER) * 1000000
            + CAST(substr(strftime('%f', NEW.effectivefrom), 4) AS INTEGER) * 1000 ELSE NEW.effectivefrom END,
        CASE typeof(NEW.effectiveuntil) WHEN 'text' THEN CAST(strftime('%s', NEW.effectiveuntil) AS INTEGER) * 1000000
            + CAST(substr(strftime('%f', NEW.effectiveuntil), 4) AS INTEGER) * 1000 ELSE NEW.effectiveuntil END,
        NEW.traceparent, NEW.contenttype, NEW.data
    FROM tidings_entity AS last, (
        SELECT micros, printf('%012x', micros / 1000) AS ms, lower(hex(randomblob(9))) AS noise
        FROM (SELECT ifnull(NEW.time, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
                   + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) AS micros)
    ) AS clock
    WHERE last.entity = NEW.entity;

    SELECT RAISE(ABORT, 'effectiveuntil is before effectivefrom; swap them, or leave one out [TD1005]')
    FROM tidings_outbox WHERE NEW.checked IS NULL AND seq = last_insert_rowid() AND effectiveuntil < effectivefrom;
END;
