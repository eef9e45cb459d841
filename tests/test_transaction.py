import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Never

import pytest

from support.stages import CountingSerializer, make_pipeline
from thornsdk import Event, ReceiptState, Serializer, Thorn
from thornsdk.errors import ClosedError, DispatchError, SerializationError
from thornsdk.testing import RecordingDispatcher, RecordingTransport
from thornsdk_plugins.json import JsonSerializer


class Database:
    """A database whose transactions call what was registered with them when they are committed."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        self._to_call: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._to_call.clear()
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        while self._to_call:
            self._to_call.pop(0)()

    def on_commit(self, call: Callable[[], None]) -> None:
        """Has it called on commit; at once where no transaction is open."""
        if self.connection.in_transaction:
            self._to_call.append(call)
        else:
            call()

    def insert(self, number: int) -> None:
        self.connection.execute("INSERT INTO orders VALUES (?)", [number])

    @property
    def orders(self) -> list[int]:
        return [number for (number,) in self.connection.execute("SELECT id FROM orders ORDER BY id")]

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def database() -> Iterator[Database]:
    with closing(Database()) as one:
        yield one


@pytest.fixture
def dispatcher() -> RecordingDispatcher:
    return RecordingDispatcher()


@pytest.fixture
def thorn(dispatcher: RecordingDispatcher) -> Iterator[Thorn]:
    """A Thorn whose messages go to the recording dispatcher."""
    with Thorn(pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher)) as one:
        yield one


@pytest.fixture
def event(thorn: Thorn) -> Event[object]:
    return thorn.event("order.created")


def roll_back(database: Database, work: Callable[[], object]) -> None:
    """Does work in a transaction that fails in the end."""

    def fail() -> Never:
        with database.transaction():
            database.insert(1)
            work()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert database.orders == []


# Commit and rollback


def test_a_message_is_sent_when_the_transaction_is_committed(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with database.transaction():
        database.insert(42)
        event.send({"id": 42}, transaction=database.on_commit)
        assert dispatcher.bodies == []
    assert (database.orders, dispatcher.bodies) == ([42], [b'{"id":42}'])


def test_a_rollback_sends_nothing(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    roll_back(database, lambda: event.send({"id": 42}, transaction=database.on_commit))
    with database.transaction():
        database.insert(43)
    assert (database.orders, dispatcher.bodies) == ([43], [])


def test_messages_of_a_transaction_are_sent_in_order(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with database.transaction():
        for number in range(3):
            event.send(number, transaction=database.on_commit)
    assert dispatcher.bodies == [b"0", b"1", b"2"]


def test_the_receipt_says_that_a_message_waits_and_names_the_one_that_is_sent(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with database.transaction():
        receipt = event.send(1, transaction=database.on_commit)
    assert (receipt.state, receipt.dispatcher, receipt.event) == (
        ReceiptState.WAITING,
        "recording",
        "order.created",
    )
    assert [one.message.id for one in dispatcher.taken] == [receipt.message_id]


def test_where_no_transaction_is_open_the_message_is_sent_at_once(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    receipt = event.send(1, transaction=database.on_commit)
    assert receipt.state is ReceiptState.QUEUED
    assert dispatcher.bodies == [b"1"]


def test_sender_and_broadcast_count_on_commit_too(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with database.transaction():
        event.send(1, sender="acme", transaction=database.on_commit)
        event.send(2, broadcast=True, transaction=database.on_commit)
    audiences = [one.audience for one in dispatcher.taken]
    assert [(one.sender, one.broadcast) for one in audiences] == [("acme", False), (None, True)]


def test_deliveries_are_made_on_commit() -> None:
    transport = RecordingTransport()
    with closing(Database()) as database, Thorn(pipeline=make_pipeline([transport])) as thorn:
        thorn.subscribe("order.*", "https://example.com/")
        event = thorn.event("order.created")
        with database.transaction():
            event.send({"id": 42}, transaction=database.on_commit)
            assert transport.requests == []
    assert [one.body for one in transport.requests] == [b'{"id":42}']


# What is written when


def test_a_payload_is_written_at_once_and_what_changes_later_does_not_matter(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    order = {"id": 1}
    with database.transaction():
        event.send(order, transaction=database.on_commit)
        order["id"] = 2
    assert dispatcher.bodies == [b'{"id":1}']


def test_every_content_type_of_a_payload_is_written_at_once(database: Database) -> None:
    dispatcher = RecordingDispatcher()
    serializers: list[Serializer] = [JsonSerializer(), CountingSerializer("text/plain")]
    pipeline = make_pipeline([RecordingTransport()], serializers=serializers, dispatcher=dispatcher)
    order = {"id": 1}
    with Thorn(pipeline=pipeline) as thorn, database.transaction():
        thorn.event("order.created").send(order, transaction=database.on_commit)
        order["id"] = 2
    assert [one.bodies.in_type("text/plain") for one in dispatcher.taken] == [b"{'id': 1}"]


def test_a_payload_that_cannot_be_written_is_an_error_before_anything_is_registered(
    event: Event[object],
) -> None:
    registered: list[Callable[[], None]] = []
    with pytest.raises(SerializationError):
        event.send(object(), transaction=registered.append)
    assert registered == []


# Trouble


def test_a_dispatcher_that_cannot_take_the_message_is_an_error_of_the_commit(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    def work() -> None:
        with database.transaction():
            database.insert(42)
            event.send(42, transaction=database.on_commit)

    dispatcher.room = 0
    with pytest.raises(DispatchError, match="there is no room"):
        work()
    assert database.orders == [42]


def test_a_thorn_that_was_closed_before_the_commit_is_an_error_of_the_commit(
    database: Database, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    def work() -> None:
        with database.transaction():
            event.send(42, transaction=database.on_commit)
            thorn.close()

    with pytest.raises(ClosedError):
        work()
    assert dispatcher.bodies == []


def test_what_a_transaction_raises_when_it_is_told_is_an_error_of_send(
    event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    def refuses(call: Callable[[], None]) -> Never:
        raise LookupError("no connection")

    with pytest.raises(LookupError, match="no connection"):
        event.send(1, transaction=refuses)
    assert dispatcher.bodies == []


# Together with buffers


def test_a_message_that_is_committed_inside_a_buffer_waits_in_it(
    database: Database, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer:
        with database.transaction():
            event.send(1, transaction=database.on_commit)
            assert len(buffer) == 0
        assert (len(buffer), dispatcher.bodies) == (1, [])
        event.send(2)
    assert dispatcher.bodies == [b"1", b"2"]


def test_a_message_that_is_committed_after_a_buffer_was_left_goes_on_commit(
    database: Database, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with database.transaction():
        with thorn.buffer():
            event.send(1, transaction=database.on_commit)
        assert dispatcher.bodies == []
    assert dispatcher.bodies == [b"1"]


def test_a_rollback_inside_a_buffer_sends_what_belongs_to_no_transaction_alone(
    database: Database, thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer():
        event.send(1)
        roll_back(database, lambda: event.send(2, transaction=database.on_commit))
    assert dispatcher.bodies == [b"1"]


def test_where_no_transaction_is_open_the_message_waits_in_the_buffer(
    database: Database, thorn: Thorn, event: Event[object]
) -> None:
    with thorn.buffer() as buffer:
        assert event.send(1, transaction=database.on_commit).state is ReceiptState.BUFFERED
        assert len(buffer) == 1


# In async code


def test_a_message_of_async_code_is_sent_on_commit_too(
    database: Database, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def work() -> ReceiptState:
        with database.transaction():
            receipt = await event.asend(1, transaction=database.on_commit)
            assert dispatcher.bodies == []
        return receipt.state

    assert asyncio.run(work()) is ReceiptState.WAITING
    assert dispatcher.bodies == [b"1"]


def test_async_code_registers_with_its_transaction_in_the_thread_of_the_loop(event: Event[object]) -> None:
    async def work() -> None:
        await event.asend(1, transaction=lambda call: threads.append(threading.get_ident()))

    threads: list[int] = []
    asyncio.run(work())
    assert threads == [threading.get_ident()]
