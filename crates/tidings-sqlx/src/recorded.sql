-- The write lock is ours, so the newest row is, too.
SELECT seq, timeline, version FROM tidings_outbox ORDER BY seq DESC LIMIT 1
