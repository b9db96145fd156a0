-- Circuit breakers: one row per processor account, read by all that route, and what waits for people.

CREATE TABLE circuits (
    merchant_id text COLLATE "C" NOT NULL,
    processor   text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,  -- fingerprint of the merchant's account
    state       text COLLATE "C" NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    calls       int              NOT NULL,  -- of the running window
    bad         int              NOT NULL,  -- how many of them went wrong
    since       timestamptz,                -- the window's beginning
    until       timestamptz,                -- open: when a probe may go; half open: when it is lost
    trips       int              NOT NULL,  -- how often it opened in a row
    prober      text COLLATE "C",           -- the attempt that is the probe
    updated_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (merchant_id, processor, account)
);
CREATE INDEX circuits_not_closed ON circuits (merchant_id) WHERE state <> 'closed';

-- Orders about which a person may have to do something: these events are rare.
CREATE INDEX events_for_people ON events (originator_id) WHERE topic IN (
    'order.outcome_unknown.v1', 'order.discrepancy_found.v1', 'order.dispute_opened.v1',
    'order.stray_payment_found.v1'
);
