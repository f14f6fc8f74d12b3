SELECT seq, id, type, aggregatetype, aggregateid, timeline, version, time,
       effectivefrom, effectiveuntil, traceparent, contenttype, payload
FROM tidings_outbox
WHERE seq > ?1
ORDER BY seq
LIMIT ?2
