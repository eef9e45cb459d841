"""Circuit breakers at work: which deliveries are let through, and what their attempts say of origins."""

from collections.abc import Callable
from datetime import datetime

from thornsdk.dispatching import Planned
from thornsdk.gates import Gate, Hold
from thornsdk.leases import attempt_time
from thornsdk.model import DeliveryRecord
from thornsdk.planned import Conditions
from thornsdk.policy.breaker import Breaker, BreakerState, verdict
from thornsdk.reasons import Reason
from thornsdk.stages import Store

_CLOSED = Breaker()


class Breakers(Gate):
    """The circuit breakers of all origins, which all processes share that share the store.

    What the store knows is read once, again when a pass over what is due begins, and with each message while
    something bad is known. Another process's bad news comes with the first failure. So what arrives costs no
    statement while nothing fails.

    Args:
        store: Keeps them.
        conditions: The policy, and who is told.
    """

    def __init__(self, store: Store, conditions: Conditions) -> None:
        self._store = store
        self._conditions = conditions
        self._policy = conditions.breaker
        self._known: dict[str, Breaker] | None = None

    def refresh(self) -> None:
        """Reads what the store knows."""
        self._read()

    def look_again(self) -> None:
        """Reads what the store knows, where something bad was known: another process may know better."""
        if self._known:
            self._read()

    def hold(self, planned: Planned) -> Hold | None:
        """Tells whether the origin of a delivery is paused; None where it is not.

        One that may pass can be the probe of its origin, for which the others wait.
        """
        failing = self._failing()
        if not failing:
            return None  # As it mostly is.
        origin = str(planned.delivery.subscription.url.origin)
        known = failing.get(origin, _CLOSED)
        now = self._conditions.clock()
        state = known.state(now)
        if state is BreakerState.CLOSED:
            return None
        if state is BreakerState.HALF_OPEN:
            # The store knows who probes.
            known = self._begin(origin, planned, now)
            if self._policy.admits(known, planned.delivery.id):
                return None
        until = self._policy.put_off(known, now, self._conditions.random, planned.terms.timeout)
        return Hold(Reason.ORIGIN_PAUSED, until)

    def take_back(self, planned: Planned) -> None:
        """Does nothing: a probe that is not made is over in time."""

    def settled(self, record: DeliveryRecord) -> None:
        """Takes down what an attempt says of its origin."""
        if not self._policy.failures:
            return
        known = self._failing().get(record.origin, _CLOSED)
        well = verdict(record.last)
        says_something = known != _CLOSED if well else known.probe == record.id
        if well is False or says_something:
            before, after = self._end(record, well)
            self._tell(record, before, after)

    def _failing(self) -> dict[str, Breaker]:
        return self._read() if self._known is None else self._known

    def _read(self) -> dict[str, Breaker]:
        self._known = known = dict(self._store.breakers()) if self._policy.failures else {}
        return known

    def _begin(self, origin: str, planned: Planned, now: datetime) -> Breaker:
        delivery_id, time = planned.delivery.id, attempt_time(planned.terms.timeout)
        _, after = self._change(origin, lambda known: self._policy.begun(known, delivery_id, now, time))
        return after

    def _end(self, record: DeliveryRecord, well: bool | None) -> tuple[Breaker, Breaker]:  # noqa: FBT001 - a verdict
        now = self._conditions.clock()
        return self._change(record.origin, lambda known: self._policy.ended(known, record.id, well, now))

    def _change(self, origin: str, change: Callable[[Breaker], Breaker]) -> tuple[Breaker, Breaker]:
        """Changes a breaker; gives it as it was and as it is."""
        before: list[Breaker] = []

        def noted(known: Breaker) -> Breaker:
            before.append(known)
            return change(known)

        after = self._store.change_breaker(origin, noted)
        failing = self._failing()
        if after == _CLOSED:
            failing.pop(origin, None)
        else:
            failing[origin] = after
        return before[-1], after

    def _tell(self, record: DeliveryRecord, before: Breaker, after: Breaker) -> None:
        if before.until is None and after.until is not None:
            self._conditions.log.origin_paused(record, after)
        elif before.until is not None and after.until is None:
            self._conditions.log.origin_resumed(record.origin)
