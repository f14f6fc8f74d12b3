-- What is visible now, the next transaction id to be given after that, whether there are rows that were not visible in the
-- snapshot $1, the last place that was taken in the table, and whether all that is visible is durable, too: a commit is
-- written before it is visible, and flushed before that only if its transaction did not turn synchronous_commit off.
-- At last the clock, as it was when the transaction of this one statement began: before the snapshot.
SELECT now::text, pg_snapshot_xmax(now)::text::bigint + age(pg_snapshot_xmax(now)::xid),
    EXISTS (SELECT FROM tidings.outbox WHERE xid >= (SELECT pg_snapshot_xmax($1::text::pg_snapshot)))
        OR EXISTS (SELECT FROM tidings.outbox WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))),
    coalesce(pg_sequence_last_value('tidings.outbox_seq'), 0), pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn(),
    (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint
FROM pg_current_snapshot() AS now
