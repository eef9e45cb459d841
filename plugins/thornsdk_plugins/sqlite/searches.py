"""Turns what is wanted of the deliveries into a search by an index."""

from attrs import frozen

from thornsdk import DeliveryFilter
from thornsdk_plugins.sqlite.rows import Value, moment

_LAST = "~"
"""Sorts after every moment."""


@frozen(kw_only=True)
class Search:
    """A search of the deliveries.

    Attributes:
        index: The index that it goes by: all of them end in the time of the latest attempt.
        condition: What is asked of a row besides.
        values: The values of the condition, in their order.
        before: Where it begins: at the last attempt before this moment, as text.
    """

    index: str
    condition: str
    values: tuple[Value, ...]
    before: str


def search(wanted: DeliveryFilter) -> Search:
    """Gives the search for what is wanted."""
    conditions = _conditions(wanted)
    return Search(
        index=_index(wanted),
        condition=" AND ".join(["TRUE", *(condition for condition, _ in conditions)]),
        values=tuple(value for _, values in conditions for value in values),
        before=_LAST if wanted.before is None else moment(wanted.before),
    )


def _index(wanted: DeliveryFilter) -> str:
    """Names the index that leaves the fewest rows to look at."""
    if wanted.subscription_id is not None:
        return "deliveries_by_subscription"
    if wanted.owner is not None:
        return "deliveries_by_owner"
    if wanted.states is not None and len(wanted.states) == 1:
        return "deliveries_by_state"
    return "deliveries_by_time"


def _conditions(wanted: DeliveryFilter) -> list[tuple[str, tuple[Value, ...]]]:
    conditions: list[tuple[str, tuple[Value, ...]]] = []
    if wanted.states is not None:
        # SQLite has no use for an index where a list is empty, and we insist on one.
        states = tuple(one.value for one in wanted.states) or ("no state",)
        conditions.append((f"state IN ({', '.join('?' for _ in states)})", states))
    if wanted.event is not None:
        # In names of events, whose segments are never empty, GLOB's * means what ours does.
        conditions.append(("event GLOB ?", (wanted.event.text,)))
    if wanted.subscription_id is not None:
        conditions.append(("subscription_id = ?", (str(wanted.subscription_id),)))
    if wanted.owner is not None:
        conditions.append(("owner = ?", (wanted.owner,)))
    if wanted.since is not None:
        conditions.append(("attempted_at >= ?", (moment(wanted.since),)))
    return conditions
