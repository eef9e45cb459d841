"""The dispatcher, as a protocol: what it is given, and what it can ask for."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, cast, runtime_checkable
from uuid import UUID

from attrs import evolve, field, frozen

from thornsdk.errors import DispatchError, SerializationError, crash
from thornsdk.model import URL, Audience, Delivery, DeliveryRecord, Message, Receipt, Subscription
from thornsdk.policy.retry import RetryPolicy
from thornsdk.stages import Serializer, Store
from thornsdk.typing import Clock

RecipientValidator: TypeAlias = Callable[[URL], object]
"""Refuses a URL by raising, best `~thornsdk.errors.RecipientRefused`; what it returns does not matter."""

Body: TypeAlias = bytes | SerializationError
"""A payload as bytes, or why it cannot be written."""


@frozen(kw_only=True)
class Terms:
    """The terms on which the deliveries of an event are attempted.

    Attributes:
        timeout: The deadline of an attempt, in seconds.
        retry: When an attempt is followed by another.
        recipient_validators: What may refuse a URL, before each attempt.
    """

    timeout: float
    retry: RetryPolicy
    recipient_validators: tuple[RecipientValidator, ...] = ()


_UNREAD: object = object()


_CLOUD_EVENT = "application/cloudevents+json"


def is_json(content_type: str) -> bool:
    """Tells whether a content type is one of JSON."""
    media_type = _media_type(content_type)
    return media_type == "application/json" or media_type.endswith("+json")


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class Bodies:
    """The bodies of one message by content type, each written once, when it is first asked for.

    Args:
        serializers: What writes them, by content type.
        message: What is written; None where all were written before.
    """

    def __init__(self, serializers: Mapping[str, Serializer], message: Message[object] | None) -> None:
        self._serializers = serializers
        self._message = message
        self._made: dict[str, Body] = {}
        self._document = _UNREAD

    @classmethod
    def written(cls, bodies: Mapping[str, Body]) -> "Bodies":
        """Gives bodies that were written before, in another process perhaps; there are no others."""
        made = cls({}, None)
        made._made.update(bodies)
        return made

    def in_type(self, content_type: str) -> Body:
        """Gives the body in a content type, or why there is none."""
        if content_type not in self._made:
            self._made[content_type] = self._make(content_type)
        return self._made[content_type]

    def in_all_types(self) -> dict[str, Body]:
        """Gives the bodies in all content types that there are."""
        return {one: self.in_type(one) for one in (*self._serializers, *self._made)}

    def order_key(self, path: str) -> str | None:
        """Gives the value of a field of the payload, as JSON: by it, messages are ordered.

        It is read from the first body that is JSON. Of a CloudEvent, the payload is its ``data`` (JSON event
        format, section 3.1); any other body is the payload, as far as this can tell.

        Args:
            path: The field's name, or the path to it, such as ``order.id``.

        Returns:
            The text of a text, a whole number, true or false; None where something else is there or nothing.
        """
        if self._document is _UNREAD:
            self._document = self._read()
        found = self._document
        for name in path.split("."):
            found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
        return json.dumps(found) if isinstance(found, (str, int)) else None

    def _read(self) -> object:
        written = next(filter(is_json, (*self._serializers, *self._made)), None)
        body = None if written is None else self.in_type(written)
        if written is None or not isinstance(body, bytes):
            return None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None  # A serializer of another's making wrote it.
        is_event = _media_type(written) == _CLOUD_EVENT and isinstance(document, dict)
        return document.get("data") if is_event else document

    def _make(self, content_type: str) -> Body:
        serializer = self._serializers.get(content_type)
        if serializer is None or self._message is None:
            return SerializationError("$", f"no serializer writes {content_type}")
        try:
            return serializer.serialize(self._message)
        except SerializationError as exc:
            return exc
        except Exception as exc:
            error = SerializationError("$", f"the serializer {crash(exc)}")
            error.__cause__ = exc
            return error


@frozen(kw_only=True)
class Dispatch:
    """One message on its way: what a dispatcher is given.

    Attributes:
        message: The message.
        audience: Which subscriptions it may reach.
        bodies: Its payload as bytes. The first content type of the pipeline was written before anything else
            happened, so that a payload that cannot be written is an error of `send`, with nothing sent.
        terms: The terms on which it is delivered.
    """

    message: Message[object]
    audience: Audience
    bodies: Bodies = field(eq=False, repr=False)
    terms: Terms


@frozen(kw_only=True)
class Planned:
    """A delivery that is about to be attempted.

    Attributes:
        delivery: What is to be delivered.
        number: The number of the attempt; the first is 1.
        terms: The terms on which it is attempted.
        problem: Why its payload cannot be written, or None.
        lost: Whether the attempt before this one was lost with the process that made it.
        known: What is known of it from before; None for a new one.
    """

    delivery: Delivery
    number: int
    terms: Terms
    problem: SerializationError | None = None
    lost: bool = False
    known: DeliveryRecord | None = None

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy of the terms, with the schedule of the subscription where that has one."""
        schedule = self.delivery.subscription.retry_schedule
        return self.terms.retry if schedule is None else evolve(self.terms.retry, schedule=schedule)


class Deliverer(Protocol):
    """What a dispatcher can ask for: the rest of the pipeline.

    Where deliveries are attempted, one subscription's trouble is its own result, never an error. The results
    must be read to the end, or nothing more is sent.
    """

    @property
    def store(self) -> Store:
        """Keeps subscriptions and deliveries."""
        ...

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        ...

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that a message may reach, as a stream sorted by origin."""
        ...

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that a message would reach, were they active, sorted by origin."""
        ...

    def subscriptions(self, ids: Sequence[UUID], audience: Audience) -> list[Subscription]:
        """Gives those of these subscriptions that are there, active or not, in this order.

        Args:
            ids: Which ones.
            audience: What they were found for, at first.
        """
        ...

    def deliver(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> Iterator[DeliveryRecord]:
        """Makes the first attempt to deliver to each subscription, and gives each result when it is known."""
        ...

    def deliver_all(self, dispatch: Dispatch) -> Iterator[DeliveryRecord]:
        """Makes the first attempt to deliver a message to all who are to get it, and gives each result.

        What disabled subscriptions would have got is skipped, as `skip` does it.

        Where ``THORN_DURABLE`` is on, all its deliveries are written to the store in one transaction before
        the first of them is attempted. If this process dies, what is left is due there soon.
        """
        ...

    def attempt(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery, and gives each result when it is known.

        One whose attempts were lost with their processes as often as the terms allow attempts is given up.
        One whose origin is paused, whose subscription has limits that leave no room, or that has to wait for
        one before it, is put off without an attempt; its record says so in `held`.
        """
        ...

    def skip(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Puts deliveries to disabled subscriptions into the store as cancelled, and gives each.

        They can be replayed when the subscription is enabled. What the store knows already stays as it is,
        and is not given.
        """
        ...

    def resume(
        self, records: Iterable[DeliveryRecord], terms: Terms | None = None
    ) -> Iterator[DeliveryRecord]:
        """Attempts deliveries again that are pending, and gives each result when it is known.

        One that cannot be attempted here, because its subscription is not known or cannot be read, is told in
        the log, and is due again in a minute.

        Args:
            records: What is known of them.
            terms: The terms for all of them; with None, those of their events as they are declared here, or
                else those of the settings.
        """
        ...

    def take(self, delivery_id: UUID, number: int, timeout: float) -> DeliveryRecord | None:
        """Takes a pending delivery from the store, to attempt it.

        The store then says that an attempt was begun and is lost, and when it may be taken again: that is
        true if this process dies, and is replaced by what became of the attempt if it does not.

        Args:
            delivery_id: The delivery's id.
            number: The number of the attempt that is to be made.
            timeout: The deadline of the attempt, in seconds.

        Returns:
            What was known of it; None where that attempt was begun already, or is not to be made any more.
        """
        ...

    def lost(self, record: DeliveryRecord, until: datetime) -> DeliveryRecord:
        """Gives what is true of a delivery if the process that attempts it now dies.

        Args:
            record: What is known of it.
            until: When it is due again, unless it ended before.
        """
        ...

    def keep(self, dispatch: Dispatch, why: str) -> Iterator[DeliveryRecord]:
        """Puts the deliveries of a message into the store, due now, without an attempt.

        What disabled subscriptions would have got is skipped, as `skip` does it.

        Args:
            dispatch: The message.
            why: Why they are not attempted now.
        """
        ...

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the ordered subscriptions that a message may reach, without asking a callable."""
        ...

    def line_up(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> list[UUID]:
        """Puts the deliveries of a message at the ends of their lines, where they have an order key.

        They are in the store then, leased to this process. `take` takes one of them before the lease is over.

        Args:
            dispatch: The message.
            subscriptions: To whom.

        Returns:
            The ids of those that were not in the store before.
        """
        ...

    def terms(self, event: str) -> Terms:
        """Gives the terms of an event as it is declared here, or else those of the settings."""
        ...

    def requirements(self, event: str) -> frozenset[str]:
        """Names what configuration and code add to an event here.

        These are static subscribers, recipient validators, and the headers that serializers write. Another
        process that delivers the event in this one's place must know them all.
        """
        ...

    def tell(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        """Tells something in the delivery log.

        Args:
            level: One of the levels of `logging`.
            event: What happened, such as ``task.held``.
            fields: The rest of it. Nothing secret.
        """
        ...


def check_receipt(dispatcher: "Dispatcher", receipt: object) -> None:
    """Refuses what a dispatcher gives that is no receipt: nobody knows what became of the message.

    Raises:
        DispatchError: If it is none.
    """
    if not isinstance(receipt, Receipt):
        raise DispatchError(dispatcher.name, f"it gave a {type(receipt).__qualname__} in place of a Receipt")


@runtime_checkable
class Dispatcher(Protocol):
    """Decides where and when the rest of the pipeline runs for a message."""

    @property
    def name(self) -> str:
        """Its name, as receipts and logs give it."""
        ...

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Takes a message, and says in the receipt what it has done with it.

        Raises:
            DispatchError: If it could not take the message, or cannot tell whether its broker has it.
        """
        ...

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        """Takes messages that were buffered, in their order, and gives each receipt when it is known.

        This one takes one after the other; a dispatcher that can do better with several overrides it.

        Raises:
            DispatchError: If it could not take a message; it took those alone whose receipts it gave.
        """
        return (self.dispatch(one, deliverer) for one in dispatches)

    def close(self) -> None:
        """Lets go of what it holds. Closing twice does no harm. This one has nothing to let go of."""
        return  # Without a statement, type checkers take the method for abstract.
