-- The age of an id is counted from the next one to be given. A snapshot alone does not tell: of the transactions that run, it
-- lists none with an id after the last one that has ended.
SELECT pg_snapshot_xmax(now)::text::bigint + age(pg_snapshot_xmax(now)::xid) FROM pg_current_snapshot() AS now
