-- What is posted, or given up, is found by its age when it is old enough to be deleted.

CREATE INDEX callbacks_ended ON callbacks (created_at) WHERE state != 'due';
