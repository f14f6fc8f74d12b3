-- Upkeep of the partitions, one for each day. Nothing here waits long for a lock, because writers would queue behind it:
-- what is locked now is for the next time. And nothing here reads a table through under a lock that stops writers.

-- Makes the partitions of today and the days to come; returns how many.
CREATE FUNCTION tidings.make_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    today constant date := (now() AT TIME ZONE 'UTC')::date;
    name  text;
    made  integer := 0;
BEGIN
    FOR n IN REVERSE least(ahead, 366)..0 LOOP
        name := 'outbox_' || to_char(today + n, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('tidings.' || name) IS NOT NULL;
        -- Attaching reads the default partition through. If today's rows go there, that is where writers are: tomorrow's
        -- partition ends it, and today goes without.
        CONTINUE WHEN n = 0 AND pg_relation_size('tidings.outbox_default') > 8388608;
        BEGIN
            -- Whoever had found the default partition for a row of today would be refused after it has been attached.
            IF n = 0 THEN
                LOCK TABLE ONLY tidings.outbox IN ACCESS EXCLUSIVE MODE;
            END IF;
            -- Attaching, other than making it in place, lets others write meanwhile.
            EXECUTE format('CREATE TABLE tidings.%I (LIKE tidings.outbox INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE tidings.outbox ATTACH PARTITION tidings.%I FOR VALUES FROM (%L) TO (%L)',
                name, (today + n)::text || ' 00:00:00Z', (today + n + 1)::text || ' 00:00:00Z');
            made := made + 1;
        -- check_violation: rows of that day are in the default partition already, and stay there.
        EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table OR deadlock_detected THEN NULL;
        END;
    END LOOP;
    RETURN made;
END
$$;

-- Whether a partition has rows that are not acknowledged. By its index, as sequential scans are never right here.
CREATE FUNCTION tidings.is_needed(partition text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    needed boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM tidings.%1$I WHERE xid >= pg_snapshot_xmax($1))
            OR EXISTS (SELECT FROM tidings.%1$I WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1))))', partition)
        INTO needed USING (SELECT done FROM tidings.relay);
    RETURN needed;
END
$$;

-- Drops the oldest partition whose rows are all acknowledged and older than `keep`; returns how many: one, or none.
CREATE FUNCTION tidings.drop_partition(keep interval) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    part record;
BEGIN
    -- Else the snapshot would be from before the lock, and not see what was committed in between.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM tidings.refuse('partitions are dropped under another isolation than read committed;'
            || ' begin the transaction with ISOLATION LEVEL READ COMMITTED', 'TD2001');
    END IF;
    FOR part IN
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tidings.outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
            AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' < now() - keep
        ORDER BY c.relname
    LOOP
        CONTINUE WHEN tidings.is_needed(part.name);
        BEGIN
            -- Under the locks, taken in the order in which writers take them, nobody can still commit a row into it. The
            -- age of a row says nothing about that: its time is from before its commit.
            LOCK TABLE ONLY tidings.outbox IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('LOCK TABLE tidings.%I IN ACCESS EXCLUSIVE MODE', part.name);
            IF tidings.is_needed(part.name) THEN
                RETURN 0;
            END IF;
            EXECUTE format('DROP TABLE tidings.%I', part.name);
            RETURN 1;
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR undefined_table THEN RETURN 0;
        END;
    END LOOP;
    RETURN 0;
END
$$;

-- The default partition cannot be dropped: removes a bounded bite of what is acknowledged there and older than `keep`.
CREATE FUNCTION tidings.trim_default(keep interval) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
    DELETE FROM tidings.outbox_default WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tidings.outbox_default
        WHERE time < now() - keep AND pg_visible_in_snapshot(xid, (SELECT done FROM tidings.relay)) LIMIT 10000))
$$;

-- All of it at once, for whoever does it by hand or by a timer. What stops writers comes last. Returns how many
-- partitions it made and dropped.
CREATE FUNCTION tidings.maintain(keep interval, ahead integer DEFAULT 3, OUT made integer, OUT dropped integer)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
BEGIN
    PERFORM tidings.trim_default(keep);
    made := tidings.make_partitions(ahead);
    dropped := 0;
    WHILE tidings.drop_partition(keep) > 0 LOOP
        dropped := dropped + 1;
    END LOOP;
END
$$;
