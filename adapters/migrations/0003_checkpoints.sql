-- Signed heads of the audit tree: rows are added and never change.

CREATE TABLE checkpoints (
    origin    text COLLATE "C" NOT NULL,  -- the log that was signed, `loop/{log id}`
    size      bigint           NOT NULL,  -- of the tree: the position of its last event
    root      bytea            NOT NULL,
    note      text             NOT NULL,  -- C2SP signed note, as it was published
    signed_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (origin, size)
);

CREATE TRIGGER checkpoints_are_immutable BEFORE UPDATE OR DELETE ON checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoints_are_not_truncated BEFORE TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Up to which checkpoint each witness was told; `witness` is the SHA-256 of where it is.
CREATE TABLE witness_cursors (
    witness text COLLATE "C" NOT NULL,
    origin  text COLLATE "C" NOT NULL,
    size    bigint           NOT NULL,
    PRIMARY KEY (witness, origin)
);
