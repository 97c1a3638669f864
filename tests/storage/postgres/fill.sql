-- A database in use, small: enough rows that PostgreSQL would rather read an index than a table.
INSERT INTO lanes (lane, target, next_due_at, is_in_flight, lease_token, leased_until, executor_id)
SELECT 'lane-' || n, 't' || n % 3, n * 1000, n % 20 / 19, l, CASE WHEN l IS NOT NULL THEN n END, l
FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 'x' END AS l FROM generate_series(1, 4000) AS n) AS a;

INSERT INTO schedules (uid, agent_id, target, key, trigger_kind, trigger_expression, trigger_timezone,
    trigger_anchor_at, trigger_jitter_us, catch_up, overlap, retry_for_us, envelope, owner, created_by, root_uid, depth, revision, state,
    paused_until, next_fire_at, fire_count, finals_in_row, created_at, updated_at, prompt)
SELECT 'uid-' || n, 'agent-' || n % 2000, 'inbox', CASE WHEN n % 2 = 0 THEN 'key-' || n END, 'interval', '5m', 'UTC',
    0, 0, 'skip', 'skip', 0, 'brief', 'owner-' || n % 2000, 'test', CASE WHEN n % 10 = 0 THEN 'root-' || n % 100 END, 0, 1,
    CASE WHEN n % 20 = 0 THEN 'paused' WHEN n % 3 = 0 THEN 'completed' ELSE 'active' END, n * 1000, n * 1000, 0, 0, n, n,
    'stretch' FROM generate_series(1, 6000) AS n;

INSERT INTO deliveries (schedule_id, revision, kind, target, lane, key, fire_at, planned_at, fire_number, missed, state,
    due_at, attempts, refusals, failures, maybe_repeat, retry_until, cancel_requested, finished_at, created_at, is_head)
SELECT 1 + n % 6000, 1, 'scheduled', 't' || n % 3, 'lane-' || 1 + n % 4000, 'k' || n, n, n, 1, 0,
    CASE WHEN n > 9500 THEN 'pending' WHEN n > 9250 THEN 'accepted' ELSE 'delivered' END, n, 0, n % 10 / 9, 0, 0, n,
    0, CASE WHEN n <= 9250 THEN n END, n, CASE WHEN n > 9250 THEN 1 ELSE 0 END FROM generate_series(1, 10000) AS n;

INSERT INTO attempts (delivery_id, number, executor_id, otid, started_at, outcome)
SELECT id, 1, 'x', 'o', 0, 'open' FROM deliveries;

INSERT INTO facts (kind, at, schedule_id, delivery_id, actor, detail)
SELECT 'fired', n, 1 + n % 6000, n, 'x', '{}' FROM generate_series(1, 10000) AS n;

INSERT INTO inbox (agent_id, otid, delivery_id, schedule_id, received_at, acked_at, prompt)
SELECT 'agent-' || n % 2000, 'o' || n, 1, 1, n, CASE WHEN n % 9 <> 0 THEN n END, 'x'
FROM generate_series(1, 4000) AS n;

INSERT INTO claims (owner, key, claimed_at, expires_at)
SELECT 'owner-' || n % 2000, 'k' || n, n, n + 1 FROM generate_series(1, 5000) AS n;

INSERT INTO requests (owner, key, fingerprint, result, created_at)
SELECT 'owner', 'k' || n, 'f', '{}', n FROM generate_series(1, 5000) AS n;

INSERT INTO tokens (digest, kind, created_by, created_at)
SELECT repeat(md5(n::text), 2), 'operator', 'x', n FROM generate_series(1, 2000) AS n;

INSERT INTO callbacks (delivery_id, schedule_id, target, url, payload, state, due_at, created_at)
SELECT n, n, 't', 'u', '{}', CASE WHEN n % 20 = 0 THEN 'due' ELSE 'sent' END, n, n FROM generate_series(1, 5000) AS n;

ANALYZE;
