-- The base price per product and region. `version` counts everything that bears on the price in force: changes of the
-- base, and promotions scheduled, begun and ended.
CREATE TABLE IF NOT EXISTS price (
    sku        TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    base_cents INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (sku, region)
) STRICT, WITHOUT ROWID;

-- Promotions that have not ended, by this source's clock. Those that have are removed; the log remembers them.
CREATE TABLE IF NOT EXISTS promotion (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    sku       TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    percent   INTEGER NOT NULL,
    starts_us INTEGER NOT NULL,
    ends_us   INTEGER NOT NULL,
    activated INTEGER NOT NULL DEFAULT 0, -- whether its activation has been told
    FOREIGN KEY (sku, region) REFERENCES price (sku, region)
) STRICT;
CREATE INDEX IF NOT EXISTS promotion_of_price ON promotion (sku, region);
CREATE INDEX IF NOT EXISTS promotion_to_activate ON promotion (starts_us) WHERE activated = 0;
CREATE INDEX IF NOT EXISTS promotion_to_expire ON promotion (ends_us);
