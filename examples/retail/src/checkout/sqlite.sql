-- Orders. A pending order may or may not hold stock yet; it is settled before anything else is sold.
CREATE TABLE IF NOT EXISTS orders (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    sku           TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    quantity      INTEGER NOT NULL,
    unit_cents    INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'placed', 'refused'))
) STRICT;
CREATE INDEX IF NOT EXISTS orders_pending ON orders (number) WHERE state = 'pending';
