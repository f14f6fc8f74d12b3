SELECT cursor, (extract(epoch FROM time) * 1000000)::bigint, code, reason, row::text
FROM tidings.parked
ORDER BY seq
LIMIT $1
