"""The tables, and the version of their layout."""

VERSION = 4
"""The layout's version, kept in ``user_version``."""

APPLICATION_ID = 0x54484F52
"""``THOR``: marks the file as ours, in ``application_id``."""

TABLES = (
    # One row: what tells this store from all others.
    "CREATE TABLE identity (id TEXT NOT NULL)",
    "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
    """
    CREATE TABLE subscriptions (
        id TEXT PRIMARY KEY,
        place TEXT NOT NULL,
        owner TEXT,
        patterns TEXT NOT NULL,
        url TEXT NOT NULL,
        secrets TEXT NOT NULL,
        old_secrets TEXT NOT NULL,
        content_type TEXT NOT NULL,
        digest TEXT NOT NULL,
        headers TEXT NOT NULL,
        client_certificate TEXT,
        disabled TEXT
    ) WITHOUT ROWID
    """,
    "CREATE INDEX subscriptions_by_place ON subscriptions (place, id)",
    # A row for each pattern, so that the subscriptions to an event are found by index, in origin order.
    # The owner is '' where nobody owns the subscription: NULL cannot be part of a key.
    """
    CREATE TABLE patterns (
        pattern TEXT NOT NULL,
        owner TEXT NOT NULL,
        place TEXT NOT NULL,
        subscription_id TEXT NOT NULL,
        PRIMARY KEY (pattern, owner, place, subscription_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX patterns_of_all_owners ON patterns (pattern, place, subscription_id)",
    "CREATE INDEX patterns_by_subscription ON patterns (subscription_id)",
    """
    CREATE TABLE bodies (
        message_id TEXT NOT NULL,
        content_type TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (message_id, content_type)
    )
    """,
    """
    CREATE TABLE deliveries (
        id TEXT PRIMARY KEY,
        message_id TEXT NOT NULL,
        event TEXT NOT NULL,
        sender TEXT,
        subscription_id TEXT NOT NULL,
        origin TEXT NOT NULL,
        content_type TEXT NOT NULL,
        state TEXT NOT NULL,
        attempted_at TEXT NOT NULL,
        due_at TEXT,
        attempt TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX deliveries_by_time ON deliveries (attempted_at, id)",
    "CREATE INDEX deliveries_by_state ON deliveries (state, attempted_at, id)",
)
