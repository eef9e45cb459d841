"""The limits of subscriptions at work: which deliveries may be attempted, and which are put off."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from thornsdk.dispatching import Planned
from thornsdk.gates import Gate, Hold
from thornsdk.leases import attempt_time
from thornsdk.model import DeliveryRecord, Subscription
from thornsdk.policy.traffic import Traffic, TrafficPolicy, Turn
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.typing import Clock

LIMITED: frozenset[Reason] = frozenset({Reason.RATE_LIMITED, Reason.TOO_MANY_IN_FLIGHT})
"""Why a delivery is held back that a limit has put off."""


class Limits(Gate):
    """The limits of all subscriptions, which all processes keep together that share the store.

    A subscription without a limit costs no statement; one with a limit of deliveries in flight costs two for
    each attempt, one with a rate limit alone costs one.

    Args:
        store: Counts.
        clock: Tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # What this process has in flight for subscriptions that limit it, and when that must be over. Without
        # a lock, which a process that is forked might find held: each step on it is one of its own.
        self._in_flight: dict[UUID, tuple[TrafficPolicy, datetime]] = {}

    def hold(self, planned: Planned) -> Hold | None:
        """Tells whether a delivery has to wait; None where it may be attempted."""
        known = planned.known
        return self.ask(planned, has_waited=known is not None and known.held in LIMITED)

    def ask(self, planned: Planned, *, has_waited: bool) -> Hold | None:
        """Tells whether a delivery has to wait, as `hold` does.

        Args:
            planned: The delivery.
            has_waited: Whether it comes back when it was told to.
        """
        policy = limits_of(planned.delivery.subscription)
        if policy is None:
            return None
        turn = self._turn(policy, planned, has_waited=has_waited)
        if turn.until is not None and turn.reason is not None:
            return Hold(turn.reason, turn.until)
        return None

    def take_back(self, planned: Planned) -> None:
        """Gives back what a delivery has taken that is not attempted."""
        delivery, policy = planned.delivery, limits_of(planned.delivery.subscription)
        if policy is not None:
            self._forget(delivery.id)
            self._change(delivery.subscription.id, lambda known: policy.take_back(known, delivery.id))

    def settled(self, record: DeliveryRecord) -> None:
        """Gives the place of an attempt to others."""
        policy = self._forget(record.id)
        if policy is not None:
            duration = record.last.duration
            self._change(record.subscription_id, lambda known: policy.ended(known, record.id, duration))

    def begin_anew(self, subscription_id: UUID) -> None:
        """Forgets who waits: the limits of a subscription have changed, or it was enabled."""
        self._change(subscription_id, Traffic.anew)

    def _turn(self, policy: TrafficPolicy, planned: Planned, *, has_waited: bool) -> Turn:
        delivery_id, time = planned.delivery.id, attempt_time(planned.terms.timeout)
        now = self._clock()
        turns: list[Turn] = []

        def ask(known: Traffic) -> Traffic:
            turns.append(policy.ask(known, delivery_id, now, time, has_waited=has_waited))
            return turns[-1].traffic

        self._change(planned.delivery.subscription.id, ask)
        if turns[-1].until is None and policy.max_in_flight is not None:
            self._note(delivery_id, policy, now, now + time)
        return turns[-1]

    def _change(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> None:
        self._store.change_traffic(subscription_id, change)

    def _note(self, delivery_id: UUID, policy: TrafficPolicy, now: datetime, until: datetime) -> None:
        # What was never settled, since nobody read the results to the end, is not kept for ever.
        for key, (_, end) in tuple(self._in_flight.items()):
            if end <= now:
                self._in_flight.pop(key, None)
        self._in_flight[delivery_id] = (policy, until)

    def _forget(self, delivery_id: UUID) -> TrafficPolicy | None:
        policy, _ = self._in_flight.pop(delivery_id, (None, None))
        return policy


def limits_of(subscription: Subscription) -> TrafficPolicy | None:
    """Gives the limits of a subscription; None where it has none."""
    if subscription.rate_limit is None and subscription.max_in_flight is None:
        return None
    return TrafficPolicy(subscription.rate_limit, subscription.max_in_flight)
