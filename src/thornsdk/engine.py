"""The delivery engine: from a message, or from what is due in the store, to settled attempts."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve, frozen

from thornsdk.errors import ConfigurationError, NotFound, SerializationError, StoreDamaged, crash
from thornsdk.model import (
    Attempt,
    Delivery,
    DeliveryRecord,
    DeliveryState,
    Origin,
    Outcome,
    OutcomeKind,
    Subscription,
)
from thornsdk.planned import Conditions, Planned
from thornsdk.reasons import Reason
from thornsdk.run import Run
from thornsdk.stages import Dispatch, Serializer, Store, Terms

_CLAIM_SIZE = 100
_CLAIM_MARGIN = 60.0


@frozen(kw_only=True, eq=False)
class Sources:
    """Where the engine finds whom to deliver to, and on which terms.

    Attributes:
        store: Keeps subscriptions and deliveries.
        static: Gives the subscriptions that configuration makes and whose patterns match an event, by the
            event's name and the sender, whoever owns them.
        terms: Gives the terms of an event by its name; None for an event that is not declared here.
        general_terms: The terms of such an event.
        longest_timeout: Gives the longest deadline of all events, in seconds.
    """

    store: Store
    static: Callable[[str, str | None], Iterable[Subscription]]
    terms: Callable[[str], Terms | None]
    general_terms: Terms
    longest_timeout: Callable[[], float]


class Engine:
    """Delivers messages; what a dispatcher asks, it does.

    Args:
        sources: Where it finds whom to deliver to.
        conditions: What every attempt has in common.
    """

    def __init__(self, sources: Sources, conditions: Conditions) -> None:
        self._store = sources.store
        self._static = sources.static
        self._sources = sources
        self._conditions = conditions

    def matching(self, dispatch: Dispatch) -> Iterator[Subscription]:
        """Gives the subscriptions that get a message, stored and static, as a stream sorted by origin."""
        audience = dispatch.audience
        wanting = self._static(audience.event, audience.sender)
        # Settings and events may name the same one.
        static = {one.id: one for one in wanting if audience.admits(one)}
        # A static subscription that is in the store as well was changed there: the store's word counts.
        new = [one for one in static.values() if self._store.find(one.id) is None]
        return heapq.merge(sorted(new, key=_place), self._store.matching(audience), key=_place)

    def deliver(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> Iterator[DeliveryRecord]:
        """Attempts a delivery to each subscription, and gives each result when it is known."""
        bodies = _Bodies(self._conditions.pipeline.by_content_type, dispatch)
        planned = (_plan(dispatch, bodies, one) for one in subscriptions)
        return self._run(planned)

    def run_due(self) -> Iterator[DeliveryRecord]:
        """Attempts every stored delivery that is due when this begins, and gives each result.

        Each is claimed for longer than its batch can take, so that no other process takes it meanwhile.
        """
        begin = self._conditions.clock()
        while due := self._store.claim_due(begin, self._claim_until(), _CLAIM_SIZE):
            yield from self._attempt_again(due)

    def replay(self, delivery_id: UUID) -> DeliveryRecord:
        """Attempts a stored delivery now, whatever its state; it keeps its id and its body.

        Raises:
            NotFound: If the store does not know it, or its subscription is not there or disabled.
        """
        record = self._store.delivery(delivery_id)
        if record is None:
            raise NotFound(f"there is no delivery {delivery_id} in the store")
        subscription = self.subscription(record)
        if subscription is None or not subscription.active:
            raise NotFound(
                f"the subscription of the delivery, {record.subscription_id}, is removed or disabled"
            )
        (result,) = self._run([self._plan_again(record, subscription)])
        return result

    def give_up(self, subscription_id: UUID) -> None:
        """Gives up what is pending for a subscription that is being removed."""
        for record in self._store.deliveries(DeliveryState.PENDING):
            if record.subscription_id == subscription_id:
                self._given_up(record)

    def subscription(self, record: DeliveryRecord) -> Subscription | None:
        """Gives the subscription that a delivery is for, or None where it is there no more."""
        stored = self._store.find(record.subscription_id)
        if stored is not None:
            return stored
        static = self._static(record.event, record.sender)
        return next((one for one in static if one.id == record.subscription_id), None)

    def _attempt_again(self, records: Iterable[DeliveryRecord]) -> Iterator[DeliveryRecord]:
        planned: list[Planned] = []
        for record in records:
            try:
                subscription = self.subscription(record)
            except (ConfigurationError, StoreDamaged) as exc:
                # It is the trouble of this delivery alone: a callable among the static subscribers broke, or
                # the row of its subscription cannot be read.
                yield self._left(record, str(exc))
                continue
            if subscription is not None and subscription.active:
                planned.append(self._plan_again(record, subscription))
            elif subscription is None and self._sources.terms(record.event) is None:
                # The subscriber may be one of an event that another process declares: it is not ours to end.
                yield self._left(record, "its subscription and event are not known here")
            else:
                yield self._given_up(record)
        planned.sort(key=lambda one: _place(one.delivery.subscription))
        yield from self._run(planned)

    def _run(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        return Run(self._conditions, self._settled).attempt(planned)

    def _plan_again(self, record: DeliveryRecord, subscription: Subscription) -> Planned:
        terms = self._sources.terms(record.event) or self._sources.general_terms
        return _plan_again(record, subscription, terms)

    def _left(self, record: DeliveryRecord, why: str) -> DeliveryRecord:
        """Leaves a delivery pending; it counts as one that will be attempted again."""
        self._conditions.log.delivery_left(record, why)
        return record

    def _given_up(self, record: DeliveryRecord) -> DeliveryRecord:
        attempt = Attempt(
            number=record.last.number + 1,
            started_at=self._conditions.clock(),
            duration=0.0,
            outcome=Outcome(OutcomeKind.FAILED, Reason.UNSUBSCRIBED),
            detail="the subscription was removed or disabled",
        )
        settled = evolve(record, last=attempt)
        self._keep(settled)
        return settled

    def _claim_until(self) -> datetime:
        batch = self._sources.longest_timeout() * _CLAIM_SIZE
        return self._conditions.clock() + timedelta(seconds=batch + _CLAIM_MARGIN)

    def _settled(self, record: DeliveryRecord, subscription: Subscription) -> None:
        self._keep(record)
        if record.last.outcome.reason is Reason.GONE:
            self._disable(record, subscription)

    def _keep(self, record: DeliveryRecord) -> None:
        try:
            self._store.record(record)
        finally:
            # What happened is told even where it cannot be kept.
            self._conditions.log.attempted(record)
            self._tell_observers(record)

    def _tell_observers(self, record: DeliveryRecord) -> None:
        for observer in self._conditions.pipeline.observers:
            try:
                observer.observe(record)
            except Exception as exc:
                # An observer is a guest: its trouble is told and harms no delivery.
                self._conditions.log.observer_failed(observer, exc)

    def _disable(self, record: DeliveryRecord, sent_to: Subscription) -> None:
        try:
            subscription = self.subscription(record)
        except ConfigurationError:
            subscription = sent_to  # The callable that gave it broke since.
        if subscription is not None and subscription.active:
            why = f"answered 410 (gone) to {record.event}"
            self._store.put([evolve(subscription, disabled=why)])
            self._conditions.log.subscription_disabled(subscription, why)


def serialized(serializer: Serializer, payload: object) -> bytes:
    """Writes a payload.

    Raises:
        SerializationError: If it cannot be written, whatever the serializer or the payload raised.
    """
    try:
        return serializer.serialize(payload)
    except SerializationError:
        raise
    except Exception as exc:
        raise SerializationError("$", f"the serializer {crash(exc)}") from exc


class _Bodies:
    """The bodies of one message, each written once; the first came with the dispatch."""

    def __init__(self, serializers: Mapping[str, Serializer], dispatch: Dispatch) -> None:
        self._serializers = serializers
        self._payload = dispatch.message.payload
        self._made: dict[str, bytes | SerializationError] = {dispatch.content_type: dispatch.body}

    def in_type(self, content_type: str) -> bytes | SerializationError:
        if content_type not in self._made:
            self._made[content_type] = self._make(content_type)
        return self._made[content_type]

    def _make(self, content_type: str) -> bytes | SerializationError:
        serializer = self._serializers.get(content_type)
        if serializer is None:
            return SerializationError("$", f"no serializer writes {content_type}")
        try:
            return serialized(serializer, self._payload)
        except SerializationError as exc:
            return exc


def _plan(dispatch: Dispatch, bodies: _Bodies, subscription: Subscription) -> Planned:
    written = bodies.in_type(subscription.content_type)
    body, problem = (written, None) if isinstance(written, bytes) else (b"", written)
    delivery = Delivery(
        message_id=dispatch.message.id,
        event=dispatch.message.event,
        sender=dispatch.message.sender,
        subscription=subscription,
        content_type=subscription.content_type,
        body=body,
    )
    return Planned(delivery, 1, dispatch.terms, problem)


def _plan_again(record: DeliveryRecord, subscription: Subscription, terms: Terms) -> Planned:
    # There is no body to send where the payload could not be written.
    unwritten = record.last.outcome.reason is Reason.NOT_SERIALIZABLE
    delivery = Delivery(
        id=record.id,
        message_id=record.message_id,
        event=record.event,
        sender=record.sender,
        subscription=subscription,
        content_type=record.content_type,
        body=record.body,
    )
    problem = SerializationError("$", "it could not be written when it was sent") if unwritten else None
    return Planned(delivery, record.last.number + 1, terms, problem)


def _place(subscription: Subscription) -> tuple[Origin, str]:
    return subscription.url.origin, str(subscription.id)
