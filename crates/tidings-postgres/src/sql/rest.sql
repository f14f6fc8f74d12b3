-- The rest of a batch that was too large for one answer: after the place $3, visible in $2, not visible in $1.
SELECT o.seq::text, o.id::text, o.xid::text, o.aggregatetype, o.aggregateid, o.type, o.timeline::text, o.version::text,
    o.time::text, o.effectivefrom::text, o.effectiveuntil::text, o.traceparent, o.contenttype, o.payload::text, o.body::text
FROM tidings.outbox AS o
WHERE o.seq > $3
    AND NOT pg_visible_in_snapshot(o.xid, (SELECT $1::text::pg_snapshot))
    AND pg_visible_in_snapshot(o.xid, (SELECT $2::text::pg_snapshot))
ORDER BY o.seq
LIMIT $4
