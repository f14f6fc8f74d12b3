-- Where each projection in this file stands. Read it in the same transaction as the projected rows to know what they
-- have seen: next is the offset of the next record, caught_up the source's time (microseconds) of the newest mark.
CREATE TABLE IF NOT EXISTS tidings_projection (
    name       TEXT    NOT NULL PRIMARY KEY,
    format     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL DEFAULT 0,
    epoch_why  TEXT    NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tidings_projection_position (
    name      TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    part      INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    caught_up INTEGER,
    PRIMARY KEY (name, topic, part)
) WITHOUT ROWID;

-- Entities whose newest event was parked, with its stamp and time; the empty entity stands for a gap.
CREATE TABLE IF NOT EXISTS tidings_projection_missing (
    name     TEXT    NOT NULL,
    entity   TEXT    NOT NULL,
    timeline INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    PRIMARY KEY (name, entity)
) WITHOUT ROWID;
