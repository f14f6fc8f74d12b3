-- Who has been writing for longest, in any database of the cluster. Sessions of others show no more than their pid to a
-- login without pg_read_all_stats.
SELECT coalesce('the prepared transaction ' || quote_literal(p.gid), 'the session with pid ' || l.pid, 'a transaction'),
    coalesce(a.xact_start, p.prepared)::text
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND p.transaction = l.transactionid
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY coalesce(a.xact_start, p.prepared), age(l.transactionid) DESC
LIMIT 1
