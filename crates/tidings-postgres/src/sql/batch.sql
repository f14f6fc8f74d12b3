-- Rows that are visible in the snapshot $2 and were not in the snapshot $1, after the place $3, in the order in which
-- they took their entity's lock: the first $5 of them; of those, the ones that begin within $6 bytes; and how many there
-- were.
--
-- What is visible in one snapshot is, for each entity, a beginning of its versions: nobody records for it before the
-- last transaction that did has become visible. So batches between snapshots keep the order, whatever the order of
-- transaction ids; and a transaction that takes long holds up nobody, it is only part of a later batch.
--
-- Transactions that ran at $1 can have rows anywhere: each is looked up by its id. All others have theirs after $4. Both
-- are read in the order of an index that begins where the answer begins, so that an answer costs what it brings, however
-- much there is before and after. That leaves the planner no choice, whatever the statistics say: with "xid =", the order
-- of seq could come from its own index as well, through all rows of all others; "IS TRUE": never by the index of ids, which
-- would have to be sorted.
SELECT o.seq::text, o.id::text, o.xid::text, o.aggregatetype, o.aggregateid, o.type, o.timeline::text, o.version::text,
    o.time::text, o.effectivefrom::text, o.effectiveuntil::text, o.traceparent, o.contenttype, o.payload::text, o.body::text,
    o.found
FROM (
    SELECT *, count(*) OVER () AS found,
        sum(512 + coalesce(octet_length(payload::text), 0)::bigint + 2 * coalesce(octet_length(body), 0)::bigint)
            OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT * FROM (
            SELECT late.* FROM pg_snapshot_xip($1::text::pg_snapshot) AS ran (xid) CROSS JOIN LATERAL (
                SELECT * FROM tidings.outbox
                WHERE (outbox.xid, seq) > (ran.xid, $3) AND outbox.xid <= ran.xid
                ORDER BY outbox.xid, seq LIMIT $5
            ) AS late
            WHERE pg_visible_in_snapshot(ran.xid, (SELECT $2::text::pg_snapshot))
            UNION ALL
            (SELECT * FROM tidings.outbox
            WHERE seq > greatest($3, $4)
                AND (xid >= (SELECT pg_snapshot_xmax($1::text::pg_snapshot))) IS TRUE
                AND pg_visible_in_snapshot(xid, (SELECT $2::text::pg_snapshot))
            ORDER BY seq LIMIT $5)
        ) AS either
        ORDER BY seq
        LIMIT $5
    ) AS listed
) AS o
WHERE coalesce(o.before, 0) < $6::bigint
ORDER BY o.seq
