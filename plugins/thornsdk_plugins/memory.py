"""Keeps subscriptions and deliveries in this process; they end with it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from thornsdk import (
    Audience,
    DeliveryRecord,
    DeliveryState,
    HookContext,
    Origin,
    Plugin,
    Provided,
    Store,
    Subscription,
    hookimpl,
)

LIMIT = 10_000
"""How many pending deliveries, and how many ended ones, are kept at most; the oldest go first."""


class MemoryStore:
    """Keeps subscriptions and deliveries in memory.

    It keeps the latest deliveries only, so that a process that never attempts the pending ones again does not
    grow without end: what is dropped is not attempted again. For what must not be lost, take ``sqlite``.

    Args:
        limit: How many pending deliveries, and how many ended ones, are kept at most.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._subscriptions: dict[UUID, Subscription] = {}
        # All of them by origin; None where it has to be made anew. What was given out is never changed.
        self._in_order: tuple[Subscription, ...] | None = None
        self._pending: OrderedDict[UUID, DeliveryRecord] = OrderedDict()
        self._ended: OrderedDict[UUID, DeliveryRecord] = OrderedDict()

    @property
    def identity(self) -> None:
        """None: no other process sees it."""

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        """Adds or replaces subscriptions."""
        new = {one.id: one for one in subscriptions}
        with self._lock:
            self._subscriptions.update(new)
            self._in_order = None

    def find(self, subscription_id: UUID) -> Subscription | None:
        """Gives a subscription, or None."""
        return self._subscriptions.get(subscription_id)

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
    ) -> Subscription | None:
        """Changes a subscription in one step."""
        with self._lock:
            known = self._subscriptions.get(subscription_id, default)
            if known is None:
                return None
            changed = change(known)
            if changed != known:
                self._subscriptions[subscription_id] = changed
                self._in_order = None
            return changed

    def remove(self, subscription_id: UUID) -> bool:
        """Removes a subscription; tells whether there was one."""
        with self._lock:
            self._in_order = None
            return self._subscriptions.pop(subscription_id, None) is not None

    def subscriptions(self) -> Iterator[Subscription]:
        """Gives all subscriptions, sorted by origin."""
        with self._lock:
            if self._in_order is None:
                self._in_order = tuple(sorted(self._subscriptions.values(), key=_place))
            return iter(self._in_order)

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience admits, sorted by origin."""
        return (one for one in self.subscriptions() if audience.admits(one))

    def record(self, delivery: DeliveryRecord) -> None:
        """Keeps what became of a delivery."""
        with self._lock:
            self._pending.pop(delivery.id, None)
            self._ended.pop(delivery.id, None)
            kept = self._pending if delivery.state is DeliveryState.PENDING else self._ended
            kept[delivery.id] = delivery
            if len(kept) > self._limit:
                kept.popitem(last=False)

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives what is known of a delivery, or None."""
        with self._lock:
            return self._pending.get(delivery_id) or self._ended.get(delivery_id)

    def deliveries(self, state: DeliveryState | None = None) -> Iterator[DeliveryRecord]:
        """Gives deliveries, the latest attempt first."""
        with self._lock:
            found = [*self._pending.values(), *self._ended.values()]
        found.sort(key=lambda one: one.last.started_at, reverse=True)
        return (one for one in found if state in {None, one.state})

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[DeliveryRecord]:
        """Takes pending deliveries that are due, the longest due first."""
        with self._lock:
            due = [(one.next_attempt_at, one) for one in self._pending.values()]
            ready = [(at, one) for at, one in due if at is not None and at <= now]
            ready.sort(key=lambda row: row[0])
            claimed = [one for _, one in islice(ready, limit)]
            for one in claimed:
                self._pending[one.id] = one.due_at(until)
        return claimed

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        """Replaces a pending delivery that is due at exactly this moment."""
        with self._lock:
            known = self._pending.get(delivery_id)
            if known is None or known.next_attempt_at != due_at:
                return False
            self._pending[delivery_id] = taken
            return True

    def close(self) -> None:
        """Holds nothing outside this process."""


def _place(subscription: Subscription) -> tuple[Origin, int]:
    return subscription.url.origin, subscription.id.int


class MemoryPlugin(Plugin):
    """Provides the store ``memory``."""

    @hookimpl
    def thornsdk_stores(self, context: HookContext) -> list[Provided[Store]]:
        """Provides it."""
        return [Provided("memory", lambda stage: MemoryStore(), "Keeps all in this process, for its life.")]
