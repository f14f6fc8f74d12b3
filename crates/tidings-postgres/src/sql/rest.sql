-- The rest of a batch that was too large for one answer: after the place $3, visible in $2, not visible in $1.
-- Of the $4 rows found, those that begin within $5 bytes; and how many were found.
SELECT o.seq::text, o.id::text, o.xid::text, o.aggregatetype, o.aggregateid, o.type, o.timeline::text, o.version::text,
    o.time::text, o.effectivefrom::text, o.effectiveuntil::text, o.traceparent, o.contenttype, o.payload::text, o.body::text,
    o.found
FROM (
    SELECT *, count(*) OVER () AS found,
        sum(512 + coalesce(octet_length(payload::text), 0)::bigint + 2 * coalesce(octet_length(body), 0)::bigint)
            OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT * FROM tidings.outbox
        WHERE seq > $3
            AND NOT pg_visible_in_snapshot(xid, (SELECT $1::text::pg_snapshot))
            AND pg_visible_in_snapshot(xid, (SELECT $2::text::pg_snapshot))
        ORDER BY seq
        LIMIT $4
    ) AS listed
) AS o
WHERE coalesce(o.before, 0) < $5::bigint
ORDER BY o.seq
