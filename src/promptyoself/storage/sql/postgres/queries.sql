-- Every statement of the PostgreSQL store. A block starts with its name, then says why; loaded by storage/queries.py.
-- Parameters are named (`:name`; written as CAST(x AS y), for `::` would look like one). One that PostgreSQL cannot tell
-- the type of from where it stands is cast. Instants are microseconds, see migrations/0001_initial.sql.
-- `schedules.*` stands for the columns that columns.sql lists, and so does that of any other table.
-- What a subquery has picked is compared as an array: for a prepared statement LIMIT :limit stands for a tenth of the
-- table, and a join with that would read all of it.
-- Locks: a schedule, then its deliveries, then lanes in the order of their names, then the journal (decision 0026).

-- == the database itself ==========================================================================================

-- name: our_columns
-- Ours, when all four are there: `migrations` alone is a name that many programs give a table.
SELECT count(*) AS ours FROM pg_attribute
WHERE (attrelid, attname) IN (
    (to_regclass(concat(quote_ident(current_schema()), '.migrations')), 'number'),
    (to_regclass(concat(quote_ident(current_schema()), '.migrations')), 'checksum'),
    (to_regclass(concat(quote_ident(current_schema()), '.meta')), 'name'),
    (to_regclass(concat(quote_ident(current_schema()), '.meta')), 'value'))

-- name: any_object
-- What the schema holds already, but for what extensions bring with them.
SELECT relname AS name FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
ORDER BY relname LIMIT 1

-- name: recorded_migrations
-- Compared with our own at each opening.
SELECT number, checksum FROM migrations ORDER BY number

-- name: record_migration
-- In the transaction of the migration itself.
INSERT INTO migrations (number, name, checksum) VALUES (:number, :name, :checksum)

-- name: set_store_uid
-- Once, with the first migration.
INSERT INTO meta (name, value) VALUES ('store_uid', :uid)

-- name: store_uid
-- Given once, when the database was made: part of every idempotency key.
SELECT value FROM meta WHERE name = 'store_uid'

-- name: settle
-- What every connection begins with, and whether it is one for us: in one round trip. One plan for each statement, made
-- for any values and by its indexes: of those with arrays PostgreSQL would make a new one each time, which takes longer
-- than they do, and one that was made while a table was small would go on to read all of it. What an administrator may
-- have set for a database or a role stands back for ours: bounds, which would end a connection that waits for news or a
-- transaction that is well, and how instants are written, of which the driver reads ISO's alone.
SELECT
    current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding,
    current_schema() AS schema,
    set_config('lock_timeout', :lock_ms, false), set_config('statement_timeout', :statement_ms, false),
    set_config('idle_in_transaction_session_timeout', :idle_ms, false), set_config('idle_session_timeout', '0', false),
    CASE WHEN CAST(current_setting('server_version_num') AS integer) >= 170000
        THEN set_config('transaction_timeout', '0', false) END,
    set_config('datestyle', 'ISO', false), set_config('intervalstyle', 'postgres', false),
    set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
    set_config('jit', 'off', false)

-- name: settle_link
-- The same for a connection that listens: it is idle nearly always.
SELECT set_config('idle_session_timeout', '0', false), set_config('datestyle', 'ISO', false)

-- name: snapshot
-- Differs after every commit that wrote, by whomever.
SELECT CAST(pg_current_snapshot() AS text) AS snapshot

-- name: problems
-- What a check of every row would find is pg_amcheck's to say: it reads all of it.
SELECT concat('the index ', relname, ' is not valid') AS problem
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND NOT indisvalid ORDER BY 1

-- == schedules ====================================================================================================

-- name: add_schedule
-- Active and at revision 1. A key that its agent has already keeps the row out, and raises nothing: an error would
-- undo the whole transaction here.
INSERT INTO schedules (
    uid, agent_id, prompt, target, conversation, key, name, max_repetitions,
    trigger_kind, trigger_expression, trigger_timezone, trigger_anchor_at, trigger_start_at, trigger_end_at,
    trigger_jitter_us, catch_up, catch_up_window_us, overlap, retry_for_us, expires_after_us, envelope, quiet_hours,
    skip_on, replies, content, owner, created_by, origin_delivery_id, root_uid, depth,
    revision, state, next_fire_at, fire_count, finals_in_row, created_at, updated_at
) VALUES (
    :uid, :agent_id, :prompt, :target, :conversation, :key, :name, :max_repetitions,
    :trigger_kind, :trigger_expression, :trigger_timezone, :trigger_anchor_at, :trigger_start_at, :trigger_end_at,
    :trigger_jitter_us, :catch_up, :catch_up_window_us, :overlap, :retry_for_us, :expires_after_us, :envelope,
    :quiet_hours, :skip_on, :replies, :content, :owner, :created_by, :origin_delivery_id, :root_uid, :depth,
    1, 'active', :next_fire_at, 0, 0, :created_at, :created_at
)
ON CONFLICT (agent_id, key) WHERE key IS NOT NULL DO NOTHING
RETURNING id

-- name: schedule
-- By id. A writing transaction adds FOR UPDATE, here and wherever schedules are read (postgres_statements.py).
SELECT schedules.* FROM schedules WHERE id = :id

-- name: schedule_by_uid
-- What was exported knows its schedule by the uid.
SELECT schedules.* FROM schedules WHERE uid = :uid

-- name: schedule_by_key
-- In whatever state: registering a key again must find the schedule that has it.
SELECT schedules.* FROM schedules WHERE agent_id = :agent_id AND key = :key

-- name: schedules
-- All of them, or as filters say; walks the primary key, so that a page costs what it shows and what it passes over.
SELECT schedules.* FROM schedules
WHERE id > :after_id
    AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_of_agent
-- One agent's (and perhaps one owner's): by its own index, since most lists are these.
SELECT schedules.* FROM schedules
WHERE agent_id = :agent_id AND id > :after_id AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_of_owner
-- What one owner made, for whatever agent.
SELECT schedules.* FROM schedules
WHERE owner = :owner AND id > :after_id
    AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_coming
-- What fires within a span: the index of next fire times finds it, and only that is sorted by id.
SELECT schedules.* FROM schedules
WHERE state = 'active' AND next_fire_at >= coalesce(CAST(:next_from AS bigint), 0) AND next_fire_at <= coalesce(CAST(:next_until AS bigint), 9223372036854775807)
    AND id > :after_id AND (CAST(:agent_id AS text) IS NULL OR agent_id = :agent_id) AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_soonest
-- What fires next first: the index of next fire times has them in this order, so that a page costs what it shows and
-- what it passes over.
SELECT schedules.* FROM schedules
WHERE state = 'active' AND next_fire_at >= coalesce(CAST(:next_from AS bigint), 0)
    AND next_fire_at <= coalesce(CAST(:next_until AS bigint), 9223372036854775807)
    AND (CAST(:agent_id AS text) IS NULL OR agent_id = :agent_id) AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY next_fire_at, id LIMIT :limit

-- name: schedules_resting
-- What does not fire, the newest first: read only when a page is not filled by what does.
SELECT schedules.* FROM schedules
WHERE (state <> 'active' OR next_fire_at IS NULL)
    AND (CAST(:agent_id AS text) IS NULL OR agent_id = :agent_id) AND (CAST(:owner AS text) IS NULL OR owner = :owner)
    AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
    AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
    AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
ORDER BY id DESC LIMIT :limit

-- name: schedules_counted
-- How many there are, up to a limit: beyond it nobody needs the number, and all the rows would be read for it.
SELECT count(*) AS found FROM (
    SELECT 1 FROM schedules
    WHERE (CAST(:next_from AS bigint) IS NULL OR (state = 'active' AND next_fire_at >= :next_from))
        AND (CAST(:next_until AS bigint) IS NULL OR (state = 'active' AND next_fire_at <= :next_until))
        AND (CAST(:agent_id AS text) IS NULL OR agent_id = :agent_id) AND (CAST(:owner AS text) IS NULL OR owner = :owner)
        AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
        AND (CAST(:kinds AS text) IS NULL OR trigger_kind IN (SELECT json_array_elements_text(CAST(:kinds AS json))))
        AND (CAST(:target AS text) IS NULL OR target = :target) AND (CAST(:key AS text) IS NULL OR key = :key)
        AND (CAST(:name_part AS text) IS NULL OR strpos(lower(name COLLATE "C"), lower(CAST(:name_part AS text) COLLATE "C")) > 0)
    LIMIT :limit) AS counted

-- name: schedules_due
-- Two sorted indexes merged: a pass over a large backlog reads only the rows it takes.
SELECT * FROM (
    SELECT schedules.*, next_fire_at AS wake_at FROM schedules WHERE state = 'active' AND next_fire_at <= :now
    ORDER BY next_fire_at, id LIMIT :limit) AS due
UNION ALL
SELECT * FROM (
    SELECT schedules.*, paused_until AS wake_at FROM schedules WHERE state = 'paused' AND paused_until <= :now
    ORDER BY paused_until, id LIMIT :limit) AS resting
ORDER BY wake_at, id LIMIT :limit

-- name: take_planners_turn
-- Whose transaction plans, for the rest of it: the next statement is one of its own, and sees what the last one stored.
-- Its commit does not wait for the disk: what a crash takes of it is due again, and was not sent, for the commit that
-- claims it comes later, and waits for both.
SELECT
    set_config('promptyoself.plans',
        CASE WHEN pg_try_advisory_xact_lock(hashtextextended(:name, 0)) THEN 'yes' ELSE 'no' END, true) = 'yes' AS is_ours,
    set_config('synchronous_commit', 'off', true) AS commits

-- name: take_schedules_due
-- The same for the planner whose turn it is: none waits for what a command has in hand.
WITH due AS (
    SELECT schedules.*, next_fire_at AS wake_at FROM schedules
    WHERE state = 'active' AND next_fire_at <= :now AND current_setting('promptyoself.plans', true) = 'yes'
    ORDER BY next_fire_at, id LIMIT :limit FOR UPDATE SKIP LOCKED),
resting AS (
    SELECT schedules.*, paused_until AS wake_at FROM schedules
    WHERE state = 'paused' AND paused_until <= :now AND current_setting('promptyoself.plans', true) = 'yes'
    ORDER BY paused_until, id LIMIT :limit FOR UPDATE SKIP LOCKED)
SELECT * FROM due UNION ALL SELECT * FROM resting ORDER BY wake_at, id LIMIT :limit

-- name: look_ahead
-- In one trip with take_schedules_due, and a statement of its own, so that it sees what was committed before those were
-- taken: what is unfinished of each, which fire times are stored already, and ids for new deliveries, which facts name.
-- It looks for the same, but for what others have in hand: what was taken instead of these is not in it. Of few, an id
-- for an attempt also, where this one may claim what it plans: the lane has nothing to do and is nobody's, and nobody
-- waits in the queue of its target.
WITH due AS MATERIALIZED (
    SELECT
        id, revision, next_fire_at, target, target || ' ' || agent_id || coalesce(' ' || conversation, '') AS lane
    FROM schedules
    WHERE state = 'active' AND next_fire_at <= :now AND current_setting('promptyoself.plans', true) = 'yes'
    ORDER BY next_fire_at, id LIMIT :limit)
SELECT
    due.id AS due_id, nextval(pg_get_serial_sequence('deliveries', 'id')) AS new_id,
    ARRAY (
        SELECT fire_at FROM deliveries AS old
        WHERE old.schedule_id = due.id AND old.revision = due.revision AND old.kind = 'scheduled'
            AND old.fire_at >= due.next_fire_at) AS stored,
    CASE WHEN (SELECT count(*) FROM due) <= CAST(:few AS integer) AND due.target = ANY (CAST(:targets AS text[]))
        AND coalesce((
            SELECT lease_token IS NULL AND next_due_at IS NULL FROM lanes WHERE lanes.lane = due.lane LIMIT 1), true)
        AND NOT EXISTS (SELECT 1 FROM stop_switch WHERE until IS NULL OR until > :now)
        AND (SELECT id FROM pgqueuer WHERE entrypoint = due.target COLLATE "default" AND status = 'queued' LIMIT 1) IS NULL
        THEN nextval(pg_get_serial_sequence('attempts', 'id')) END AS attempt_id,
    deliveries.*
FROM due LEFT JOIN deliveries
    ON deliveries.schedule_id = due.id AND deliveries.state IN ('pending', 'leased', 'accepted', 'unknown')

-- name: unfinished_of_schedules
-- For a planner: of all schedules that it has taken.
SELECT deliveries.* FROM deliveries
WHERE schedule_id = ANY (CAST(:ids AS bigint[])) AND state IN ('pending', 'leased', 'accepted', 'unknown')
ORDER BY schedule_id, fire_at, id

-- name: occurrences_of_schedules
-- For a planner: what it may want to store and is there already.
-- Schedule by schedule: a plan that joins, made while there was nothing, reads all deliveries.
SELECT found.schedule_id, found.fire_at
FROM unnest(CAST(:ids AS bigint[]), CAST(:revisions AS bigint[]), CAST(:since AS bigint[])) AS due (id, revision, since)
CROSS JOIN LATERAL (
    SELECT schedule_id, fire_at FROM deliveries
    WHERE schedule_id = due.id AND revision = due.revision AND kind = 'scheduled' AND fire_at >= due.since
    OFFSET 0
) AS found

-- name: delivery_ids
-- Ids of deliveries to come: facts name them, and go out in the same trip.
SELECT nextval(pg_get_serial_sequence('deliveries', 'id')) AS id FROM generate_series(1, CAST(:count AS integer))

-- name: plan_deliveries
-- Of schedules in hand, of which it was asked what is there already: a row that is, is a fault, and undoes all.
INSERT INTO deliveries (
    id, schedule_id, revision, kind, target, lane, key, fire_at, planned_at, snoozed_until, fire_number, missed, state,
    reason, due_at, attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, finished_at, created_at,
    is_head, lease_token, first_sent_at, sent_at
)
SELECT
    id, schedule_id, revision, kind, target, lane, key, fire_at, planned_at, snoozed_until, fire_number, missed, state,
    reason, due_at, attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, finished_at, created_at,
    is_head, lease_token, first_sent_at, sent_at
FROM json_populate_recordset(CAST(NULL AS deliveries), CAST(:rows AS json))

-- name: lock_schedule
-- Before anything of its deliveries is looked at in order to be changed.
SELECT id FROM schedules WHERE id = :id FOR UPDATE

-- name: lock_schedule_of_delivery
-- The schedule first, always: then nobody who has it waits for one of its deliveries.
SELECT id FROM schedules WHERE id = (SELECT schedule_id FROM deliveries WHERE id = :id) FOR UPDATE

-- name: lock_name
-- For what has no row to lock: a key that nobody has yet, a count. Held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))

-- name: pause
-- Within a transaction the server itself waits: one that only stands still is undone.
SELECT pg_sleep(:s)

-- name: try_names
-- The planner waits for no command that counts against the same limits.
SELECT name FROM json_array_elements_text(CAST(:names AS json)) AS wanted (name)
WHERE pg_try_advisory_xact_lock(hashtextextended(name, 0))

-- name: add_schedules
-- Many at once, given as JSON; their ids in the order given.
INSERT INTO schedules (
    uid, agent_id, prompt, target, conversation, key, name, max_repetitions,
    trigger_kind, trigger_expression, trigger_timezone, trigger_anchor_at, trigger_start_at, trigger_end_at,
    trigger_jitter_us, catch_up, catch_up_window_us, overlap, retry_for_us, expires_after_us, envelope, quiet_hours,
    skip_on, replies, content, owner, created_by, origin_delivery_id, root_uid, depth,
    revision, state, next_fire_at, fire_count, finals_in_row, created_at, updated_at)
SELECT
    uid, agent_id, prompt, target, conversation, key, name, max_repetitions,
    trigger_kind, trigger_expression, trigger_timezone, trigger_anchor_at, trigger_start_at, trigger_end_at,
    trigger_jitter_us, catch_up, catch_up_window_us, overlap, retry_for_us, expires_after_us, envelope, quiet_hours,
    skip_on, replies, content, owner, created_by, origin_delivery_id, root_uid, depth,
    1, 'active', next_fire_at, 0, 0, created_at, created_at
FROM json_populate_recordset(CAST(NULL AS schedules), CAST(:rows AS json))
ON CONFLICT (agent_id, key) WHERE key IS NOT NULL DO NOTHING
RETURNING id

-- name: save_schedule
-- Every column that may change, unless its key is another's of its agent: that would be an error of the UNIQUE index,
-- which undoes the whole transaction here.
UPDATE schedules SET
    agent_id = :agent_id, prompt = :prompt, target = :target, conversation = :conversation, key = :key, name = :name,
    max_repetitions = :max_repetitions,
    trigger_kind = :trigger_kind, trigger_expression = :trigger_expression, trigger_timezone = :trigger_timezone,
    trigger_anchor_at = :trigger_anchor_at, trigger_start_at = :trigger_start_at, trigger_end_at = :trigger_end_at,
    trigger_jitter_us = :trigger_jitter_us,
    catch_up = :catch_up, catch_up_window_us = :catch_up_window_us, overlap = :overlap, retry_for_us = :retry_for_us,
    expires_after_us = :expires_after_us, envelope = :envelope, quiet_hours = :quiet_hours, skip_on = :skip_on,
    replies = :replies, content = :content,
    owner = :owner, created_by = :created_by, origin_delivery_id = :origin_delivery_id, root_uid = :root_uid,
    depth = :depth,
    revision = :revision, state = :state, state_reason = :state_reason, paused_until = :paused_until,
    next_fire_at = :next_fire_at, passed_until = :passed_until, last_fire_at = :last_fire_at, fire_count = :fire_count,
    finals_in_row = :finals_in_row, updated_at = :updated_at
WHERE id = :id AND (CAST(:key AS text) IS NULL OR NOT EXISTS (
    SELECT 1 FROM schedules AS other WHERE other.agent_id = :agent_id AND other.key = :key AND other.id <> :id))

-- name: calendar
-- Content of a calendar, by the key that a schedule holds.
SELECT content FROM calendars WHERE key = :key

-- name: add_calendar
-- Another process may have been quicker: the same key is the same content.
INSERT INTO calendars (key, name, content) VALUES (:key, :name, :content) ON CONFLICT (key) DO NOTHING

-- name: prune_calendars
-- Those that no schedule names any more.
DELETE FROM calendars WHERE key = ANY (ARRAY(
    SELECT key FROM calendars WHERE NOT EXISTS (SELECT 1 FROM schedules WHERE schedules.skip_on = calendars.key)
    LIMIT :limit FOR UPDATE SKIP LOCKED))

-- name: schedule_state
-- Before a save: only a pause or its end changes what a lane may do.
SELECT state FROM schedules WHERE id = :id

-- name: guard_usage
-- Paused schedules are counted again when they are resumed. What was never to be sent does not count.
SELECT
    (SELECT count(*) FROM schedules WHERE owner = :owner AND state = 'active') AS active,
    (SELECT count(*) FROM schedules WHERE owner = :owner AND created_at >= :since) AS created,
    (SELECT count(*) FROM schedules JOIN deliveries ON deliveries.schedule_id = schedules.id
     WHERE schedules.owner = :owner AND deliveries.created_at >= :since
         AND deliveries.state NOT IN ('skipped', 'cancelled')) AS deliveries

-- name: live_descendants
-- The first of a chain has no root_uid and is not its own descendant.
SELECT count(*) AS live FROM schedules WHERE root_uid = :root_uid AND state IN ('active', 'paused')

-- == deliveries ===================================================================================================

-- name: keep_lanes
-- Makes them, unless they are there, before their first deliveries, which refer to them. Retention deletes empty lanes:
-- not these, until the transaction ends. First those that are there: an INSERT would wait for whoever has just written to
-- one of them. What others make or delete meanwhile is in neither answer. In the order of their names, as all are locked.
WITH kept AS MATERIALIZED (
    SELECT lane FROM lanes WHERE lane = ANY (CAST(:lanes AS text[])) ORDER BY lane FOR KEY SHARE),
made AS (
    INSERT INTO lanes (lane, target)
    SELECT lane, target FROM json_populate_recordset(CAST(NULL AS lanes), CAST(:rows AS json))
    WHERE lane NOT IN (SELECT lane FROM kept) ORDER BY lane
    ON CONFLICT (lane) DO NOTHING RETURNING lane)
SELECT lane AS name FROM kept UNION ALL SELECT lane FROM made

-- name: add_delivery
-- One occurrence, one row: a second plan of the same fire time stores nothing, and is no error.
INSERT INTO deliveries (
    schedule_id, revision, kind, target, lane, key, fire_at, planned_at, snoozed_until, fire_number, missed, state,
    reason, due_at, attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, finished_at, created_at
) VALUES (
    :schedule_id, :revision, :kind, :target, :lane, :key, :fire_at, :planned_at, :snoozed_until, :fire_number, :missed,
    :state, :reason, :due_at, :attempts, :refusals, :failures, :maybe_repeat, :retry_until, :cancel_requested,
    :finished_at, :created_at
)
ON CONFLICT (schedule_id, revision, kind, fire_at) DO NOTHING
RETURNING id

-- name: delivery
-- By id.
SELECT deliveries.* FROM deliveries WHERE id = :id

-- name: delivery_in_progress
-- What an agent is working on: a schedule that it makes meanwhile descends from it. Few schedules an agent have
-- anything in flight, so walking them by the agent's index is cheap.
SELECT deliveries.* FROM schedules AS s JOIN deliveries ON deliveries.schedule_id = s.id
WHERE s.agent_id = :agent_id AND deliveries.state IN ('leased', 'accepted', 'unknown') AND deliveries.sent_at >= :since
ORDER BY deliveries.sent_at DESC LIMIT 1

-- name: deliveries
-- The newest of all; walks the primary key backwards.
SELECT deliveries.* FROM deliveries
WHERE id < :before_id AND (CAST(:states AS text) IS NULL OR state IN (SELECT json_array_elements_text(CAST(:states AS json))))
ORDER BY id DESC LIMIT :limit

-- name: deliveries_unfinished
-- The same of those in these states, when none of them is final: there are few, and an index has them alone. `id + 0`
-- keeps PostgreSQL from walking the primary key, through all that is over.
SELECT deliveries.* FROM deliveries
WHERE state IN ('pending', 'leased', 'accepted', 'unknown') AND id + 0 < :before_id
    AND state IN (SELECT json_array_elements_text(CAST(:states AS json)))
ORDER BY id + 0 DESC LIMIT :limit

-- name: deliveries_of_schedule
-- One schedule's history. The ids are found and cut to a page within the index; only the page is read whole.
SELECT deliveries.* FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.id = :schedule_id AND deliveries.id < :before_id
        AND (CAST(:states AS text) IS NULL OR deliveries.state IN (SELECT json_array_elements_text(CAST(:states AS json))))
        AND (CAST(:agent_id AS text) IS NULL OR schedules.agent_id = :agent_id) AND (CAST(:owner AS text) IS NULL OR schedules.owner = :owner)
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: deliveries_of_agent
-- The same for all schedules of one agent (and perhaps one owner).
SELECT deliveries.* FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.agent_id = :agent_id AND (CAST(:owner AS text) IS NULL OR schedules.owner = :owner)
        AND deliveries.id < :before_id
        AND (CAST(:states AS text) IS NULL OR deliveries.state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: deliveries_of_owner
-- The same for all schedules of one owner.
SELECT deliveries.* FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.owner = :owner AND deliveries.id < :before_id
        AND (CAST(:states AS text) IS NULL OR deliveries.state IN (SELECT json_array_elements_text(CAST(:states AS json))))
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: unfinished_deliveries
-- What an edit, a pause or a newer fire time has to decide about.
SELECT deliveries.* FROM deliveries
WHERE schedule_id = :schedule_id AND state IN ('pending', 'leased', 'accepted', 'unknown')
ORDER BY fire_at, id

-- name: snoozed
-- What was put off and is still to come, for lists: it comes before the schedule's next fire time. Reads what is
-- unfinished, which is little beside what there has been.
SELECT schedule_id, min(snoozed_until) AS comes_at FROM deliveries
WHERE state IN ('pending', 'leased', 'accepted', 'unknown') AND state = 'pending' AND snoozed_until > :now
GROUP BY schedule_id

-- name: save_delivery
-- Guarded by state and lease token: a runner that lost its lane must not overwrite its successor.
UPDATE deliveries SET
    planned_at = :planned_at, snoozed_until = :snoozed_until, fire_number = :fire_number, missed = :missed,
    state = :state, reason = :reason, error_code = :error_code, due_at = :due_at, lease_token = :lease_token,
    attempts = :attempts, refusals = :refusals, failures = :failures, maybe_repeat = :maybe_repeat,
    retry_until = :retry_until, unknown_since = :unknown_since, cancel_requested = :cancel_requested,
    run_id = :run_id, reply_excerpt = :reply_excerpt, first_sent_at = :first_sent_at, sent_at = :sent_at,
    accepted_at = :accepted_at, finished_at = :finished_at,
    is_head = CASE WHEN CAST(:finished_at AS bigint) IS NULL THEN is_head ELSE 0 END
WHERE id = :id AND state = :was_state AND lease_token IS NOT DISTINCT FROM :was_lease_token

-- name: take_turn
-- Whose turn it is within a schedule: the earliest unfinished of its kind, leaving aside what a pause holds back. A
-- run_now is asked for by a person: neither a pause nor a fire time that waits for its retry holds it up. Any other loses
-- it first: a UNIQUE index allows one head a schedule and kind.
UPDATE deliveries SET is_head = 0
WHERE schedule_id = :schedule_id AND kind = :kind AND is_head = 1 AND id IS DISTINCT FROM (
    SELECT id FROM deliveries
    WHERE schedule_id = :schedule_id AND kind = :kind AND state IN ('pending', 'leased', 'accepted', 'unknown')
        AND (state <> 'pending' OR kind = 'run_now'
            OR NOT EXISTS (SELECT 1 FROM schedules WHERE id = :schedule_id AND state = 'paused'))
    ORDER BY fire_at, id LIMIT 1)
RETURNING lane

-- name: give_turn
-- To the same one, unless it has the turn already. Both name the lanes that need a new look.
UPDATE deliveries SET is_head = 1
WHERE is_head = 0 AND id = (
    SELECT id FROM deliveries
    WHERE schedule_id = :schedule_id AND kind = :kind AND state IN ('pending', 'leased', 'accepted', 'unknown')
        AND (state <> 'pending' OR kind = 'run_now'
            OR NOT EXISTS (SELECT 1 FROM schedules WHERE id = :schedule_id AND state = 'paused'))
    ORDER BY fire_at, id LIMIT 1)
RETURNING lane

-- name: refresh_lane
-- While something is in flight, only that matters; else the first due among those whose turn it is. The rows are locked
-- already (lock_lanes): what others have committed is seen here, or they come after us.
UPDATE lanes SET
    next_due_at = coalesce(
        (SELECT min(due_at) FROM deliveries
         WHERE deliveries.lane = lanes.lane AND state IN ('leased', 'accepted', 'unknown')),
        (SELECT min(due_at) FROM deliveries WHERE deliveries.lane = lanes.lane AND is_head = 1 AND state = 'pending')),
    is_in_flight = CAST(EXISTS (
        SELECT 1 FROM deliveries
        WHERE deliveries.lane = lanes.lane AND state IN ('leased', 'accepted', 'unknown')) AS integer)
WHERE lane = ANY (CAST(:lanes AS text[]))

-- name: lock_lanes
-- In the order of their names, so that no two transactions wait for each other. NO KEY: who adds a delivery does not wait.
SELECT lane FROM lanes WHERE lane = ANY (CAST(:lanes AS text[]))
ORDER BY lane FOR NO KEY UPDATE

-- name: hasten_target
-- The target is well again: what waits because it refused everybody (its reason says so) waits no longer. What somebody
-- has in hand just now, or its schedule, is left to him.
UPDATE deliveries SET due_at = :now WHERE id = ANY (ARRAY(
    SELECT deliveries.id FROM deliveries JOIN schedules ON schedules.id = deliveries.schedule_id
    WHERE deliveries.target = :target AND deliveries.state = 'pending' AND deliveries.refusals > 0
        AND deliveries.due_at > :now
        AND substr(deliveries.reason, 1, length(CAST(:prefix AS text))) = :prefix
    FOR UPDATE SKIP LOCKED))
RETURNING lane

-- == attempts =====================================================================================================

-- name: add_attempt
-- Numbered within its delivery, from 1; of a delivery that is there.
INSERT INTO attempts (delivery_id, number, executor_id, otid, started_at, outcome)
SELECT CAST(:delivery_id AS bigint), 1 + coalesce(max(number), 0), CAST(:executor_id AS text), CAST(:otid AS text), CAST(:started_at AS bigint), 'open'
FROM attempts WHERE delivery_id = :delivery_id
HAVING EXISTS (SELECT 1 FROM deliveries WHERE id = :delivery_id)
RETURNING id

-- name: attempt
-- By id: what was just stored, with the number it was given.
SELECT attempts.* FROM attempts WHERE id = :id

-- name: finish_attempt
-- Also while the run goes on (finished_at NULL), to keep its run id. What is known is not forgotten.
UPDATE attempts SET
    outcome = :outcome, finished_at = :finished_at, error_code = :error_code, status = coalesce(CAST(:status AS bigint), status),
    run_id = coalesce(CAST(:run_id AS text), run_id), detail = :detail
WHERE id = :id

-- name: attempts
-- First to last.
SELECT attempts.* FROM attempts WHERE delivery_id = :delivery_id ORDER BY number

-- == lanes ========================================================================================================

-- name: lane_counts
-- For metrics: reads the table once; it has a row for each agent, not for each delivery.
SELECT CASE
        WHEN leased_until > :now THEN 'held'
        WHEN next_due_at <= :now THEN 'due'
        WHEN next_due_at IS NOT NULL THEN 'waiting'
        ELSE 'idle'
    END AS state, count(*) AS lanes
FROM lanes GROUP BY 1

-- name: ready_lanes
-- Free ones come sorted from their index; those whose lease has run out are few, and sorted in.
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND next_due_at <= :now
    AND (CAST(:targets AS text) IS NULL OR target IN (SELECT json_array_elements_text(CAST(:targets AS json))))
UNION ALL
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at <= :now
    AND (CAST(:targets AS text) IS NULL OR target IN (SELECT json_array_elements_text(CAST(:targets AS json))))
ORDER BY next_due_at, lane LIMIT :limit

-- name: ready_lanes_stopped
-- While the stop switch is on: nothing new is sent, what is in flight is still followed.
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND is_in_flight = 1 AND next_due_at <= :now
    AND (CAST(:targets AS text) IS NULL OR target IN (SELECT json_array_elements_text(CAST(:targets AS json))))
UNION ALL
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at <= :now AND is_in_flight = 1
    AND (CAST(:targets AS text) IS NULL OR target IN (SELECT json_array_elements_text(CAST(:targets AS json))))
ORDER BY next_due_at, lane LIMIT :limit

-- name: lease_lane
-- Guarded: of two that ask, one finds the row changed.
UPDATE lanes SET lease_token = :token, leased_until = :until, executor_id = :executor_id
WHERE lane = :lane AND (lease_token IS NULL OR leased_until <= :now OR lease_token = :token)

-- name: release_lane
-- Only by its holder: a late release must not free the lane of the next one.
UPDATE lanes SET lease_token = NULL, leased_until = NULL, executor_id = NULL
WHERE lane = :lane AND lease_token = :token

-- name: renew_lanes
-- All at once: thousands of lanes wait in one process. A row that somebody has in hand is renewed the next time: one
-- who has stopped with it must not keep the others from being renewed.
UPDATE lanes SET leased_until = :until WHERE lane = ANY (ARRAY(
    SELECT lane FROM lanes WHERE lease_token IS NOT NULL AND executor_id = :executor_id FOR NO KEY UPDATE SKIP LOCKED))

-- name: cut_leases
-- A lease that ends further ahead than any can was given by a clock that has been set back since: its runner, if it
-- lives, renews it; if not, the lane must not wait for that clock. A minute is left to those whose leases are longer than
-- a node's (`execute`).
UPDATE lanes SET leased_until = :until WHERE lane = ANY (ARRAY(
    SELECT lane FROM lanes WHERE lease_token IS NOT NULL AND leased_until > CAST(:until AS bigint) + 60000000
    FOR NO KEY UPDATE SKIP LOCKED))

-- name: lane_holder
-- Nobody, once the lease has run out.
SELECT executor_id FROM lanes WHERE lane = :lane AND lease_token IS NOT NULL AND leased_until > :now

-- name: in_flight_in_lane
-- It blocks the lane until its own due time, whatever else is due.
SELECT deliveries.* FROM deliveries WHERE lane = :lane AND state IN ('leased', 'accepted', 'unknown') ORDER BY due_at, id LIMIT 1

-- name: pending_in_lane
-- The oldest fire time first among those due; one that waits for its retry may be overtaken by other schedules'.
-- `+due_at` keeps SQLite from the index by due time: with ten thousand due it would sort them all to find the first.
SELECT deliveries.* FROM deliveries WHERE id = (
    SELECT id FROM deliveries
    WHERE lane = :lane AND is_head = 1 AND state = 'pending' AND due_at + 0 <= :now
    ORDER BY fire_at, id LIMIT 1)

-- name: next_wake_at
-- Each arm reads one end of one index; lanes that are due up to :after are left out. A lease that has run out no longer counts: its lane is as good as free.
SELECT min(wake_at) AS wake_at FROM (
    SELECT min(next_fire_at) AS wake_at FROM schedules WHERE state = 'active'
    UNION ALL
    SELECT min(paused_until) FROM schedules WHERE state = 'paused'
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND next_due_at > CAST(:after AS bigint)
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at > CAST(:after AS bigint)
    UNION ALL
    SELECT * FROM (
        SELECT leased_until FROM lanes
        WHERE lease_token IS NOT NULL AND leased_until > :now AND next_due_at IS NOT NULL
        ORDER BY leased_until LIMIT 1) AS held
) AS wakes

-- name: next_wake_at_stopped
-- While the stop switch is on: schedules are still planned, what is in flight is followed, and the switch may have an end.
SELECT min(wake_at) AS wake_at FROM (
    SELECT min(next_fire_at) AS wake_at FROM schedules WHERE state = 'active'
    UNION ALL
    SELECT min(paused_until) FROM schedules WHERE state = 'paused'
    UNION ALL
    SELECT min(until) FROM stop_switch
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND is_in_flight = 1 AND next_due_at > CAST(:after AS bigint)
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NOT NULL AND leased_until <= :now AND is_in_flight = 1 AND next_due_at > CAST(:after AS bigint)
    UNION ALL
    SELECT * FROM (
        SELECT leased_until FROM lanes
        WHERE lease_token IS NOT NULL AND leased_until > :now AND next_due_at IS NOT NULL AND is_in_flight = 1
        ORDER BY leased_until LIMIT 1) AS held
) AS wakes

-- == journal ======================================================================================================

-- name: add_facts
-- Appended, never changed: a trigger refuses UPDATE. The order of ids is the order given, and under the journal's lock,
-- which is taken before the first of them is drawn, that of commits.
INSERT INTO facts (kind, at, schedule_id, delivery_id, actor, detail)
SELECT n.* FROM (SELECT pg_advisory_xact_lock(hashtextextended(:journal, 0)) OFFSET 0) AS turn
CROSS JOIN unnest(
    CAST(:kind AS text[]), CAST(:at AS bigint[]), CAST(:schedule_id AS bigint[]), CAST(:delivery_id AS bigint[]),
    CAST(:actor AS text[]), CAST(:detail AS text[])) AS n

-- name: tell
-- To whoever listens, at the commit: letters of what was written, and after `s` the first instant that is due by it.
SELECT pg_notify('promptyoself', :payload)

-- name: facts
-- The newest of all.
SELECT facts.* FROM facts ORDER BY id DESC LIMIT :limit

-- name: facts_of_schedule
-- The newest of one schedule.
SELECT facts.* FROM facts
WHERE schedule_id = :schedule_id AND (CAST(:delivery_id AS bigint) IS NULL OR delivery_id = :delivery_id)
ORDER BY id DESC LIMIT :limit

-- name: facts_of_delivery
-- The newest of one delivery.
SELECT facts.* FROM facts WHERE delivery_id = :delivery_id ORDER BY id DESC LIMIT :limit

-- name: facts_after
-- The journal from one fact on, each fact with what its schedule is now: to whom it may be told, and in which zone.
SELECT facts.*, schedules.agent_id, schedules.owner, schedules.trigger_timezone
FROM facts LEFT JOIN schedules ON schedules.id = facts.schedule_id
WHERE facts.id > :after ORDER BY facts.id LIMIT :limit

-- name: newest_fact
-- Of those that can be seen: an id that was given out and is not yet committed is nobody's to know. What retention has
-- deleted counts.
SELECT greatest(
    (SELECT coalesce(max(id), 0) FROM facts),
    (SELECT CAST(value AS bigint) FROM meta WHERE name = 'facts_pruned_to')) AS seq

-- name: heartbeat
-- A restart under the same id replaces the row whole.
INSERT INTO executors (id, host, pid, version, mode, started_at, heartbeat_at, address)
VALUES (:id, :host, :pid, :version, :mode, :started_at, :heartbeat_at, :address)
ON CONFLICT (id) DO UPDATE SET
    host = excluded.host, pid = excluded.pid, version = excluded.version, mode = excluded.mode,
    started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, address = excluded.address

-- name: remove_executor
-- At a clean stop; after a crash the row grows old, and retention takes it.
DELETE FROM executors WHERE id = :id

-- name: executors
-- Those heard of lately.
SELECT executors.* FROM executors WHERE heartbeat_at >= :alive_since ORDER BY started_at, id

-- name: save_target_health
-- One row a target.
INSERT INTO target_health (target, is_open, reason, since) VALUES (:target, :is_open, :reason, :since)
ON CONFLICT (target) DO UPDATE SET is_open = excluded.is_open, reason = excluded.reason, since = excluded.since

-- name: target_health
-- All targets.
SELECT target_health.* FROM target_health ORDER BY target

-- name: reply_secret
-- Given once, with the table of callbacks.
SELECT value FROM meta WHERE name = 'reply_secret'

-- name: add_callback
-- In the transaction that ends its delivery.
INSERT INTO callbacks (delivery_id, schedule_id, target, url, payload, due_at, created_at)
VALUES (:delivery_id, :schedule_id, :target, :url, :payload, :created_at, :created_at)

-- name: callbacks_due
-- Longest due first, by the partial index.
SELECT callbacks.* FROM callbacks WHERE state = 'due' AND due_at <= :now ORDER BY due_at LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: next_callback_at
-- When to look again.
SELECT min(due_at) AS due_at FROM callbacks WHERE state = 'due'

-- name: take_callback
-- Mine until :until; the caller read the row in this transaction.
UPDATE callbacks SET due_at = :until, attempts = attempts + 1 WHERE id = :id

-- name: end_callback
-- Guarded: who took it over meanwhile has its own word on it.
UPDATE callbacks SET state = :state, due_at = :due_at WHERE id = :id AND state = 'due' AND attempts = :attempts

-- name: prune_callbacks
-- Ended ones go by their age, like the deliveries that they told of.
DELETE FROM callbacks WHERE id = ANY (ARRAY(
    SELECT id FROM callbacks WHERE state != 'due' AND created_at < :before
    ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED))

-- name: stop_switch
-- The row, whether or not its time has run out: the caller has the clock.
SELECT stop_switch.* FROM stop_switch

-- name: is_stopped
-- A switch whose time has run out stops nothing.
SELECT 1 FROM stop_switch WHERE until IS NULL OR until > :now

-- name: set_stop_switch
-- The latest word counts.
INSERT INTO stop_switch (id, reason, since, until) VALUES (1, :reason, :since, :until)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, since = excluded.since, until = excluded.until

-- name: clear_stop_switch
-- Deliveries go on.
DELETE FROM stop_switch

-- name: zone_record
-- Which zone database next fires were worked out with: looked at before each planning, so by the primary key.
SELECT version.value AS version, since.value AS since FROM meta AS version
JOIN meta AS since ON since.name = 'zone_data_since' WHERE version.name = 'zone_data'

-- name: set_zone_record
-- Last of all when next fires have been worked out anew: until then a crash has it done again.
INSERT INTO meta (name, value) VALUES ('zone_data', :version), ('zone_data_since', :since)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: in_use_until
-- Of an earlier life, where this one began with a restore. By the primary key: an executor asks now and then.
SELECT value FROM meta WHERE name = 'in_use_until'

-- name: set_in_use_until
-- The latest word counts.
INSERT INTO meta (name, value) VALUES ('in_use_until', :until)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: lanes_held
-- Whoever would go on with what it took in that life.
SELECT executor_id, max(leased_until) AS leased_until FROM lanes
WHERE lease_token IS NOT NULL AND leased_until > :now GROUP BY executor_id

-- name: newest_fact_at
-- The copy's own last sign of use; by its index.
SELECT max(at) AS at FROM facts

-- name: due_before
-- Asked once after a restore. All words of the partial index are named, so that it is used.
SELECT
    (SELECT count(*) FROM deliveries
        WHERE state IN ('pending', 'leased', 'accepted', 'unknown') AND state = 'pending' AND fire_at <= :until
    ) AS deliveries,
    (SELECT count(*) FROM deliveries WHERE state IN ('leased', 'accepted', 'unknown')) AS in_flight,
    (SELECT count(*) FROM schedules WHERE state = 'active' AND next_fire_at <= :until) AS schedules

-- name: keep_executors_out
-- Their signs of life, and lanes that they have only locked so far; readers pass.
LOCK TABLE executors, lanes IN EXCLUSIVE MODE

-- name: ids_given_out
-- Also the ids of rows that have been deleted since; none of a table that never had a row.
SELECT name, pg_sequence_last_value(CAST(pg_get_serial_sequence(quote_ident(name), 'id') AS regclass)) AS last
FROM json_array_elements_text(CAST(:tables AS json)) AS name
WHERE pg_sequence_last_value(CAST(pg_get_serial_sequence(quote_ident(name), 'id') AS regclass)) IS NOT NULL

-- name: give_out_from
-- Ids are promises: none is given out twice. Not undone with the transaction, which only leaves more out.
SELECT setval(CAST(pg_get_serial_sequence(quote_ident(:table), 'id') AS regclass), :last)

-- == inbox ========================================================================================================

-- name: add_message
-- A repeat of the same attempt is the same message.
INSERT INTO inbox (agent_id, otid, delivery_id, schedule_id, envelope, prompt, received_at, acked_at)
VALUES (:agent_id, :otid, :delivery_id, :schedule_id, :envelope, :prompt, :received_at, :acked_at)
ON CONFLICT (otid) DO NOTHING
RETURNING id

-- name: message
-- By id.
SELECT inbox.* FROM inbox WHERE id = :id

-- name: message_by_otid
-- How a delivery asks whether it has arrived.
SELECT inbox.* FROM inbox WHERE otid = :otid

-- name: messages_unread
-- Oldest first, by the index of the unread: a mailbox full of read ones costs nothing.
SELECT inbox.* FROM inbox WHERE agent_id = :agent_id AND acked_at IS NULL ORDER BY id LIMIT :limit

-- name: messages
-- Oldest first, read ones too.
SELECT inbox.* FROM inbox WHERE agent_id = :agent_id ORDER BY id LIMIT :limit

-- name: ack_message
-- Once: later calls keep the first time.
UPDATE inbox SET acked_at = :now
WHERE id = :id AND acked_at IS NULL AND (CAST(:agent_id AS text) IS NULL OR agent_id = :agent_id)

-- == tokens and claims ============================================================================================

-- name: add_token
-- Its digest is UNIQUE: of 256 random bits no two are alike.
INSERT INTO tokens (digest, kind, agent_id, name, created_by, created_at, expires_at)
VALUES (:digest, :kind, :agent_id, :name, :created_by, :created_at, :expires_at)
RETURNING id

-- name: token
-- By id.
SELECT tokens.* FROM tokens WHERE id = :id

-- name: token_by_digest
-- Asked at every door for every request, so by the UNIQUE index of digests. How long it takes tells nobody anything: what
-- is compared is a hash of what was sent.
SELECT tokens.* FROM tokens WHERE digest = :digest

-- name: tokens
-- All, or those that still open something.
SELECT tokens.* FROM tokens
WHERE CAST(:live_at AS bigint) IS NULL OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :live_at))
ORDER BY id LIMIT :limit

-- name: live_tokens
-- For the bound on how many there may be; few are ever issued.
SELECT count(*) AS live FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)

-- name: revoke_token
-- Once: the first time stays.
UPDATE tokens SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL

-- name: note_token_use
-- Of two processes that note a use, the later instant stays.
UPDATE tokens SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :now)

-- name: claim
-- By owner and key, the primary key.
SELECT claims.* FROM claims WHERE owner = :owner AND key = :key

-- name: put_claim
-- In the place of one that has expired, which the same transaction has looked at.
INSERT INTO claims (owner, key, claimed_at, expires_at, delivery_id)
VALUES (:owner, :key, :claimed_at, :expires_at, :delivery_id)
ON CONFLICT (owner, key) DO UPDATE SET
    claimed_at = excluded.claimed_at, expires_at = excluded.expires_at, delivery_id = excluded.delivery_id

-- name: live_claims
-- For the bound on one owner's; counted within its index.
SELECT count(*) AS live FROM claims WHERE owner = :owner AND expires_at > :now

-- name: prune_tokens
-- Those that have opened nothing for as long as anything is kept.
DELETE FROM tokens WHERE id = ANY (ARRAY(
    SELECT id FROM tokens WHERE revoked_at < :before OR expires_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED))

-- name: prune_claims
-- An expired claim is as good as none.
DELETE FROM claims WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM claims WHERE expires_at < :before ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED))

-- == requests that were answered =================================================================================

-- name: answered_request
-- By whom and under which key.
SELECT requests.* FROM requests WHERE owner = :owner AND key = :key

-- name: remember_request
-- One that has grown too old to count gives way to the new one.
INSERT INTO requests (owner, key, fingerprint, result, created_at)
VALUES (:owner, :key, :fingerprint, :result, :created_at)
ON CONFLICT (owner, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, result = excluded.result, created_at = excluded.created_at

-- name: forget_requests
-- Those that no longer count, oldest first.
DELETE FROM requests WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM requests WHERE created_at < :before ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED))

-- == housekeeping =================================================================================================

-- name: deliveries_to_prune
-- Their schedules stay for good: an id is a promise.
SELECT id, lane FROM deliveries WHERE finished_at IS NOT NULL AND finished_at < :before ORDER BY finished_at LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: prune_deliveries
-- Attempts go with them: nothing but this deletes either.
WITH tried AS (
    DELETE FROM attempts
    WHERE delivery_id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST(:ids AS json)) AS bigint))))
DELETE FROM deliveries WHERE id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST(:ids AS json)) AS bigint)))

-- name: prune_lanes
-- Lanes just emptied, unless somebody holds them; locked before (lock_lanes_to_prune), so that none is filled meanwhile.
DELETE FROM lanes
WHERE lane = ANY (CAST(:lanes AS text[])) AND lease_token IS NULL
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.lane = lanes.lane)

-- name: lock_lanes_to_prune
-- A lane that somebody works on is not empty, or not for long.
SELECT lane FROM lanes WHERE lane = ANY (CAST(:lanes AS text[]))
ORDER BY lane FOR UPDATE SKIP LOCKED

-- name: prune_facts
-- A live schedule keeps the facts that say who made and changed it; looked up one by one, where EXISTS would read all
-- schedules. The highest id of those deleted is kept.
WITH gone AS (
    DELETE FROM facts WHERE id = ANY (ARRAY(
        SELECT id FROM facts
        WHERE at < :before AND NOT (kind IN ('registered', 'edited') AND coalesce(
            (SELECT state FROM schedules WHERE schedules.id = facts.schedule_id), '') IN ('active', 'paused'))
        ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING id),
noted AS (
    UPDATE meta SET value = CAST(greatest(CAST(value AS bigint), (SELECT max(id) FROM gone)) AS text)
    WHERE name = 'facts_pruned_to' AND EXISTS (SELECT 1 FROM gone))
SELECT id FROM gone

-- name: prune_messages
-- Read ones only: an unread message waits for its agent, however long.
DELETE FROM inbox WHERE id = ANY (ARRAY(
    SELECT id FROM inbox WHERE acked_at IS NOT NULL AND acked_at < :before
    ORDER BY acked_at LIMIT :limit FOR UPDATE SKIP LOCKED))

-- name: prune_executors
-- Rows of processes that crashed long ago.
DELETE FROM executors WHERE id = ANY (ARRAY(
    SELECT id FROM executors WHERE heartbeat_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED))

-- name: counts
-- For doctor: reads the tables once, which takes a while on a large database.
SELECT 'schedules_' || state AS what, count(*) AS rows FROM schedules GROUP BY state
UNION ALL
SELECT 'deliveries_' || state, count(*) FROM deliveries GROUP BY state
UNION ALL
SELECT 'facts', count(*) FROM facts
UNION ALL
SELECT 'lanes', count(*) FROM lanes
UNION ALL
SELECT 'messages_unread', count(*) FROM inbox WHERE acked_at IS NULL

-- name: server_time
-- Of this moment: now() would be that of the transaction's beginning.
SELECT clock_timestamp() AS at

-- name: server_state
-- Of pg_stat_activity others' rows are hidden from most users; these numbers are shown to all.
SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
    CAST(current_setting('max_connections') AS bigint) AS most,
    (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database) AS used

-- name: note_clock
-- Beside the heartbeat, of a node alone.
UPDATE executors SET clock_off_us = :clock_off_us WHERE id = :id

-- name: nodes
-- Those heard of lately, with what they say of their hosts' clocks.
SELECT id, host, mode, version, heartbeat_at, clock_off_us FROM executors
WHERE heartbeat_at >= :alive_since ORDER BY host, id

-- name: token_shape
-- What the table of tokens is made of, as far as our statements and the carrier's go by it; nothing when it is not there.
SELECT CAST(attname AS text) AS name, format_type(atttypid, atttypmod) AS type,
    attnotnull AND NOT atthasdef AND attidentity = '' AS must_be_given
FROM pg_attribute WHERE attrelid = to_regclass('pgqueuer') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'unique dedupe_key', 'index', false FROM pg_index
WHERE indrelid = to_regclass('pgqueuer') AND indisunique AND indisvalid AND indnkeyatts = 1
    AND pg_get_indexdef(indexrelid, 1, true) = 'dedupe_key'
    AND pg_get_expr(indpred, indrelid) LIKE '%queued%picked%dedupe_key IS NOT NULL%'
UNION ALL
SELECT 'tells of changes', 'trigger', false FROM pg_trigger
WHERE tgrelid = to_regclass('pgqueuer') AND tgname = 'tg_pgqueuer_changed' AND tgenabled <> 'D'

-- name: rights_missing
-- What a node writes all the time, and our user may not: told before it starts. Nothing is written to see it, so that a
-- standby, of which another node is to be made, is none the worse.
SELECT concat(needed, ' on ', name) AS missing
FROM unnest(ARRAY['schedules', 'deliveries', 'attempts', 'lanes', 'executors', 'target_health', 'pgqueuer']) AS tables (name),
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS rights (needed)
WHERE NOT has_table_privilege(name, needed) ORDER BY name, needed

-- name: token_counts
-- How many wait for a worker, and how many one has in hand.
SELECT CAST(status AS text) AS state, count(*) AS tokens FROM pgqueuer GROUP BY status

-- name: tokens_astray
-- Lanes due and free for long without a token, for which nobody would be woken; and tokens of no lane.
SELECT
    (SELECT count(*) FROM lanes WHERE lanes.next_due_at <= :since
        AND (lanes.lease_token IS NULL OR lanes.leased_until <= :now)
        AND NOT EXISTS (SELECT 1 FROM pgqueuer WHERE pgqueuer.dedupe_key = lanes.lane)) AS lanes_without,
    (SELECT count(*) FROM pgqueuer WHERE NOT EXISTS (
        SELECT 1 FROM lanes WHERE lanes.lane = pgqueuer.dedupe_key)) AS without_lane

-- == lane tokens ==================================================================================================
-- Arrays, not JSON, name the lanes here: of these the planner knows how many there are, and goes by the index.

-- name: lanes_to_wake
-- Of lanes just written to, their rows in hand: those that are due and free by the database's own clock, and have no
-- token. COLLATE: the index of tokens is the carrier's, ordered as the database orders.
SELECT lane FROM lanes
WHERE lane = ANY (CAST(:lanes AS text[]))
    AND next_due_at <= CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)
    AND (lease_token IS NULL OR leased_until <= CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint))
    AND (is_in_flight = 1 OR NOT EXISTS (
        SELECT 1 FROM stop_switch
        WHERE until IS NULL OR until > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)))
    AND (
        SELECT id FROM pgqueuer
        WHERE dedupe_key = lanes.lane COLLATE "default" AND status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
        LIMIT 1) IS NULL

-- name: due_lanes
-- Free lanes that came due within a span, and have no token; their rows are taken in hand. One that somebody else has in
-- hand is left to him: whoever writes to a lane issues its token. Looked up lane by lane: a plan that joins, made while
-- there was nothing, compares all lanes with all tokens.
SELECT lane FROM lanes
WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND next_due_at > :after AND next_due_at <= :now
    AND (is_in_flight = 1 OR NOT CAST(:is_stopped AS boolean))
    AND (
        SELECT id FROM pgqueuer
        WHERE dedupe_key = lanes.lane COLLATE "default" AND status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
        LIMIT 1) IS NULL
ORDER BY next_due_at, lane LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED

-- name: due_lanes_of_ended_leases
-- The same of lanes whose holder has given no sign of life; they are few.
SELECT lane FROM lanes
WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at <= :now
    AND (is_in_flight = 1 OR NOT CAST(:is_stopped AS boolean))
    AND (
        SELECT id FROM pgqueuer
        WHERE dedupe_key = lanes.lane COLLATE "default" AND status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
        LIMIT 1) IS NULL
ORDER BY lane LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED

-- name: issue_tokens
-- One for each lane, its row in hand, to the end of the queue. Never dated ahead: while such a one waits, no other can be
-- issued.
INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status)
SELECT 0, target, lane, convert_to(lane, 'UTF8'), 'queued' FROM lanes
WHERE lane = ANY (CAST(:lanes AS text[])) ORDER BY next_due_at, lane
ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL DO NOTHING

-- name: wake_lanes
-- Both in one, for a planner, whose lanes are due but for a few: an INSERT of nothing tells all nodes to look, too.
INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status)
SELECT 0, target, lane, convert_to(lane, 'UTF8'), 'queued' FROM lanes
WHERE lane = ANY (CAST(:lanes AS text[]))
    AND next_due_at <= CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)
    AND (lease_token IS NULL OR leased_until <= CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint))
    AND (is_in_flight = 1 OR NOT EXISTS (
        SELECT 1 FROM stop_switch
        WHERE until IS NULL OR until > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)))
ORDER BY next_due_at, lane
ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL DO NOTHING

-- name: claim_lanes
-- As a planner found them, their rows in hand: nobody's, and with nothing to do. What was planned since is in flight, or
-- due. That any is not so is a fault of the transaction as a whole: all that was planned is planned again.
WITH claimed AS (
    UPDATE lanes AS l SET
        lease_token = n.lease_token, leased_until = n.leased_until, executor_id = n.executor_id,
        next_due_at = n.due_at, is_in_flight = n.is_in_flight
    FROM unnest(
        CAST(:lane AS text[]), CAST(:lease_token AS text[]), CAST(:leased_until AS bigint[]),
        CAST(:executor_id AS text[]), CAST(:due_at AS bigint[]), CAST(:is_in_flight AS smallint[])
    ) AS n (lane, lease_token, leased_until, executor_id, due_at, is_in_flight)
    WHERE l.lane = n.lane AND l.lease_token IS NULL AND l.next_due_at IS NULL
    RETURNING l.lane)
SELECT none_missing(count(*), :count) FROM claimed

-- name: drop_tokens
-- Of lanes given back, their rows in hand: whatever arrives later finds no token there, and issues one.
DELETE FROM pgqueuer
WHERE dedupe_key = ANY (CAST(:lanes AS text[]))
    AND status IN ('queued', 'picked') AND dedupe_key IS NOT NULL

-- name: drop_token
-- Only by whoever has it in hand: one that was too slow must not take away that of the next.
DELETE FROM pgqueuer WHERE id = :id AND status = 'picked' AND queue_manager_id = CAST(:owner AS uuid)

-- name: requeue_tokens
-- In their old places. An UPDATE tells nobody.
UPDATE pgqueuer SET status = 'queued', queue_manager_id = NULL
WHERE id IN (
    SELECT id FROM pgqueuer
    WHERE queue_manager_id = CAST(:owner AS uuid) AND status = 'picked'
        AND id <> ALL(CAST(:but AS bigint[]))
    ORDER BY id FOR UPDATE SKIP LOCKED)

-- name: tell_of_tokens
-- What the carrier's own trigger says of a new token.
SELECT pg_notify('ch_pgqueuer', CAST(json_build_object(
    'channel', 'ch_pgqueuer', 'operation', 'insert', 'sent_at', now(), 'table', 'pgqueuer', 'type', 'table_changed_event'
) AS text))

-- name: idle_lanes
-- Lanes with a token that nobody has picked, and nothing to do; taken in hand, so that nothing can arrive meanwhile.
SELECT lanes.lane FROM pgqueuer AS token JOIN lanes ON lanes.lane COLLATE "default" = token.dedupe_key
WHERE token.status = 'queued' AND (lanes.next_due_at IS NULL OR lanes.next_due_at > :now)
ORDER BY lanes.lane LIMIT :limit FOR NO KEY UPDATE OF lanes SKIP LOCKED

-- name: drop_idle_tokens
-- Looked at once more: before its row was in hand something may have arrived.
DELETE FROM pgqueuer AS token USING lanes
WHERE token.dedupe_key = ANY (CAST(:lanes AS text[])) AND token.status = 'queued'
    AND lanes.lane COLLATE "default" = token.dedupe_key AND (lanes.next_due_at IS NULL OR lanes.next_due_at > :now)

-- name: prune_token_log
-- What the carrier notes of its tokens; this engine has it note nothing, its own tools may.
DELETE FROM pgqueuer_log WHERE id IN (
    SELECT id FROM pgqueuer_log WHERE created < to_timestamp(CAST(:before AS bigint) / 1000000.0)
    ORDER BY created LIMIT :limit FOR UPDATE SKIP LOCKED)

-- name: prune_token_statistics
-- The same of what it counts.
DELETE FROM pgqueuer_statistics WHERE id IN (
    SELECT id FROM pgqueuer_statistics WHERE created < to_timestamp(CAST(:before AS bigint) / 1000000.0)
    ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)

-- == shares of a target ===========================================================================================

-- name: live_shares
-- Of the others. One that has run out is nobody's.
SELECT executor_id, reserved FROM shares
WHERE target = :target AND executor_id <> :executor_id AND kept_until > :now

-- name: keep_share
-- Guarded: together with what the others have it never comes to more than the target may be asked at once.
INSERT INTO shares (target, executor_id, reserved, kept_until)
SELECT CAST(:target AS text), CAST(:executor_id AS text), CAST(:reserved AS bigint), CAST(:until AS bigint)
WHERE CAST(:reserved AS bigint) + (
    SELECT coalesce(sum(reserved), 0) FROM shares
    WHERE target = :target AND executor_id <> :executor_id AND kept_until > :now) <= :most
ON CONFLICT (target, executor_id) DO UPDATE SET reserved = excluded.reserved, kept_until = excluded.kept_until

-- name: share
-- What an executor had.
SELECT reserved FROM shares WHERE target = :target AND executor_id = :executor_id AND kept_until > :now

-- name: give_up_shares
-- At the end of an executor.
DELETE FROM shares WHERE executor_id = :executor_id

-- name: tell_of_shares
-- Somebody has freed slots, or has too few: let all divide anew.
SELECT pg_notify('promptyoself', 'shares')

-- name: prune_shares
-- Of executors that have ended without a word.
DELETE FROM shares WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM shares WHERE kept_until < :before LIMIT :limit FOR UPDATE SKIP LOCKED))

-- == steps of many lanes (postgres_steps_tx.py) ===================================================================
-- What the acts of many lanes will look at, in one statement each kind. Whatever somebody else has in hand is left out:
-- its act comes with a later step. The order of columns is what postgres_steps_rows.py reads by.

-- name: step_lanes
-- The lanes' rows first: as long as we have them, nobody who changes a delivery of these lanes can commit. With them the
-- name that rows written from here on will bear (xmin).
SELECT lane, lease_token, leased_until, executor_id, (SELECT coalesce(until, 9223372036854775807) FROM stop_switch),
    CAST(CAST(pg_current_xact_id() AS xid) AS text)
FROM lanes WHERE lane = ANY(CAST(:lanes AS text[])) FOR NO KEY UPDATE SKIP LOCKED

-- name: step_duties
-- In a new statement, so that it sees what was committed before the lanes were ours: of each lane what is in flight, and
-- the due one with the oldest fire time; each with its version and its schedule's, null where somebody else has that.
-- The delivery needs no lock of its own: whoever changes one has its schedule in hand, and cannot commit without its lane.
SELECT wanted.lane, found.is_pending, found.id, found.schedule_id, CAST(found.version AS text), s.version
FROM unnest(CAST(:lanes AS text[])) AS wanted (lane)
CROSS JOIN LATERAL (
    (SELECT id, schedule_id, xmin AS version, false AS is_pending FROM deliveries
     WHERE lane = wanted.lane AND state IN ('leased', 'accepted', 'unknown') ORDER BY due_at, id LIMIT 1)
    UNION ALL
    (SELECT id, schedule_id, xmin AS version, true AS is_pending FROM deliveries
     WHERE lane = wanted.lane AND is_head = 1 AND state = 'pending' AND due_at + 0 <= :until
     ORDER BY fire_at, id LIMIT 1)
) AS found
LEFT JOIN LATERAL (
    SELECT concat(xmin, ctid) AS version FROM schedules WHERE id = found.schedule_id FOR UPDATE SKIP LOCKED
) AS s ON true

-- name: step_deliveries
-- Those that were not written here, or were written to since: their rows are in hand.
SELECT
    id, schedule_id, revision, kind, target, lane, key, fire_at, planned_at, fire_number, missed, state, reason,
    error_code, due_at, lease_token, attempts, refusals, failures, maybe_repeat, retry_until, unknown_since,
    cancel_requested, run_id, reply_excerpt, first_sent_at, sent_at, accepted_at, finished_at, created_at, snoozed_until
FROM deliveries WHERE id = ANY(CAST(:ids AS bigint[]))

-- name: step_schedules
-- Those not read before, or written to since: their rows are in hand.
SELECT concat(xmin, ctid) AS row_version, schedules.* FROM schedules WHERE id = ANY(CAST(:ids AS bigint[]))

-- name: step_unfinished
-- How many deliveries of each schedule are unfinished; in a new statement, their schedules in hand.
SELECT schedule_id, count(*) FROM deliveries
WHERE schedule_id = ANY(CAST(:ids AS bigint[])) AND state IN ('pending', 'leased', 'accepted', 'unknown')
GROUP BY schedule_id

-- name: step_attempts
-- The last attempt at each of those that were tried before.
SELECT DISTINCT ON (delivery_id) delivery_id, number FROM attempts
WHERE delivery_id = ANY(CAST(:ids AS bigint[])) ORDER BY delivery_id, number DESC

-- name: step_attempts_of_lost
-- All attempts at what runners that are gone have left.
SELECT attempts.* FROM attempts WHERE delivery_id = ANY(CAST(:ids AS bigint[])) ORDER BY delivery_id, number

-- name: wait_at_most
-- For a lock, until the transaction (or the savepoint that is gone back to) ends; says what it was before.
SELECT current_setting('lock_timeout') AS was, set_config('lock_timeout', CAST(:lock_timeout AS text), true)

-- name: step_attempt_ids
-- Ids of attempts to come.
SELECT nextval(CAST(ids.name AS regclass))
FROM (SELECT pg_get_serial_sequence('attempts', 'id') AS name OFFSET 0) AS ids, generate_series(1, CAST(:count AS integer))

-- name: step_save_deliveries
-- What an ordinary claim or record changes, guarded as save_delivery is.
UPDATE deliveries AS d SET
    state = n.state, reason = n.reason, error_code = n.error_code, due_at = n.due_at, lease_token = n.lease_token,
    run_id = n.run_id, reply_excerpt = n.reply_excerpt, first_sent_at = n.first_sent_at, sent_at = n.sent_at,
    accepted_at = n.accepted_at, finished_at = n.finished_at,
    is_head = CASE WHEN n.finished_at IS NULL THEN d.is_head ELSE 0 END
FROM unnest(
    CAST(:id AS bigint[]), CAST(:was_state AS text[]), CAST(:was_lease_token AS text[]),
    CAST(:state AS text[]), CAST(:reason AS text[]), CAST(:error_code AS text[]), CAST(:due_at AS bigint[]),
    CAST(:lease_token AS text[]), CAST(:run_id AS text[]), CAST(:reply_excerpt AS text[]),
    CAST(:first_sent_at AS bigint[]), CAST(:sent_at AS bigint[]), CAST(:accepted_at AS bigint[]),
    CAST(:finished_at AS bigint[])
) AS n (id, was_state, was_lease_token, state, reason, error_code, due_at, lease_token, run_id, reply_excerpt,
    first_sent_at, sent_at, accepted_at, finished_at)
WHERE d.id = n.id AND d.state = n.was_state AND d.lease_token IS NOT DISTINCT FROM n.was_lease_token

-- name: step_save_counts
-- The rest of what may change, of the few for which it has; after the statement above.
UPDATE deliveries AS d SET
    planned_at = n.planned_at, snoozed_until = n.snoozed_until, fire_number = n.fire_number, missed = n.missed,
    attempts = n.attempts, refusals = n.refusals, failures = n.failures, maybe_repeat = n.maybe_repeat,
    retry_until = n.retry_until, unknown_since = n.unknown_since, cancel_requested = n.cancel_requested
FROM unnest(
    CAST(:id AS bigint[]), CAST(:planned_at AS bigint[]), CAST(:snoozed_until AS bigint[]),
    CAST(:fire_number AS bigint[]), CAST(:missed AS bigint[]), CAST(:attempts AS bigint[]), CAST(:refusals AS bigint[]),
    CAST(:failures AS bigint[]), CAST(:maybe_repeat AS smallint[]), CAST(:retry_until AS bigint[]),
    CAST(:unknown_since AS bigint[]), CAST(:cancel_requested AS smallint[])
) AS n (id, planned_at, snoozed_until, fire_number, missed, attempts, refusals, failures, maybe_repeat, retry_until,
    unknown_since, cancel_requested)
WHERE d.id = n.id

-- name: step_save_schedules
-- What the end of a delivery may change of its schedule.
UPDATE schedules AS s SET
    state = n.state, state_reason = n.state_reason, paused_until = n.paused_until, next_fire_at = n.next_fire_at,
    passed_until = n.passed_until, last_fire_at = n.last_fire_at, fire_count = n.fire_count,
    finals_in_row = n.finals_in_row, updated_at = n.updated_at
FROM unnest(
    CAST(:id AS bigint[]), CAST(:state AS text[]), CAST(:state_reason AS text[]), CAST(:paused_until AS bigint[]),
    CAST(:next_fire_at AS bigint[]), CAST(:passed_until AS bigint[]), CAST(:last_fire_at AS bigint[]),
    CAST(:fire_count AS bigint[]), CAST(:finals_in_row AS bigint[]), CAST(:updated_at AS bigint[])
) AS n (id, state, state_reason, paused_until, next_fire_at, passed_until, last_fire_at, fire_count, finals_in_row,
    updated_at)
WHERE s.id = n.id

-- name: step_add_attempts
-- Numbered already: nobody else adds to a delivery whose schedule is in hand.
INSERT INTO attempts (id, delivery_id, number, executor_id, otid, started_at, outcome)
SELECT n.*, 'open' FROM unnest(
    CAST(:id AS bigint[]), CAST(:delivery_id AS bigint[]), CAST(:number AS bigint[]), CAST(:executor_id AS text[]),
    CAST(:otid AS text[]), CAST(:started_at AS bigint[])) AS n

-- name: step_finish_attempts
-- As finish_attempt, many at once.
UPDATE attempts AS a SET
    outcome = n.outcome, finished_at = n.finished_at, error_code = n.error_code, status = coalesce(n.status, a.status),
    run_id = coalesce(n.run_id, a.run_id), detail = n.detail
FROM unnest(
    CAST(:id AS bigint[]), CAST(:outcome AS text[]), CAST(:finished_at AS bigint[]), CAST(:error_code AS text[]),
    CAST(:status AS bigint[]), CAST(:run_id AS text[]), CAST(:detail AS text[])
) AS n (id, outcome, finished_at, error_code, status, run_id, detail)
WHERE a.id = n.id

-- name: step_save_lanes
-- The lease and, as refresh_lane does, the next look: a lane is written once a step. Their rows are in hand. Where nothing
-- was in flight, and now is what was claimed just now, that is known already (`flying_due_at`).
UPDATE lanes AS l SET
    lease_token = n.lease_token, leased_until = n.leased_until, executor_id = n.executor_id,
    next_due_at = coalesce(flying.due_at, (
        SELECT min(due_at) FROM deliveries WHERE deliveries.lane = n.lane AND is_head = 1 AND state = 'pending')),
    is_in_flight = CAST(flying.due_at IS NOT NULL AS integer)
FROM unnest(
    CAST(:lane AS text[]), CAST(:lease_token AS text[]), CAST(:leased_until AS bigint[]), CAST(:executor_id AS text[]),
    CAST(:flying_due_at AS bigint[])
) AS n (lane, lease_token, leased_until, executor_id, flying_due_at)
CROSS JOIN LATERAL (SELECT CASE WHEN n.flying_due_at IS NOT NULL THEN n.flying_due_at ELSE (
    SELECT min(due_at) FROM deliveries
    WHERE deliveries.lane = n.lane AND state IN ('leased', 'accepted', 'unknown')) END AS due_at OFFSET 0) AS flying
WHERE l.lane = n.lane
RETURNING l.lane, l.next_due_at
