-- Every statement of the SQLite store. A block starts with its name, then says why; loaded by storage/queries.py.
-- Parameters are named. Instants are microseconds, see migrations/0001_initial.sql.
-- The WHERE of a partial index must be repeated word by word, or SQLite does not use it.

-- == the database itself ==========================================================================================

-- name: any_object
-- Whether a file that is not marked as ours holds something already.
SELECT 1 FROM sqlite_master LIMIT 1

-- name: older_tables
-- What an older program's file holds, to say so when it is not what was looked for.
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name

-- name: older_reminders
-- PromptYoSelfFAST's schedules: whatever columns its version had.
SELECT * FROM unified_reminders ORDER BY id LIMIT :limit

-- name: older_schedules
-- The same of its first version, whose table has the name of ours.
SELECT * FROM schedules ORDER BY id LIMIT :limit

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

-- == schedules ====================================================================================================

-- name: add_schedule
-- Active and at revision 1; the partial UNIQUE index on (agent_id, key) refuses a key that its agent has already.
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

-- name: schedule
-- By id. The transaction holds the only write lock, so the row is locked as the port promises.
SELECT * FROM schedules WHERE id = :id

-- name: schedule_by_uid
-- What was exported knows its schedule by the uid.
SELECT * FROM schedules WHERE uid = :uid

-- name: schedule_by_key
-- In whatever state: registering a key again must find the schedule that has it.
SELECT * FROM schedules WHERE agent_id = :agent_id AND key = :key

-- name: schedules
-- All of them, or as filters say; walks the primary key, so that a page costs what it shows and what it passes over.
SELECT * FROM schedules
WHERE id > :after_id
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_of_agent
-- One agent's (and perhaps one owner's): by its own index, since most lists are these.
SELECT * FROM schedules
WHERE agent_id = :agent_id AND id > :after_id AND (:owner IS NULL OR owner = :owner)
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_of_owner
-- What one owner made, for whatever agent.
SELECT * FROM schedules
WHERE owner = :owner AND id > :after_id
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_coming
-- What fires within a span: the index of next fire times finds it, and only that is sorted by id.
SELECT * FROM schedules
WHERE state = 'active' AND next_fire_at >= coalesce(:next_from, 0) AND next_fire_at <= coalesce(:next_until, 9e18)
    AND id > :after_id AND (:agent_id IS NULL OR agent_id = :agent_id) AND (:owner IS NULL OR owner = :owner)
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY id LIMIT :limit

-- name: schedules_soonest
-- What fires next first: the index of next fire times has them in this order, so that a page costs what it shows and
-- what it passes over.
SELECT * FROM schedules
WHERE state = 'active' AND next_fire_at >= coalesce(:next_from, 0) AND next_fire_at <= coalesce(:next_until, 9e18)
    AND (:agent_id IS NULL OR agent_id = :agent_id) AND (:owner IS NULL OR owner = :owner)
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY next_fire_at, id LIMIT :limit

-- name: schedules_resting
-- What does not fire, the newest first: read only when a page is not filled by what does.
SELECT * FROM schedules
WHERE (state <> 'active' OR next_fire_at IS NULL)
    AND (:agent_id IS NULL OR agent_id = :agent_id) AND (:owner IS NULL OR owner = :owner)
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
    AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
    AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
ORDER BY id DESC LIMIT :limit

-- name: schedules_counted
-- How many there are, up to a limit: beyond it nobody needs the number, and all the rows would be read for it.
SELECT count(*) AS found FROM (
    SELECT 1 FROM schedules
    WHERE (:next_from IS NULL OR (state = 'active' AND next_fire_at >= :next_from))
        AND (:next_until IS NULL OR (state = 'active' AND next_fire_at <= :next_until))
        AND (:agent_id IS NULL OR agent_id = :agent_id) AND (:owner IS NULL OR owner = :owner)
        AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        AND (:kinds IS NULL OR trigger_kind IN (SELECT value FROM json_each(:kinds)))
        AND (:target IS NULL OR target = :target) AND (:key IS NULL OR key = :key)
        AND (:name_part IS NULL OR instr(lower(name), lower(:name_part)) > 0)
    LIMIT :limit)

-- name: schedules_due
-- Two sorted indexes merged: a pass over a large backlog reads only the rows it takes.
SELECT *, next_fire_at AS wake_at FROM schedules WHERE state = 'active' AND next_fire_at <= :now
UNION ALL
SELECT *, paused_until AS wake_at FROM schedules WHERE state = 'paused' AND paused_until <= :now
ORDER BY wake_at, id LIMIT :limit

-- name: save_schedule
-- Every column that may change. The caller read the row in this transaction, so nothing can have come between.
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
WHERE id = :id

-- name: calendar
-- Content of a calendar, by the key that a schedule holds.
SELECT content FROM calendars WHERE key = :key

-- name: add_calendar
-- Another process may have been quicker: the same key is the same content.
INSERT INTO calendars (key, name, content) VALUES (:key, :name, :content) ON CONFLICT (key) DO NOTHING

-- name: prune_calendars
-- Those that no schedule names any more.
DELETE FROM calendars WHERE key IN (
    SELECT key FROM calendars
    WHERE NOT EXISTS (SELECT 1 FROM schedules WHERE schedules.skip_on = calendars.key) LIMIT :limit)

-- name: schedule_state
-- Before a save: only a pause or its end changes what a lane may do.
SELECT state FROM schedules WHERE id = :id

-- name: guard_usage
-- Paused schedules are counted again when they are resumed. What was never to be sent does not count.
SELECT
    (SELECT count(*) FROM schedules WHERE owner = :owner AND state = 'active') AS active,
    (SELECT count(*) FROM schedules WHERE owner = :owner AND created_at >= :since) AS created,
    (SELECT count(*) FROM schedules CROSS JOIN deliveries ON deliveries.schedule_id = schedules.id
     WHERE schedules.owner = :owner AND deliveries.created_at >= :since
         AND deliveries.state NOT IN ('skipped', 'cancelled')) AS deliveries

-- name: live_descendants
-- The first of a chain has no root_uid and is not its own descendant.
SELECT count(*) AS live FROM schedules WHERE root_uid = :root_uid AND state IN ('active', 'paused')

-- == deliveries ===================================================================================================

-- name: add_lane
-- Before its first delivery, which refers to it.
INSERT INTO lanes (lane, target) VALUES (:lane, :target) ON CONFLICT (lane) DO NOTHING

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

-- name: delivery
-- By id.
SELECT * FROM deliveries WHERE id = :id

-- name: delivery_in_progress
-- What an agent is working on: a schedule that it makes meanwhile descends from it. Few schedules an agent have
-- anything in flight, so walking them by the agent's index is cheap.
SELECT d.* FROM schedules AS s JOIN deliveries AS d ON d.schedule_id = s.id
WHERE s.agent_id = :agent_id AND d.state IN ('leased', 'accepted', 'unknown') AND d.sent_at >= :since
ORDER BY d.sent_at DESC LIMIT 1

-- name: deliveries
-- The newest of all; walks the primary key backwards.
SELECT * FROM deliveries
WHERE id < :before_id AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
ORDER BY id DESC LIMIT :limit

-- name: deliveries_unfinished
-- The same of those in these states, when none of them is final: there are few, and an index has them alone.
SELECT * FROM deliveries INDEXED BY deliveries_unfinished
WHERE state IN ('pending', 'leased', 'accepted', 'unknown') AND id < :before_id
    AND state IN (SELECT value FROM json_each(:states))
ORDER BY id DESC LIMIT :limit

-- name: deliveries_of_schedule
-- One schedule's history. The ids are found and cut to a page within the index; only the page is read whole.
SELECT * FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules CROSS JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.id = :schedule_id AND deliveries.id < :before_id
        AND (:states IS NULL OR deliveries.state IN (SELECT value FROM json_each(:states)))
        AND (:agent_id IS NULL OR schedules.agent_id = :agent_id) AND (:owner IS NULL OR schedules.owner = :owner)
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: deliveries_of_agent
-- The same for all schedules of one agent (and perhaps one owner).
SELECT * FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules CROSS JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.agent_id = :agent_id AND (:owner IS NULL OR schedules.owner = :owner)
        AND deliveries.id < :before_id
        AND (:states IS NULL OR deliveries.state IN (SELECT value FROM json_each(:states)))
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: deliveries_of_owner
-- The same for all schedules of one owner.
SELECT * FROM deliveries WHERE id IN (
    SELECT deliveries.id FROM schedules CROSS JOIN deliveries ON deliveries.schedule_id = schedules.id
    WHERE schedules.owner = :owner AND deliveries.id < :before_id
        AND (:states IS NULL OR deliveries.state IN (SELECT value FROM json_each(:states)))
    ORDER BY deliveries.id DESC LIMIT :limit)
ORDER BY id DESC

-- name: unfinished_deliveries
-- What an edit, a pause or a newer fire time has to decide about.
SELECT * FROM deliveries
WHERE schedule_id = :schedule_id AND state IN ('pending', 'leased', 'accepted', 'unknown')
ORDER BY fire_at, id

-- name: snoozed
-- What was put off and is still to come, for lists: it comes before the schedule's next fire time. Reads what is
-- unfinished, which is little beside what there has been.
SELECT schedule_id, min(snoozed_until) AS comes_at FROM deliveries INDEXED BY deliveries_unfinished
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
    is_head = CASE WHEN :finished_at IS NULL THEN is_head ELSE 0 END
WHERE id = :id AND state = :was_state AND lease_token IS :was_lease_token

-- name: head_wanted
-- Whose turn it is within a schedule: the earliest unfinished of its kind, leaving aside what a pause holds back. A
-- run_now is asked for by a person: neither a pause nor a fire time that waits for its retry holds it up.
SELECT id, lane, is_head FROM deliveries
WHERE schedule_id = :schedule_id AND kind = :kind AND state IN ('pending', 'leased', 'accepted', 'unknown')
    AND (state <> 'pending' OR kind = 'run_now'
        OR NOT EXISTS (SELECT 1 FROM schedules WHERE id = :schedule_id AND state = 'paused'))
ORDER BY fire_at, id LIMIT 1

-- name: head_now
-- Which one has the turn so far: its lane needs a new look when it loses it.
SELECT id, lane FROM deliveries WHERE schedule_id = :schedule_id AND kind = :kind AND is_head = 1

-- name: set_head
-- Take the turn away, or give it. Taken before given: a UNIQUE index allows one head a schedule and kind.
UPDATE deliveries SET is_head = :is_head WHERE id = :id

-- name: refresh_lane
-- While something is in flight, only that matters; else the first due among those whose turn it is.
UPDATE lanes SET
    next_due_at = coalesce(
        (SELECT min(due_at) FROM deliveries
         WHERE deliveries.lane = :lane AND state IN ('leased', 'accepted', 'unknown')),
        (SELECT min(due_at) FROM deliveries WHERE deliveries.lane = :lane AND is_head = 1 AND state = 'pending')),
    is_in_flight = EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.lane = :lane AND state IN ('leased', 'accepted', 'unknown'))
WHERE lane = :lane

-- name: hasten_target
-- The target is well again: what waits because it refused everybody (its reason says so) waits no longer.
UPDATE deliveries SET due_at = :now
WHERE target = :target AND state = 'pending' AND refusals > 0 AND due_at > :now
    AND substr(reason, 1, length(:prefix)) = :prefix

-- name: refresh_hastened_lanes
-- The same for all lanes just hastened, in one statement: a whole target's lanes may be among them.
UPDATE lanes SET
    next_due_at = coalesce(
        (SELECT min(due_at) FROM deliveries
         WHERE deliveries.lane = lanes.lane AND state IN ('leased', 'accepted', 'unknown')),
        (SELECT min(due_at) FROM deliveries WHERE deliveries.lane = lanes.lane AND is_head = 1 AND state = 'pending'))
WHERE lane IN (
    SELECT lane FROM deliveries WHERE target = :target AND state = 'pending' AND refusals > 0 AND due_at = :now)

-- == attempts =====================================================================================================

-- name: add_attempt
-- Numbered within its delivery, from 1.
INSERT INTO attempts (delivery_id, number, executor_id, otid, started_at, outcome)
SELECT :delivery_id, 1 + coalesce(max(number), 0), :executor_id, :otid, :started_at, 'open'
FROM attempts WHERE delivery_id = :delivery_id

-- name: attempt
-- By id: what was just stored, with the number it was given.
SELECT * FROM attempts WHERE id = :id

-- name: finish_attempt
-- Also while the run goes on (finished_at NULL), to keep its run id. What is known is not forgotten.
UPDATE attempts SET
    outcome = :outcome, finished_at = :finished_at, error_code = :error_code, status = coalesce(:status, status),
    run_id = coalesce(:run_id, run_id), detail = :detail
WHERE id = :id

-- name: attempts
-- First to last.
SELECT * FROM attempts WHERE delivery_id = :delivery_id ORDER BY number

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
    AND (:targets IS NULL OR target IN (SELECT value FROM json_each(:targets)))
UNION ALL
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at <= :now
    AND (:targets IS NULL OR target IN (SELECT value FROM json_each(:targets)))
ORDER BY next_due_at, lane LIMIT :limit

-- name: ready_lanes_stopped
-- While the stop switch is on: nothing new is sent, what is in flight is still followed.
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND is_in_flight = 1 AND next_due_at <= :now
    AND (:targets IS NULL OR target IN (SELECT value FROM json_each(:targets)))
UNION ALL
SELECT lane, next_due_at FROM lanes
WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at <= :now AND is_in_flight = 1
    AND (:targets IS NULL OR target IN (SELECT value FROM json_each(:targets)))
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
-- All at once: thousands of lanes wait in one process.
UPDATE lanes SET leased_until = :until WHERE lease_token IS NOT NULL AND executor_id = :executor_id

-- name: cut_leases
-- A lease that ends further ahead than any can was given by a clock that has been set back since: its runner, if it
-- lives, renews it; if not, the lane must not wait for that clock.
UPDATE lanes SET leased_until = :until WHERE lease_token IS NOT NULL AND leased_until > :until

-- name: lane_holder
-- Nobody, once the lease has run out.
SELECT executor_id FROM lanes WHERE lane = :lane AND lease_token IS NOT NULL AND leased_until > :now

-- name: in_flight_in_lane
-- It blocks the lane until its own due time, whatever else is due.
SELECT * FROM deliveries WHERE lane = :lane AND state IN ('leased', 'accepted', 'unknown') ORDER BY due_at, id LIMIT 1

-- name: pending_in_lane
-- The oldest fire time first among those due; one that waits for its retry may be overtaken by other schedules'.
-- `+due_at` keeps SQLite from the index by due time: with ten thousand due it would sort them all to find the first.
SELECT * FROM deliveries WHERE id = (
    SELECT id FROM deliveries
    WHERE lane = :lane AND is_head = 1 AND state = 'pending' AND +due_at <= :now
    ORDER BY fire_at, id LIMIT 1)

-- name: next_wake_at
-- Each arm reads one end of one index; lanes that are due up to :after are left out. A lease that has run out no longer counts: its lane is as good as free.
SELECT min(wake_at) AS wake_at FROM (
    SELECT min(next_fire_at) AS wake_at FROM schedules WHERE state = 'active'
    UNION ALL
    SELECT min(paused_until) FROM schedules WHERE state = 'paused'
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND next_due_at > :after
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NOT NULL AND leased_until <= :now AND next_due_at > :after
    UNION ALL
    SELECT * FROM (
        SELECT leased_until FROM lanes
        WHERE lease_token IS NOT NULL AND leased_until > :now AND next_due_at IS NOT NULL
        ORDER BY leased_until LIMIT 1)
)

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
    WHERE lease_token IS NULL AND next_due_at IS NOT NULL AND is_in_flight = 1 AND next_due_at > :after
    UNION ALL
    SELECT min(next_due_at) FROM lanes
    WHERE lease_token IS NOT NULL AND leased_until <= :now AND is_in_flight = 1 AND next_due_at > :after
    UNION ALL
    SELECT * FROM (
        SELECT leased_until FROM lanes
        WHERE lease_token IS NOT NULL AND leased_until > :now AND next_due_at IS NOT NULL AND is_in_flight = 1
        ORDER BY leased_until LIMIT 1)
)

-- == journal ======================================================================================================

-- name: add_fact
-- Appended, never changed: a trigger refuses UPDATE.
INSERT INTO facts (kind, at, schedule_id, delivery_id, actor, detail)
VALUES (:kind, :at, :schedule_id, :delivery_id, :actor, :detail)

-- name: facts
-- The newest of all.
SELECT * FROM facts ORDER BY id DESC LIMIT :limit

-- name: facts_of_schedule
-- The newest of one schedule.
SELECT * FROM facts
WHERE schedule_id = :schedule_id AND (:delivery_id IS NULL OR delivery_id = :delivery_id)
ORDER BY id DESC LIMIT :limit

-- name: facts_of_delivery
-- The newest of one delivery.
SELECT * FROM facts WHERE delivery_id = :delivery_id ORDER BY id DESC LIMIT :limit

-- name: facts_after
-- The journal from one fact on, each fact with what its schedule is now: to whom it may be told, and in which zone.
SELECT facts.*, schedules.agent_id, schedules.owner, schedules.trigger_timezone
FROM facts LEFT JOIN schedules ON schedules.id = facts.schedule_id
WHERE facts.id > :after ORDER BY facts.id LIMIT :limit

-- name: newest_fact
-- What AUTOINCREMENT gave out last, also when that fact has been deleted since.
SELECT seq FROM sqlite_sequence WHERE name = 'facts'

-- name: newest_schedule
-- As above: ids given to many rows at once are those after it.
SELECT seq FROM sqlite_sequence WHERE name = 'schedules'

-- == executors, health, switch ====================================================================================

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
SELECT * FROM executors WHERE heartbeat_at >= :alive_since ORDER BY started_at, id

-- name: save_target_health
-- One row a target.
INSERT INTO target_health (target, is_open, reason, since) VALUES (:target, :is_open, :reason, :since)
ON CONFLICT (target) DO UPDATE SET is_open = excluded.is_open, reason = excluded.reason, since = excluded.since

-- name: target_health
-- All targets.
SELECT * FROM target_health ORDER BY target

-- name: reply_secret
-- Given once, with the table of callbacks.
SELECT value FROM meta WHERE name = 'reply_secret'

-- name: add_callback
-- In the transaction that ends its delivery.
INSERT INTO callbacks (delivery_id, schedule_id, target, url, payload, due_at, created_at)
VALUES (:delivery_id, :schedule_id, :target, :url, :payload, :created_at, :created_at)

-- name: callbacks_due
-- Longest due first, by the partial index.
SELECT * FROM callbacks WHERE state = 'due' AND due_at <= :now ORDER BY due_at LIMIT :limit

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
DELETE FROM callbacks WHERE id IN (
    SELECT id FROM callbacks WHERE state != 'due' AND created_at < :before ORDER BY created_at LIMIT :limit)

-- name: stop_switch
-- The row, whether or not its time has run out: the caller has the clock.
SELECT * FROM stop_switch

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

-- name: ids_given_out
-- Also the ids of rows that have been deleted since; a table that never had a row has none here.
SELECT name, seq AS last FROM sqlite_sequence WHERE name IN (SELECT value FROM json_each(:tables))

-- name: give_out_from
-- Ids are promises: none is given out twice.
UPDATE sqlite_sequence SET seq = :last WHERE name = :table

-- name: give_out_first
-- The same for a table that never had a row.
INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)

-- == inbox ========================================================================================================

-- name: add_message
-- A repeat of the same attempt is the same message.
INSERT INTO inbox (agent_id, otid, delivery_id, schedule_id, envelope, prompt, received_at, acked_at)
VALUES (:agent_id, :otid, :delivery_id, :schedule_id, :envelope, :prompt, :received_at, :acked_at)
ON CONFLICT (otid) DO NOTHING

-- name: message
-- By id.
SELECT * FROM inbox WHERE id = :id

-- name: message_by_otid
-- How a delivery asks whether it has arrived.
SELECT * FROM inbox WHERE otid = :otid

-- name: messages_unread
-- Oldest first, by the index of the unread: a mailbox full of read ones costs nothing.
SELECT * FROM inbox WHERE agent_id = :agent_id AND acked_at IS NULL ORDER BY id LIMIT :limit

-- name: messages
-- Oldest first, read ones too.
SELECT * FROM inbox WHERE agent_id = :agent_id ORDER BY id LIMIT :limit

-- name: ack_message
-- Once: later calls keep the first time.
UPDATE inbox SET acked_at = :now
WHERE id = :id AND acked_at IS NULL AND (:agent_id IS NULL OR agent_id = :agent_id)

-- == tokens and claims ============================================================================================

-- name: add_token
-- Its digest is UNIQUE: of 256 random bits no two are alike.
INSERT INTO tokens (digest, kind, agent_id, name, created_by, created_at, expires_at)
VALUES (:digest, :kind, :agent_id, :name, :created_by, :created_at, :expires_at)

-- name: token
-- By id.
SELECT * FROM tokens WHERE id = :id

-- name: token_by_digest
-- Asked at every door for every request, so by the UNIQUE index of digests. How long it takes tells nobody anything: what
-- is compared is a hash of what was sent.
SELECT * FROM tokens WHERE digest = :digest

-- name: tokens
-- All, or those that still open something.
SELECT * FROM tokens
WHERE :live_at IS NULL OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :live_at))
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
SELECT * FROM claims WHERE owner = :owner AND key = :key

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
DELETE FROM tokens WHERE id IN (
    SELECT id FROM tokens WHERE revoked_at < :before OR expires_at < :before LIMIT :limit)

-- name: prune_claims
-- An expired claim is as good as none.
DELETE FROM claims WHERE (owner, key) IN (
    SELECT owner, key FROM claims WHERE expires_at < :before ORDER BY expires_at LIMIT :limit)

-- == requests that were answered =================================================================================

-- name: answered_request
-- By whom and under which key.
SELECT * FROM requests WHERE owner = :owner AND key = :key

-- name: remember_request
-- One that has grown too old to count gives way to the new one.
INSERT INTO requests (owner, key, fingerprint, result, created_at)
VALUES (:owner, :key, :fingerprint, :result, :created_at)
ON CONFLICT (owner, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, result = excluded.result, created_at = excluded.created_at

-- name: forget_requests
-- Those that no longer count, oldest first.
DELETE FROM requests WHERE (owner, key) IN (
    SELECT owner, key FROM requests WHERE created_at < :before ORDER BY created_at LIMIT :limit)

-- == housekeeping =================================================================================================

-- name: deliveries_to_prune
-- Their schedules stay for good: an id is a promise.
SELECT id, lane FROM deliveries WHERE finished_at IS NOT NULL AND finished_at < :before ORDER BY finished_at LIMIT :limit

-- name: prune_deliveries
-- Attempts go with them (ON DELETE CASCADE).
DELETE FROM deliveries WHERE id IN (SELECT value FROM json_each(:ids))

-- name: prune_lanes
-- Lanes just emptied, unless somebody holds them.
DELETE FROM lanes
WHERE lane IN (SELECT value FROM json_each(:lanes)) AND lease_token IS NULL
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.lane = lanes.lane)

-- name: prune_facts
-- A live schedule keeps the facts that say who made and changed it.
DELETE FROM facts WHERE id IN (
    SELECT id FROM facts
    WHERE at < :before AND NOT (kind IN ('registered', 'edited') AND EXISTS (
        SELECT 1 FROM schedules WHERE schedules.id = facts.schedule_id AND state IN ('active', 'paused')))
    ORDER BY at LIMIT :limit)

-- name: prune_messages
-- Read ones only: an unread message waits for its agent, however long.
DELETE FROM inbox WHERE id IN (
    SELECT id FROM inbox WHERE acked_at IS NOT NULL AND acked_at < :before ORDER BY acked_at LIMIT :limit)

-- name: prune_executors
-- Rows of processes that crashed long ago.
DELETE FROM executors WHERE id IN (SELECT id FROM executors WHERE heartbeat_at < :before LIMIT :limit)

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
