-- The timeline that events are recorded on now. A promoted standby or a restore to a point in time counts up the
-- server's own timeline, and by that this one: versions may be issued again there with other content.
CREATE FUNCTION tidings.timeline() RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT timeline + greatest(0,
        ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer - physical)
    FROM tidings.meta
$$;

-- Refuses with 'what; remedy [code]'. The SQLSTATE is the code without its D: T1007 for TD1007.
CREATE FUNCTION tidings.refuse(what text, code text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = what || ' [' || code || ']', ERRCODE = 'T' || substr(code, 3);
END
$$;

CREATE FUNCTION tidings.check_event(
    type text, entity text, data json, effectivefrom timestamptz, effectiveuntil timestamptz, traceparent text,
    contenttype text, body bytea
) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text := split_part(entity, '/', 1);
    -- Control characters, and those that are invisible or turn the direction of text.
    hidden constant text := '[\u0001-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB]';
    limit_bytes integer := (SELECT max_data_bytes FROM tidings.meta);
BEGIN
    IF type IS NULL OR entity IS NULL THEN
        PERFORM tidings.refuse('an event needs a type and an entity; give both as text', 'TD1004');
    ELSIF position('/' IN entity) < 2 OR length(entity) = length(kind) + 1 THEN
        PERFORM tidings.refuse('the entity is not of the form kind/id; write it as price/42', 'TD1006');
    ELSIF octet_length(type) NOT BETWEEN 1 AND 512 OR octet_length(kind) > 512
        OR octet_length(entity) - octet_length(kind) - 1 > 512 THEN
        PERFORM tidings.refuse('the type, entity kind or entity id is empty or longer than 512 bytes; shorten it', 'TD1006');
    ELSIF concat(type, entity, traceparent, contenttype) COLLATE "C" ~ hidden THEN
        PERFORM tidings.refuse('the type, entity, traceparent or contenttype has a control or direction character; remove it', 'TD1006');
    ELSIF octet_length(traceparent) NOT BETWEEN 1 AND 512 OR octet_length(contenttype) NOT BETWEEN 1 AND 512 THEN
        PERFORM tidings.refuse('the traceparent or contenttype is empty or longer than 512 bytes; correct it, or leave it out', 'TD1005');
    ELSIF data IS NOT NULL AND (body IS NOT NULL OR contenttype <> 'application/json') THEN
        PERFORM tidings.refuse('an event has either JSON data, or a body of bytes with its contenttype; give one of the two', 'TD1005');
    ELSIF effectivefrom NOT BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        OR effectiveuntil NOT BETWEEN '0001-01-01Z' AND '9999-12-31Z' THEN
        PERFORM tidings.refuse('an effective time is not within the years 1 to 9999; leave it out if there is no bound', 'TD1005');
    ELSIF effectiveuntil < effectivefrom THEN
        PERFORM tidings.refuse('effectiveuntil is before effectivefrom; swap them, or leave one out', 'TD1005');
    -- Bytes travel as base64.
    ELSIF octet_length(data::text) > limit_bytes OR octet_length(body)::bigint * 4 / 3 > limit_bytes THEN
        PERFORM tidings.refuse('the data is larger than the limit; carry a reference instead of the body', 'TD1002');
    END IF;
END
$$;

-- Records one event in the transaction of the caller. Runs as the owner of the outbox: writers have no rights on its
-- tables. `body` is for bytes other than JSON.
CREATE FUNCTION tidings.record(
    type text, entity text, data json, version bigint, effectivefrom timestamptz, effectiveuntil timestamptz,
    traceparent text, contenttype text, body bytea, OUT new_timeline integer, OUT new_version bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    now_timeline integer;
    now_time     timestamptz;
    stamp        text;
    noise        constant text := gen_random_uuid()::text;
BEGIN
    PERFORM tidings.check_event(record.type, record.entity, record.data, record.effectivefrom, record.effectiveuntil,
        record.traceparent, record.contenttype, record.body);
    -- A timeline that is begun by hand waits for those who record, and they for it: none goes on recording on the old one.
    LOCK TABLE tidings.meta IN ROW SHARE MODE;
    now_timeline := tidings.timeline();
    -- An entity at the last number there is could never be published again.
    IF record.version > 4611686018427387904 THEN
        PERFORM tidings.refuse('the version is above 2^62; take versions from the row of the entity, or give NULL to have'
            || ' it assigned', 'TD1005');
    END IF;
    -- A commit that could un-happen must not be published.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- From here to the end of the transaction, nobody else can record for this entity.
    INSERT INTO tidings.entity AS last (entity, timeline, version)
    VALUES (record.entity, now_timeline, coalesce(record.version, 1))
    ON CONFLICT (entity) DO UPDATE
        SET timeline = greatest(last.timeline, excluded.timeline),
            version = coalesce(record.version, last.version + 1)
        WHERE last.timeline < excluded.timeline OR record.version > last.version OR record.version IS NULL
    RETURNING last.timeline, last.version INTO new_timeline, new_version;
    IF record.version < 1 AND new_version = record.version THEN
        PERFORM tidings.refuse('the version is not positive; give the version of the row, or NULL to have it assigned', 'TD1005');
    ELSIF new_version IS NULL THEN
        PERFORM tidings.refuse(record.entity || ': the version does not follow the last one of its entity; take versions'
            || ' from the row of the entity, or give NULL to have it assigned', 'TD1007');
    END IF;
    now_time := clock_timestamp();
    stamp := lpad(to_hex((extract(epoch FROM now_time) * 1000)::bigint), 12, '0');
    INSERT INTO tidings.outbox (seq, id, xid, aggregatetype, aggregateid, type, timeline, version, time,
        effectivefrom, effectiveuntil, traceparent, contenttype, payload, body)
    VALUES (nextval('tidings.outbox_seq'),
        -- UUIDv7: 48 bits of milliseconds, then random bits.
        (substr(stamp, 1, 8) || '-' || substr(stamp, 9) || '-7' || substr(noise, 16))::uuid,
        pg_current_xact_id(), split_part(record.entity, '/', 1),
        substr(record.entity, position('/' IN record.entity) + 1), record.type, new_timeline, new_version, now_time,
        record.effectivefrom, record.effectiveuntil, record.traceparent, record.contenttype, record.data, record.body);
END
$$;

-- What every language calls; returns the version.
CREATE FUNCTION tidings.publish(
    type text, entity text, data json DEFAULT NULL, version bigint DEFAULT NULL,
    effectivefrom timestamptz DEFAULT NULL, effectiveuntil timestamptz DEFAULT NULL,
    traceparent text DEFAULT NULL, contenttype text DEFAULT NULL, body bytea DEFAULT NULL
) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT new_version FROM tidings.record($1, $2, $3, $4, $5, $6, $7, $8, $9)
$$;

-- Starts a new timeline by hand: events from now on outrank all earlier ones. Lower or equal changes nothing.
-- Waits for those who are recording. Not while others record under repeatable read: they do not see it.
CREATE FUNCTION tidings.begin_timeline(timeline integer) RETURNS integer
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    LOCK TABLE tidings.meta IN EXCLUSIVE MODE;
    UPDATE tidings.meta SET timeline = timeline + greatest(0, $1 - tidings.timeline());
    SELECT tidings.timeline()
$$;

-- After a dump was restored into another cluster, whose transaction ids mean something else: a new timeline begins, and
-- every row that is kept is published again on it.
CREATE FUNCTION tidings.adopt() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Added to every timeline there is, so that their order among each other stays.
    shift integer;
BEGIN
    LOCK TABLE tidings.meta IN EXCLUSIVE MODE;
    shift := tidings.timeline() + 1;
    IF (SELECT m.system = c.system_identifier FROM tidings.meta m, pg_control_system() c) THEN
        RETURN tidings.timeline();
    END IF;
    LOCK TABLE tidings.outbox, tidings.entity IN SHARE ROW EXCLUSIVE MODE;
    UPDATE tidings.meta SET timeline = tidings.timeline() + shift,
        physical = ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer,
        system = (SELECT system_identifier FROM pg_control_system());
    UPDATE tidings.entity SET timeline = timeline + shift;
    UPDATE tidings.outbox SET xid = pg_current_xact_id(), timeline = timeline + shift;
    -- Where rows were copied without their sequence, new places must come after theirs.
    PERFORM setval('tidings.outbox_seq',
        greatest((SELECT last_value FROM tidings.outbox_seq), (SELECT max(seq) FROM tidings.outbox)));
    UPDATE tidings.relay SET done = '1:1:', next = NULL, seq = 0, lsn = NULL, epoch = epoch + 1;
    RETURN tidings.timeline();
END
$$;
