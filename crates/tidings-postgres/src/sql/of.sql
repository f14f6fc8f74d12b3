SELECT o.seq::text, o.id::text, o.xid::text, o.aggregatetype, o.aggregateid, o.type, o.timeline::text, o.version::text,
    o.time::text, o.effectivefrom::text, o.effectiveuntil::text, o.traceparent, o.contenttype, o.payload::text, o.body::text
FROM tidings.outbox AS o
WHERE o.xid = ANY (ARRAY(SELECT unnest($1)::xid8))
ORDER BY o.seq + 0
