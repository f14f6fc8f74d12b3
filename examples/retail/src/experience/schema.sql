-- What listings are made of: the owners' snapshots at first and after a gap, and events. Every part is fenced by the
-- version it came with, so repeated and late news changes nothing.
CREATE TABLE IF NOT EXISTS product (
    sku        TEXT    PRIMARY KEY,
    category   TEXT    NOT NULL,
    title      TEXT    NOT NULL,
    thumbnail  TEXT,
    popularity INTEGER NOT NULL,
    listed_day INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A listing is the first few in one of three orders; each is read off an index.
CREATE INDEX IF NOT EXISTS product_by_popularity ON product (category, popularity, sku);
CREATE INDEX IF NOT EXISTS product_by_day ON product (category, listed_day DESC, popularity, sku);

CREATE TABLE IF NOT EXISTS offer (
    sku           TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    -- The product's, repeated here for the index.
    category      TEXT    NOT NULL,
    cents         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    available     INTEGER NOT NULL,
    stock_version INTEGER NOT NULL,
    PRIMARY KEY (sku, region)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS offer_by_price ON offer (category, region, cents);

-- When the owners' snapshots were taken that were taken in last.
CREATE TABLE IF NOT EXISTS bootstrap (taken_us INTEGER NOT NULL) STRICT;
