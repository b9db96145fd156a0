-- What explains a line of a payout's report is claimed in the append that says so, and given back
-- in the one that takes it back: two imports at one moment cannot explain two lines by one capture.

INSERT INTO claims (kind, scope, value, owner)
SELECT 'settled', concat(said #>> '{metadata,merchant_id}', ':', said #>> '{metadata,mode}'),
       concat_ws(' ', said #>> '{data,match,order_id}', said #>> '{data,line,kind}',
                 said #>> '{data,match,subject}'),
       originator_id
FROM (
    SELECT DISTINCT ON (originator_id, said #>> '{data,line,id}') originator_id, topic, said,
           notification_id
    FROM (
        SELECT originator_id, topic, notification_id, convert_from(state, 'UTF8')::json AS said
        FROM events WHERE originator_id >= 'set_' AND originator_id < 'set`'
    ) AS rows
    WHERE topic <> 'settlement.reported.v1'
    ORDER BY originator_id, said #>> '{data,line,id}', notification_id DESC
) AS lines
WHERE topic = 'settlement.matched.v1' AND said #>> '{data,match,order_id}' IS NOT NULL
ORDER BY notification_id
ON CONFLICT DO NOTHING;

-- As in 0002, but for claims that are given back.
CREATE OR REPLACE FUNCTION append_events(
    commands int,
    e_cmd int[], e_stream text[], e_version bigint[], e_topic text[], e_state bytea[],
    i_cmd int[], i_scope text[], i_key text[], i_fingerprint bytea[], i_status int[],
    i_stream text[], i_version bigint[], i_subject text[],
    c_cmd int[], c_kind text[], c_scope text[], c_value text[], c_owner text[],
    d_cmd int[], d_order text[], d_subject text[], d_operation text[], d_at timestamptz[],
    d_worker int[],
    k_cmd int[], k_id text[],
    s_cmd int[], s_key text[], s_subject text[], s_merchant text[], s_wrapped bytea[],
    api_keys_issued jsonb, api_keys_revoked jsonb
) RETURNS TABLE (cmd int, outcome text, first_position bigint, at timestamptz)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    base    bigint;
    last_at timestamptz;
    now_at  timestamptz;
    clock   timestamptz;
    revoked  int[] := '{}';
    answered int[] := '{}';
    claimed  int[] := '{}';
    taken    int[] := '{}';
    refused  int[];
BEGIN
    -- One writer at a time: positions are dense and appear in commit order.
    PERFORM pg_advisory_xact_lock(hashtextextended('loop.events', 0));
    SELECT notification_id, recorded_at INTO base, last_at
        FROM events ORDER BY notification_id DESC LIMIT 1;
    base := coalesce(base, 0);
    -- The log's time never goes back; what is due or expires goes by the clock as it is.
    clock := clock_timestamp();
    now_at := greatest(clock, last_at);

    IF cardinality(k_cmd) > 0 THEN
        revoked := ARRAY(
            SELECT k.cmd FROM unnest(k_cmd, k_id) AS k (cmd, id)
            WHERE (SELECT a.revoked_at IS NULL AND coalesce(a.expires_at > clock, true)
                   FROM api_keys a WHERE a.key_id = k.id) IS NOT TRUE);
    END IF;
    IF cardinality(i_cmd) > 0 THEN
        answered := ARRAY(
            SELECT i.cmd FROM unnest(i_cmd, i_scope, i_key) AS i (cmd, scope, key)
            WHERE (SELECT true FROM idempotency t WHERE t.scope = i.scope AND t.key = i.key));
    END IF;
    IF cardinality(c_cmd) > 0 THEN
        claimed := ARRAY(
            SELECT c.cmd FROM unnest(c_cmd, c_kind, c_scope, c_value, c_owner)
                AS c (cmd, kind, scope, value, owner)
            WHERE (SELECT t.owner <> c.owner FROM claims t
                   WHERE t.kind = c.kind AND t.scope = c.scope AND t.value = c.value));
    END IF;
    -- Events follow directly on the stream's last one: no version twice, none left out.
    -- A scalar subquery is one probe per row, whatever the planner thinks of unnest().
    taken := ARRAY(
        SELECT w.cmd FROM (
            SELECT e.cmd, e.stream, min(e.version) - 1 AS expected
            FROM unnest(e_cmd, e_stream, e_version) AS e (cmd, stream, version)
            GROUP BY e.cmd, e.stream
        ) AS w
        WHERE w.expected <> coalesce((SELECT max(t.originator_version) FROM events t
                                      WHERE t.originator_id = w.stream), 0));
    refused := revoked || answered || claimed || taken;

    IF cardinality(refused) > 0 THEN
        RETURN QUERY
            SELECT DISTINCT ON (r.cmd) r.cmd, r.reason, NULL::bigint, now_at FROM (
                SELECT unnest(revoked), 'key_revoked', 1 UNION ALL
                SELECT unnest(answered), 'answered', 2 UNION ALL
                SELECT unnest(claimed), 'claimed', 3 UNION ALL
                SELECT unnest(taken), 'version_taken', 4
            ) AS r (cmd, reason, rank) ORDER BY r.cmd, r.rank;
    END IF;

    RETURN QUERY
        WITH e AS (
            SELECT e.*, base + row_number() OVER (ORDER BY e.ord) AS pos
            FROM unnest(e_cmd, e_stream, e_version, e_topic, e_state) WITH ORDINALITY
                AS e (cmd, stream, version, topic, state, ord)
            WHERE e.cmd <> ALL (refused)
        ), written AS (
            INSERT INTO events (originator_id, originator_version, topic, state,
                                notification_id, recorded_at)
            SELECT e.stream, e.version, e.topic, e.state, e.pos, now_at FROM e ORDER BY e.pos
        ), firsts AS (
            SELECT e.cmd, min(e.pos) AS pos FROM e GROUP BY e.cmd
        )
        SELECT g.cmd, 'ok', firsts.pos, now_at
        FROM generate_series(0, commands - 1) AS g (cmd) LEFT JOIN firsts USING (cmd)
        WHERE g.cmd <> ALL (refused);

    IF cardinality(i_cmd) > 0 THEN
        INSERT INTO idempotency
            SELECT i.scope, i.key, i.fingerprint, i.status, i.stream, i.version, i.subject, now_at
            FROM unnest(i_cmd, i_scope, i_key, i_fingerprint, i_status, i_stream, i_version,
                        i_subject)
                AS i (cmd, scope, key, fingerprint, status, stream, version, subject)
            WHERE i.cmd <> ALL (refused);
    END IF;
    IF cardinality(c_cmd) > 0 THEN
        -- Without an owner a value is given back; nobody is in its way. It is rare: all other
        -- appends are spared a join that the planner may make of the whole table.
        IF array_position(c_owner, NULL) IS NOT NULL THEN
            DELETE FROM claims
                USING unnest(c_cmd, c_kind, c_scope, c_value, c_owner)
                    AS c (cmd, kind, scope, value, owner)
                WHERE c.cmd <> ALL (refused) AND c.owner IS NULL AND claims.kind = c.kind
                  AND claims.scope = c.scope AND claims.value = c.value;
        END IF;
        INSERT INTO claims
            SELECT c.kind, c.scope, c.value, c.owner
            FROM unnest(c_cmd, c_kind, c_scope, c_value, c_owner)
                AS c (cmd, kind, scope, value, owner)
            WHERE c.cmd <> ALL (refused) AND c.owner IS NOT NULL
            ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(d_cmd) > 0 THEN
        -- The worker that appends an outcome gives its lease back; others keep theirs.
        UPDATE due SET worker = NULL, lease_until = NULL
            FROM unnest(d_cmd, d_order, d_subject, d_worker) AS d (cmd, order_id, subject, worker)
            WHERE d.cmd <> ALL (refused) AND due.order_id = d.order_id
              AND due.subject = d.subject AND due.worker = d.worker;
        DELETE FROM due
            USING unnest(d_cmd, d_order, d_subject, d_operation)
                AS d (cmd, order_id, subject, operation)
            WHERE d.cmd <> ALL (refused) AND d.operation IS NULL
              AND due.order_id = d.order_id AND due.subject = d.subject;
        INSERT INTO due (order_id, subject, operation, due_at)
            SELECT d.order_id, d.subject, d.operation, coalesce(d.at, clock)
            FROM unnest(d_cmd, d_order, d_subject, d_operation, d_at)
                AS d (cmd, order_id, subject, operation, at)
            WHERE d.cmd <> ALL (refused) AND d.operation IS NOT NULL
            ON CONFLICT (order_id, subject) DO UPDATE SET
                operation = excluded.operation,
                due_at = excluded.due_at,
                news = true,
                tries = CASE WHEN due.operation = excluded.operation THEN due.tries ELSE 0 END;
    END IF;
    IF cardinality(s_cmd) > 0 THEN
        INSERT INTO data_keys (key_id, subject, merchant_id, wrapped, created_at)
            SELECT s.key, s.subject, s.merchant, s.wrapped, now_at
            FROM unnest(s_cmd, s_key, s_subject, s_merchant, s_wrapped)
                AS s (cmd, key, subject, merchant, wrapped)
            WHERE s.cmd <> ALL (refused);
    END IF;
    IF api_keys_issued IS NOT NULL THEN
        INSERT INTO api_keys (key_hash, key_id, merchant_id, mode, scopes, expires_at)
            SELECT decode(n.key_hash, 'hex'), n.key_id, n.merchant_id, n.mode, n.scopes,
                   n.expires_at
            FROM jsonb_to_recordset(api_keys_issued) AS n (cmd int, key_hash text, key_id text,
                merchant_id text, mode text, scopes text[], expires_at timestamptz)
            WHERE n.cmd <> ALL (refused);
    END IF;
    IF api_keys_revoked IS NOT NULL THEN
        UPDATE api_keys SET revoked_at = now_at
            FROM jsonb_to_recordset(api_keys_revoked) AS r (cmd int, key_id text)
            WHERE r.cmd <> ALL (refused) AND api_keys.key_id = r.key_id;
    END IF;
    NOTIFY loop_events;
END $$;
