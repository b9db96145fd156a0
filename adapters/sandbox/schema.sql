-- The bank's own books. Times are microseconds since 1970, UTC; amounts are minor units.
-- No CHECK on the totals: `books.py` has to be able to see what should never be.
CREATE TABLE IF NOT EXISTS payments (
    reference TEXT PRIMARY KEY,
    order_id TEXT,
    attempt_id TEXT NOT NULL,
    merchant TEXT NOT NULL,
    mode TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    token TEXT NOT NULL,
    hold_us INTEGER NOT NULL,
    status TEXT NOT NULL,
    authorized INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    looks INTEGER NOT NULL DEFAULT 0,
    challenge_approved INTEGER,
    decline_code TEXT,
    authorized_us INTEGER,
    capture_before_us INTEGER,
    cancelled_us INTEGER,
    lapsed_us INTEGER,
    changed_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS payments_of_order ON payments (order_id);
CREATE INDEX IF NOT EXISTS payments_by_change ON payments (merchant, mode, changed_us);

CREATE TABLE IF NOT EXISTS captures (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL REFERENCES payments,
    subject TEXT,
    amount INTEGER NOT NULL,
    at_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS captures_of_payment ON captures (reference);

CREATE TABLE IF NOT EXISTS refunds (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL REFERENCES payments,
    subject TEXT,
    amount INTEGER NOT NULL,
    status TEXT NOT NULL,
    code TEXT,
    looks INTEGER NOT NULL,
    at_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS refunds_of_payment ON refunds (reference);

CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS requests (
    n INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    operation TEXT NOT NULL,
    key TEXT,
    reference TEXT,
    result TEXT NOT NULL,
    code TEXT,
    replayed INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS faults (
    scope TEXT NOT NULL,
    fault TEXT NOT NULL,
    PRIMARY KEY (scope, fault)
) WITHOUT ROWID;
