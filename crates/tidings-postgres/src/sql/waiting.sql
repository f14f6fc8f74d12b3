SELECT EXISTS (SELECT FROM tidings.outbox WHERE xid >= (SELECT pg_snapshot_xmax($1::text::pg_snapshot)))
    OR EXISTS (SELECT FROM tidings.outbox WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot))))
