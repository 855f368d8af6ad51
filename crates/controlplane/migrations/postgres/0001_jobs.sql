-- Times are microseconds since 1970. `document` is the job, as JSON; the columns beside it are what queries need, and
-- what changes without it.
CREATE TABLE jobs (
    id UUID NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    -- The control plane that drives it.
    owner UUID,
    -- Its last attempt has not ended.
    running BOOLEAN NOT NULL,
    -- It waits for a slot and belongs to nobody.
    waiting BOOLEAN NOT NULL,
    due BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    preset TEXT NOT NULL,
    -- No client was told of it yet.
    provisional BOOLEAN NOT NULL,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    progress REAL NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    idempotency_key TEXT UNIQUE
);

CREATE INDEX jobs_to_claim ON jobs (priority DESC, created_at, id) WHERE waiting;
CREATE INDEX jobs_by_due ON jobs (due) WHERE waiting;
CREATE INDEX jobs_by_owner ON jobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_time ON jobs (created_at, id) WHERE NOT provisional;
CREATE INDEX jobs_by_status ON jobs (status, created_at, id) WHERE NOT provisional;
CREATE INDEX jobs_by_preset ON jobs (preset, created_at, id) WHERE NOT provisional;

-- What listeners were told of status changes.
CREATE TABLE events (
    job UUID NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (job, number)
);

-- Callbacks outlive their job.
CREATE TABLE callbacks (
    id UUID NOT NULL PRIMARY KEY,
    job UUID NOT NULL,
    url TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due BIGINT NOT NULL,
    failures BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX callbacks_by_due ON callbacks (due);

-- Control planes that live, or did until lately. The lease is by this server's clock.
CREATE TABLE planes (
    id UUID NOT NULL PRIMARY KEY,
    lease_ends TIMESTAMPTZ NOT NULL
);

-- One row that is written to see whether writing works.
CREATE TABLE probe (
    id BIGINT NOT NULL PRIMARY KEY,
    writes BIGINT NOT NULL
);

INSERT INTO probe (id, writes) VALUES (1, 0);
