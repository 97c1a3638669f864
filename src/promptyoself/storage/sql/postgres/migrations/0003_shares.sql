-- How the executors of a fleet divide what a target may be asked at once. No REFERENCES: an executor's row is pruned at
-- another time, and a share that has run out counts for nothing.

CREATE TABLE shares (
    target       TEXT COLLATE "C" NOT NULL,
    executor_id  TEXT NOT NULL,
    -- Requests that this executor may have open at the target.
    reserved     BIGINT NOT NULL CHECK (reserved >= 0),
    kept_until   BIGINT NOT NULL,
    PRIMARY KEY (target, executor_id)
);

-- Tokens come and go all the time: what is dead is removed before searches have to step over it.
ALTER TABLE pgqueuer SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
