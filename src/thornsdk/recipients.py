"""Recipients: whom a message goes to, found, changed and disabled; stored and static ones alike."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TypeAlias
from uuid import UUID

from attrs import evolve

from thornsdk.errors import ConfigurationError
from thornsdk.failing import tell_observers
from thornsdk.limits import LIMITED, Limits, limits_of
from thornsdk.model import (
    Audience,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Origin,
    Subscription,
    SubscriptionNotice,
)
from thornsdk.planned import Conditions
from thornsdk.policy.traffic import TrafficPolicy
from thornsdk.stages import Store

Wanting: TypeAlias = Callable[[str, str | None], Iterable[Subscription]]
"""Gives the static subscriptions whose patterns match an event, by its name and the sender."""

_PENDING = frozenset({DeliveryState.PENDING})


class Recipients:
    """The subscriptions of the store, and those that configuration makes.

    A static subscription that is in the store as well was changed there: the store's word counts.

    Args:
        store: Keeps subscriptions.
        static: Gives the static ones, whoever owns them.
        fixed: Gives those of them that are known without asking a callable, by the event's name.
        limits: Is told where limits change.
        conditions: Who is told of those that are disabled or enabled.
    """

    def __init__(
        self,
        store: Store,
        static: Wanting,
        fixed: Callable[[str], Iterable[Subscription]],
        limits: Limits,
        conditions: Conditions,
    ) -> None:
        self._store = store
        self._static = static
        self._fixed = fixed
        self._limits = limits
        self._conditions = conditions

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that get a message, stored and static, as a stream sorted by origin."""
        return self.together(self.static(audience), audience)

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that a message would reach, were they active, sorted by origin."""
        # A static one that was disabled here is in the store.
        return self._store.disabled(audience)

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the ordered subscriptions that a message may reach, without asking a callable."""
        fixed = {one.id: one for one in self._fixed(audience.event) if audience.admits(one)}
        static = (one for one in fixed.values() if one.ordered_by and self._store.find(one.id) is None)
        return chain(static, self._store.ordered(audience))

    def some(self, ids: Sequence[UUID], audience: Audience) -> list[Subscription]:
        """Gives those of these subscriptions that are there, active or not, in this order."""
        found = {one: self._store.find(one) for one in ids}
        static = self.static(audience) if None in found.values() else {}
        there = (stored or static.get(one) for one, stored in found.items())
        return [one for one in there if one is not None]

    def of(self, record: DeliveryRecord) -> Subscription | None:
        """Gives the subscription that a delivery is for, or None where it is there no more."""
        stored = self._store.find(record.subscription_id)
        if stored is not None:
            return stored
        return self._static_one(record)

    def static(self, audience: Audience) -> dict[UUID, Subscription]:
        """Gives the static subscriptions that an audience admits, by their ids."""
        # Settings and events may name the same one.
        wanting = self._static(audience.event, audience.sender)
        return {one.id: one for one in wanting if audience.admits(one)}

    def together(self, static: Mapping[UUID, Subscription], audience: Audience) -> Iterator[Subscription]:
        """Gives static subscriptions and those of the store as one stream, sorted by origin."""
        new = [one for one in static.values() if self._store.find(one.id) is None]
        if not new:
            return self._store.matching(audience)
        return heapq.merge(sorted(new, key=place_of), self._store.matching(audience), key=place_of)

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
        failing_since: datetime | None = None,
    ) -> Subscription | None:
        """Changes a subscription in the store, and tells where that disabled or enabled it.

        Args:
            subscription_id: Which one.
            change: Gives what becomes of it.
            default: What is changed, and then stored, where the store has none of that id.
            failing_since: Since when it has been failing, where that is why it is disabled.

        Returns:
            What became of it, or None where there was none.
        """
        before: list[Subscription] = []

        def noted(known: Subscription) -> Subscription:
            before.append(known)
            return change(known)

        changed = self._store.change(subscription_id, noted, default)
        if changed is not None and _passes_otherwise(before[-1], changed):
            self._limits.begin_anew(subscription_id)
        if changed is not None and changed.disabled != before[-1].disabled:
            self._conditions.log.subscription_switched(changed)
            if not changed.active:
                tell_observers(_disabled_notice(changed, failing_since), self._conditions)
        return changed

    def change_limits(
        self, subscription_id: UUID, limits: TrafficPolicy, default: Subscription | None = None
    ) -> Subscription | None:
        """Gives a subscription other limits. What was put off by those before is due now.

        Args:
            subscription_id: Which one.
            limits: What is true from now on.
            default: What is changed, and then stored, where the store has none of that id.

        Returns:
            What became of it, or None where there was none.
        """

        def limited(known: Subscription) -> Subscription:
            return evolve(known, rate_limit=limits.rate_limit, max_in_flight=limits.max_in_flight)

        changed = self.change(subscription_id, limited, default)
        if changed is not None:
            wanted = DeliveryFilter(states=_PENDING, subscription_id=subscription_id)
            for record in self._store.deliveries(wanted):
                if record.held in LIMITED and record.next_attempt_at is not None:
                    self._store.take(
                        record.id, record.next_attempt_at, record.due_at(self._conditions.clock())
                    )
        return changed

    def disable(
        self, record: DeliveryRecord, sent_to: Subscription, why: str, failing_since: datetime | None = None
    ) -> None:
        """Disables the subscription of a delivery.

        Args:
            record: The delivery.
            sent_to: The subscription as it was when the delivery was attempted.
            why: The reason, for logs and listings.
            failing_since: Since when it has been failing, where that is why.
        """

        def off(known: Subscription) -> Subscription:
            # Whoever disabled it before has said why.
            return evolve(known, disabled=why) if known.active else known

        if self.change(sent_to.id, off, failing_since=failing_since) is not None:
            return
        try:
            static = self._static_one(record)
        except ConfigurationError:
            static = sent_to  # The callable that gave it broke since.
        self.change(sent_to.id, off, static, failing_since=failing_since)

    def _static_one(self, record: DeliveryRecord) -> Subscription | None:
        static = self._static(record.event, record.sender)
        return next((one for one in static if one.id == record.subscription_id), None)


def _passes_otherwise(before: Subscription, after: Subscription) -> bool:
    """Tells whether what is known of the traffic of a subscription says no more when others may go."""
    if limits_of(before) != limits_of(after):
        return True
    return after.active and not before.active and limits_of(after) is not None


def _disabled_notice(subscription: Subscription, failing_since: datetime | None) -> SubscriptionNotice:
    return SubscriptionNotice(
        subscription_id=subscription.id,
        origin=str(subscription.url.origin),
        owner=subscription.owner,
        failing_since=failing_since,
        disabled=subscription.disabled,
    )


def place_of(subscription: Subscription) -> tuple[Origin, int]:
    """Gives where a subscription stands among those that a message goes to."""
    return subscription.url.origin, subscription.id.int
