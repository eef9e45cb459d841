"""The outbox: what the application writes and what it sends are committed together, or not at all."""

import asyncio
import json
import logging
import pickle
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, TypeAlias
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conftest import OpenThorn
from support.brokers import take_all
from support.databases import OpenShop, Shop, format_shop, postgres_shops, sqlite_shop
from support.scripts import Process, running
from support.stages import NOW, TERMS, CountingSerializer, make_pipeline
from support.wire import wait_until
from thornsdk import (
    Audience,
    Bodies,
    Body,
    DeliveryState,
    Dispatch,
    Event,
    Message,
    Outbox,
    Receipt,
    ReceiptState,
    Request,
    Response,
    Serializer,
    Thorn,
)
from thornsdk.errors import (
    ClosedError,
    ConfigurationError,
    DispatchError,
    OutboxError,
    SerializationError,
    StoreDamaged,
    ThornError,
)
from thornsdk.outbox import Row
from thornsdk.outbox_documents import read_document, write_document
from thornsdk.testing import Endpoint, FakeClock, Handler, RecordingDispatcher, RecordingTransport, Seen
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.celery.publisher import MAX_BYTES
from thornsdk_plugins.json import JsonSerializer

Start: TypeAlias = Callable[..., Process]

A_MINUTE = 60
THE_LEASE = 5 * 60


@pytest.fixture(params=["sqlite", "sqlite with %s", "postgresql"])
def open_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenShop]:
    """Opens connections to one database of each kind; they close with the test."""
    path = tmp_path / "shop.db"
    with ExitStack() as stack:
        opens: OpenShop
        if request.param == "postgresql":
            opens = stack.enter_context(postgres_shops())
        else:
            make = sqlite_shop if request.param == "sqlite" else format_shop
            opens = lambda: make(path)  # noqa: E731 - a function for each kind
        with closing(opens()) as first:
            first.create()
        yield lambda: stack.enter_context(closing(opens()))


@pytest.fixture
def each_shop(open_shop: OpenShop) -> Shop:
    """A database of each kind."""
    return open_shop()


@pytest.fixture
def shop_path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def shop(shop_path: Path) -> Iterator[Shop]:
    """A database in SQLite."""
    with closing(sqlite_shop(shop_path)) as one:
        one.create()
        yield one


@pytest.fixture
def dispatcher() -> RecordingDispatcher:
    return RecordingDispatcher()


@pytest.fixture
def thorn(dispatcher: RecordingDispatcher, clock: FakeClock) -> Iterator[Thorn]:
    """A Thorn whose messages go to the recording dispatcher."""
    pipeline = make_pipeline([RecordingTransport()], dispatcher=dispatcher)
    with Thorn(pipeline=pipeline, clock=clock, chunksize=3) as one:
        yield one


@pytest.fixture
def event(thorn: Thorn) -> Event[object]:
    return thorn.event("order.created")


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/thorn.db"


def send(event: Event[object], shop: Shop, *numbers: int) -> list[Receipt]:
    """Writes orders and sends messages of them, each in a transaction of its own."""
    receipts = []
    for number in numbers:
        with shop.transaction():
            shop.insert(number)
            receipts.append(event.send(number, transaction=shop.outbox))
    return receipts


def roll_back(shop: Shop, event: Event[object]) -> None:
    """Writes an order and sends a message of it, in a transaction that fails in the end."""

    def fail() -> Never:
        with shop.transaction():
            shop.insert(666)
            event.send(666, transaction=shop.outbox)
            raise LookupError

    with pytest.raises(LookupError):
        fail()


def later(seconds: float) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds)


# Commit and rollback


def test_what_is_committed_is_delivered(each_shop: Shop, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("order.*", endpoint.url)
    send(thorn.event("order.created"), each_shop, 42)
    assert endpoint.seen == []
    assert thorn.relay(each_shop.outbox) == 1
    assert [one.body for one in endpoint.seen] == [b"42"]
    assert (each_shop.orders, each_shop.waiting) == ([42], 0)


def test_a_rollback_sends_nothing(
    each_shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    roll_back(each_shop, event)
    assert thorn.relay(each_shop.outbox) == 0
    assert (each_shop.orders, each_shop.waiting, dispatcher.bodies) == ([], 0, [])


def test_what_is_not_committed_yet_is_not_handed_over(
    open_shop: OpenShop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    shop, other = open_shop(), open_shop()
    with shop.transaction():
        event.send(1, transaction=shop.outbox)
        assert thorn.relay(other.outbox) == 0
    assert thorn.relay(other.outbox) == 1
    assert dispatcher.bodies == [b"1"]


def test_messages_go_in_the_order_in_which_they_were_sent(
    each_shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with each_shop.transaction():
        for number in range(10):
            event.send(number, transaction=each_shop.outbox)
    assert thorn.relay(each_shop.outbox) == 10
    assert dispatcher.bodies == [str(number).encode() for number in range(10)]


def test_connections_whose_rows_are_dicts_will_do(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    shop.connection.row_factory = lambda cursor, row: {
        name: value for (name, *_), value in zip(cursor.description, row, strict=True)
    }
    send(event, shop, 1)
    assert thorn.relay(shop.outbox) == 1


def test_in_autocommit_mode_the_transaction_is_the_one_that_the_application_began(
    shop: Shop, shop_path: Path, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with closing(sqlite3.connect(shop_path, isolation_level=None)) as connection:
        outbox = Outbox(connection)
        for number, end in ((1, "ROLLBACK"), (2, "COMMIT")):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO orders VALUES (?)", [number])
            event.send(number, transaction=outbox)
            connection.execute(end)
        assert thorn.relay(outbox) == 1
    assert (shop.orders, dispatcher.bodies) == ([2], [b"2"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has no autocommit before Python 3.12")
def test_a_connection_that_always_has_a_transaction_open_will_do(
    shop: Shop, shop_path: Path, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    options: dict[str, Any] = {"autocommit": False}
    with closing(sqlite3.connect(shop_path, **options)) as connection:
        outbox = Outbox(connection)
        with connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            event.send(1, transaction=outbox)
        assert thorn.relay(outbox) == 1
    assert (shop.orders, dispatcher.bodies) == ([1], [b"1"])


def test_in_async_code_the_row_is_written_in_the_thread_of_the_connection(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def work() -> Receipt:
        # sqlite3 refuses another thread.
        with shop.transaction():
            return await event.asend(1, transaction=shop.outbox)

    assert asyncio.run(work()).state is ReceiptState.WAITING
    assert thorn.relay(shop.outbox) == 1
    assert dispatcher.bodies == [b"1"]


def test_inside_a_buffer_the_message_waits_in_the_outbox(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer:
        send(event, shop, 1)
        assert len(buffer) == 0
    assert (dispatcher.bodies, shop.waiting) == ([], 1)


# What a message is


def test_the_receipt_says_that_the_message_waits_and_names_the_one_that_is_handed_over(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    (receipt,) = send(event, shop, 1)
    thorn.relay(shop.outbox)
    assert (receipt.state, receipt.dispatcher) == (ReceiptState.WAITING, "recording")
    assert [one.message.id for one in dispatcher.taken] == [receipt.message_id]


def test_sender_broadcast_key_and_time_are_kept(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher, clock: FakeClock
) -> None:
    sent_at = clock()
    with shop.transaction():
        event.send(1, sender="acme", transaction=shop.outbox, idempotency_key="order 1")
        event.send(2, broadcast=True, transaction=shop.outbox)
    clock.advance(3600)
    thorn.relay(shop.outbox)
    first, second = dispatcher.taken
    assert first.audience == Audience(event="order.created", sender="acme")
    assert (first.message.idempotency_key, first.message.created_at) == ("order 1", sent_at)
    assert second.audience == Audience(event="order.created", broadcast=True)


def test_deliveries_of_a_relayed_message_know_when_it_was_sent(
    shop: Shop, open_thorn: OpenThorn, endpoint: Endpoint, clock: FakeClock, store_url: str
) -> None:
    thorn, sent_at = open_thorn(endpoint, clock=clock, store=store_url), clock()
    thorn.subscribe("order.*", endpoint.url)
    send(thorn.event("order.created"), shop, 1)
    clock.advance(A_MINUTE)
    thorn.relay(shop.outbox)
    (known,) = thorn.deliveries()
    assert (known.created_at, known.accepted_at) == (sent_at, clock())


def test_every_content_type_is_written_at_once_or_why_it_cannot_be(shop: Shop) -> None:
    dispatcher = RecordingDispatcher()
    problem = SerializationError("$.id", "no")
    serializers: list[Serializer] = [
        JsonSerializer(),
        CountingSerializer("text/plain"),
        CountingSerializer("text/csv", problem),
    ]
    pipeline = make_pipeline([RecordingTransport()], serializers=serializers, dispatcher=dispatcher)
    order = {"id": 1}
    with Thorn(pipeline=pipeline) as thorn:
        event = thorn.event("order.created")
        with shop.transaction():
            event.send(order, transaction=shop.outbox)
        order["id"] = 2
        thorn.relay(shop.outbox)
    (bodies,) = [one.bodies for one in dispatcher.taken]
    assert (bodies.in_type("application/json"), bodies.in_type("text/plain")) == (b'{"id":1}', b"{'id': 1}")
    assert str(bodies.in_type("text/csv")) == str(problem)


def test_a_payload_that_cannot_be_written_is_an_error_of_send(shop: Shop, event: Event[object]) -> None:
    with pytest.raises(SerializationError):
        event.send(object(), transaction=shop.outbox)
    assert shop.waiting == 0


def test_an_event_that_is_not_declared_where_it_is_relayed_has_the_general_terms(
    shop: Shop, event: Event[object]
) -> None:
    send(event, shop, 1)
    dispatcher = RecordingDispatcher()
    with Thorn(
        pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher), event_timeout=7
    ) as other:
        assert other.relay(shop.outbox) == 1
    assert [one.terms.timeout for one in dispatcher.taken] == [7]


def test_the_terms_are_those_of_the_event_where_it_is_relayed(
    shop: Shop, thorn: Thorn, dispatcher: RecordingDispatcher
) -> None:
    send(thorn.event("order.paid", timeout=8), shop, 1)
    thorn.relay(shop.outbox)
    assert [one.terms.timeout for one in dispatcher.taken] == [8]


# Doubles


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_handed_over_before_is_not_delivered_again(
    shop: Shop, endpoint: Endpoint, open_thorn: OpenThorn, store_url: str, durable: bool
) -> None:
    thorn = open_thorn(endpoint, store=store_url, durable=durable)
    thorn.subscribe("order.*", endpoint.url)
    send(thorn.event("order.created"), shop, 1)
    ((document,),) = shop.find("SELECT document FROM thornsdk_outbox")
    assert thorn.relay(shop.outbox) == 1
    with shop.transaction():
        shop.outbox.add(document, NOW)
    assert thorn.relay(shop.outbox) == 1
    assert (len(endpoint.seen), shop.waiting) == (1, 0)


def test_sent_twice_with_one_key_it_is_one_message(
    shop: Shop, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("order.*", endpoint.url)
    event = thorn.event("order.created")
    with shop.transaction():
        for _ in range(2):
            event.send(1, transaction=shop.outbox, idempotency_key="order 1")
    assert thorn.relay(shop.outbox) == 2
    assert len(endpoint.seen) == 1


def test_two_messages_without_a_key_are_two(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with shop.transaction():
        for _ in range(2):
            event.send(1, transaction=shop.outbox)
    thorn.relay(shop.outbox)
    assert len({one.message.id for one in dispatcher.taken}) == 2


# Relays that stop, and several of them


def test_while_one_relay_hands_a_message_over_another_leaves_it_alone(
    open_shop: OpenShop, dispatcher: RecordingDispatcher, thorn: Thorn, event: Event[object]
) -> None:
    shop, other = open_shop(), open_shop()
    seen: list[int] = []

    class Watching(RecordingDispatcher):
        def dispatch(self, dispatch: Dispatch, deliverer: Any) -> Receipt:
            seen.append(thorn.relay(other.outbox))
            return super().dispatch(dispatch, deliverer)

    send(event, shop, 1, 2, 3)
    with Thorn(
        pipeline=make_pipeline([RecordingTransport()], dispatcher=Watching()), clock=later(0)
    ) as relaying:
        assert relaying.relay(shop.outbox) == 3
    assert (seen, dispatcher.taken) == ([0, 0, 0], [])


def test_a_relay_that_goes_on_for_long_keeps_what_it_has_taken(
    shop: Shop, shop_path: Path, thorn: Thorn, event: Event[object], clock: FakeClock
) -> None:
    def answer(_: Request) -> Response:
        clock.advance(THE_LEASE * 0.6)
        with closing(sqlite_shop(shop_path)) as other:
            taken_by_others.append(thorn.relay(other.outbox))
        return Response(status=200)

    taken_by_others: list[int] = []
    send(event, shop, 1, 2, 3, 4)
    with Thorn(pipeline=make_pipeline([RecordingTransport(answer)]), clock=clock) as slow:
        slow.subscribe("*", "https://example.com/")
        assert slow.relay(shop.outbox) == 4
    assert taken_by_others == [0] * 4


def test_a_relay_that_is_told_to_stop_gives_the_rest_back(
    shop: Shop, endpoint: Endpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    thorn = open_thorn(endpoint, clock=clock)
    thorn.subscribe("order.*", endpoint.url)
    send(thorn.event("order.created"), shop, 1, 2, 3)
    assert thorn.relay(shop.outbox, stop=lambda: bool(endpoint.seen)) == 1
    assert thorn.relay(shop.outbox, stop=lambda: True) == 0
    assert thorn.relay(shop.outbox) == 2
    assert [one.body for one in endpoint.seen] == [b"1", b"2", b"3"]


def test_what_a_broker_has_taken_together_is_removed_together(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    send(event, shop, *range(7))
    # Its pages have three messages each.
    assert thorn.relay(shop.outbox, stop=lambda: bool(dispatcher.taken)) == 3
    assert shop.waiting == 4


def test_what_is_sent_meanwhile_waits_for_the_next_relay(
    shop: Shop, shop_path: Path, event: Event[object], clock: FakeClock
) -> None:
    def answer(_: Request) -> Response:
        clock.advance(1)
        with closing(sqlite_shop(shop_path)) as other:
            send(event, other, next(numbers))
        return Response(status=200)

    numbers = iter(range(2, 100))
    send(event, shop, 1)
    with Thorn(pipeline=make_pipeline([RecordingTransport(answer)])) as relaying:
        relaying.subscribe("*", "https://example.com/")
        assert relaying.relay(shop.outbox) == 1
    assert shop.waiting == 1


# Trouble of the dispatcher


def test_what_the_dispatcher_cannot_take_stays_in_its_order(
    each_shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    send(event, each_shop, *range(5))
    dispatcher.room = 2
    with pytest.raises(DispatchError, match="there is no room"):
        thorn.relay(each_shop.outbox)
    assert each_shop.waiting == 3
    dispatcher.room = 5
    assert thorn.relay(each_shop.outbox) == 3
    assert dispatcher.bodies == [str(number).encode() for number in range(5)]


def test_with_celery_messages_travel_together_and_are_known_by_their_keys(
    shop: Shop, open_thorn: OpenThorn, redis_url: str, store_url: str
) -> None:
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, store=store_url, chunksize=3)
    receipts = send(thorn.event("order.created"), shop, *range(5))
    assert take_all(redis_url) == []
    assert thorn.relay(shop.outbox) == 5
    queued = take_all(redis_url)
    messages = [message for one in queued for message in one.document["messages"]]
    assert [len(one.document["messages"]) for one in queued] == [3, 2]
    assert [one["id"] for one in messages] == [str(one.message_id) for one in receipts]
    assert {one["again"] for one in messages} == {True}
    assert shop.waiting == 0


def test_with_celery_it_needs_a_store_that_the_workers_share(
    shop: Shop, open_thorn: OpenThorn, redis_url: str
) -> None:
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url)
    send(thorn.event("order.created"), shop, 1)
    with pytest.raises(ConfigurationError, match="needs a store that the workers share"):
        thorn.relay(shop.outbox)
    assert shop.waiting == 1


def test_a_message_that_is_too_large_for_the_broker_stays_and_holds_up_no_other(
    shop: Shop, open_thorn: OpenThorn, redis_url: str, store_url: str
) -> None:
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, store=store_url)
    event = thorn.event("order.created")
    with shop.transaction():
        for payload in (1, {"text": "x" * (MAX_BYTES // 2)}, 2):
            event.send(payload, transaction=shop.outbox)
    with pytest.raises(SerializationError, match="bytes long together"):
        thorn.relay(shop.outbox)
    sent = [len(one.document["messages"]) for one in take_all(redis_url)]
    assert (sum(sent), shop.waiting) == (2, 1)


@pytest.mark.parametrize(
    "problem", [SerializationError("$", "it is too large"), StoreDamaged("a subscription cannot be read")]
)
def test_what_cannot_be_handed_over_is_told_and_looked_at_again_a_minute_later(
    shop: Shop, thorn: Thorn, clock: FakeClock, caplog: pytest.LogCaptureFixture, problem: ThornError
) -> None:
    class Picky(RecordingDispatcher):
        def dispatch(self, dispatch: Dispatch, deliverer: Any) -> Receipt:
            raise problem

    (receipt,) = send(thorn.event("order.created"), shop, 1)
    pipeline = make_pipeline([RecordingTransport()], dispatcher=Picky())
    with caplog.at_level(logging.INFO, "thornsdk"), Thorn(pipeline=pipeline, clock=clock) as picky:
        with pytest.raises(type(problem)):
            picky.relay(shop.outbox)
        assert thorn.relay(shop.outbox) == 0
    clock.advance(A_MINUTE)
    assert thorn.relay(shop.outbox) == 1
    (told,) = [one for one in caplog.messages if one.startswith("outbox.left")]
    assert f"message_id={receipt.message_id} event_name=order.created" in told
    assert str(problem) in told


# A process that does not know what the sender knew


def test_a_message_stays_where_the_subscribers_of_its_event_are_not_declared(
    shop: Shop, thorn: Thorn, clock: FakeClock, dispatcher: RecordingDispatcher
) -> None:
    subscriber = {"url": "https://example.com/", "secret": "the secret of the subscriber"}
    send(thorn.event("order.paid", subscribers=subscriber), shop, 1)
    needed = pytest.raises(ConfigurationError, match="Relay with the same settings and declared events")
    with Thorn(pipeline=make_pipeline([RecordingTransport()]), clock=clock) as other, needed:
        other.relay(shop.outbox)
    clock.advance(A_MINUTE)
    assert thorn.relay(shop.outbox) == 1


def test_a_message_stays_where_another_store_is_set(
    shop: Shop, open_thorn: OpenThorn, store_url: str
) -> None:
    send(open_thorn(store=store_url).event("order.created"), shop, 1)
    with pytest.raises(ConfigurationError, match="THORN_STORE"):
        open_thorn().relay(shop.outbox)
    assert shop.waiting == 1


# Rows that cannot be read


def test_a_broken_row_is_told_stays_and_holds_up_no_other(
    each_shop: Shop,
    thorn: Thorn,
    event: Event[object],
    dispatcher: RecordingDispatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send(event, each_shop, 1, 2, 3)
    (_, broken, _) = [key for (key,) in each_shop.find("SELECT id FROM thornsdk_outbox ORDER BY id")]
    with each_shop.transaction():
        each_shop.run(f"UPDATE thornsdk_outbox SET document = 'hunter2' WHERE id = '{broken}'")
    with caplog.at_level(logging.INFO, "thornsdk"), pytest.raises(OutboxError) as caught:
        thorn.relay(each_shop.outbox)
    assert f"the row '{broken}' of thornsdk_outbox cannot be read" in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caplog.text}"
    assert f"row={broken}" in caplog.text
    assert (dispatcher.bodies, each_shop.waiting) == ([b"1", b"3"], 1)


def document(**changes: object) -> str:
    dispatch = make_kept({"application/json": b"1"}, None, broadcast=False)
    return json.dumps({**json.loads(write_document(dispatch, ["a validator"])), **changes})


def make_kept(bodies: dict[str, Body], sender: str | None, *, broadcast: bool) -> Dispatch:
    message = Message[object](
        id=uuid4(), event="order.created", payload=None, created_at=NOW, sender=sender, idempotency_key="key"
    )
    audience = Audience(event="order.created", sender=sender, broadcast=broadcast)
    return Dispatch(message=message, audience=audience, bodies=Bodies.written(bodies), terms=TERMS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        document(version=2),
        document(id="42"),
        document(id=42),
        document(event="Not an event!"),
        document(sender=["acme"]),
        document(broadcast=1),
        document(key=""),
        document(created_at="yesterday"),
        document(bodies=[]),
        document(bodies={"text/plain": {"base64": "?"}}),
        document(bodies={"text/plain": {}}),
        document(requirements="all"),
        document(requirements=[1]),
    ],
    ids=lambda text: text[-30:],
)
def test_a_document_that_is_not_ours_cannot_be_read(text: str) -> None:
    with pytest.raises(OutboxError, match="the row 'the id' of thornsdk_outbox cannot be read"):
        read_document("the id", text)


@given(
    bodies=st.dictionaries(st.text(), st.binary()),
    sender=st.none() | st.text("abc", min_size=1),
    broadcast=st.booleans(),
    requirements=st.frozensets(st.text()),
)
def test_a_document_says_what_was_written_in_ascii(
    bodies: dict[str, Body], sender: str | None, broadcast: bool, requirements: frozenset[str]
) -> None:
    dispatch = make_kept(bodies, sender, broadcast=broadcast)
    text = write_document(dispatch, requirements)
    kept = read_document("the id", text)
    assert text.isascii()
    assert kept.on(TERMS) == dispatch
    assert (kept.bodies, kept.requirements) == (bodies, requirements)


# Trouble of the database


def test_without_its_table_the_error_says_how_to_make_it(shop_path: Path, event: Event[object]) -> None:
    with closing(sqlite_shop(shop_path)) as shop:
        with pytest.raises(OutboxError) as caught:
            event.send(1, transaction=shop.outbox)
        assert "has no table thornsdk_outbox. Make it with Outbox.create_table()" in str(caught.value)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_without_its_table_a_relay_says_the_same_in_every_database(
    each_shop: Shop, thorn: Thorn, event: Event[object]
) -> None:
    each_shop.run("DROP TABLE thornsdk_outbox")
    each_shop.connection.commit()
    with pytest.raises(OutboxError, match="has no table thornsdk_outbox"):
        thorn.relay(each_shop.outbox)
    # Its own transaction is rolled back: the connection can be used again.
    each_shop.outbox.create_table()
    each_shop.connection.commit()
    assert thorn.relay(each_shop.outbox) == 0


def test_making_the_table_twice_does_no_harm(each_shop: Shop, event: Event[object]) -> None:
    send(event, each_shop, 1)
    with each_shop.transaction():
        each_shop.outbox.create_table()
    assert each_shop.waiting == 1


def test_the_schema_for_migrations_makes_the_table(shop_path: Path, event: Event[object]) -> None:
    with closing(sqlite3.connect(shop_path)) as connection:
        connection.execute(Outbox.schema)
        event.send(1, transaction=Outbox(connection))


def test_what_a_driver_raises_is_an_error_that_quotes_nothing_of_it(
    shop: Shop, thorn: Thorn, event: Event[object]
) -> None:
    shop.close()
    for act in (lambda: event.send(1, transaction=shop.outbox), lambda: thorn.relay(shop.outbox)):
        with pytest.raises(OutboxError) as caught:
            act()
        assert "the database raised sqlite3.ProgrammingError" in str(caught.value)
        assert "The paramstyle is 'qmark'" in str(caught.value)
        assert "closed database" not in str(caught.value)


def test_a_database_that_is_locked_for_long_is_told_as_locked_and_nothing_is_lost(
    shop: Shop, shop_path: Path, thorn: Thorn, event: Event[object]
) -> None:
    send(event, shop, 1)
    shop.run("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(shop_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for act in (lambda: event.send(2, transaction=shop.outbox), lambda: thorn.relay(shop.outbox)):
            with pytest.raises(OutboxError) as caught:
                act()
            assert str(caught.value) == (
                "the outbox could not be written (sqlite3.OperationalError, SQLITE_BUSY): its database was "
                "locked by another connection for longer than this one waits"
            )
            shop.connection.rollback()
    assert thorn.relay(shop.outbox) == 1


def test_a_disk_that_is_full_is_told_as_full(shop: Shop, event: Event[object]) -> None:
    shop.run("PRAGMA max_page_count = 1")
    with pytest.raises(OutboxError, match="the disk of its database is full"):
        event.send("x" * 100_000, transaction=shop.outbox)
    shop.connection.rollback()
    assert shop.waiting == 0


def test_what_a_relay_has_begun_is_rolled_back_where_the_database_refuses(
    shop: Shop, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    send(event, shop, 1)
    shop.run(
        "CREATE TRIGGER refuse BEFORE UPDATE ON thornsdk_outbox BEGIN SELECT RAISE(ABORT, 'hunter2'); END"
    )
    with pytest.raises(OutboxError) as caught:
        thorn.relay(shop.outbox)
    assert "hunter2" not in str(caught.value)
    assert not shop.connection.in_transaction
    assert (dispatcher.taken, shop.waiting) == ([], 1)


def test_an_unknown_paramstyle_is_an_error_that_says_which_there_are(shop: Shop) -> None:
    wrong: Any = "named"
    with pytest.raises(ConfigurationError, match="paramstyle is 'named'; it takes 'qmark' for drivers"):
        Outbox(shop.connection, paramstyle=wrong)


def test_a_relay_refuses_a_connection_in_the_middle_of_a_transaction(
    each_shop: Shop, thorn: Thorn, event: Event[object]
) -> None:
    each_shop.insert(1)
    with pytest.raises(OutboxError, match="a transaction is open on the connection of the outbox"):
        thorn.relay(each_shop.outbox)
    each_shop.connection.rollback()
    assert each_shop.orders == []


@pytest.mark.parametrize(("status", "is_idle"), [(0, True), (2, False), (3, False), (4, True)])
def test_a_transaction_is_seen_as_the_drivers_of_postgresql_tell_it(
    shop_path: Path, thorn: Thorn, status: int, *, is_idle: bool
) -> None:
    class Telling(sqlite3.Connection):
        info = SimpleNamespace(transaction_status=status)

    with closing(Shop(sqlite3.connect(shop_path, factory=Telling))) as shop:
        shop.create()
        with nullcontext() if is_idle else pytest.raises(OutboxError, match="a transaction is open"):
            assert thorn.relay(shop.outbox) == 0


def test_a_relay_of_a_closed_thorn_is_an_error(shop: Shop, thorn: Thorn) -> None:
    thorn.close()
    with pytest.raises(ClosedError):
        thorn.relay(shop.outbox)


def test_a_row_that_was_taken_since_is_not_taken_again(open_shop: OpenShop) -> None:
    shop, other = open_shop(), open_shop()
    with shop.transaction():
        shop.outbox.add("", NOW)
    (row,) = next(shop.outbox.pages(lambda: NOW, timedelta(0), 1))
    until = NOW + timedelta(minutes=1)
    assert other.outbox.take([row], until) == [Row(id=row.id, taken_until=until, document="")]
    assert shop.outbox.take([row], until + timedelta(minutes=1)) == []


# Processes that are killed

_BEGIN = """
import os, signal, sqlite3, sys
from datetime import UTC, datetime, timedelta
from thornsdk import Outbox, Thorn

shop, store, port, later = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
thorn = Thorn(
    store=store,
    allow_networks=["127.0.0.0/8"],
    allow_ports=[port],
    chunksize=5,
    clock=lambda: datetime.now(UTC) + timedelta(seconds=later),
)
event = thorn.event("order.created")
connection = sqlite3.connect(shop, timeout=30)
outbox = Outbox(connection)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class DiesBeforeRemoving(Outbox):
    def remove(self, row):
        die()
"""
_DIES_IN_A_TRANSACTION = """
where = sys.argv[5]
with connection:
    connection.execute("INSERT INTO orders VALUES (1)")
    if where == "after the order":
        die()
    event.send(1, transaction=outbox)
    if where == "before the commit":
        die()
die()
"""
_SELLS = """
(first,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM orders").fetchone()
for number in range(first, 1_000_000):
    with connection:
        connection.execute("INSERT INTO orders VALUES (?)", [number])
        event.send(number, transaction=outbox)
    print(number, flush=True)
"""
_RELAYS = """
print("ready", flush=True)
sys.stdin.readline()
print(thorn.relay(outbox))
connection.close()
thorn.close()
"""
_DIES_OVER_IT = """
thorn.relay(DiesBeforeRemoving(connection))
"""


@pytest.fixture
def start(shop: Shop, shop_path: Path, store_url: str) -> Iterator[Start]:
    """Starts processes over the database and the store; none outlives the test."""
    with ExitStack() as stack:

        def start_one(script: str, endpoint: Endpoint, *more: object, later: float = 0) -> Process:
            arguments = (shop_path, store_url, endpoint.port, later, *more)
            return stack.enter_context(running(_BEGIN + script, *arguments))

        yield start_one


def all_go(*processes: Process) -> list[int]:
    """Lets processes relay, all at once; gives how many messages each has handed over."""
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    told = [one.communicate("go\n", timeout=50)[0] for one in processes]
    return [int(one) for one in told]


@pytest.fixture
def subscribed(endpoint: Endpoint, open_thorn: OpenThorn, store_url: str) -> Thorn:
    """A Thorn over the store, with the endpoint in it."""
    thorn = open_thorn(endpoint, store=store_url)
    thorn.subscribe("*", endpoint.url)
    return thorn


@pytest.mark.parametrize("where", ["after the order", "before the commit", "after the commit"])
def test_wherever_a_process_is_killed_there_are_both_order_and_message_or_neither(
    where: str, shop: Shop, endpoint: Endpoint, start: Start, subscribed: Thorn
) -> None:
    count = 1 if where == "after the commit" else 0
    assert start(_DIES_IN_A_TRANSACTION, endpoint, where).wait() == -9
    assert all_go(start(_RELAYS, endpoint)) == [count]
    assert len(shop.orders) == len(endpoint.seen) == count


def test_however_often_a_process_is_killed_at_random_the_messages_are_those_of_the_orders(
    shop: Shop, endpoint: Endpoint, start: Start, subscribed: Thorn
) -> None:
    chance = random.Random(42)
    for _ in range(4):
        process = start(_SELLS, endpoint)
        assert process.stdout is not None
        for _ in range(chance.randint(1, 20)):
            assert process.stdout.readline()
        process.kill()
        process.communicate()
    subscribed.relay(shop.outbox)
    assert len(shop.orders) >= 4
    assert [int(one.body) for one in endpoint.seen] == shop.orders


def test_a_relay_that_is_killed_before_it_has_removed_a_message_causes_no_second_delivery(
    shop: Shop, endpoint: Endpoint, open_thorn: OpenThorn, start: Start, store_url: str
) -> None:
    thorn = open_thorn(endpoint, store=store_url, clock=later(THE_LEASE + 1))
    thorn.subscribe("*", endpoint.url)
    send(open_thorn(store=store_url).event("order.created"), shop, 1, 2)
    assert start(_DIES_OVER_IT, endpoint).wait() == -9
    assert (len(endpoint.seen), shop.waiting) == (1, 2)
    assert all_go(start(_RELAYS, endpoint)) == [0]
    assert thorn.relay(shop.outbox) == 2
    assert [one.body for one in endpoint.seen] == [b"1", b"2"]
    assert shop.waiting == 0


def test_what_a_relay_was_killed_over_is_attempted_again_and_arrives(
    shop: Shop, open_endpoint: OpenEndpoint, open_thorn: OpenThorn, start: Start, store_url: str
) -> None:
    def behave(handler: Handler, _: Seen) -> None:
        if len(endpoint.seen) == 1:
            wait_until(lambda: relay.poll() is not None)
        handler.answer(200)

    endpoint = open_endpoint(behave)
    thorn = open_thorn(endpoint, store=store_url, clock=later(3600))
    thorn.subscribe("*", endpoint.url)
    send(open_thorn(store=store_url).event("order.created"), shop, 1)
    relay = start(_RELAYS, endpoint)
    assert relay.stdin is not None
    relay.stdin.write("go\n")
    relay.stdin.flush()
    wait_until(lambda: len(endpoint.seen) == 1)
    relay.kill()
    relay.wait()
    assert (thorn.relay(shop.outbox), thorn.run_due().delivered) == (1, 1)
    assert len(endpoint.came("order.created")) == 1
    assert [one.state for one in thorn.deliveries()] == [DeliveryState.DELIVERED]


def test_relays_side_by_side_deliver_each_message_once(
    shop: Shop, endpoint: Endpoint, start: Start, subscribed: Thorn
) -> None:
    send(subscribed.event("order.created"), shop, *range(100))
    handed_over = all_go(*(start(_RELAYS, endpoint) for _ in range(2)))
    assert sum(handed_over) == 100
    assert Counter(int(one.body) for one in endpoint.seen) == Counter(range(100))
    assert shop.waiting == 0


# Whatever happens, in whatever order


class _Died(Exception):
    """Stands for the end of a relay's process."""


class _Mortal(Outbox):
    """An outbox whose relay may die before it removes a message."""

    dies = False

    def remove(self, row: Row) -> None:
        if self.dies:
            raise _Died
        super().remove(row)


class OutboxMachine(RuleBasedStateMachine):
    """What is committed is handed over, in its order; twice only where a relay died."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.dispatcher = RecordingDispatcher()
        pipeline = make_pipeline([RecordingTransport()], dispatcher=self.dispatcher)
        self.thorn = Thorn(pipeline=pipeline, clock=self.clock, chunksize=2)
        self.event = self.thorn.event("order.created")
        self.connection = sqlite3.connect(":memory:")
        self.outbox = _Mortal(self.connection)
        self.outbox.create_table()
        self.committed: list[bytes] = []
        self.deaths = 0

    @rule(count=st.integers(1, 3), commits=st.booleans())
    def send(self, count: int, commits: bool) -> None:
        sent = [len(self.committed) + number for number in range(count)]
        for number in sent:
            self.event.send(number, transaction=self.outbox)
        if commits:
            self.connection.commit()
            self.committed.extend(str(number).encode() for number in sent)
        else:
            self.connection.rollback()

    @rule(room=st.integers(0, 3))
    def relay_with_little_room(self, room: int) -> None:
        self.dispatcher.room = len(self.dispatcher.taken) + room
        with suppress(DispatchError):
            self.thorn.relay(self.outbox)
        self.dispatcher.room = float("inf")

    @precondition(lambda self: self.waiting())
    @rule()
    def relay_that_dies(self) -> None:
        self.outbox.dies = True
        try:
            self.thorn.relay(self.outbox)
        except _Died:
            self.deaths += 1
        self.outbox.dies = False

    @rule()
    def relay_after_the_lease(self) -> None:
        self.clock.advance(THE_LEASE)
        self.thorn.relay(self.outbox)
        assert set(self.dispatcher.bodies) == set(self.committed)
        assert not self.waiting()

    @invariant()
    def each_is_handed_over_once_or_once_more_for_a_death(self) -> None:
        bodies = self.dispatcher.bodies
        assert set(bodies) <= set(self.committed)
        assert len(bodies) - len(set(bodies)) <= self.deaths

    @invariant()
    def without_deaths_the_order_is_kept(self) -> None:
        if not self.deaths:
            assert self.dispatcher.bodies == self.committed[: len(self.dispatcher.bodies)]

    def waiting(self) -> bool:
        return bool(self.connection.execute("SELECT id FROM thornsdk_outbox").fetchall())

    def teardown(self) -> None:
        self.connection.close()
        self.thorn.close()


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
