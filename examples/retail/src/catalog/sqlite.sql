-- What is said about each product. `note` is bookkeeping: nobody outside sees it, and changing it is no news.
CREATE TABLE IF NOT EXISTS product (
    sku         TEXT    PRIMARY KEY,
    category    TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    description TEXT    NOT NULL,
    media       TEXT    NOT NULL, -- a JSON list of paths
    popularity  INTEGER NOT NULL, -- 0 is the most popular
    listed_day  INTEGER NOT NULL, -- days since 1970-01-01
    note        TEXT    NOT NULL DEFAULT '',
    version     INTEGER NOT NULL  -- counts changes of what is rendered
) STRICT, WITHOUT ROWID;
