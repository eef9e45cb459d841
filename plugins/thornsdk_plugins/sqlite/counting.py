"""Counts deliveries: those that are there, and those that were pruned."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from sqlite3 import Connection
from typing import TypeAlias, cast
from uuid import UUID

from thornsdk import Count, CountFilter, DeliveryState
from thornsdk_plugins.sqlite.database import Database
from thornsdk_plugins.sqlite.rows import Value

Group: TypeAlias = tuple[Value, ...]
"""What is counted together: subscription, day, event and state."""

_FIRST, _LAST = "", "~"
"""What sorts before and after every day."""

_ADD = """
    INSERT INTO counts VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (subscription_id, day, event, state)
    DO UPDATE SET deliveries = deliveries + excluded.deliveries
"""
_NEXT_SUBSCRIPTION = """
    SELECT min(id) FROM (
        SELECT min(subscription_id) AS id FROM deliveries INDEXED BY deliveries_by_subscription
        WHERE subscription_id > :after
        UNION ALL SELECT min(subscription_id) FROM counts WHERE subscription_id > :after
    )
"""
# One statement sees one moment: what is pruned meanwhile is in one half of it or in the other.
_OF_SUBSCRIPTION = """
    SELECT day, event, state, sum(number) FROM (
        SELECT day, event, state, deliveries AS number FROM counts
        WHERE subscription_id = :id AND day >= :since AND day < :before AND event GLOB :event
        UNION ALL
        SELECT substr(attempted_at, 1, 10), event, state, count(*)
        FROM deliveries INDEXED BY deliveries_by_subscription
        WHERE subscription_id = :id AND attempted_at >= :since AND attempted_at < :before
        AND event GLOB :event GROUP BY 1, 2, 3
    ) GROUP BY day, event, state ORDER BY day, event, state
"""


def add(connection: Connection, removed: Iterable[Group]) -> None:
    """Counts deliveries that are removed, in the transaction that removes them."""
    connection.executemany(_ADD, [(*group, number) for group, number in Counter(removed).items()])


def counts(database: Database, wanted: CountFilter) -> Iterator[Count]:
    """Gives what was counted, one subscription after the other, so that it never holds more than of one."""
    if wanted.subscription_id is not None:
        yield from _of_subscription(database, str(wanted.subscription_id), wanted)
        return
    found = _next_subscription(database, "")
    while found is not None:
        yield from _of_subscription(database, found, wanted)
        found = _next_subscription(database, found)


def _next_subscription(database: Database, after: str) -> str | None:
    ((found,),) = database.rows(_NEXT_SUBSCRIPTION, {"after": after})
    return cast("str | None", found)


def _of_subscription(database: Database, subscription_id: str, wanted: CountFilter) -> Iterator[Count]:
    values = {
        "id": subscription_id,
        "since": _FIRST if wanted.since is None else wanted.since.isoformat(),
        "before": _LAST if wanted.before is None else wanted.before.isoformat(),
        # In names of events, whose segments are never empty, GLOB's * means what ours does.
        "event": "*" if wanted.event is None else wanted.event.text,
    }
    for day, event, state, number in database.rows(_OF_SUBSCRIPTION, values):
        yield Count(
            day=date.fromisoformat(str(day)),
            event=str(event),
            subscription_id=UUID(subscription_id),
            state=DeliveryState(str(state)),
            deliveries=cast("int", number),
        )
