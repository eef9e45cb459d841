"""The stages of a delivery, as protocols: what a plugin provides. The dispatcher is in `dispatching`.

A stage gets a frozen value and gives a frozen value; it never reaches back. Only a transport touches the
network, and only a transport may use threads or an event loop. `send_many` gives each result in the caller's
thread, so stores, observers and logs run there too.

A class need not inherit from these, but a transport that does gets `Transport.send_many` for nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction
from typing import Protocol, runtime_checkable
from uuid import UUID

from thornsdk.errors import TransportError, crash
from thornsdk.model import (
    Attempt,
    Audience,
    Count,
    CountFilter,
    Delivery,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Exchange,
    Message,
    Pruned,
    Request,
    Response,
    Subscription,
    SubscriptionNotice,
)
from thornsdk.policy.breaker import Breaker
from thornsdk.policy.traffic import Traffic
from thornsdk.reasons import Reason
from thornsdk.typing import Clock, Headers


def utc_now() -> datetime:
    """Tells the time in UTC: the clock where no other is given."""
    return datetime.now(UTC)


@runtime_checkable
class Serializer(Protocol):
    """Writes messages as bytes of one content type.

    One that is a `~thornsdk.HeaderSerializer` too adds headers to them.
    """

    @property
    def content_type(self) -> str:
        """The value of the ``Content-Type`` header, by which subscriptions choose."""
        ...

    def serialize(self, message: Message[object]) -> bytes:
        """Writes a message: its payload, and around it whatever the content type asks for.

        Called once per message and content type. Several threads may call at once.

        Raises:
            SerializationError: If it cannot be written; the error says where in the payload.
        """
        ...


@runtime_checkable
class HeaderSerializer(Protocol):
    """Writes headers beside the body: a serializer that has this method besides."""

    def headers(self, delivery: Delivery) -> Headers:
        """Writes the headers of a delivery whose body is of its content type.

        Called at each attempt, in whichever process makes it: what they say comes from the delivery alone, so
        that it is the same each time. Several threads may call at once. What it raises is the trouble of that
        delivery alone, and so is a header that stands twice or that the library sets itself.

        Returns:
            The headers to add; none where there is nothing to say.
        """
        ...


@runtime_checkable
class Signer(Protocol):
    """Makes the headers that prove where a delivery comes from.

    One that has `~thornsdk.HeaderNames` too is found out early where it does not fit beside another.
    """

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Signs the exact bytes of a delivery with its subscription's secrets.

        ``delivery.subscription.valid_secrets(at)`` gives those to sign with, so that what has ended is left
        out. Where there is room for one signature, ``delivery.subscription.secrets[0]`` is the current one.

        Args:
            delivery: What is about to be sent.
            at: When the attempt begins.

        Returns:
            The headers to add.
        """
        ...


@runtime_checkable
class HeaderNames(Protocol):
    """Says beforehand which headers a signer or serializer adds: one that has this property besides.

    A pipeline with two signers that add the same header is refused when it is made, and so is a subscription
    that has such a header of its own. Where a stage does not say it, every delivery fails instead.
    """

    @property
    def header_names(self) -> frozenset[str]:
        """The names of all headers that it may add, in lower case."""
        ...


@runtime_checkable
class YieldedNames(Protocol):
    """Says which of its headers a signer yields: a signer that has this property besides `HeaderNames`.

    A subscription may have such a header of its own, which is sent in place of the signer's.
    """

    @property
    def yielded_names(self) -> frozenset[str]:
        """The names, in lower case, of headers that it leaves out where the subscription has one of them."""
        ...


@runtime_checkable
class Transport(Protocol):
    """Sends requests to URLs of some schemes."""

    @property
    def schemes(self) -> frozenset[str]:
        """The URL schemes that it serves, in lower case."""
        ...

    @property
    def user_agent(self) -> str:
        """Its own client and version, such as ``urllib3/2.6.3``, to stand in ``User-Agent``."""
        ...

    def send(self, request: Request) -> Response:
        """Sends one request.

        Raises:
            TransportError: If there was no answer; its reason says why.
        """
        ...

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Sends requests and gives each result as soon as it is known, in any order.

        This one sends them one after the other; a transport that can keep several in flight overrides it.
        It must read ``requests`` and give results in the thread that calls it. What it holds is bounded,
        whether in flight or waiting for a place: there may be millions.

        Args:
            requests: What to send. Reading it never raises.
        """
        for request in requests:
            yield exchange(self.send, request)

    def close(self) -> None:
        """Lets go of connections. Closing twice does no harm. This one has nothing to let go of."""
        return  # Without a statement, type checkers take the method for abstract.


def exchange(
    send: Callable[[Request], Response],
    request: Request,
    *,
    clock: Clock = utc_now,
    timer: Callable[[], float] = time.monotonic,
) -> Exchange:
    """Sends one request, times it, and turns whatever `send` raises into a result.

    Args:
        send: What sends it.
        request: What to send.
        clock: Tells when it was taken up.
        timer: Counts seconds.
    """
    started_at, begin = clock(), timer()
    result: Response | TransportError
    try:
        result = send(request)
    except TransportError as exc:
        result = exc
    except Exception as exc:
        # A defect in one transport or one answer must not cost the other subscribers theirs.
        result = TransportError(Reason.STAGE_FAILED, f"the transport {crash(exc)}")
        result.__cause__ = exc
    return Exchange(request=request, result=result, started_at=started_at, duration=timer() - begin)


@runtime_checkable
class Store(Protocol):
    """Keeps subscriptions, and what became of deliveries. Safe to share between threads.

    Every method may raise `~thornsdk.errors.StoreError`. A stream that it gives holds no lock: whoever reads
    it may write meanwhile, and may leave it half read.
    """

    @property
    def identity(self) -> str | None:
        """What tells this store from all others, the same in every process that opens it.

        None for a store that lives in one process alone.
        """
        ...

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        """Adds subscriptions or replaces those of the same id: all of them or, on an error, none.

        Reading ``subscriptions`` may read this store.
        """
        ...

    def find(self, subscription_id: UUID) -> Subscription | None:
        """Gives a subscription, active or not, or None."""
        ...

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
    ) -> Subscription | None:
        """Changes a subscription in one step: what others write meanwhile is not lost.

        What is equal afterwards need not be written; a default that is equal afterwards must not be.

        Args:
            subscription_id: Which one.
            change: Gives what becomes of it; the id stays. It is called while the store is locked, so it must
                not use the store; it may be called again where somebody else was faster. When it raises,
                nothing is changed.
            default: What is changed, and then kept, where the store has none of that id. With None, nothing.

        Returns:
            What became of it, or None where there was none.
        """
        ...

    def remove(self, subscription_id: UUID) -> bool:
        """Removes a subscription; tells whether there was one."""
        ...

    def subscriptions(self) -> Iterator[Subscription]:
        """Gives all subscriptions as a stream sorted by origin."""
        ...

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience admits, each once, as a stream sorted by origin."""
        ...

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience misses, each once, as a stream sorted by origin.

        These are the disabled ones that it would admit. It costs what they are, however many are active.
        """
        ...

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives those that the audience admits and that are ordered, each once, sorted by origin."""
        ...

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Keeps new deliveries: all of them or, on an error, none. Those whose id is known stay as they are.

        Reading ``deliveries`` may read this store.
        """
        ...

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        """Removes deliveries that were accepted and of which no attempt was begun, as if they never were."""
        ...

    def record(self, delivery: DeliveryRecord) -> None:
        """Keeps what became of an attempt of a delivery, which is known already or not.

        What was delivered stays delivered, whatever another attempt comes to. Otherwise the attempt with the
        highest number counts. One that does not count is added to the history all the same. When the message
        was sent, and when the delivery was accepted, stays as it was told first.
        """
        ...

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives what is known of a delivery, or None."""
        ...

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """Gives the attempts of a delivery, the first one first.

        Each number is there once, as it was known last. One that was taken back, in that `take` replaced it
        by the attempt before it, is not there.
        """
        ...

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        """Gives those deliveries, or all, as a stream, the latest attempt first."""
        ...

    def claim_due(
        self,
        now: datetime,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries that are due: the longest due first, and those of one moment by their origins.

        Of several processes that claim at once, one gets a delivery.

        Args:
            now: What is due at or before this moment is due, leased or not.
            limit: How many to take at most.
            claim: Gives what is true of a delivery from now on. It is due later, so that nobody else takes it
                meanwhile, and that it is due again where this process dies. It must not use the store.

        Returns:
            What was known of them before.

        Raises:
            StoreDamaged: If something that is due cannot be read, and nothing else is due. Whoever claims
                next does not meet it again at once.
        """
        ...

    def claim_new(
        self,
        message_id: UUID,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries of a message that are leased since they were accepted, by their origins.

        No attempt of them was begun, and nobody has put them off. They are taken before the lease is over,
        for who has accepted a message is the first to attempt it. Of several processes that claim at once,
        one gets a delivery.

        Args:
            message_id: The message's id.
            limit: How many to take at most.
            claim: Gives what is true of a delivery from now on, as in `claim_due`.

        Returns:
            What was known of them before.

        Raises:
            StoreDamaged: If one of them cannot be read, and there are no others.
        """
        ...

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        """Replaces a delivery that is due at exactly this moment: nobody has taken it since.

        Args:
            delivery_id: The delivery's id.
            due_at: When it was last known to be due.
            taken: What is known of it from now on.

        Returns:
            Whether it was so. Of several processes that try at once, one succeeds.
        """
        ...

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        """Gives what a delivery with an order key has to wait for: the first of its line that is in its way.

        A line is made of the deliveries of one subscription and one order key, in the order in which this
        store was first told of them. Those before it that are pending or leased are in its way.

        Args:
            delivery_id: The delivery's id.
            stop: Whether those that failed or were blocked are in its way too.

        Returns:
            What is known of that one; None where nothing is in its way.
        """
        ...

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives the first delivery after this one in its line that is pending or leased, or None."""
        ...

    def next_due(self) -> datetime | None:
        """Gives when the next delivery is due, leased or not; None where nothing is to be attempted."""
        ...

    def prune(
        self,
        before: datetime | None = None,
        keep: int | None = None,
        states: frozenset[DeliveryState] | None = None,
    ) -> Pruned:
        """Removes deliveries that have ended, their attempts, and bodies that no delivery needs any more.

        What is pending or leased is never removed, and nothing that failed or was blocked while others of its
        line still wait behind it, unless its subscription skips what failed. It removes few at a time, so
        that senders are never locked out for long. What it removes stays counted, as `counts` gives it.

        Args:
            before: Those whose latest attempt began before this moment.
            keep: Those besides so many whose latest attempts began last.
            states: Those in one of these states, as if there were no others; with None, those in any.
        """
        ...

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        """Gives how many deliveries there are and were, those that were pruned too, as a stream.

        It is sorted by subscription, day, event and state, and each of these is there once. Pruning changes
        no count, and neither does removing a subscription.
        """
        ...

    def close(self) -> None:
        """Lets go of what it holds. Closing twice does no harm.

        Who uses it later is served all the same, or is told so by an error of thornsdk.
        """
        ...

    def failing_since(self, subscription_id: UUID) -> datetime | None:
        """Gives since when every attempt to a subscription has failed; None where the latest did not.

        It begins when the first of these attempts did: one that the receiver failed, as
        `~thornsdk.Attempt.receiver_failed` says. A delivery that arrives ends it, and so does enabling or
        removing the subscription. It is known from what `record` was told, of attempts that count.
        """
        ...

    def tell_failing(self, subscription_id: UUID) -> bool:
        """Notes that somebody tells how long a subscription has been failing.

        Returns:
            Whether it is failing, and nobody has told so since that began. Of several processes that ask at
            once, one is answered yes.
        """
        ...

    def breakers(self) -> Mapping[str, Breaker]:
        """Gives the circuit breakers by origin: those of which something bad is known."""
        ...

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        """Changes the circuit breaker of an origin in one step: what others do meanwhile is not lost.

        Args:
            origin: Scheme, host and port as text.
            change: Gives what becomes of it; ``Breaker()`` need not be kept. It is called while the store is
                locked, so it must not use the store.

        Returns:
            What became of it.
        """
        ...

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        """Changes what is known of the attempts to a subscription in one step, as `change_breaker` does it.

        Removing the subscription ends it.

        Args:
            subscription_id: Which one; it need not be in the store.
            change: Gives what becomes of it; ``Traffic()`` need not be kept. It is called while the store is
                locked, so it must not use the store.

        Returns:
            What became of it.
        """
        ...


@runtime_checkable
class Observer(Protocol):
    """Is told of every attempt: for metrics, traces, or a log of one's own.

    One that is a `~thornsdk.SubscriptionObserver` too is told more.
    """

    def observe(self, record: DeliveryRecord) -> None:
        """Takes note of an attempt, the record's last, or that none is made: then the record is ``skipped``.

        What it raises is logged and harms no delivery.
        """
        ...


@runtime_checkable
class SubscriptionObserver(Protocol):
    """Is told of subscriptions too: an observer that has this method besides."""

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        """Takes note that a subscription is failing, or was disabled because it is, or because it is gone.

        What it raises is logged and harms no delivery.
        """
        ...


_BESIDES: Mapping[type, type] = {Serializer: HeaderSerializer, Observer: SubscriptionObserver}
"""What a stage of a kind may have besides, to be called."""

LEFT_TO_THE_PROTOCOL = frozenset({"send_many", "dispatch_many", "close"})
"""The members that a class may inherit from its protocol; the others do nothing there, and give None."""


def what_is_wrong_with(stage: object, protocol: type) -> str:
    """Says why something cannot stand where a stage is wanted.

    A class that inherits from a protocol has all of its members; those that it forgot count as missing.

    Args:
        stage: What was given.
        protocol: The protocol of the kind of stage that is wanted.

    Returns:
        Such as ``a Pigeon, which is no Transport: it has no send, user_agent``; empty for nothing. What is
        async counts as wrong, for the library calls every member plainly.
    """
    if isinstance(stage, type):
        return f"the class {stage.__qualname__}; an object of it is wanted"
    no_such = f"a {type(stage).__qualname__}, which is no {protocol.__name__}"
    members = _members_of(protocol)
    if missing := ", ".join(name for name in members if not _has_own(stage, name, protocol)):
        return f"{no_such}: it has no {missing}"
    besides = _members_of(_BESIDES[protocol]) if protocol in _BESIDES else []
    if odd := ", ".join(name for name in (*members, *besides) if _is_async(stage, name)):
        return f"{no_such}: its {odd} is async, and nobody would await it"
    return ""


def _members_of(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]


def _is_async(stage: object, name: str) -> bool:
    member = getattr_static(stage, name, None)
    return iscoroutinefunction(member) or isasyncgenfunction(member)


def _has_own(stage: object, name: str, protocol: type) -> bool:
    """Tells whether a stage has a member, one of its own unless its protocol's does something."""
    if name in LEFT_TO_THE_PROTOCOL:
        return hasattr(stage, name)
    return hasattr(stage, name) and getattr_static(stage, name) is not vars(protocol)[name]
