-- Jobs that are split: their tasks are rows of the same table, which clients do not see and which go with their parent.
ALTER TABLE jobs ADD COLUMN parent BLOB REFERENCES jobs (id) ON DELETE CASCADE;

-- Of those that wait with the same priority, the lower starts first, so that jobs take turns.
ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;

CREATE INDEX jobs_by_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_with_waiting_tasks ON jobs (parent) WHERE waiting AND parent IS NOT NULL;

DROP INDEX jobs_to_claim;
CREATE INDEX jobs_to_claim ON jobs (priority DESC, turn, created_at, id) WHERE waiting;
CREATE INDEX jobs_to_claim_whole ON jobs (priority DESC, turn, created_at, id) WHERE waiting AND parent IS NULL;

DROP INDEX jobs_by_end;
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL AND parent IS NULL;

DROP INDEX jobs_by_time;
DROP INDEX jobs_by_status;
DROP INDEX jobs_by_preset;
CREATE INDEX jobs_by_time ON jobs (created_at, id) WHERE NOT provisional AND parent IS NULL;
CREATE INDEX jobs_by_status ON jobs (status, created_at, id) WHERE NOT provisional AND parent IS NULL;
CREATE INDEX jobs_by_preset ON jobs (preset, created_at, id) WHERE NOT provisional AND parent IS NULL;

-- What proves the output of a job whole, as JSON.
CREATE TABLE certificates (
    job BLOB NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    json TEXT NOT NULL
) STRICT;
