-- Calendars on whose days schedules do not fire. A calendar is kept whole, and never read from its file again.

CREATE TABLE calendars (
    -- 32 hex digits of its content: the same calendar is stored once, and what a key stands for never changes.
    key      TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    -- JSON: spans of time with their titles
    content  TEXT NOT NULL
) STRICT;

ALTER TABLE schedules ADD COLUMN skip_on TEXT REFERENCES calendars (key);

-- A calendar that no schedule names any more is deleted with the other old rows.
CREATE INDEX schedules_calendar ON schedules (skip_on) WHERE skip_on IS NOT NULL;
