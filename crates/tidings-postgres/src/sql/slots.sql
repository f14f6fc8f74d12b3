SELECT slot_name::text, coalesce(database = current_database() AND slot_name LIKE 'tidings%', false), active,
    coalesce(wal_status, 'unknown'),
    CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint END
FROM pg_replication_slots
