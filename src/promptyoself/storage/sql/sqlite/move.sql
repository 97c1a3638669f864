-- Statements of `db move` at a SQLite database. What stands in braces is put in by storage/move_sqlite.py: names of our own
-- tables and columns, which no parameter can stand for, and in the fence a text with its quotes doubled.

-- name: columns
-- By their names: those that were added later stand elsewhere in the other dialect.
SELECT name FROM pragma_table_info(:table) ORDER BY name

-- name: rows
-- In the order of the primary key, from behind one key on: what is there already is not read again.
SELECT {columns} FROM {table} WHERE ({key}) > ({after}) ORDER BY {key}

-- name: all_rows
-- The same from the first on.
SELECT {columns} FROM {table} ORDER BY {key}

-- name: last_key
-- How far a copy has come.
SELECT {key} FROM {table} ORDER BY {key_down} LIMIT 1

-- name: add_row
-- Ids come along.
INSERT INTO {table} ({columns}) VALUES ({values})

-- name: put_meta
-- The uid and the reply secret that were made with the target give way.
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: meta
-- The mark of a move, or where the database came from.
SELECT value FROM meta WHERE name = :name

-- name: forget_meta
-- The mark, once the move has come to its end or was taken back.
DELETE FROM meta WHERE name = :name

-- name: stop_switch
-- As it is now, in the order of its columns.
SELECT {columns} FROM stop_switch

-- name: stop
-- While requests that are open come to their end: nothing new is sent.
INSERT INTO stop_switch (id, reason, since) VALUES (1, :reason, :since)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, since = excluded.since, until = NULL

-- name: go_on
-- The move's own switch.
DELETE FROM stop_switch

-- name: open_requests
-- Claimed to be sent, by a runner that lives. What a dead one has left is asked about by whoever takes it over.
SELECT count(*) FROM deliveries JOIN lanes ON lanes.lane = deliveries.lane
WHERE deliveries.state = 'leased' AND lanes.leased_until > :now

-- name: fence
-- The database itself refuses every write: no process of whatever version gets by. The mark alone may change.
CREATE TRIGGER moved_{table}_{verb} BEFORE {verb} ON {table} WHEN {condition}
BEGIN
    SELECT RAISE(ABORT, 'moved to {place}');
END

-- name: fences
-- Those that stand.
SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'moved\_%' ESCAPE '\'

-- name: lift_fence
-- The source goes on, or is moved on.
DROP TRIGGER {trigger}

-- name: delete_all
-- What was copied; those that refer to others first.
DELETE FROM {table}

-- name: given_out
-- Also the ids of rows that have been deleted since.
SELECT name, seq FROM sqlite_sequence

-- name: give_out_none_below
-- SQLite keeps no row for a table that never had one.
DELETE FROM sqlite_sequence WHERE name = :table

-- name: give_out_from
-- Ids are promises: none is given out twice.
INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)
