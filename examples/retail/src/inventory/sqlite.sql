-- What can be sold per product and region: the sum over the nodes, with the version that they share.
CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    available INTEGER NOT NULL CHECK (available >= 0),
    version   INTEGER NOT NULL,
    PRIMARY KEY (sku, region)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS node_stock (
    sku      TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    node     TEXT    NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (sku, region, node)
) STRICT, WITHOUT ROWID;

-- Orders that hold stock, so that asking twice for the same order takes it once.
CREATE TABLE IF NOT EXISTS reservation (
    order_id TEXT    PRIMARY KEY,
    sku      TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    quantity INTEGER NOT NULL,
    version  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
