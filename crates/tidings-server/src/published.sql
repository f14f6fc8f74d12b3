-- What an event that was handed in says beyond its row in the outbox. Written in the transaction that records it.
CREATE TABLE IF NOT EXISTS published (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,
    source     TEXT NOT NULL,
    schema     TEXT,
    extensions TEXT, -- a JSON list of name and value
    UNIQUE (source, id)
) STRICT;
