"""How applications and plugins use the public names, with the types that they must see. Never run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypedDict, assert_type
from uuid import UUID

from attrs import frozen

from thornsdk import (
    URL,
    Attempt,
    Buffer,
    Count,
    Deliverer,
    Delivery,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Dispatch,
    Dispatcher,
    Event,
    Exchange,
    HookContext,
    Observer,
    OldSecret,
    Outcome,
    OutcomeKind,
    Pipeline,
    Plugin,
    Provided,
    Pruned,
    PublicKey,
    Reason,
    Receipt,
    ReceiptState,
    Request,
    Response,
    RetryPolicy,
    Secret,
    Serializer,
    Settings,
    Signer,
    SigningKey,
    StageContext,
    Store,
    Subscription,
    Tally,
    Thorn,
    Transport,
    as_signing_keys,
    exchange,
    hookimpl,
    tally,
)
from thornsdk.errors import DispatchError, RecipientRefused, SerializationError, TransportError
from thornsdk.receive import verify
from thornsdk.typing import Headers
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.form import FormSerializer
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.http_signatures import HttpSignaturesSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.standard_webhooks import Ed25519Signer, StandardWebhooksSigner
from thornsdk_plugins.urllib3 import PooledTransport


@frozen
class OrderCreated:
    id: int


class OrderDeleted(TypedDict):
    id: int


# An application


def an_application(thorn: Thorn) -> None:
    created = thorn.event("order.created", payload_type=OrderCreated)
    assert_type(created, Event[OrderCreated])
    receipt = created.send(OrderCreated(id=42), sender="acme")
    assert_type(receipt, Receipt)
    assert_type(receipt.message_id, UUID)
    assert_type(receipt.state, ReceiptState)
    assert_type(receipt.outcomes, Tally)
    assert_type(receipt.outcomes.problems, tuple[DeliveryRecord, ...])

    deleted = thorn.event("order.deleted", payload_type=OrderDeleted, retry=RetryPolicy.never(), timeout=2.0)
    assert_type(deleted, Event[OrderDeleted])
    deleted.send({"id": 42}, broadcast=True)

    anything = thorn.event("order.changed", subscribers=["https://example.com/hooks"])
    assert_type(anything, Event[object])
    anything.send({"id": 42})
    anything.send(None)


async def an_application_with_a_loop(event: Event[OrderCreated]) -> None:
    assert_type(await event.asend(OrderCreated(id=42)), Receipt)
    assert_type(await event.asend(OrderCreated(id=42), transaction=on_commit), Receipt)


def a_buffer(thorn: Thorn, event: Event[OrderCreated]) -> None:
    with thorn.buffer(flush_every=100, flush_after=2.5) as buffer:
        assert_type(buffer, Buffer)
        assert_type(event.send(OrderCreated(id=42)).task_id, str | None)
        assert_type(buffer.maybe_flush(), list[Receipt])
        assert_type(buffer.flush(), list[Receipt])
        assert_type(len(buffer), int)
    with thorn.buffer(flush_every=None), thorn.buffer(flush_after=1):
        pass


def on_commit(call: Callable[[], object], using: str | None = None, *, robust: bool = False) -> None:
    """As Django's."""


def a_transaction(event: Event[OrderCreated]) -> None:
    waiting: list[Callable[[], None]] = []
    assert_type(event.send(OrderCreated(id=42), transaction=on_commit), Receipt)
    assert_type(event.send(OrderCreated(id=42), transaction=partial(on_commit, robust=True)), Receipt)
    event.send(OrderCreated(id=42), transaction=waiting.append)
    event.send(OrderCreated(id=42), transaction=None)


def subscriptions(thorn: Thorn) -> None:
    one = thorn.subscribe("order.*", "https://example.com/hooks")
    assert_type(one, Subscription)
    assert_type(one.secrets, tuple[Secret, ...])
    assert_type(one.old_secrets, tuple[OldSecret, ...])
    assert_type(one.url, URL)
    assert_type(one.headers, Headers)
    thorn.subscribe(["order.*"], one.url, secret=["new", Secret("old")], owner="acme", digest="sha512")
    thorn.subscribe("*", one.url, headers={"X-Key": "value"})
    thorn.subscribe("*", one.url, headers=[("X-Key", "value")])
    assert_type(thorn.subscriptions(), Iterator[Subscription])
    assert_type(thorn.disable(one.id, why="they asked"), Subscription)
    assert_type(thorn.enable(one.id), Subscription)
    assert_type(thorn.rotate_secret(one.id), Subscription)
    thorn.rotate_secret(one.id, "new", keep_old_for=timedelta(days=7))
    thorn.rotate_secret(one.id, secret=Secret("new"), keep_old_for=timedelta(0))
    thorn.unsubscribe(one.id)


def deliveries(thorn: Thorn) -> None:
    assert_type(thorn.deliveries(), Iterator[DeliveryRecord])
    assert_type(thorn.deliveries(DeliveryFilter(owner="acme")), Iterator[DeliveryRecord])
    for record in thorn.deliveries(DeliveryState.PENDING):
        assert_type(record.last, Attempt)
        assert_type(record.last.outcome, Outcome)
        assert_type(record.last.outcome.reason, Reason)
        assert_type(record.kind, OutcomeKind)
        assert_type(record.next_attempt_at, datetime | None)
        assert_type(thorn.replay(record.id), DeliveryRecord)
    assert_type(thorn.run_due(), Tally)
    assert_type(thorn.replay_all(DeliveryFilter(event="order.*")), Tally)
    assert_type(thorn.prune(keep=1000), Pruned)
    assert_type(thorn.prune(keep=1000, states=DeliveryState.DELIVERED), Pruned)
    assert_type(thorn.counts(event="order.*"), Iterator[Count])
    assert_type(thorn.deliveries([DeliveryState.FAILED], event="order.*"), Iterator[DeliveryRecord])


def settings() -> None:
    with Thorn(dispatcher="disabled", store="sqlite:///thorn.db", allow_ports=[443], retry_max=None) as thorn:
        assert_type(thorn, Thorn)
        assert_type(thorn.settings, Settings)
        assert_type(thorn.pipeline, Pipeline)
    Thorn(settings=Settings.from_mapping({"THORN_CONCURRENCY": 8}))
    Thorn(recipient_validators=["package.module:name", partners_only], subscribers={"*": partners_only})


def partners_only(url: URL) -> None:
    if not url.host.endswith(".example"):
        raise RecipientRefused(f"{url.host} is no partner")


def a_pipeline() -> Thorn:
    pipeline = Pipeline(
        serializers=[JsonSerializer(), FormSerializer()],
        signers=[HookHmacSigner(), StandardWebhooksSigner(), FingerprintSigner(), HttpSignaturesSigner()],
        transports=[PooledTransport(concurrency=32), PigeonTransport()],
        dispatcher=DefaultDispatcher(),
        observers=[Counter()],
        store=MemoryStore(),
    )
    assert_type(pipeline.serializers, tuple[Serializer, ...])
    assert_type(pipeline.signers, tuple[Signer, ...])
    assert_type(pipeline.transports, tuple[Transport, ...])
    assert_type(pipeline.dispatcher, Dispatcher)
    assert_type(pipeline.store, Store | None)
    assert_type(pipeline.observers, tuple[Observer, ...])
    return Thorn(pipeline=pipeline, plugins=[PigeonPlugin()])


def signed_with_keys() -> list[Signer]:
    key = SigningKey.generate()
    assert_type(key.public_key, PublicKey)
    assert_type(as_signing_keys([key, "whsk_"]), tuple[SigningKey, ...])
    return [Ed25519Signer(keys=["whsk_", key]), Ed25519Signer(keys=key), HttpSignaturesSigner(keys="whsk_")]


def the_far_side(headers: dict[str, str], body: bytes) -> None:
    verify(headers, body, secrets=["whsec_c2VjcmV0"])
    verify(headers, body, public_keys=["whpk_", PublicKey("whpk_")])


# A plugin author


class PigeonTransport(Transport):
    """Inherits `send_many` and `close`."""

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset({"pigeon"})

    @property
    def user_agent(self) -> str:
        return "pigeon/1"

    def send(self, request: Request) -> Response:
        assert_type(request.url, URL)
        assert_type(request.headers, Headers)
        if request.timeout < 1:
            raise TransportError(Reason.TIMEOUT, "pigeons need longer")
        return Response(status=200)


class SwarmTransport(PigeonTransport):
    """Sends several at once."""

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for request in requests:
            done = exchange(self.send, request)
            assert_type(done.result, Response | TransportError)
            yield done


class StrangerTransport:
    """Inherits from nothing, and is a transport all the same."""

    schemes: frozenset[str] = frozenset({"stranger"})
    user_agent: str = "stranger/1"

    def send(self, request: Request) -> Response:
        return Response(status=200)

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return (exchange(self.send, request) for request in requests)

    def close(self) -> None:
        pass


class FingerprintSigner:
    @property
    def header_names(self) -> frozenset[str]:
        return frozenset({"fingerprint"})

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        assert_type(delivery.subscription.secrets[0].key, bytes)
        assert_type(delivery.subscription.valid_secrets(at), tuple[Secret, ...])
        return (("Fingerprint", str(len(delivery.body))),)


class Counter:
    count = 0

    def observe(self, record: DeliveryRecord) -> None:
        self.count += 1


@frozen
class LateDispatcher(Dispatcher):
    @property
    def name(self) -> str:
        return "late"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        results = deliverer.deliver(dispatch, deliverer.matching(dispatch.audience))
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=ReceiptState.ENDED,
            outcomes=tally(results),
        )


class BatchDispatcher(LateDispatcher):
    """Does better with several messages at once."""

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        for dispatch in dispatches:
            assert_type(dispatch.bodies.in_all_types(), dict[str, bytes | SerializationError])
            assert_type(deliverer.requirements(dispatch.message.event), frozenset[str])
        if not dispatches:
            raise DispatchError(self.name, "nothing to do")
        yield from super().dispatch_many(dispatches, deliverer)


def a_worker(thorn: Thorn, record: DeliveryRecord) -> None:
    deliverer = thorn.deliverer
    assert_type(deliverer, Deliverer)
    assert_type(deliverer.store.identity, str | None)
    taken = deliverer.take(record.id, record.last.number + 1, 10.0)
    assert_type(taken, DeliveryRecord | None)
    if taken is not None:
        assert_type(deliverer.resume([taken]), Iterator[DeliveryRecord])
    receipts = BatchDispatcher().dispatch_many([], deliverer)
    assert_type(receipts, Iterator[Receipt])


def build(stage: StageContext) -> SwarmTransport:
    assert_type(stage.settings, Settings)
    assert_type(stage.value, str)
    return SwarmTransport()


class PigeonPlugin(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        assert_type(context.version, str)
        return [
            Provided("pigeon", lambda stage: PigeonTransport(), "Sends by pigeon."),
            Provided("swarm", build, "Sends by many.", extra="pigeons[swarm]"),
            Provided("stranger", lambda stage: StrangerTransport(), "Sends somehow."),
        ]

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> Iterable[Provided[FingerprintSigner]]:
        yield Provided("fingerprint", lambda stage: FingerprintSigner(), "Signs with its length.")

    @hookimpl
    def thornsdk_dispatchers(self, context: HookContext) -> tuple[Provided[Dispatcher], ...]:
        return (Provided("late", lambda stage: LateDispatcher(), "Delivers when it likes."),)

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[Observer]]:
        return [Provided("counter", lambda stage: Counter(), "Counts.")]

    @hookimpl
    def thornsdk_stores(self, context: HookContext) -> list[Provided[Store]]:
        return [Provided("mine", lambda stage: SqliteStore.from_url(stage.value), "Keeps.")]

    @hookimpl
    def thornsdk_serializers(self, context: HookContext) -> list[Provided[Serializer]]:
        return [Provided("json2", lambda stage: JsonSerializer(stage.value), "Writes.")]
