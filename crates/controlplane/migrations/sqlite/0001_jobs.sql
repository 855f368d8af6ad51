-- Times are microseconds since 1970, ids are UUIDs of 16 bytes. `document` is the job; the columns beside it are what
-- queries need, and what changes without it.
CREATE TABLE jobs (
    id BLOB NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    -- The control plane that drives it.
    owner BLOB,
    -- Its last attempt has not ended.
    running INTEGER NOT NULL,
    -- It waits for a slot and belongs to nobody.
    waiting INTEGER NOT NULL,
    due INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    preset TEXT NOT NULL,
    -- No client was told of it yet.
    provisional INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    progress REAL NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    idempotency_key TEXT UNIQUE
) STRICT;

CREATE INDEX jobs_to_claim ON jobs (priority DESC, created_at, id) WHERE waiting;
CREATE INDEX jobs_by_due ON jobs (due) WHERE waiting;
CREATE INDEX jobs_by_owner ON jobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_time ON jobs (created_at, id) WHERE NOT provisional;
CREATE INDEX jobs_by_status ON jobs (status, created_at, id) WHERE NOT provisional;
CREATE INDEX jobs_by_preset ON jobs (preset, created_at, id) WHERE NOT provisional;

-- What listeners were told of status changes.
CREATE TABLE events (
    job BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

-- Callbacks outlive their job.
CREATE TABLE callbacks (
    id BLOB NOT NULL PRIMARY KEY,
    job BLOB NOT NULL,
    url TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX callbacks_by_due ON callbacks (due);

-- One row that is written to see whether writing works: as much as a large job takes.
CREATE TABLE probe (
    id INTEGER NOT NULL PRIMARY KEY,
    filler BLOB NOT NULL
) STRICT;

INSERT INTO probe (id, filler) VALUES (1, x'');
