-- Positions, for caches that many processes fill. A place is a transaction id: an event's is that of the transaction
-- that wrote it.

-- What a read has seen: every event whose place is at or before this one. To be called in the statement that reads, or
-- in its transaction if that is repeatable read. It is often less than what was seen, never more:
-- as long as a transaction that writes is open, it stays before that one. No event whose place is after newest was seen.
-- Stable: in the snapshot of the statement that calls it.
CREATE FUNCTION tidings.as_of(OUT timeline integer, OUT place bigint, OUT newest bigint) RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A standby cannot tell which timeline it is on; nor can a transaction that began when this server was one. Such a
    -- transaction is read-only. It is a short one that began after a checkpoint of the server's present timeline, if not.
    IF pg_is_in_recovery() OR pg_last_wal_replay_lsn() IS NOT NULL
        AND current_setting('transaction_read_only')::boolean AND NOT tidings.began_as_primary() THEN
        timeline := 0;
        place := 0;
        newest := 0;
    ELSE
        timeline := tidings.timeline();
        place := pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1;
        newest := pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1;
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

-- Whether a transaction was given this id, or a higher one. Asked of the server each time: age(xid) is fixed for the rest
-- of a transaction by its first use, and counts from the transaction's own id once it has one.
CREATE FUNCTION tidings.was_given(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_xact_status(id::text::xid8);
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    -- It is in the future.
    RETURN false;
END
$$;

-- Where the source stands: at or after everything that was committed before this call, visible or not. A commit can be
-- told of before it is visible, so the last visible one is not enough: this is the last transaction id that was given.
-- Only of the primary, and not in a snapshot from before the call: that would hide a timeline that has begun since.
CREATE FUNCTION tidings.position(OUT timeline integer, OUT place bigint) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    step bigint := 1;
BEGIN
    IF pg_is_in_recovery() THEN
        PERFORM tidings.refuse('the server is a standby; name the address of the primary', 'TD5012');
    ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM tidings.refuse('the position is asked for under another isolation than read committed;'
            || ' begin the transaction with ISOLATION LEVEL READ COMMITTED', 'TD2001');
    END IF;
    timeline := tidings.timeline();
    -- In growing steps on from the last one that has ended, and in halves back: place + step is always beyond every one
    -- that was given before this call.
    place := pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1;
    WHILE tidings.was_given(place + step) LOOP
        place := place + step;
        step := step * 2;
    END LOOP;
    WHILE step > 1 LOOP
        step := step / 2;
        IF tidings.was_given(place + step) THEN
            place := place + step;
        END IF;
    END LOOP;
END
$$;
