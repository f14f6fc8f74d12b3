-- The log of Tidings, version 1 (application_id 'TIDL', user_version 1).

CREATE TABLE topic (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    partitions INTEGER NOT NULL
);

-- The one truth about a partition's extent: head outlives its records, so an offset is never used twice.
CREATE TABLE partition (
    id       INTEGER PRIMARY KEY,
    topic    INTEGER NOT NULL REFERENCES topic (id),
    part     INTEGER NOT NULL,
    earliest INTEGER NOT NULL DEFAULT 0,
    head     INTEGER NOT NULL DEFAULT 0,
    -- When the newest record was appended (microseconds): later ones are never earlier.
    latest   INTEGER NOT NULL DEFAULT 0,
    -- Bytes of the bodies of its records.
    bytes    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, part)
);

-- place = partition.id * 2^40 + offset. A plain integer key appends faster, and keeps larger rows on one page, than a
-- compound one.
CREATE TABLE record (
    place    INTEGER PRIMARY KEY,
    appended INTEGER NOT NULL,
    -- 0: an event, as CloudEvents JSON; 1: a mark, time and head as 8 big-endian bytes each; 2: a gap, why as text.
    kind     INTEGER NOT NULL,
    body     BLOB    NOT NULL
);

CREATE TABLE committed (
    consumers TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    part      INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic, part)
) WITHOUT ROWID;

-- Events that a group could not apply, with their reason, until they are redriven.
CREATE TABLE parked (
    consumers TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    part      INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    -- When (microseconds).
    parked    INTEGER NOT NULL,
    -- As CloudEvents JSON: it may outlive its record.
    event     BLOB    NOT NULL,
    code      TEXT    NOT NULL,
    what      TEXT    NOT NULL,
    PRIMARY KEY (consumers, topic, part, offset)
) WITHOUT ROWID;
