-- Times are virtual seconds since 1970, UTC; amounts are minor units as the dialect counts them.
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;

-- The vendors' objects, as JSON; members that begin with _ are the sandbox's own.
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    parent TEXT,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS objects_id ON objects (kind, id);
CREATE INDEX IF NOT EXISTS objects_account ON objects (kind, account, seq);
CREATE INDEX IF NOT EXISTS objects_parent ON objects (kind, parent, seq) WHERE parent IS NOT NULL;

-- Every movement of money, only ever appended: the books are added up from this alone.
CREATE TABLE IF NOT EXISTS money (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    dialect TEXT NOT NULL,
    payment TEXT NOT NULL,
    order_ref TEXT,
    op TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS money_order ON money (order_ref, n);
CREATE INDEX IF NOT EXISTS money_payment ON money (payment, n);

CREATE TABLE IF NOT EXISTS keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jobs (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    due REAL NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due, n);
CREATE INDEX IF NOT EXISTS jobs_ref ON jobs (kind, ref);

-- How often an amount-coded fault has struck.
CREATE TABLE IF NOT EXISTS strikes (
    scope TEXT PRIMARY KEY, count INTEGER NOT NULL, first REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS rules (
    id TEXT PRIMARY KEY, n INTEGER NOT NULL, rule BLOB NOT NULL,
    hits INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS requests (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    dialect TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    account TEXT NOT NULL,
    key TEXT,
    status INTEGER NOT NULL,
    replayed INTEGER NOT NULL,
    done TEXT NOT NULL,
    decisions BLOB
);

CREATE TABLE IF NOT EXISTS deliveries (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    event_id TEXT NOT NULL,
    payment TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    made REAL NOT NULL,
    due REAL NOT NULL,
    state TEXT NOT NULL,
    mode TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    secret TEXT,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due, n);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event_id);
CREATE INDEX IF NOT EXISTS deliveries_payment ON deliveries (payment, state);

CREATE TABLE IF NOT EXISTS attempts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL,
    at REAL NOT NULL,
    status INTEGER,
    note TEXT NOT NULL
);
