-- What a person (or an agent) decides about fire times ahead of them.

-- Fire times up to and including it have their rows already, skipped or opened early by a snooze: nothing that is worked
-- out anew (a resume, an edit of the prompt, a new zone database) may bring them back.
ALTER TABLE schedules ADD COLUMN passed_until INTEGER
    CHECK (passed_until IS NULL OR next_fire_at IS NULL OR next_fire_at > passed_until);

-- When a delivery that was put off comes; NULL for one that never was. Its expiry counts from here.
ALTER TABLE deliveries ADD COLUMN snoozed_until INTEGER;
