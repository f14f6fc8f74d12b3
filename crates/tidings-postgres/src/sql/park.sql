INSERT INTO tidings.parked (seq, cursor, code, reason, row)
VALUES ($1, $2, $3, $4, (SELECT to_json(o) FROM tidings.outbox AS o WHERE o.seq = $1 LIMIT 1))
ON CONFLICT (seq) DO UPDATE SET code = excluded.code, reason = excluded.reason
