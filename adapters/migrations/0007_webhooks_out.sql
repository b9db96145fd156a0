-- Webhooks to merchants: what is sent to whom, and what came of it. The bodies are in the log.

-- One row per endpoint and public event, made by the projector of `webhooks` in its transaction.
CREATE TABLE webhook_deliveries (
    endpoint_id  text COLLATE "C" NOT NULL,
    position     bigint           NOT NULL,  -- of the event in the log
    delivery_id  text COLLATE "C" NOT NULL,
    event_id     text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    merchant_id  text COLLATE "C" NOT NULL,
    mode         text COLLATE "C" NOT NULL,
    lane         text COLLATE "C" NOT NULL,  -- the order, or the event: one after the other in it
    stream_id    text COLLATE "C" NOT NULL,  -- where the event stands in the log
    version      bigint           NOT NULL,  -- of the stream, with the event
    sequence     bigint,                     -- the order's public events, counted
    status       text COLLATE "C" NOT NULL DEFAULT 'pending',  -- failed, delivered, dead
    due_at       timestamptz,                -- null: done, or held back by an earlier one
    tries        int              NOT NULL DEFAULT 0,
    worker       int,
    lease_until  timestamptz,
    attempts     jsonb            NOT NULL DEFAULT '[]',
    last_at      timestamptz,
    delivered_at timestamptz,
    created_at   timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (endpoint_id, position)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (delivery_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (endpoint_id, lane, position)
    WHERE status IN ('pending', 'failed');
CREATE INDEX webhook_deliveries_of_merchant
    ON webhook_deliveries (merchant_id, mode, position DESC, endpoint_id);

-- Up to where deliveries were made: whatever is folded again from before it sends nothing.
CREATE TABLE webhook_mark (position bigint NOT NULL);
CREATE UNIQUE INDEX webhook_mark_is_one_row ON webhook_mark ((true));
INSERT INTO webhook_mark VALUES (0);

-- Endpoints whose last attempt failed, and since when nothing else has come of any.
CREATE TABLE webhook_failing (
    endpoint_id text COLLATE "C" NOT NULL PRIMARY KEY,
    since       timestamptz      NOT NULL,
    attempts    bigint           NOT NULL
);

-- What a dispatcher writes at once: outcomes of attempts, in arrays of one length.
-- Returns the endpoints of these that fail, with the seconds since when; without seconds those
-- that failed before and do not any more.
CREATE FUNCTION webhook_outcomes(
    worker_ int, endpoints text[], positions bigint[], statuses text[], waits_s float8[],
    attempts_ jsonb[]
) RETURNS TABLE (endpoint text, failing_s float8, failed_attempts bigint)
LANGUAGE plpgsql AS $$
DECLARE
    clock timestamptz := clock_timestamp();
BEGIN
    -- What somebody else has taken over meanwhile is theirs, but that it was delivered is true.
    UPDATE webhook_deliveries d SET
        status = o.status,
        due_at = clock + make_interval(secs => o.wait_s),  -- null without a wait
        tries = d.tries + (o.attempt IS NOT NULL)::int,
        worker = NULL,
        lease_until = NULL,
        attempts = CASE WHEN o.attempt IS NULL THEN d.attempts
                        WHEN jsonb_array_length(d.attempts) < 50 THEN d.attempts || o.attempt
                        ELSE (d.attempts - 0) || o.attempt END,
        last_at = CASE WHEN o.attempt IS NULL THEN d.last_at ELSE clock END,
        delivered_at = CASE WHEN o.status = 'delivered' THEN clock ELSE d.delivered_at END
    FROM unnest(endpoints, positions, statuses, waits_s, attempts_)
        AS o (endpoint_id, position, status, wait_s, attempt)
    WHERE d.endpoint_id = o.endpoint_id AND d.position = o.position
      AND (d.worker = worker_ OR o.status = 'delivered');

    -- A statement of its own: it sees what the projector committed while the rows were locked.
    UPDATE webhook_deliveries d SET due_at = clock
    FROM (
        SELECT DISTINCT n.endpoint_id, n.position
        FROM unnest(endpoints, positions, statuses) AS o (endpoint_id, position, status)
        JOIN webhook_deliveries done
          ON done.endpoint_id = o.endpoint_id AND done.position = o.position
        CROSS JOIN LATERAL (
            SELECT w.endpoint_id, w.position, w.due_at FROM webhook_deliveries w
            WHERE w.endpoint_id = done.endpoint_id AND w.lane = done.lane
              AND w.status IN ('pending', 'failed')
            ORDER BY w.position LIMIT 1
        ) AS n
        WHERE o.status IN ('delivered', 'dead') AND n.due_at IS NULL
    ) AS next
    WHERE d.endpoint_id = next.endpoint_id AND d.position = next.position AND d.due_at IS NULL;

    RETURN QUERY
        DELETE FROM webhook_failing f WHERE f.endpoint_id IN (
            SELECT o.endpoint_id FROM unnest(endpoints, statuses) AS o (endpoint_id, status)
            WHERE o.status = 'delivered')
        RETURNING f.endpoint_id, NULL::float8, f.attempts;
    RETURN QUERY
        INSERT INTO webhook_failing AS f (endpoint_id, since, attempts)
        SELECT o.endpoint_id, clock, count(*)
        FROM unnest(endpoints, statuses, attempts_) AS o (endpoint_id, status, attempt)
        WHERE o.status <> 'delivered' AND o.attempt IS NOT NULL
        GROUP BY o.endpoint_id ORDER BY o.endpoint_id
        ON CONFLICT (endpoint_id) DO UPDATE SET attempts = f.attempts + excluded.attempts
        RETURNING f.endpoint_id, extract(epoch FROM clock - f.since)::float8, f.attempts;
END $$;
