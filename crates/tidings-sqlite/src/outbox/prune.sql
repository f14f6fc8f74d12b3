-- One window of acknowledged rows: its last seq, and how many of its rows are past their time.
SELECT max(seq), sum(time < ?2)
FROM (
    SELECT seq, time FROM tidings_outbox
    WHERE seq > ?1 AND seq <= (SELECT value FROM tidings_meta WHERE name = 'acknowledged')
    ORDER BY seq
    LIMIT 500
)
