"""Stages that are real but small: they keep what they are given, or do what a test tells them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

from attrs import define, frozen

from thornsdk import (
    Attempt,
    Audience,
    Bodies,
    Delivery,
    DeliveryRecord,
    Dispatch,
    Dispatcher,
    Exchange,
    Message,
    Observer,
    Outcome,
    OutcomeKind,
    Pipeline,
    Reason,
    Request,
    Response,
    RetryPolicy,
    Serializer,
    Signer,
    Store,
    Subscription,
    Terms,
    Transport,
    exchange,
    to_plain,
)
from thornsdk.testing import Answer, RecordingSigner, RecordingTransport
from thornsdk.typing import Clock, Headers
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TERMS = Terms(timeout=3.0, retry=RetryPolicy.fixed(times=2, delay=60))

SendMany = Callable[[Iterable[Request]], Iterator[Exchange]]


def accepts(request: Request) -> Response:
    return Response(status=200, body=b"ok")


def says_status(status: int) -> Answer:
    return lambda request: Response(status=status)


def raises(error: Exception) -> Answer:
    def answer(request: Request) -> Response:
        raise error

    return answer


class CountingTransport(Transport):
    """Counts the requests that it is given, keeps none, and answers 200."""

    schemes = frozenset({"https"})
    user_agent = "counting/1"

    def __init__(self) -> None:
        self.count = 0

    def send(self, request: Request) -> Response:
        self.count += 1
        return Response(status=200)


class ProgrammedTransport(RecordingTransport):
    """Does with the stream of requests whatever it is told."""

    def __init__(self, program: SendMany, schemes: Iterable[str] = ("https",)) -> None:
        super().__init__(schemes=schemes)
        self._program = program

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return self._program(requests)


class TimedTransport(RecordingTransport):
    """Takes requests up when a clock says so."""

    def __init__(self, answer: Answer, clock: Clock) -> None:
        super().__init__(answer)
        self._clock = clock

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in requests:
            yield exchange(self.send, one, clock=self._clock)


def answered(request: Request, answer: Answer = accepts) -> Exchange:
    return exchange(answer, request)


class BrokenSigner(RecordingSigner):
    """Raises for the subscriptions that it is told to."""

    def __init__(self, broken_for: Iterable[UUID]) -> None:
        super().__init__()
        self._broken_for = frozenset(broken_for)

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        headers = super().sign(delivery, at)
        if delivery.subscription.id in self._broken_for:
            raise LookupError("the text of this error is told nowhere")
        return headers


@define(eq=False)
class BrokenObserver:
    """Raises at each attempt."""

    def observe(self, record: DeliveryRecord) -> None:
        raise LookupError("the text of this error is told nowhere")


@define(eq=False)
class CountingSerializer:
    """Writes JSON under any content type, counts how often, or raises what it is told to."""

    content_type: str = "application/json"
    problem: Exception | None = None
    count: int = 0

    def serialize(self, message: Message[object]) -> bytes:
        self.count += 1
        if self.problem is not None:
            raise self.problem
        return repr(to_plain(message.payload)).encode()


@frozen
class SayingSerializer:
    """Writes JSON under any content type, and headers beside it as it is told."""

    say: Callable[[Delivery], Headers]
    content_type: str = "application/json"

    def serialize(self, message: Message[object]) -> bytes:
        return JsonSerializer().serialize(message)

    def headers(self, delivery: Delivery) -> Headers:
        return self.say(delivery)


def make_pipeline(
    transports: Iterable[Transport],
    *,
    serializers: Iterable[Serializer] = (JsonSerializer(),),
    signers: Iterable[Signer] = (HookHmacSigner(),),
    dispatcher: Dispatcher | None = None,
    store: Store | None = None,
    observers: Iterable[Observer] = (),
) -> Pipeline:
    """A pipeline of small real parts."""
    return Pipeline(
        serializers=serializers,
        signers=signers,
        transports=transports,
        dispatcher=DefaultDispatcher() if dispatcher is None else dispatcher,
        store=MemoryStore() if store is None else store,
        observers=observers,
    )


def make_message(payload: object = 42, *, sender: str | None = None, at: datetime = NOW) -> Message[object]:
    """One occurrence of the event ``order.created``."""
    return Message(id=uuid4(), event="order.created", payload=payload, created_at=at, sender=sender)


def make_dispatch(
    payload: object = 42,
    *,
    serializers: Iterable[Serializer] = (JsonSerializer(),),
    terms: Terms = TERMS,
    sender: str | None = None,
    broadcast: bool = False,
    at: datetime = NOW,
) -> Dispatch:
    """A message of the event ``order.created`` on its way."""
    message = make_message(payload, sender=sender, at=at)
    return Dispatch(
        message=message,
        audience=Audience(event=message.event, sender=sender, broadcast=broadcast),
        bodies=Bodies({one.content_type: one for one in serializers}, message),
        terms=terms,
    )


def make_subscription(number: int = 1, **changes: object) -> Subscription:
    """A subscription to all events of ``order``, at a host of its own."""
    values: dict[str, object] = {
        "id": UUID(int=number),
        "patterns": "order.*",
        "url": f"https://customer-{number}.example.com/hooks/{number}?token=query-{number}",
        "secrets": f"secret number {number}",
    }
    return Subscription(**{**values, **changes})  # type: ignore[arg-type]  # Subscription checks each


def make_record(kind: OutcomeKind = OutcomeKind.DELIVERED, **changes: object) -> DeliveryRecord:
    """What is known of a delivery after its first attempt."""
    reason = Reason.ACCEPTED if kind is OutcomeKind.DELIVERED else Reason.STATUS
    outcome = Outcome(kind, reason, NOW if kind is OutcomeKind.RETRY else None)
    subscription = make_subscription()
    delivery = Delivery(
        message_id=UUID(int=99),
        event="order.created",
        created_at=NOW,
        sender=None,
        subscription=subscription,
        content_type="application/json",
        body=b'{"secret":"body"}',
    )
    attempt: dict[str, object] = {"number": 1, "started_at": NOW, "duration": 0.0123456, "outcome": outcome}
    return DeliveryRecord.of(delivery, Attempt(**{**attempt, **changes}))  # type: ignore[arg-type]  # as given
