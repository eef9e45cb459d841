"""Replays: deliveries of the store that are attempted again because somebody asks for it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from operator import itemgetter
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.claims import Due
from thornsdk.dispatching import Planned
from thornsdk.engine import Engine
from thornsdk.errors import ConfigurationError, NotFound, StoreDamaged
from thornsdk.model import (
    CANCELLING,
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Outcome,
    OutcomeKind,
    Subscription,
)
from thornsdk.planned import plan_again
from thornsdk.reasons import Reason

ENDED: frozenset[DeliveryState] = frozenset(state for state in DeliveryState if state.has_ended)
"""The states of deliveries that are not attempted any more unless somebody asks for it."""


_ENDS_IT = CANCELLING | {Reason.WORKER_LOST}


class Replays:
    """Attempts deliveries of the store again.

    The body is the one that was kept; timestamp and signatures are new. With a new id, a delivery becomes
    another one, of the same message.

    Args:
        engine: Makes the attempts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def one(self, record: DeliveryRecord, *, new_id: bool) -> DeliveryRecord:
        """Attempts a delivery now, whatever its state.

        Raises:
            NotFound: If its subscription is not there or disabled.
        """
        subscription = self._engine.recipients.of(record)
        if subscription is None or not subscription.active:
            raise NotFound(
                f"the subscription of the delivery, {record.subscription_id}, is removed or disabled"
            )
        (result,) = self._engine.attempt_anyway([self._plan(record, subscription, new_id=new_id)])
        return result

    def all(self, wanted: DeliveryFilter, *, new_ids: bool) -> Iterator[DeliveryRecord]:
        """Attempts those deliveries that have ended, and gives each result when it is known.

        One whose subscription is not there, disabled or cannot be read is told as failed; in the store it
        stays as it was. One that is ordered waits for its turn again, unless it arrived.
        """
        in_line: list[tuple[datetime, UUID]] = []

        def prepare(record: DeliveryRecord) -> Planned | DeliveryRecord | None:
            try:
                subscription = self._engine.recipients.of(record)
                if subscription is not None and subscription.active:
                    if _waits_in_line(record, subscription, new_ids=new_ids):
                        in_line.append((record.accepted_at or begin, record.id))
                        return None
                    return self._plan(record, subscription, new_id=new_ids)
            except (ConfigurationError, StoreDamaged) as exc:
                return self._engine.refuse(record, Reason.STAGE_FAILED, str(exc))
            return self._engine.refuse(
                record, Reason.UNSUBSCRIBED, "the subscription is removed, disabled or not known here"
            )

        states = ENDED if wanted.states is None else wanted.states & ENDED
        found = self._engine.store.deliveries(evolve(wanted, states=states))
        begin = self._engine.clock()
        attempted = Due(_each_once(found, begin), prepare).results(self._engine.attempt_anyway)
        return chain(attempted, self._lined_up(in_line, new_ids=new_ids))

    def _lined_up(self, in_line: list[tuple[datetime, UUID]], *, new_ids: bool) -> Iterator[DeliveryRecord]:
        """Puts deliveries back into their lines, those first that were accepted first; gives each."""
        # They were read with the latest attempt first.
        in_line.reverse()
        for _, delivery_id in sorted(in_line, key=itemgetter(0)):
            record = self._engine.store.delivery(delivery_id)
            if record is None or not record.state.has_ended:
                continue
            back = _back_in_line(record, self._engine.clock(), new_id=new_ids)
            if new_ids:
                self._engine.store.accept([back])
            else:
                self._engine.store.record(back)
            yield back

    def _plan(self, record: DeliveryRecord, subscription: Subscription, *, new_id: bool) -> Planned:
        number = 1 if new_id else self._last_number(record) + 1
        known = evolve(record, id=uuid4()) if new_id else record
        planned = plan_again(known, subscription, self._engine.terms(record.event))
        # Who asks for it gets an attempt, however many were lost.
        return evolve(planned, number=number, lost=False)

    def _last_number(self, record: DeliveryRecord) -> int:
        if record.state is not DeliveryState.DELIVERED:
            return record.last.number
        # It stays the last that counts, though others came after it.
        numbers = [one.number for one in self._engine.store.attempts(record.id)]
        return max(numbers, default=record.last.number)


def _waits_in_line(record: DeliveryRecord, subscription: Subscription, *, new_ids: bool) -> bool:
    is_ordered = record.order_key is not None and subscription.ordered_by is not None
    return is_ordered and (new_ids or record.state is not DeliveryState.DELIVERED)


def _back_in_line(record: DeliveryRecord, now: datetime, *, new_id: bool) -> DeliveryRecord:
    """Gives a delivery that has ended as one that waits for its turn, and may be looked at now.

    What came of its latest attempt stays as it was, but for what would end it again.
    """
    reason = record.last.outcome.reason
    # That there is no body to send stays known.
    if reason is not Reason.NOT_SERIALIZABLE and (new_id or reason in _ENDS_IT):
        reason = Reason.OUT_OF_TURN
    outcome = Outcome(OutcomeKind.RETRY, reason, now)
    waiting = evolve(record, last=evolve(record.last, outcome=outcome), held=Reason.OUT_OF_TURN)
    if not new_id:
        return waiting
    first = Attempt(number=0, started_at=now, duration=0.0, outcome=outcome)
    return evolve(waiting, id=uuid4(), accepted_at=now, last=first)


def _each_once(records: Iterable[DeliveryRecord], begin: datetime) -> Iterator[DeliveryRecord]:
    """Gives each delivery once, the latest attempt first.

    What is attempted meanwhile moves to the front, behind where we read; unless its latest attempt seemed to
    lie ahead, by the clock of another machine.
    """
    ahead: set[UUID] = set()
    for record in records:
        if record.last.started_at < begin:
            yield record
        elif record.id not in ahead:
            ahead.add(record.id)
            yield record
