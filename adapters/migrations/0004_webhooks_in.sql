-- Webhooks of the processors, and what comparing with the processors found.

-- What a processor calls the object that an event is about; NULL where nothing can be read.
CREATE FUNCTION processor_object(state bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    told jsonb := convert_from(state, 'UTF8')::jsonb -> 'data';
BEGIN
    RETURN left(coalesce(told ->> 'reference', told ->> 'payment_id'), 255);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
-- Whose a processor's object is: always level with the log, because it is the log's own index.
CREATE INDEX events_by_processor_object ON events (processor_object(state))
    WHERE topic IN ('order.processor_referenced.v1', 'order.authorized.v1',
                    'order.stray_payment_found.v1');

-- Verified webhooks. The body is not kept: it may hold personal data, and it proves nothing about
-- money. What is kept is what it points at, and its digest.
CREATE TABLE inbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    processor   text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,  -- `mode:account` under which it is known as the same
    accounts    text[]           NOT NULL,  -- every `mode:account` whose secret signed it
    event       text COLLATE "C" NOT NULL,  -- Stripe: its id; Razorpay: the body's SHA-256
    kind        text COLLATE "C" NOT NULL,
    tells       text COLLATE "C" NOT NULL,
    reference   text COLLATE "C" NOT NULL,  -- empty: it is about no payment
    payment_id  text COLLATE "C",
    order_id    text COLLATE "C",
    attempt_id  text COLLATE "C",
    digest      bytea            NOT NULL,
    received_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    state       text COLLATE "C" NOT NULL DEFAULT 'new',
    reason      text,
    tries       int              NOT NULL DEFAULT 0,
    due_at      timestamptz      DEFAULT clock_timestamp(),  -- NULL: nothing is left to do
    lease_until timestamptz
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX inbox_once ON inbox (merchant_id, processor, account, event, reference);
CREATE INDEX inbox_by_time ON inbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX inbox_by_age ON inbox (received_at);

-- Up to when an account's payments were listed and compared with the log.
CREATE TABLE reconciled (
    merchant_id text COLLATE "C" NOT NULL,
    mode        text COLLATE "C" NOT NULL,
    processor   text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    upto        timestamptz      NOT NULL,
    deep_at     timestamptz      NOT NULL,  -- when all that can still change was listed
    PRIMARY KEY (merchant_id, mode, processor, account)
);

-- Payments at a processor that name an order or attempt of ours which the log does not know so.
CREATE TABLE orphans (
    processor          text COLLATE "C" NOT NULL,
    reference          text COLLATE "C" NOT NULL,
    account            text COLLATE "C" NOT NULL,  -- one of those whose credentials show it
    merchant_id        text COLLATE "C" NOT NULL,
    mode               text COLLATE "C" NOT NULL,
    order_id           text COLLATE "C",
    attempt_id         text COLLATE "C",
    attempt_known      boolean          NOT NULL,
    credential_version int              NOT NULL,
    status             text COLLATE "C" NOT NULL,
    currency           text COLLATE "C" NOT NULL,
    held_minor         bigint           NOT NULL,
    captured_minor     bigint           NOT NULL,
    refunded_minor     bigint           NOT NULL,
    made_at            timestamptz      NOT NULL,  -- by the processor's clock
    found_at           timestamptz      NOT NULL DEFAULT clock_timestamp(),
    looked_at          timestamptz      NOT NULL DEFAULT clock_timestamp(),
    settled_at         timestamptz,                -- nothing is held or kept there any more
    PRIMARY KEY (processor, reference)
);
CREATE INDEX orphans_of_order ON orphans (order_id) WHERE settled_at IS NULL;

-- A log that gets a new name was restored: what happened since is known to the processors only.
CREATE TABLE restores (
    log_id      text        NOT NULL PRIMARY KEY,
    restored_to timestamptz NOT NULL,  -- time of the last event that is still there
    noticed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION note_restore() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO restores (log_id, restored_to)
        SELECT NEW.log_id, recorded_at FROM events ORDER BY notification_id DESC LIMIT 1
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER log_identity_names_restores AFTER INSERT OR UPDATE ON log_identity
    FOR EACH ROW EXECUTE FUNCTION note_restore();

-- Merchants whose accounts were all listed since that restore: they may start attempts again.
CREATE TABLE merchants_reconciled (
    merchant_id text COLLATE "C" NOT NULL,
    mode        text COLLATE "C" NOT NULL,
    log_id      text             NOT NULL,
    PRIMARY KEY (merchant_id, mode, log_id)
);
