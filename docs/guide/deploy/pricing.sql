-- The tables of the service "pricing". Run by their owner.
\set ON_ERROR_STOP on
-- PostgreSQL 14 lets everybody create here.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE TABLE price (
    sku     text PRIMARY KEY,
    cents   bigint NOT NULL,
    -- Grows with every change. It must survive a delete: mark rows as deleted, or have the outbox assign versions.
    version bigint NOT NULL DEFAULT 1
);
GRANT SELECT, INSERT, UPDATE ON price TO pricing_writer;
GRANT SELECT ON price TO shop_reader;
