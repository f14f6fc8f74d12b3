-- Positions, for caches that many processes fill. A place is a transaction id: an event's is that of the transaction
-- that wrote it.

-- What a read has seen: every event whose place is at or before this one. To be called in the statement that reads, or
-- in its transaction if that is repeatable read. It is often less than what was seen, never more.
-- Stable: in the snapshot of the statement that calls it.
CREATE FUNCTION tidings.as_of(OUT timeline integer, OUT place bigint) RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A standby cannot tell which timeline it is on; nor can a transaction that began when this server was one. Such a
    -- transaction is read-only. It is a short one that began after a checkpoint of the server's present timeline, if not.
    IF pg_is_in_recovery() OR pg_last_wal_replay_lsn() IS NOT NULL
        AND current_setting('transaction_read_only')::boolean AND NOT tidings.began_as_primary() THEN
        timeline := 0;
        place := 0;
    ELSE
        timeline := tidings.timeline();
        place := pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1;
    END IF;
END
$$;

-- Whether this transaction began after the last checkpoint, and that one was made on the present timeline. Its time is in
-- whole seconds.
CREATE FUNCTION tidings.began_as_primary() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT timeline_id = ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer
        AND transaction_timestamp() > checkpoint_time + interval '1 second'
    FROM pg_control_checkpoint()
$$;

-- Where the source stands: at or after everything that was committed before this call, visible or not. A commit can be
-- told of before it is visible, so the last visible one is not enough: this is the last transaction id that was given.
-- Only of the primary.
CREATE FUNCTION tidings.position(OUT timeline integer, OUT place bigint) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended constant xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    IF pg_is_in_recovery() THEN
        PERFORM tidings.refuse('the server is a standby; name the address of the primary', 'TD5012');
    END IF;
    timeline := tidings.timeline();
    -- The age of an id is counted from the next one to be given, in 32 bits.
    place := ended::text::bigint + age(ended::xid) - 1;
END
$$;
