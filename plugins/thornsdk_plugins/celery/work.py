"""What a worker does: the tasks, without Celery around them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from attrs import evolve, frozen

from thornsdk import (
    Bodies,
    Deliverer,
    Delivery,
    DeliveryRecord,
    Dispatch,
    Message,
    OutcomeKind,
    Planned,
    Subscription,
    Terms,
    delivery_id,
)
from thornsdk.errors import DispatchError, ThornError, crash
from thornsdk.typing import Random
from thornsdk_plugins.celery.batches import cut
from thornsdk_plugins.celery.codec import (
    Document,
    Unreadable,
    read_batch,
    read_envelopes,
    read_resume,
    read_retry,
    write_batch,
    write_envelopes,
)
from thornsdk_plugins.celery.documents import Batch, Envelope, Needs, Resume, Retry, due_at
from thornsdk_plugins.celery.names import DELIVER, FAN_OUT, RESUME, RETRY
from thornsdk_plugins.celery.outgoing import HOLD, Limits, Outgoing

GRACE: Final = 60.0
"""How many seconds a delivery is overdue before its task counts as lost."""
RESERVE: Final = 300.0
"""For how many seconds an overdue delivery is left to the task that was published anew for it."""
SPREAD: Final = 10.0
"""Over how many more seconds deliveries are spread each time that their worker dies again."""


class Unfit(Exception):
    """This worker cannot do a task as its sender meant it."""


@frozen(kw_only=True)
class Arrival:
    """How a task came.

    Attributes:
        queue: The queue that it came from.
        redelivered: Whether the broker has given it to a worker before, which did not acknowledge it.
    """

    queue: str
    redelivered: bool


class Work:
    """The tasks of a worker.

    When one ends, everything was done or was published anew. It raises `~thornsdk.errors.DispatchError` where
    the broker has not taken what follows: the task is then to be given back.

    Args:
        deliverer: Matches, attempts and keeps.
        outgoing: Publishes the tasks that follow.
        limits: How it cuts batches.
        random: Spreads deliveries whose workers died.
    """

    def __init__(self, deliverer: Deliverer, outgoing: Outgoing, limits: Limits, random: Random) -> None:
        self._deliverer = deliverer
        self._outgoing = outgoing
        self._limits = limits
        self._random = random
        self._store = deliverer.store.identity

    @property
    def shares_its_store(self) -> bool:
        """Whether other workers see the store too."""
        return self._store is not None

    def fan_out(self, document: Document, arrival: Arrival) -> None:
        """Finds the subscribers of messages, and publishes a task for each batch of them."""
        envelopes: Sequence[Envelope] = ()
        with self._held_on_trouble(FAN_OUT, arrival, lambda: document):
            envelopes = read_envelopes(document)
        for envelope in envelopes:
            self._fan_out(envelope, arrival)

    def deliver(self, document: Document, arrival: Arrival) -> None:
        """Delivers a batch."""
        batch: Batch | None = None
        with self._held_on_trouble(DELIVER, arrival, lambda: document):
            batch = read_batch(document)
        if batch is not None:
            self._deliver(batch, arrival)

    def resume(self, document: Document, arrival: Arrival) -> None:
        """Attempts deliveries of the store again, when their time has come."""
        with self._held_on_trouble(RESUME, arrival, lambda: document):
            resume = read_resume(document)
            self._check(resume.needs)
            if self._now() >= resume.at:
                self._resume(resume)
            elif still := tuple(one for one in resume.deliveries if self._is_pending(*one)):
                self._outgoing.resume(evolve(resume, deliveries=still), arrival.queue)

    def retry(self, document: Document, arrival: Arrival) -> None:
        """Attempts a delivery again that is in no store, when its time has come."""
        with self._held_on_trouble(RETRY, arrival, lambda: document):
            retry = read_retry(document)
            self._check(retry.needs)
            if self._now() < due_at(retry.record):
                self._outgoing.retry(retry)
            elif arrival.redelivered:
                self._outgoing.retry(evolve(retry, record=self._deliverer.lost(retry.record, self._now())))
            else:
                self._retry(retry)

    def sweep(self) -> None:
        """Publishes a task anew for each delivery of the store that is overdue: its task was lost."""
        now = self._now()
        before, until = now - timedelta(seconds=GRACE), now + timedelta(seconds=RESERVE)
        needs = Needs(store=self._store)

        def reserved(record: DeliveryRecord) -> DeliveryRecord:
            return evolve(record.due_at(until), lease=None)

        while due := self._deliverer.store.claim_due(before, self._limits.chunk_size, reserved):
            self._publish_from_store(due, None, needs)

    def _publish_from_store(self, due: Sequence[DeliveryRecord], terms: Terms | None, needs: Needs) -> None:
        """Publishes tasks to attempt deliveries now that the store has, one for each queue."""
        now = self._now()
        for queue, group in groupby(sorted(due, key=self._queue), key=self._queue):
            deliveries = tuple((one.id, one.last.number + 1) for one in group)
            self._outgoing.resume(Resume(at=now, deliveries=deliveries, terms=terms, needs=needs), queue)

    # First attempts

    def _fan_out(self, envelope: Envelope, arrival: Arrival) -> None:
        left = evolve(envelope, again=True)
        with self._held_on_trouble(FAN_OUT, arrival, lambda: write_envelopes([left])):
            self._check(envelope.needs)
            self._publish_batches(left if arrival.redelivered else envelope)

    def _publish_batches(self, envelope: Envelope) -> None:
        """Publishes a task for each batch of subscriptions, with no more bodies than the batch needs."""
        matching = self._deliverer.matching(envelope.audience)
        if self.shares_its_store:
            matching = self._out_of_lines(envelope, matching)
        for lane, chunk in cut(matching, self._limits.chunk_size, self._limits.lanes):
            wanted = {one.content_type for one in chunk}
            bodies = {key: body for key, body in envelope.bodies.items() if key in wanted}
            batch = Batch(
                envelope=evolve(envelope, bodies=bodies),
                subscriptions=tuple(one.id for one in chunk),
                again=envelope.again,
            )
            self._outgoing.batch(batch, lane)
        # Last, so that one that is disabled meanwhile is not forgotten.
        disabled = self._deliverer.disabled(envelope.audience)
        self._skip(Batch(envelope=envelope, subscriptions=()), disabled)

    def _skip(self, batch: Batch, disabled: Iterable[Subscription]) -> None:
        """Keeps what disabled subscriptions would have got."""
        plan = self._planner(batch)
        for _ in self._deliverer.skip(plan(one) for one in disabled):
            pass  # It is told as it is kept.

    def _out_of_lines(self, envelope: Envelope, matching: Iterable[Subscription]) -> Iterator[Subscription]:
        """Gives those whose deliveries have no place in a line; the others' are attempted from the store."""
        due: list[DeliveryRecord] = []
        for one in matching:
            record = None if one.ordered_by is None else self._in_line(envelope, one)
            if record is None:
                yield one
            elif record.last.number == 0 and record.next_attempt_at is not None:
                due.append(record)
            if len(due) == self._limits.chunk_size:
                self._publish_from_store(due, envelope.terms, envelope.needs)
                due.clear()
        self._publish_from_store(due, envelope.terms, envelope.needs)

    def _in_line(self, envelope: Envelope, subscription: Subscription) -> DeliveryRecord | None:
        """Gives the delivery of a message that has a place in a line; None where it has none."""
        own_id = delivery_id(envelope.message_id, subscription.id)
        known = self._deliverer.store.delivery(own_id)
        if known is None:
            # The sender did not know yet that it is ordered, or could not, for a callable gave it.
            self._deliverer.line_up(_dispatch(envelope), [subscription])
            known = self._deliverer.store.delivery(own_id)
        return known if known is not None and known.order_key is not None else None

    def _deliver(self, batch: Batch, arrival: Arrival) -> None:
        left = evolve(batch, again=True) if arrival.redelivered else batch
        with self._held_on_trouble(DELIVER, arrival, lambda: write_batch(left)):
            self._check(batch.envelope.needs)
            if arrival.redelivered:
                self._begin_anew(batch, arrival.queue)
            else:
                self._attempt_all(batch, arrival.queue)

    def _begin_anew(self, batch: Batch, queue: str) -> None:
        """Publishes each delivery of a batch alone: one that ends its worker ends no other's attempt.

        Those that met again in a worker that died are spread over time, so that they part.
        """
        envelope = batch.envelope
        fields = {
            "message_id": str(envelope.message_id),
            "event_name": envelope.needs.event,
            "attempt": batch.number,
            "deliveries": len(batch.subscriptions),
        }
        self._deliverer.tell(logging.WARNING, "worker.lost", fields)
        spread = SPREAD * (batch.number - 1)
        self._publish_singly(evolve(batch, number=batch.number + 1), queue, lambda: self._random() * spread)

    def _publish_singly(self, batch: Batch, queue: str, delay: Callable[[], float]) -> None:
        for one in batch.subscriptions:
            self._outgoing.batch(evolve(batch, subscriptions=(one,), again=True), queue, delay=delay())

    def _attempt_all(self, batch: Batch, queue: str) -> None:
        envelope = batch.envelope
        left = dict.fromkeys(batch.subscriptions)
        problem: Exception | None = None
        try:
            for record in self._attempt(batch, self._not_done(batch) if batch.again else batch.subscriptions):
                try:
                    self._follow_up(record, envelope.terms, envelope.needs)
                except DispatchError as exc:
                    problem = exc  # The others are read to the end first.
                    continue
                if record.next_attempt_at is None or not self.shares_its_store:
                    del left[record.subscription_id]
        except Exception as exc:
            problem = exc
        if problem is not None:
            # What came to no end is tried again, each alone: one of them may be what went wrong.
            self._tell_held(DELIVER, problem)
            self._publish_singly(evolve(batch, subscriptions=tuple(left)), queue, lambda: HOLD)

    def _not_done(self, batch: Batch) -> list[UUID]:
        """Gives the subscriptions of a batch whose deliveries the store does not know."""
        new: list[UUID] = []
        for one in batch.subscriptions:
            record = self._deliverer.store.delivery(delivery_id(batch.envelope.message_id, one))
            if record is None:
                new.append(one)
            elif not self.shares_its_store:
                # Nobody else knows that it is due again.
                self._follow_up(record, batch.envelope.terms, batch.envelope.needs)
        return new

    def _attempt(self, batch: Batch, wanted: Sequence[UUID]) -> Iterator[DeliveryRecord]:
        plan = self._planner(batch)
        subscriptions = self._deliverer.subscriptions(wanted, batch.envelope.audience)
        self._skip(batch, (one for one in subscriptions if not one.active))
        return self._deliverer.attempt(plan(one) for one in subscriptions if one.active)

    def _planner(self, batch: Batch) -> Callable[[Subscription], Planned]:
        envelope = batch.envelope
        terms = self._terms(envelope.terms, envelope.needs.event)
        bodies = Bodies.written(envelope.bodies)
        return lambda subscription: _plan(batch, subscription, bodies, terms)

    # Further attempts

    def _resume(self, resume: Resume) -> None:
        event = resume.needs.event
        terms = None if resume.terms is None else self._terms(resume.terms, event)
        timeout = (terms or self._deliverer.terms(event)).timeout * len(resume.deliveries)
        taken = [self._deliverer.take(key, number, timeout) for key, number in resume.deliveries]
        for record in self._deliverer.resume((one for one in taken if one is not None), terms):
            self._follow_up(record, resume.terms or self._deliverer.terms(record.event), resume.needs)

    def _is_pending(self, key: UUID, number: int) -> bool:
        record = self._deliverer.store.delivery(key)
        return record is not None and record.next_attempt_at is not None and record.last.number + 1 == number

    def _retry(self, retry: Retry) -> None:
        terms = self._terms(retry.terms, retry.needs.event)
        for record in self._deliverer.resume([retry.record], terms):
            self._follow_up(record, retry.terms, retry.needs)

    def _follow_up(self, record: DeliveryRecord, terms: Terms, needs: Needs) -> None:
        """Publishes the next attempt of a delivery, if there is to be one; else that of the next in line."""
        # From here on it is the worker's store that knows of it.
        needs = evolve(needs, event=record.event, store=self._store)
        if record.kind is not OutcomeKind.RETRY:
            self._call_next(record, terms, needs)
            return
        if not self.shares_its_store:
            self._outgoing.retry(Retry(record=record, terms=terms, needs=needs))
            return
        again = ((record.id, record.last.number + 1),)
        resume = Resume(at=due_at(record), deliveries=again, terms=terms, needs=needs)
        try:
            self._outgoing.resume(resume, self._queue(record))
        except DispatchError as exc:
            # The store knows when it is due: a sweep will find it.
            self._tell_held(RESUME, exc)

    def _call_next(self, ended: DeliveryRecord, terms: Terms, needs: Needs) -> None:
        """Publishes the attempt of the next in line, where its turn has come.

        It goes on the same terms where it is of the same event, else on those of the worker.
        """
        if ended.order_key is None:
            return
        try:
            following = self._deliverer.store.next_in_line(ended.id)
            if following is not None and following.lease is None and due_at(following) <= self._now():
                same = following.event == ended.event
                self._publish_from_store(
                    [following], terms if same else None, needs if same else Needs(store=self._store)
                )
        except ThornError as exc:
            # The store knows that it is due: a sweep will find it.
            self._tell_held(RESUME, exc)

    # What all have in common

    @contextmanager
    def _held_on_trouble(self, task: str, arrival: Arrival, left: Callable[[], Document]) -> Iterator[None]:
        try:
            yield
        except DispatchError:
            raise
        except Exception as exc:
            self._tell_held(task, exc)
            self._outgoing.hold(task, left(), arrival.queue)

    def _tell_held(self, task: str, error: Exception) -> None:
        ours = isinstance(error, (ThornError, Unfit, Unreadable))
        fields = {"task": task, "detail": str(error) if ours else crash(error)}
        self._deliverer.tell(logging.ERROR, "task.held", fields)

    def _check(self, needs: Needs) -> None:
        """Checks that this worker knows what the sender of a task knew.

        Raises:
            Unfit: If it does not.
        """
        if needs.store is not None and needs.store != self._store:
            raise Unfit("it was sent with another store than this worker's: THORN_STORE differs")
        missing = set(needs.requirements) - self._deliverer.requirements(needs.event)
        if missing:
            raise Unfit(
                f"this worker does not know {', '.join(sorted(missing))} of {needs.event}: start it with the "
                f"code and the settings of the application"
            )

    def _terms(self, travelled: Terms, event: str) -> Terms:
        return evolve(travelled, recipient_validators=self._deliverer.terms(event).recipient_validators)

    def _queue(self, record: DeliveryRecord) -> str:
        return self._outgoing.lane(record.origin)

    def _now(self) -> datetime:
        return self._deliverer.clock()


def _dispatch(envelope: Envelope) -> Dispatch:
    audience = envelope.audience
    message = Message[object](
        id=envelope.message_id,
        event=audience.event,
        payload=None,
        created_at=envelope.created_at,
        sender=audience.sender,
    )
    bodies = Bodies.written(envelope.bodies)
    return Dispatch(message=message, audience=audience, bodies=bodies, terms=envelope.terms)


def _plan(batch: Batch, subscription: Subscription, bodies: Bodies, terms: Terms) -> Planned:
    body = bodies.in_type(subscription.content_type)
    delivery = Delivery(
        message_id=batch.envelope.message_id,
        event=batch.envelope.audience.event,
        created_at=batch.envelope.created_at,
        sender=batch.envelope.audience.sender,
        subscription=subscription,
        content_type=subscription.content_type,
        body=body if isinstance(body, bytes) else b"",
    )
    return Planned(
        delivery=delivery,
        number=batch.number,
        terms=terms,
        problem=None if isinstance(body, bytes) else body,
        lost=batch.number > 1,
    )
