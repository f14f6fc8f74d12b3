-- The snapshot is from before the functions are called. A commit is written before it is visible; it is flushed before
-- that as well, unless its transaction turned synchronous_commit off after it had recorded its event.
-- At last the next transaction id to be given.
SELECT now::text, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
    pg_snapshot_xmax(now)::text::bigint + age(pg_snapshot_xmax(now)::xid)
FROM pg_current_snapshot() AS now
