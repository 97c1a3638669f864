-- A populated database as schema 0001 left it (sqlite3 .dump, with a schedule of each kind, a delivery, facts).
PRAGMA application_id = 1350127443;
BEGIN TRANSACTION;
CREATE TABLE attempts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id  INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL CHECK (number > 0),
    executor_id  TEXT    NOT NULL,
    otid         TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    outcome      TEXT    NOT NULL CHECK (outcome IN (
                     'open', 'accepted', 'delivered', 'refused', 'busy', 'failed', 'unknown', 'final', 'abandoned')),
    error_code   TEXT,
    status       INTEGER,
    run_id       TEXT,
    detail       TEXT,
    UNIQUE (delivery_id, number)
) STRICT;
INSERT INTO "attempts" VALUES(1,1,1,'one','k#0',1772442000000000,NULL,'open',NULL,NULL,NULL,NULL);
CREATE TABLE deliveries (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id       INTEGER NOT NULL REFERENCES schedules (id),
    revision          INTEGER NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN ('scheduled', 'run_now')),
    target            TEXT    NOT NULL,
    lane              TEXT    NOT NULL REFERENCES lanes (lane),
    key               TEXT    NOT NULL,
    fire_at           INTEGER NOT NULL,
    planned_at        INTEGER NOT NULL,
    fire_number       INTEGER NOT NULL,
    missed            INTEGER NOT NULL CHECK (missed >= 0),
    state             TEXT    NOT NULL CHECK (state IN (
                          'pending', 'leased', 'accepted', 'unknown', 'delivered', 'dead', 'skipped', 'cancelled')),
    reason            TEXT,
    error_code        TEXT,
    due_at            INTEGER NOT NULL,
    lease_token       TEXT,
    attempts          INTEGER NOT NULL CHECK (attempts >= 0),
    refusals          INTEGER NOT NULL CHECK (refusals >= 0),
    failures          INTEGER NOT NULL CHECK (failures >= 0),
    maybe_repeat      INTEGER NOT NULL CHECK (maybe_repeat IN (0, 1)),
    retry_until       INTEGER NOT NULL,
    unknown_since     INTEGER,
    cancel_requested  INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    run_id            TEXT,
    reply_excerpt     TEXT,
    first_sent_at     INTEGER,
    sent_at           INTEGER,
    accepted_at       INTEGER,
    finished_at       INTEGER,
    created_at        INTEGER NOT NULL,
    -- True for the one unfinished delivery whose turn it is within its schedule: the earliest, those that a pause
    -- holds back left aside. The others need no look until it is finished.
    is_head           INTEGER NOT NULL DEFAULT 0 CHECK (is_head IN (0, 1)),
    UNIQUE (schedule_id, revision, kind, fire_at),
    -- What is finished says when, or retention could never delete it; and it is nobody's turn.
    CHECK ((finished_at IS NOT NULL) = (state IN ('delivered', 'dead', 'skipped', 'cancelled'))),
    CHECK (is_head = 0 OR finished_at IS NULL)
) STRICT;
INSERT INTO "deliveries" VALUES(1,1,1,'scheduled','inbox','inbox agent-11111111-1111-4111-8111-111111111111','key-1-1-20260302T090000.000000',1772442000000000,1772442000000000,1,0,'pending',NULL,NULL,1772442000000000,NULL,0,0,0,0,1772445600000000,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,1772442000000000,1);
CREATE TABLE executors (
    id            TEXT    NOT NULL PRIMARY KEY,
    host          TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    version       TEXT    NOT NULL,
    mode          TEXT    NOT NULL,
    started_at    INTEGER NOT NULL,
    heartbeat_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE facts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    schedule_id  INTEGER,
    delivery_id  INTEGER,
    actor        TEXT    NOT NULL,
    detail       TEXT    NOT NULL
) STRICT;
INSERT INTO "facts" VALUES(1,'registered',1772442000000000,1,NULL,'operator via cli','{}');
INSERT INTO "facts" VALUES(2,'paused',1772442000000000,2,NULL,'operator via cli','{"reason":"because"}');
CREATE TABLE inbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id     TEXT    NOT NULL,
    otid         TEXT    NOT NULL UNIQUE,
    delivery_id  INTEGER NOT NULL,
    schedule_id  INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    acked_at     INTEGER,
    envelope     TEXT,
    prompt       TEXT    NOT NULL
) STRICT;
CREATE TABLE lanes (
    lane          TEXT    NOT NULL PRIMARY KEY,
    target        TEXT    NOT NULL,
    -- When its runner should look next; NULL when there is nothing to do. Kept by every write to deliveries.
    next_due_at   INTEGER,
    -- True while a delivery is leased, accepted or unknown: followed also while the stop switch is on.
    is_in_flight  INTEGER NOT NULL DEFAULT 0 CHECK (is_in_flight IN (0, 1)),
    lease_token   TEXT,
    leased_until  INTEGER,
    executor_id   TEXT,
    CHECK ((lease_token IS NULL) = (leased_until IS NULL) AND (lease_token IS NULL) = (executor_id IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "lanes" VALUES('inbox agent-11111111-1111-4111-8111-111111111111','inbox',1772442000000000,0,NULL,NULL,NULL);
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "meta" VALUES('store_uid','00000000000000000000000000000001');
CREATE TABLE migrations (
    number    INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL,
    checksum  TEXT    NOT NULL
) STRICT;
INSERT INTO "migrations" VALUES(1,'0001_initial','a4583a13');
CREATE TABLE schedules (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    uid                 TEXT    NOT NULL UNIQUE,
    -- definition
    agent_id            TEXT    NOT NULL,
    target              TEXT    NOT NULL,
    conversation        TEXT,
    key                 TEXT,
    name                TEXT,
    max_repetitions     INTEGER CHECK (max_repetitions > 0),
    trigger_kind        TEXT    NOT NULL CHECK (trigger_kind IN ('once', 'cron', 'interval', 'rrule')),
    trigger_expression  TEXT    NOT NULL,
    trigger_timezone    TEXT    NOT NULL,
    trigger_anchor_at   INTEGER NOT NULL,
    trigger_start_at    INTEGER,
    trigger_end_at      INTEGER,
    trigger_jitter_us   INTEGER NOT NULL CHECK (trigger_jitter_us >= 0),
    catch_up            TEXT    NOT NULL CHECK (catch_up IN ('skip', 'latest', 'all')),
    catch_up_window_us  INTEGER CHECK (catch_up_window_us >= 0),
    overlap             TEXT    NOT NULL CHECK (overlap IN ('skip', 'queue')),
    retry_for_us        INTEGER NOT NULL CHECK (retry_for_us >= 0),
    expires_after_us    INTEGER CHECK (expires_after_us >= 0),
    envelope            TEXT    NOT NULL CHECK (envelope IN ('none', 'brief', 'full')),
    quiet_hours         TEXT,
    -- provenance; origin_delivery_id points at what retention may have deleted, hence no REFERENCES
    owner               TEXT    NOT NULL,
    created_by          TEXT    NOT NULL,
    origin_delivery_id  INTEGER,
    root_uid            TEXT,
    depth               INTEGER NOT NULL CHECK (depth >= 0),
    -- where it stands
    revision            INTEGER NOT NULL CHECK (revision > 0),
    state               TEXT    NOT NULL CHECK (state IN ('active', 'paused', 'completed', 'cancelled')),
    state_reason        TEXT,
    paused_until        INTEGER,
    next_fire_at        INTEGER,
    last_fire_at        INTEGER,
    fire_count          INTEGER NOT NULL CHECK (fire_count >= 0),
    finals_in_row       INTEGER NOT NULL CHECK (finals_in_row >= 0),
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    -- last, because it may be long: a search by any other column then never reads through it
    prompt              TEXT    NOT NULL
) STRICT;
INSERT INTO "schedules" VALUES(1,'uid-1','agent-11111111-1111-4111-8111-111111111111','inbox',NULL,NULL,'stretch',NULL,'interval','5m','UTC',1772442000000000,NULL,NULL,0,'latest',NULL,'skip',86400000000,NULL,'brief','22:00-07:00 mon-fri','operator','operator',NULL,NULL,0,1,'active',NULL,NULL,1772442300000000,NULL,0,0,1772442000000000,1772442000000000,'stretch');
INSERT INTO "schedules" VALUES(2,'uid-2','agent-11111111-1111-4111-8111-111111111111','inbox',NULL,'daily',NULL,NULL,'cron','0 9 * * *','Europe/Riga',1772442000000000,NULL,NULL,0,'latest',NULL,'skip',86400000000,NULL,'brief',NULL,'operator','operator',NULL,NULL,0,1,'paused','because',NULL,1772442300000000,1772442000000000,3,0,1772442000000000,1772442000000000,'stretch');
INSERT INTO "schedules" VALUES(3,'uid-3','agent-11111111-1111-4111-8111-111111111111','inbox',NULL,NULL,NULL,NULL,'once','2026-07-01T09:00','Europe/Riga',1782810000000000,NULL,NULL,0,'latest',NULL,'skip',86400000000,NULL,'brief',NULL,'operator','operator',NULL,NULL,0,1,'active',NULL,NULL,1772442300000000,NULL,0,0,1772442000000000,1772442000000000,'stretch');
CREATE TABLE stop_switch (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    reason  TEXT,
    since   INTEGER NOT NULL,
    until   INTEGER
) STRICT;
CREATE TABLE target_health (
    target   TEXT    NOT NULL PRIMARY KEY,
    is_open  INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    reason   TEXT,
    since    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX schedules_key ON schedules (agent_id, key) WHERE key IS NOT NULL;
CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE state = 'active';
CREATE INDEX schedules_resume ON schedules (paused_until) WHERE state = 'paused';
CREATE INDEX schedules_agent ON schedules (agent_id);
CREATE INDEX schedules_owner ON schedules (owner, state, created_at);
CREATE INDEX schedules_root ON schedules (root_uid, state) WHERE root_uid IS NOT NULL;
CREATE INDEX lanes_free ON lanes (next_due_at, lane) WHERE lease_token IS NULL AND next_due_at IS NOT NULL;
CREATE INDEX lanes_free_in_flight ON lanes (next_due_at, lane)
    WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND is_in_flight = 1;
CREATE INDEX lanes_held ON lanes (leased_until) WHERE lease_token IS NOT NULL;
CREATE INDEX deliveries_of_schedule ON deliveries (schedule_id, created_at);
CREATE INDEX deliveries_of_lane ON deliveries (lane);
CREATE INDEX deliveries_unfinished ON deliveries (schedule_id, fire_at)
    WHERE state IN ('pending', 'leased', 'accepted', 'unknown');
CREATE UNIQUE INDEX deliveries_head ON deliveries (schedule_id, kind) WHERE is_head = 1;
CREATE INDEX deliveries_next ON deliveries (lane, fire_at, id, due_at) WHERE is_head = 1 AND state = 'pending';
CREATE INDEX deliveries_due ON deliveries (lane, due_at) WHERE is_head = 1 AND state = 'pending';
CREATE INDEX deliveries_in_flight ON deliveries (lane, due_at) WHERE state IN ('leased', 'accepted', 'unknown');
CREATE INDEX deliveries_refused ON deliveries (target, due_at) WHERE state = 'pending' AND refusals > 0;
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX facts_at ON facts (at);
CREATE INDEX facts_of_schedule ON facts (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX facts_of_delivery ON facts (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE TRIGGER facts_append_only BEFORE UPDATE ON facts
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;
CREATE INDEX inbox_unread ON inbox (agent_id) WHERE acked_at IS NULL;
CREATE INDEX inbox_agent ON inbox (agent_id);
CREATE INDEX inbox_acked ON inbox (acked_at) WHERE acked_at IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('schedules',3);
INSERT INTO "sqlite_sequence" VALUES('facts',2);
INSERT INTO "sqlite_sequence" VALUES('deliveries',1);
INSERT INTO "sqlite_sequence" VALUES('attempts',1);
COMMIT;
