-- Which generations of tables each read model has, how far they are, and what each leaves alone.

-- Earlier builds made both tables beside those of the read models.
CREATE TABLE IF NOT EXISTS projection_positions (
    name       text COLLATE "C" NOT NULL,
    version    int              NOT NULL,  -- of the tables: {name}_v{version}
    code       int              NOT NULL,  -- Projection.version that fills them
    position   bigint           NOT NULL,  -- the last event that is in the rows
    live       boolean          NOT NULL,  -- whether the views show these tables
    error      text,                       -- why it stands still, if it does
    updated_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX IF NOT EXISTS projection_positions_live
    ON projection_positions (name) WHERE live;

-- Streams that a projection leaves alone until they are retried; their rows have stale_from.
CREATE TABLE IF NOT EXISTS parked (
    projection text COLLATE "C" NOT NULL,
    version    int              NOT NULL,
    stream_id  text COLLATE "C" NOT NULL,
    position   bigint           NOT NULL,  -- of the first event that is not in the rows
    error      text             NOT NULL,
    since      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, stream_id)
);

ALTER TABLE projection_positions
    ADD COLUMN tables    text[],       -- live names; null: what the code of this build names
    ADD COLUMN paused_at timestamptz;  -- since when an operator has it stand still
