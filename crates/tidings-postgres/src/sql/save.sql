UPDATE tidings.relay
SET position = greatest(position, $2), done = $3::pg_snapshot, next = $4::pg_snapshot, seq = $5,
    lsn = '0/0'::pg_lsn + $6::numeric, changed = clock_timestamp()
WHERE epoch = $1
RETURNING epoch
