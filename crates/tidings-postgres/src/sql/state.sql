SELECT m.schema_version::bigint, m.system = c.system_identifier,
    (SELECT count(*) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
        WHERE i.inhparent = 'tidings.outbox'::regclass
            AND p.relname = 'outbox_' || to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD')),
    EXISTS (SELECT FROM tidings.outbox o WHERE o.tableoid = (SELECT oid FROM pg_class
        WHERE relname = 'outbox_default' AND relnamespace = 'tidings'::regnamespace)),
    (SELECT count(*) FROM tidings.parked),
    (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND xact_start IS NOT NULL)
FROM tidings.meta m, pg_control_system() c
