-- A new job is in as few trees as possible: each of them is a page more that its commit writes.

-- A job or a task is in one index of what may start, not a job in both.
DROP INDEX jobs_to_claim;
DROP INDEX jobs_to_claim_whole;
CREATE INDEX jobs_to_claim ON jobs (priority DESC, turn, created_at, id) WHERE waiting AND parent IS NULL;
CREATE INDEX tasks_to_claim ON jobs (priority DESC, turn, created_at, id) WHERE waiting AND parent IS NOT NULL;

-- What listeners were told first, as JSON. NULL where it is the first of `events`, or where nobody was told.
ALTER TABLE jobs ADD COLUMN event TEXT;
