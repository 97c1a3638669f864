-- Statements of `db move` at a PostgreSQL database. What stands in braces is put in by storage/move_postgres.py: names of
-- our own tables and columns, which no parameter can stand for, and texts that psycopg has quoted.

-- name: take_lock
-- One move at a time. The session's: it goes with the process, however that ends.
SELECT pg_try_advisory_lock(hashtextextended('promptyoself/move', 0)) AS is_ours

-- name: settle
-- Long work on our own connection; and the fence lets the move by, as long as it goes by this name.
SELECT set_config('statement_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false),
    set_config('idle_session_timeout', '0', false), set_config('datestyle', 'ISO', false),
    CASE WHEN CAST(current_setting('server_version_num') AS integer) >= 170000
        THEN set_config('transaction_timeout', '0', false) END,
    set_config('lock_timeout', %(lock_ms)s, false), set_config('promptyoself.move', 'none', false)

-- name: go_by
-- See `fence`.
SELECT set_config('promptyoself.move', %(id)s, false)

-- name: columns
-- By their names, in the order of their bytes: they stand otherwise in the other dialect.
SELECT attname FROM pg_attribute
WHERE attrelid = CAST(%(table)s AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attname

-- name: rows
-- In the order of the primary key, from behind one key on: what is there already is not read again.
SELECT {columns} FROM {table} WHERE ({key}) > ({after}) ORDER BY {key}

-- name: all_rows
-- The same from the first on.
SELECT {columns} FROM {table} ORDER BY {key}

-- name: last_key
-- How far a copy has come.
SELECT {key} FROM {table} ORDER BY {key_down} LIMIT 1

-- name: has_rows
-- Whether somebody uses it.
SELECT EXISTS (SELECT 1 FROM {table}) AS is_there

-- name: copy
-- Ids come along: they are given out by default only.
COPY {table} ({columns}) FROM STDIN

-- name: add_row
-- The stop switch that is put back.
INSERT INTO {table} ({columns}) VALUES ({values})

-- name: put_meta
-- The reply secret that was made with the target gives way.
INSERT INTO meta (name, value) VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: meta
-- The mark of a move, or where the database came from.
SELECT value FROM meta WHERE name = %(name)s

-- name: forget_meta
-- The mark, once the move has come to its end or was taken back.
DELETE FROM meta WHERE name = %(name)s

-- name: stop_switch
-- As it is now, in the order of its columns.
SELECT {columns} FROM stop_switch

-- name: stop
-- While requests that are open come to their end: nothing new is sent.
INSERT INTO stop_switch (id, reason, since) VALUES (1, %(reason)s, %(since)s)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, since = excluded.since, until = NULL

-- name: go_on
-- The move's own switch.
DELETE FROM stop_switch

-- name: open_requests
-- Claimed to be sent, by a runner that lives, by this server's time as in every fleet. What a dead one has left is asked
-- about by whoever takes it over.
SELECT count(*) FROM deliveries JOIN lanes ON lanes.lane = deliveries.lane
WHERE deliveries.state = 'leased'
    AND lanes.leased_until > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)

-- name: keep_writers_out
-- Waits for those who have written and not yet committed, so that what is looked at next is all there is.
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE

-- name: fence_function
-- The database itself refuses every write: no process of whatever version gets by, but the move.
CREATE OR REPLACE FUNCTION promptyoself_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('promptyoself.move', true) IS DISTINCT FROM TG_ARGV[0] THEN
        RAISE EXCEPTION USING ERRCODE = TG_ARGV[1], MESSAGE = TG_ARGV[2];
    END IF;
    RETURN NULL;
END $$

-- name: fence
-- A table's.
CREATE OR REPLACE TRIGGER promptyoself_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION promptyoself_fence({id}, {code}, {place})

-- name: lift_fence
-- With the triggers that call it.
DROP FUNCTION IF EXISTS promptyoself_fence() CASCADE

-- name: delete_all
-- What was copied. One statement: the tables refer to each other.
TRUNCATE {tables}

-- name: newest
-- Also the ids of rows that have been deleted since; NULL when there never was one.
SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence({table}, 'id') AS regclass)) AS last

-- name: newest_fact
-- Ids of facts are known once they are committed.
SELECT greatest((SELECT coalesce(max(id), 0) FROM facts), CAST((SELECT value FROM meta WHERE name = 'facts_pruned_to') AS bigint))

-- name: give_out_from
-- Ids are promises: none is given out twice.
SELECT setval(CAST(pg_get_serial_sequence({table}, 'id') AS regclass), %(last)s)

-- name: analyze
-- So that the first plans are made for what is there.
ANALYZE {tables}
