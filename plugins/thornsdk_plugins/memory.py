"""Keeps subscriptions and deliveries in this process; they end with it."""

import threading
from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from heapq import nsmallest
from itertools import count, takewhile
from operator import itemgetter
from typing import TypeAlias
from uuid import UUID

from attrs import evolve

from thornsdk import (
    Attempt,
    Audience,
    Breaker,
    Count,
    CountFilter,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    HookContext,
    Origin,
    OutcomeKind,
    Plugin,
    Provided,
    Pruned,
    Store,
    Subscription,
    Traffic,
    WhenFailed,
    hookimpl,
)

_Group: TypeAlias = tuple[str, date, str, DeliveryState]
"""What is counted together: subscription, day, event and state."""
_Place: TypeAlias = tuple[int, UUID]
"""Where a delivery stands among all those that were accepted, and its id."""
_Line: TypeAlias = tuple[UUID, str]

_OPEN = frozenset({DeliveryState.PENDING, DeliveryState.LEASED})
_IN_THE_WAY = frozenset({DeliveryState.FAILED, DeliveryState.BLOCKED})

LIMIT = 10_000
"""How many open deliveries, and how many ended ones, are kept at most; the oldest go first."""


class MemoryStore:
    """Keeps subscriptions and deliveries in memory.

    It keeps the latest deliveries only, so that a process that never attempts the pending ones again does not
    grow without end: what is dropped is not attempted again. For what must not be lost, take ``sqlite``.

    Args:
        limit: How many open deliveries, which are to be attempted, and how many ended ones are kept at most.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._subscriptions: dict[UUID, Subscription] = {}
        # All of them by origin; None where it has to be made anew. What was given out is never changed.
        self._in_order: tuple[Subscription, ...] | None = None
        self._disabled_in_order: tuple[Subscription, ...] = ()
        self._open: OrderedDict[UUID, DeliveryRecord] = OrderedDict()
        self._ended: OrderedDict[UUID, DeliveryRecord] = OrderedDict()
        # The attempts besides the one that counts, by number.
        self._history: dict[UUID, dict[int, Attempt]] = {}
        # Since when the attempts to a subscription have failed, and of which that was told.
        self._failing: dict[UUID, datetime] = {}
        self._told: set[UUID] = set()
        self._breakers: dict[str, Breaker] = {}
        self._traffic: dict[UUID, Traffic] = {}
        # How many were pruned. What is dropped since there is too much of it is not counted.
        self._pruned: Counter[_Group] = Counter()
        self._lines = _Lines()

    @property
    def identity(self) -> None:
        """None: no other process sees it."""

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        """Adds or replaces subscriptions."""
        new = {one.id: one for one in subscriptions}
        with self._lock:
            for one in new.values():
                self._note_enabled(self._subscriptions.get(one.id), one)
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
                self._note_enabled(known, changed)
                self._subscriptions[subscription_id] = changed
                self._in_order = None
            return changed

    def remove(self, subscription_id: UUID) -> bool:
        """Removes a subscription; tells whether there was one."""
        with self._lock:
            self._in_order = None
            self._recovered(subscription_id)
            self._traffic.pop(subscription_id, None)
            return self._subscriptions.pop(subscription_id, None) is not None

    def subscriptions(self) -> Iterator[Subscription]:
        """Gives all subscriptions, sorted by origin."""
        return iter(self._sorted())

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience admits, sorted by origin."""
        return (one for one in self.subscriptions() if audience.admits(one))

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience misses, sorted by origin."""
        return (one for one in self._sorted(active=False) if audience.misses(one))

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the ordered subscriptions that the audience admits."""
        return (one for one in self.matching(audience) if one.ordered_by is not None)

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Keeps new deliveries: all of them or, on an error, none; those that are known stay as they are."""
        new = list(deliveries)
        with self._lock:
            for one in new:
                if self._known(one.id) is None:
                    self._keep(one)

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        """Removes deliveries that were accepted and not attempted."""
        with self._lock:
            for one in delivery_ids:
                known = self._open.get(one)
                if known is not None and known.last.number == 0:
                    self._forget(self._open, known)

    def record(self, delivery: DeliveryRecord) -> None:
        """Keeps what became of a delivery, and its attempt in the history."""
        with self._lock:
            known = self._known(delivery.id)
            if known is None or _weight(delivery) >= _weight(known):
                self._keep(delivery)
            else:
                self._add_to_history(delivery)

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives what is known of a delivery, or None."""
        with self._lock:
            return self._known(delivery_id)

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """Gives the attempts of a delivery, the first one first."""
        with self._lock:
            known = self._known(delivery_id)
            attempts = dict(self._history.get(delivery_id, {}))
        if known is not None and known.last.number > 0:
            attempts[known.last.number] = known.last
        return [attempts[number] for number in sorted(attempts)]

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        """Gives those deliveries, or all, the latest attempt first."""
        with self._lock:
            found = [*self._open.values(), *self._ended.values()]
        found.sort(key=lambda one: one.last.started_at, reverse=True)
        return (one for one in found if wanted is None or wanted.admits(one))

    def claim_due(
        self,
        now: datetime,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries that are due, the longest due first."""
        with self._lock:
            due = [
                (one.next_attempt_at, one.origin, one)
                for one in self._open.values()
                if one.next_attempt_at is not None and one.next_attempt_at <= now
            ]
            first = nsmallest(limit, due, key=itemgetter(0, 1))
            return self._claim([one for *_, one in first], claim)

    def claim_new(
        self,
        message_id: UUID,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries of a message that are leased since they were accepted, by their origins."""
        with self._lock:
            new = [
                one
                for one in self._open.values()
                if one.message_id == message_id and one.last.number == 0 and one.lease is not None
            ]
            first = nsmallest(limit, new, key=lambda one: one.origin)
            return self._claim(first, claim)

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        """Replaces a delivery that is due at exactly this moment."""
        with self._lock:
            known = self._open.get(delivery_id)
            if known is None or known.next_attempt_at != due_at:
                return False
            self._replace(known, taken)
            return True

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        """Gives the first delivery of its line that a delivery has to wait for, or None."""
        with self._lock:
            before = map(self._known, self._lines.before(delivery_id))
            return next(
                (one for one in before if one is not None and (stop or not one.state.has_ended)), None
            )

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives the first delivery after this one in its line that has not ended, or None."""
        with self._lock:
            after = map(self._open.get, self._lines.after(delivery_id))
            return next(filter(None, after), None)

    def next_due(self) -> datetime | None:
        """Gives when the next delivery is due; None where nothing is."""
        with self._lock:
            due = [one.next_attempt_at for one in self._open.values()]
        return min(filter(None, due), default=None)

    def prune(
        self,
        before: datetime | None = None,
        keep: int | None = None,
        states: frozenset[DeliveryState] | None = None,
    ) -> Pruned:
        """Removes deliveries that have ended, with their attempts; but not what stops a line."""
        with self._lock:
            ended = [one for one in self._ended.values() if states is None or one.state in states]
            latest_first = sorted(ended, key=lambda one: one.last.started_at, reverse=True)
            beyond = len(latest_first) if keep is None else keep
            gone = [
                one
                for number, one in enumerate(latest_first)
                if (number >= beyond or (before is not None and one.last.started_at < before))
                and not self._holds_up(one)
            ]
            for one in gone:
                self._forget(self._ended, one)
            self._pruned.update(map(_group, gone))
        return Pruned.of(Counter(one.state for one in gone))

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        """Gives how many deliveries there are and were."""
        with self._lock:
            there = [*self._open.values(), *self._ended.values()]
            groups = self._pruned + Counter(map(_group, there))
        found = (_count(group, number) for group, number in sorted(groups.items()))
        return (one for one in found if wanted is None or wanted.admits(one))

    def close(self) -> None:
        """Holds nothing outside this process."""

    def failing_since(self, subscription_id: UUID) -> datetime | None:
        """Gives since when every attempt to a subscription has failed, or None."""
        return self._failing.get(subscription_id)

    def tell_failing(self, subscription_id: UUID) -> bool:
        """Notes that it is told that a subscription fails; tells whether nobody has before."""
        with self._lock:
            new = subscription_id in self._failing and subscription_id not in self._told
            self._told.update([subscription_id] if new else [])
            return new

    def breakers(self) -> Mapping[str, Breaker]:
        """Gives the circuit breakers of which something bad is known."""
        with self._lock:
            return dict(self._breakers)

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        """Changes the circuit breaker of an origin in one step."""
        with self._lock:
            changed = change(self._breakers.get(origin, Breaker()))
            self._breakers[origin] = changed
            if changed == Breaker():
                del self._breakers[origin]
            return changed

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        """Changes what is known of the attempts to a subscription in one step."""
        with self._lock:
            changed = change(self._traffic.get(subscription_id, Traffic()))
            self._traffic[subscription_id] = changed
            if changed == Traffic():
                del self._traffic[subscription_id]
            return changed

    def _sorted(self, *, active: bool = True) -> tuple[Subscription, ...]:
        """Gives all subscriptions by origin, or the disabled ones alone."""
        with self._lock:
            if self._in_order is None:
                self._in_order = tuple(sorted(self._subscriptions.values(), key=_place))
                self._disabled_in_order = tuple(one for one in self._in_order if not one.active)
            return self._in_order if active else self._disabled_in_order

    def _known(self, delivery_id: UUID) -> DeliveryRecord | None:
        return self._open.get(delivery_id) or self._ended.get(delivery_id)

    def _keep(self, delivery: DeliveryRecord) -> None:
        """Keeps a delivery as the latest one, and drops the oldest where there are too many."""
        known = self._open.pop(delivery.id, None) or self._ended.pop(delivery.id, None)
        kept = self._ended if delivery.next_attempt_at is None else self._open
        kept[delivery.id] = self._followed(known, delivery)
        if len(kept) > self._limit:
            oldest = next((one for one in kept.values() if not self._holds_up(one)), delivery)
            self._forget(kept, oldest)

    def _forget(self, kept: dict[UUID, DeliveryRecord], gone: DeliveryRecord) -> None:
        del kept[gone.id]
        self._history.pop(gone.id, None)
        self._lines.forget(gone)

    def _holds_up(self, delivery: DeliveryRecord) -> bool:
        """Tells whether a delivery that has ended is in the way of others of its line."""
        if delivery.state not in _IN_THE_WAY or delivery.order_key is None:
            return False
        subscription = self._subscriptions.get(delivery.subscription_id)
        if subscription is not None and subscription.when_failed is WhenFailed.SKIP:
            return False
        # Mostly, those that wait are at the end.
        return any(one in self._open for one in self._lines.after(delivery.id, last_first=True))

    def _claim(
        self, known: list[DeliveryRecord], claim: Callable[[DeliveryRecord], DeliveryRecord]
    ) -> list[DeliveryRecord]:
        for one, taken in [(one, claim(one)) for one in known]:
            self._replace(one, taken)
        return known

    def _replace(self, known: DeliveryRecord, taken: DeliveryRecord) -> None:
        """Replaces a delivery in its place among those that are to be attempted."""
        self._open[known.id] = self._followed(known, taken)

    def _followed(self, known: DeliveryRecord | None, delivery: DeliveryRecord) -> DeliveryRecord:
        """Gives a delivery as it is kept; the attempt that counted before goes into the history."""
        self._note_health(known, delivery)
        if known is None:
            self._lines.note(delivery)
            return evolve(delivery, accepted_at=delivery.accepted_at or delivery.last.started_at)
        delivery = evolve(delivery, order_key=known.order_key)
        self._lines.note(delivery)
        # Otherwise it was taken back.
        if known.last.number > 0 and _weight(delivery) >= _weight(known):
            self._add_to_history(known)
        return evolve(delivery, created_at=known.created_at, accepted_at=known.accepted_at)

    def _note_health(self, known: DeliveryRecord | None, delivery: DeliveryRecord) -> None:
        """Notes whether the subscription of a delivery is failing."""
        if delivery.kind is OutcomeKind.DELIVERED:
            self._recovered(delivery.subscription_id)
        elif delivery.last.receiver_failed and (known is None or _is_news(known, delivery)):
            self._failing.setdefault(delivery.subscription_id, delivery.last.started_at)

    def _note_enabled(self, known: Subscription | None, now: Subscription) -> None:
        """Notes that a subscription is no longer failing where it was enabled."""
        if known is not None and now.active and not known.active:
            self._recovered(now.id)

    def _recovered(self, subscription_id: UUID) -> None:
        self._failing.pop(subscription_id, None)
        self._told.discard(subscription_id)

    def _add_to_history(self, delivery: DeliveryRecord) -> None:
        self._history.setdefault(delivery.id, {})[delivery.last.number] = delivery.last


class _Lines:
    """The deliveries with an order key, in the order in which they were accepted."""

    def __init__(self) -> None:
        self._numbers = count()
        # Of all that are known; and of those that may be in the way of others, by their line.
        self._places: dict[UUID, tuple[_Place, _Line]] = {}
        self._in_the_way: dict[_Line, list[_Place]] = {}

    def note(self, delivery: DeliveryRecord) -> None:
        """Takes note of where a delivery stands, and whether it may be in the way of others."""
        if delivery.order_key is None:
            return
        if delivery.id not in self._places:
            line = (delivery.subscription_id, delivery.order_key)
            self._places[delivery.id] = ((next(self._numbers), delivery.id), line)
        place, line = self._places[delivery.id]
        self._leave(place, line)
        if delivery.state in _OPEN or delivery.state in _IN_THE_WAY:
            insort(self._in_the_way.setdefault(line, []), place)

    def forget(self, delivery: DeliveryRecord) -> None:
        """Takes a delivery out of its line."""
        if delivery.id in self._places:
            self._leave(*self._places.pop(delivery.id))

    def before(self, delivery_id: UUID) -> Iterator[UUID]:
        """Gives those that may be in the way of a delivery, the first one first."""
        if delivery_id in self._places:
            place, line = self._places[delivery_id]
            yield from (one for _, one in takewhile(place.__gt__, self._in_the_way.get(line, ())))

    def after(self, delivery_id: UUID, *, last_first: bool = False) -> Iterator[UUID]:
        """Gives those in whose way a delivery may be, the first one first, or the last one."""
        if delivery_id in self._places:
            place, line = self._places[delivery_id]
            found = self._in_the_way.get(line, [])
            numbers = range(bisect_left(found, (place[0] + 1,)), len(found))
            yield from (found[number][1] for number in (reversed(numbers) if last_first else numbers))

    def _leave(self, place: _Place, line: _Line) -> None:
        found = self._in_the_way.get(line, [])
        at = bisect_left(found, place)
        if at < len(found) and found[at] == place:
            del found[at]
        if not found:
            self._in_the_way.pop(line, None)


def _weight(delivery: DeliveryRecord) -> tuple[bool, int]:
    """Gives how much a result counts: what was delivered stays delivered, else the latest attempt counts."""
    return delivery.state is DeliveryState.DELIVERED, delivery.last.number


def _failed_at(delivery: DeliveryRecord) -> datetime | None:
    return delivery.last.started_at if delivery.last.receiver_failed else None


def _is_news(known: DeliveryRecord, delivery: DeliveryRecord) -> bool:
    """Tells whether an attempt has ended, and was not only put back in its place."""
    return delivery.last.number >= known.last.number and _failed_at(delivery) != _failed_at(known)


def _group(delivery: DeliveryRecord) -> _Group:
    """Gives what a delivery is counted by."""
    day = delivery.last.started_at.astimezone(UTC).date()
    return str(delivery.subscription_id), day, delivery.event, delivery.state


def _count(group: _Group, number: int) -> Count:
    subscription_id, day, event, state = group
    return Count(day=day, event=event, subscription_id=UUID(subscription_id), state=state, deliveries=number)


def _place(subscription: Subscription) -> tuple[Origin, int]:
    return subscription.url.origin, subscription.id.int


class MemoryPlugin(Plugin):
    """Provides the store ``memory``."""

    @hookimpl
    def thornsdk_stores(self, context: HookContext) -> list[Provided[Store]]:
        """Provides it."""
        return [Provided("memory", lambda stage: MemoryStore(), "Keeps all in this process, for its life.")]
