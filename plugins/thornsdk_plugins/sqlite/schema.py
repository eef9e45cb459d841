"""The tables, and the version of their layout."""

VERSION = 8
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
        rate_limit TEXT,
        max_in_flight INTEGER,
        ordered_by TEXT,
        when_failed TEXT NOT NULL,
        retry_schedule TEXT,
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
        disabled INTEGER NOT NULL,
        ordered INTEGER NOT NULL,
        PRIMARY KEY (pattern, owner, place, subscription_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX patterns_of_all_owners ON patterns (pattern, place, subscription_id)",
    # Those that are disabled are asked for with every message, and must not cost what the active ones are.
    "CREATE INDEX patterns_off ON patterns (pattern, owner, place, subscription_id) WHERE disabled = 1",
    "CREATE INDEX patterns_off_of_all ON patterns (pattern, place, subscription_id) WHERE disabled = 1",
    "CREATE INDEX patterns_by_subscription ON patterns (subscription_id)",
    # Whoever sends by a broker looks for the ordered ones, and mostly there are none.
    "CREATE INDEX patterns_of_ordered ON patterns (pattern, owner, place, subscription_id) WHERE ordered",
    """
    CREATE TABLE bodies (
        message_id TEXT NOT NULL,
        content_type TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (message_id, content_type)
    )
    """,
    # A row's key is the order in which deliveries came, and all indexes end in it: ids are random, and a
    # message to many would be written all over the file.
    """
    CREATE TABLE deliveries (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        message_id TEXT NOT NULL,
        event TEXT NOT NULL,
        created_at TEXT NOT NULL,
        sender TEXT,
        owner TEXT,
        subscription_id TEXT NOT NULL,
        origin TEXT NOT NULL,
        content_type TEXT NOT NULL,
        accepted_at TEXT NOT NULL,
        order_key TEXT,
        state TEXT NOT NULL,
        attempted_at TEXT NOT NULL,
        due_at TEXT,
        holder TEXT,
        number INTEGER NOT NULL,
        attempt TEXT NOT NULL,
        failed_at TEXT,
        held TEXT
    )
    """,
    "CREATE INDEX deliveries_due ON deliveries (due_at, origin) WHERE due_at IS NOT NULL",
    "CREATE INDEX deliveries_new ON deliveries (message_id, origin) WHERE number = 0 AND holder IS NOT NULL",
    "CREATE INDEX deliveries_by_time ON deliveries (attempted_at)",
    "CREATE INDEX deliveries_by_state ON deliveries (state, attempted_at)",
    "CREATE INDEX deliveries_by_subscription ON deliveries (subscription_id, attempted_at)",
    # Tells whether a body is still needed.
    "CREATE INDEX deliveries_by_body ON deliveries (message_id, content_type)",
    # Those that nobody owns are not looked for by their owner.
    "CREATE INDEX deliveries_by_owner ON deliveries (owner, attempted_at) WHERE owner IS NOT NULL",
    # What may be in the way of others in its line. It holds no history.
    """
    CREATE INDEX deliveries_in_line ON deliveries (subscription_id, order_key, state)
    WHERE order_key IS NOT NULL AND state NOT IN ('delivered', 'cancelled')
    """,
    # The attempts besides the one that counts. That one is part of its delivery: most are delivered at once.
    """
    CREATE TABLE attempts (
        delivery_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        attempt TEXT NOT NULL,
        PRIMARY KEY (delivery_id, number)
    ) WITHOUT ROWID
    """,
    # The history writes itself, whoever changes a delivery. Where an attempt is taken back, it is not kept.
    """
    CREATE TRIGGER attempt_followed BEFORE UPDATE OF attempt ON deliveries
    WHEN old.number > 0 AND (new.number > old.number OR (new.number < old.number AND new.state = 'delivered'))
    BEGIN
        INSERT INTO attempts VALUES (old.id, old.number, old.attempt)
        ON CONFLICT (delivery_id, number) DO UPDATE SET attempt = excluded.attempt;
    END
    """,
    # Since when all attempts to a subscription have failed, and whether that was told. It writes itself too,
    # and so costs no statement. What is put back in its place, for no attempt was made, changes nothing.
    """
    CREATE TABLE failing (
        subscription_id TEXT PRIMARY KEY,
        since TEXT NOT NULL,
        told INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER failed_at_first AFTER INSERT ON deliveries WHEN new.failed_at IS NOT NULL
    BEGIN
        INSERT INTO failing (subscription_id, since) VALUES (new.subscription_id, new.failed_at)
        ON CONFLICT (subscription_id) DO NOTHING;
    END
    """,
    """
    CREATE TRIGGER failed_again AFTER UPDATE OF failed_at ON deliveries
    WHEN new.failed_at IS NOT NULL AND new.failed_at IS NOT old.failed_at AND new.number >= old.number
    BEGIN
        INSERT INTO failing (subscription_id, since) VALUES (new.subscription_id, new.failed_at)
        ON CONFLICT (subscription_id) DO NOTHING;
    END
    """,
    """
    CREATE TRIGGER arrived_at_first AFTER INSERT ON deliveries WHEN new.state = 'delivered'
    BEGIN
        DELETE FROM failing WHERE subscription_id = new.subscription_id;
    END
    """,
    """
    CREATE TRIGGER arrived_at_last AFTER UPDATE OF state ON deliveries WHEN new.state = 'delivered'
    BEGIN
        DELETE FROM failing WHERE subscription_id = new.subscription_id;
    END
    """,
    # Before, for after a replacement the row that was disabled is there no more.
    """
    CREATE TRIGGER enabled BEFORE INSERT ON subscriptions
    WHEN new.disabled IS NULL
    AND EXISTS (SELECT 1 FROM subscriptions WHERE id = new.id AND disabled IS NOT NULL)
    BEGIN
        DELETE FROM failing WHERE subscription_id = new.id;
    END
    """,
    # How many deliveries were pruned, by what they are counted by.
    """
    CREATE TABLE counts (
        subscription_id TEXT NOT NULL,
        day TEXT NOT NULL,
        event TEXT NOT NULL,
        state TEXT NOT NULL,
        deliveries INTEGER NOT NULL,
        PRIMARY KEY (subscription_id, day, event, state)
    ) WITHOUT ROWID
    """,
    # The circuit breakers of origins of which something bad is known.
    """
    CREATE TABLE breakers (
        origin TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,
        pause REAL NOT NULL,
        until TEXT,
        probe TEXT
    ) WITHOUT ROWID
    """,
    # What is known of the attempts to subscriptions that have limits.
    """
    CREATE TABLE traffic (
        subscription_id TEXT PRIMARY KEY,
        full_at TEXT,
        queue_until TEXT,
        late_until TEXT,
        duration REAL,
        in_flight TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
