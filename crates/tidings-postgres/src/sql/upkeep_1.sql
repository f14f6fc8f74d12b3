-- Makes the daily partitions of the days to come, and drops those whose rows are all acknowledged and older than `keep`.
-- Waits for no lock: what is locked now is for the next time. Returns how many it made and dropped.
CREATE FUNCTION tidings.maintain(keep interval, ahead integer DEFAULT 3, OUT made integer, OUT dropped integer)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    today constant date := (now() AT TIME ZONE 'UTC')::date;
    state tidings.relay;
    part  record;
    found boolean;
BEGIN
    made := 0;
    dropped := 0;
    FOR n IN 0..least(ahead, 366) LOOP
        CONTINUE WHEN to_regclass('tidings.outbox_' || to_char(today + n, 'YYYYMMDD')) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE tidings.%I PARTITION OF tidings.outbox FOR VALUES FROM (%L) TO (%L)',
                'outbox_' || to_char(today + n, 'YYYYMMDD'), (today + n)::text || ' 00:00:00Z', (today + n + 1)::text || ' 00:00:00Z');
            made := made + 1;
        -- check_violation: rows of that day are in the default partition already, and stay there.
        EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table OR deadlock_detected THEN NULL;
        END;
    END LOOP;

    FOR part IN
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tidings.outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
            AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' < now() - keep
        ORDER BY c.relname
    LOOP
        BEGIN
            -- Under the lock, nobody can still commit a row into it. The age of a row says nothing about that: its time
            -- is from before its commit.
            EXECUTE format('LOCK TABLE tidings.%I IN ACCESS EXCLUSIVE MODE', part.name);
            SELECT * INTO state FROM tidings.relay;
            EXECUTE format('SELECT EXISTS (SELECT FROM tidings.%I WHERE NOT pg_visible_in_snapshot(xid, $1))', part.name)
                INTO found USING state.done;
            IF NOT found THEN
                EXECUTE format('DROP TABLE tidings.%I', part.name);
                dropped := dropped + 1;
            END IF;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN NULL;
        END;
    END LOOP;

    -- The default partition cannot be dropped; a bounded bite of it at a time.
    DELETE FROM tidings.outbox_default WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tidings.outbox_default
        WHERE time < now() - keep AND pg_visible_in_snapshot(xid, (SELECT done FROM tidings.relay)) LIMIT 10000));
END
$$;
