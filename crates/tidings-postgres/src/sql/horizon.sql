-- The snapshot is from before the functions are called. A commit is written before it is visible; it is flushed before
-- that as well, unless its transaction turned synchronous_commit off after it had recorded its event.
-- Then the next transaction id to be given; and the clock, as it was when the transaction of this one statement began:
-- before the snapshot.
SELECT now::text, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
    pg_snapshot_xmax(now)::text::bigint + age(pg_snapshot_xmax(now)::xid),
    (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint
FROM pg_current_snapshot() AS now
