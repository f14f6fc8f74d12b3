SELECT plugin::text, database::text, plugin = 'pgoutput' AND database = current_database(), active,
    (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint, coalesce(wal_status = 'lost', false)
FROM pg_replication_slots
WHERE slot_name = $1
