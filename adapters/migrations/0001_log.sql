-- The log: rows are added by one function only, in one order, and never change.

CREATE TABLE events (
    originator_id      text COLLATE "C" NOT NULL,  -- the stream, a TypeID
    originator_version bigint           NOT NULL,  -- 1, 2, 3, … in its stream
    topic              text COLLATE "C" NOT NULL,  -- the event's tag
    state              bytea            NOT NULL,  -- JSON, stored as it is hashed
    notification_id    bigint           NOT NULL,  -- the position, 1..N without holes
    recorded_at        timestamptz      NOT NULL,  -- never goes back
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX events_notification_id_idx ON events (notification_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the log are never changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Names this log; a restored copy gets a new name, so that consumers drop messages of the other.
CREATE TABLE log_identity (log_id text NOT NULL);
CREATE UNIQUE INDEX log_identity_is_one_row ON log_identity ((true));
INSERT INTO log_identity VALUES (gen_random_uuid()::text);

-- The library's recorder passes events in this type.
CREATE TYPE stored_event_text AS (
    originator_id text, originator_version bigint, topic text, state bytea
);
-- Up to where the library's process applications have followed.
CREATE TABLE notification_tracking (
    application_name text   NOT NULL PRIMARY KEY,
    notification_id  bigint NOT NULL
);

CREATE TABLE idempotency (
    scope       text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint bytea            NOT NULL,
    status      int              NOT NULL,
    stream_id   text COLLATE "C" NOT NULL,
    version     bigint           NOT NULL,
    subject     text,
    created_at  timestamptz      NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE claims (
    kind  text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, scope, value)
);

-- What the saga has to do; all of it can be derived from the log, but for tries and leases.
CREATE TABLE due (
    order_id    text COLLATE "C" NOT NULL,
    subject     text COLLATE "C" NOT NULL,
    operation   text COLLATE "C" NOT NULL,
    due_at      timestamptz      NOT NULL,
    tries       int              NOT NULL DEFAULT 0,
    worker      int,
    lease_until timestamptz,
    news        boolean          NOT NULL DEFAULT false,  -- changed or hinted since it was claimed
    PRIMARY KEY (order_id, subject)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX due_by_time ON due (due_at);

CREATE TABLE api_keys (
    key_hash     bytea            NOT NULL PRIMARY KEY,
    key_id       text COLLATE "C" NOT NULL UNIQUE,
    merchant_id  text COLLATE "C" NOT NULL,
    mode         text COLLATE "C" NOT NULL,
    scopes       text[]           NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

CREATE TABLE data_keys (
    key_id      text COLLATE "C" NOT NULL PRIMARY KEY,
    subject     text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    wrapped     bytea            NOT NULL,
    created_at  timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX data_keys_by_subject ON data_keys (merchant_id, subject);

CREATE TABLE secrets (
    owner       text COLLATE "C" NOT NULL,
    field       text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    box         bytea            NOT NULL,
    created_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, owner, field)
);
