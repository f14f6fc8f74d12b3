-- As in sqlite.sql.
CREATE TABLE IF NOT EXISTS stock (
    sku       text COLLATE "C" NOT NULL,
    region    text COLLATE "C" NOT NULL,
    available bigint NOT NULL CHECK (available >= 0),
    version   bigint NOT NULL,
    PRIMARY KEY (sku, region)
);

CREATE TABLE IF NOT EXISTS node_stock (
    sku      text COLLATE "C" NOT NULL,
    region   text COLLATE "C" NOT NULL,
    node     text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (sku, region, node)
);

CREATE TABLE IF NOT EXISTS reservation (
    order_id text   PRIMARY KEY,
    sku      text   NOT NULL,
    region   text   NOT NULL,
    quantity bigint NOT NULL,
    version  bigint NOT NULL
);
