-- Accounts of people: log-ins, sessions, refresh tokens; and how often somebody has asked.

-- Beside the log, not in it: the log is for ever, the hash of a password is not.
CREATE TABLE logins (
    merchant_id   text COLLATE "C" NOT NULL PRIMARY KEY,
    password_hash text             NOT NULL,  -- argon2id
    changed_at    timestamptz      NOT NULL DEFAULT clock_timestamp()
);

-- A session is a key row as well: what is appended or read under it fails once it is revoked.
ALTER TABLE api_keys ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'api_key'
    CHECK (kind IN ('api_key', 'session'));
CREATE INDEX api_keys_sessions_by_end ON api_keys (expires_at) WHERE kind = 'session';

-- Each is good once; one that comes a second time ends its session.
CREATE TABLE refresh_tokens (
    token_hash bytea            NOT NULL PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    issued_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- What was taken of each limit, by all processes. Unlogged: after a crash everybody begins anew.
CREATE UNLOGGED TABLE rate_limits (
    bucket   text COLLATE "C" NOT NULL PRIMARY KEY,
    empty_at timestamptz      NOT NULL  -- when all that was taken has run out again
) WITH (fillfactor = 50);
