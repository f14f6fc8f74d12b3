-- As in sqlite.sql.
CREATE TABLE IF NOT EXISTS product (
    sku         text COLLATE "C" PRIMARY KEY,
    category    text   NOT NULL,
    title       text   NOT NULL,
    description text   NOT NULL,
    media       text   NOT NULL,
    popularity  bigint NOT NULL,
    listed_day  bigint NOT NULL,
    note        text   NOT NULL DEFAULT '',
    version     bigint NOT NULL
);
