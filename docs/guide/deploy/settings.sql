-- For the PostgreSQL server of a service that publishes. Takes effect with the next restart.
\set ON_ERROR_STOP on
ALTER SYSTEM SET wal_level = 'logical';
-- What the disk can spare for a relay that stands still. Beyond that its slot is given up, and the relay reads the table.
ALTER SYSTEM SET max_slot_wal_keep_size = '10GB';
-- A commit that could be undone by a crash must not be told. (The outbox insists on it for its own transactions.)
ALTER SYSTEM SET synchronous_commit = 'on';
-- One for each database with a relay, and as many again for what comes and goes.
ALTER SYSTEM SET max_replication_slots = 10;
ALTER SYSTEM SET max_wal_senders = 10;
-- How long a machine that vanished without a word keeps the lead.
ALTER SYSTEM SET wal_sender_timeout = '10s';
ALTER SYSTEM SET tcp_keepalives_idle = 10;
ALTER SYSTEM SET tcp_keepalives_interval = 5;
ALTER SYSTEM SET tcp_keepalives_count = 3;
