-- What `schedules.*`, and that of any other table, stands for in queries.sql: the columns that this code knows. A block for
-- each table, read by postgres_queries.py. PostgreSQL refuses a prepared statement once its answer has another column, and
-- a newer promptyoself may add one while this one runs.

-- name: schedules
id, uid, agent_id, target, conversation, key, name, max_repetitions, trigger_kind, trigger_expression,
trigger_timezone, trigger_anchor_at, trigger_start_at, trigger_end_at, trigger_jitter_us, catch_up,
catch_up_window_us, overlap, retry_for_us, expires_after_us, envelope, quiet_hours, skip_on, replies, owner,
created_by, origin_delivery_id, root_uid, depth, revision, state, state_reason, paused_until, next_fire_at,
passed_until, last_fire_at, fire_count, finals_in_row, created_at, updated_at, prompt, content

-- name: deliveries
id, schedule_id, revision, kind, target, lane, key, fire_at, planned_at, snoozed_until, fire_number, missed, state,
reason, error_code, due_at, lease_token, attempts, refusals, failures, maybe_repeat, retry_until, unknown_since,
cancel_requested, run_id, reply_excerpt, first_sent_at, sent_at, accepted_at, finished_at, created_at, is_head

-- name: attempts
id, delivery_id, number, executor_id, otid, started_at, finished_at, outcome, error_code, status, run_id, detail

-- name: facts
id, kind, at, schedule_id, delivery_id, actor, detail

-- name: executors
id, host, pid, version, mode, started_at, heartbeat_at, address, clock_off_us

-- name: target_health
target, is_open, reason, since

-- name: stop_switch
id, reason, since, until

-- name: callbacks
id, delivery_id, schedule_id, target, url, payload, state, attempts, due_at, created_at

-- name: inbox
id, agent_id, otid, delivery_id, schedule_id, received_at, acked_at, envelope, prompt

-- name: tokens
id, digest, kind, agent_id, name, created_by, created_at, expires_at, last_used_at, revoked_at

-- name: claims
owner, key, claimed_at, expires_at, delivery_id

-- name: requests
owner, key, fingerprint, result, created_at
