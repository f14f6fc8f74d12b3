-- $1 is 0 for a relay that starts, else the epoch in which it led before its connection broke.
-- An epoch that a crash took back would be given twice: for this statement alone, the commit waits to be durable.
UPDATE tidings.relay SET epoch = epoch + 1, changed = clock_timestamp()
WHERE $1 = 0 OR epoch = $1
RETURNING epoch, position, done::text, next::text, seq, (lsn - '0/0'::pg_lsn)::bigint,
    set_config('synchronous_commit', 'on', true)
