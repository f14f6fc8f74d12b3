SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'wal_level',
    'max_replication_slots', 'max_slot_wal_keep_size', 'synchronized_standby_slots', 'server_version_num')
UNION ALL SELECT 'user', current_user::text
UNION ALL SELECT 'standby', pg_is_in_recovery()::text
UNION ALL SELECT 'standbys', count(*)::text FROM pg_replication_slots WHERE slot_type = 'physical'
UNION ALL SELECT 'slots', count(*)::text FROM pg_replication_slots
UNION ALL SELECT 'own_slots', count(*)::text FROM pg_replication_slots
    WHERE database = current_database() AND plugin = 'pgoutput' AND slot_name LIKE 'tidings%'
UNION ALL SELECT 'clock', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text
UNION ALL SELECT 'installed', (count(*) > 0)::text FROM pg_namespace WHERE nspname = 'tidings'
UNION ALL SELECT 'usage', has_schema_privilege(oid, 'USAGE')::text FROM pg_namespace WHERE nspname = 'tidings'
UNION ALL SELECT 'relay', has_table_privilege(c.oid, 'UPDATE')::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'tidings' AND c.relname = 'relay'
UNION ALL SELECT 'cache', s.seqcache::text FROM pg_sequence s
    JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'tidings' AND c.relname = 'outbox_seq'
UNION ALL SELECT 'replication', (rolreplication OR rolsuper)::text FROM pg_roles WHERE rolname = current_user
UNION ALL SELECT 'publication', CASE WHEN pubinsert AND NOT (pubupdate OR pubdelete OR pubtruncate OR puballtables)
        AND pubviaroot AND (SELECT array_agg(t.schemaname || '.' || t.tablename) FROM pg_publication_tables t
            WHERE t.pubname = 'tidings') = ARRAY['tidings.outbox'::text] THEN 'insert via root' END
    FROM pg_publication WHERE pubname = 'tidings'
