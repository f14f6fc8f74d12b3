-- Rows that are visible now and were not in the snapshot $1, by the order in which they took their entity's lock.
--
-- What is visible in one snapshot is, for each entity, a beginning of its versions: nobody records for it before the
-- last transaction that did has become visible. So batches between snapshots keep the order, whatever the order of
-- transaction ids; and a transaction that takes long holds up nobody, it is only part of a later batch.
-- "+ 0": never by walking the index of seq from its start.
-- Of the $2 rows found, those that begin within $3 bytes; and how many were found.
SELECT o.seq::text, o.id::text, o.xid::text, o.aggregatetype, o.aggregateid, o.type, o.timeline::text, o.version::text,
    o.time::text, o.effectivefrom::text, o.effectiveuntil::text, o.traceparent, o.contenttype, o.payload::text, o.body::text,
    o.found, pg_current_snapshot()::text
FROM (
    SELECT *, count(*) OVER () AS found,
        sum(512 + coalesce(octet_length(payload::text), 0)::bigint + 2 * coalesce(octet_length(body), 0)::bigint)
            OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT * FROM (
            SELECT * FROM tidings.outbox WHERE xid >= (SELECT pg_snapshot_xmax($1::text::pg_snapshot))
            UNION ALL
            SELECT * FROM tidings.outbox WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
        ) AS fresh
        ORDER BY seq + 0
        LIMIT $2
    ) AS listed
) AS o
WHERE coalesce(o.before, 0) < $3::bigint
ORDER BY o.seq
