-- What the network's doors keep: who may come in, what was asked already, what agents have claimed.

-- JSON: what a Letta schedule holds besides one prompt (several messages, roles, parts, options of the request); NULL for
-- a plain prompt.
ALTER TABLE schedules ADD COLUMN content TEXT;

-- Whether directives in what the agent answers are obeyed.
ALTER TABLE schedules ADD COLUMN replies TEXT NOT NULL DEFAULT 'ignore' CHECK (replies IN ('ignore', 'obey'));

-- Where an executor with doors answers, so that people and commands of this machine find it.
ALTER TABLE executors ADD COLUMN address TEXT;

-- Nonces of envelopes are made with it; it is never shown or exported.
INSERT INTO meta (name, value) VALUES ('reply_secret', lower(hex(randomblob(32))));

-- What is to be posted to callers' URLs, written in the transaction that ends a delivery, kept until it was posted.
CREATE TABLE callbacks (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id  INTEGER NOT NULL,
    schedule_id  INTEGER NOT NULL,
    target       TEXT    NOT NULL,
    url          TEXT    NOT NULL,
    -- JSON: what was known of the delivery at its end
    payload      TEXT    NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'sent', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- While one is being posted it is due again only when its executor must have died.
    due_at       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX callbacks_due ON callbacks (due_at) WHERE state = 'due';

-- Tokens are shown once and kept as the SHA-256 of their text: 256 random bits need no slow hash.
CREATE TABLE tokens (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    digest        TEXT    NOT NULL UNIQUE,
    kind          TEXT    NOT NULL CHECK (kind IN ('agent', 'operator', 'letta-proxy')),
    agent_id      TEXT,
    name          TEXT,
    created_by    TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    -- Written once a minute at most: a look at a token must not cost a commit.
    last_used_at  INTEGER,
    revoked_at    INTEGER,
    CHECK (length(digest) = 64),
    CHECK ((kind = 'agent') = (agent_id IS NOT NULL)),
    -- `operator` is who no agent is.
    CHECK (agent_id <> 'operator')
) STRICT;

-- Idempotency keys of creations over HTTP, written in the transaction of the schedule that they made.
CREATE TABLE requests (
    owner        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    -- SHA-256 of what was asked: the same key with other words is a mistake of the caller's.
    fingerprint  TEXT    NOT NULL,
    -- JSON: what is needed to answer it again.
    result       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_at ON requests (created_at);

-- What agents claimed for themselves, each key once (claim_once).
CREATE TABLE claims (
    owner        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    claimed_at   INTEGER NOT NULL,
    -- Every claim ends: an agent's bound on live ones would fill up otherwise.
    expires_at   INTEGER NOT NULL CHECK (expires_at > claimed_at),
    -- What the agent was working on; retention may have taken the row.
    delivery_id  INTEGER,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claims_live ON claims (owner, expires_at);
CREATE INDEX claims_expired ON claims (expires_at);
