-- What listings are made of, built from events and from nothing else once it has begun. Every part is fenced by the
-- version it came with, so repeated and late events change nothing.
CREATE TABLE IF NOT EXISTS product (
    sku        TEXT    PRIMARY KEY,
    category   TEXT    NOT NULL,
    title      TEXT    NOT NULL,
    thumbnail  TEXT,
    popularity INTEGER NOT NULL,
    listed_day INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS product_by_category ON product (category);

CREATE TABLE IF NOT EXISTS offer (
    sku           TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    cents         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    available     INTEGER NOT NULL,
    stock_version INTEGER NOT NULL,
    PRIMARY KEY (sku, region)
) STRICT, WITHOUT ROWID;

-- When the owners' snapshots were taken that this began with.
CREATE TABLE IF NOT EXISTS bootstrap (taken_us INTEGER NOT NULL) STRICT;
