import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from support.stages import CountingSerializer, make_dispatch, make_pipeline, make_subscription
from thornsdk import Buffer, Dispatch, Event, Receipt, ReceiptState, Serializer, Thorn
from thornsdk.buffers import Buffers
from thornsdk.errors import ClosedError, ConfigurationError, DispatchError, SerializationError
from thornsdk.testing import RecordingDispatcher, RecordingTransport
from thornsdk_plugins.json import JsonSerializer


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


# Collecting and handing over


def test_what_is_sent_inside_is_handed_over_in_order_at_the_end(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer:
        for number in range(3):
            event.send(number)
        assert (len(buffer), dispatcher.bodies) == (3, [])
    assert (len(buffer), dispatcher.bodies) == (0, [b"0", b"1", b"2"])


def test_a_flush_hands_over_what_waits_and_what_follows_waits_anew(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer:
        event.send(0)
        buffer.flush()
        event.send(1)
        assert (len(buffer), dispatcher.bodies) == (1, [b"0"])
    assert dispatcher.bodies == [b"0", b"1"]


def test_a_message_in_a_buffer_has_a_receipt_that_says_so(thorn: Thorn, event: Event[object]) -> None:
    with thorn.buffer() as buffer:
        waits = event.send(1)
        (taken,) = buffer.flush()
    assert (waits.state, waits.dispatcher, waits.event) == (
        ReceiptState.BUFFERED,
        "recording",
        "order.created",
    )
    assert (taken.state, taken.message_id) == (ReceiptState.QUEUED, waits.message_id)


def test_a_flush_of_nothing_gives_nothing(thorn: Thorn) -> None:
    with thorn.buffer() as buffer:
        assert (buffer.flush(), buffer.maybe_flush()) == ([], [])


def test_what_is_sent_after_a_buffer_was_left_goes_at_once(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer():
        pass
    assert event.send(1).state is ReceiptState.QUEUED
    assert dispatcher.bodies == [b"1"]


def test_what_was_sent_before_an_error_is_handed_over_all_the_same(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    def work() -> None:
        with thorn.buffer():
            event.send(1)
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert dispatcher.bodies == [b"1"]


def test_the_default_dispatcher_delivers_in_turn() -> None:
    transport = RecordingTransport()
    with Thorn(pipeline=make_pipeline([transport]), subscribers={"*": make_subscription()}) as thorn:
        event = thorn.event("order.created")
        with thorn.buffer() as buffer:
            event.send(1)
            event.send(2)
            assert transport.requests == []
            receipts = buffer.flush()
    assert [one.outcomes.delivered for one in receipts] == [1, 1]
    assert [one.body for one in transport.requests] == [b"1", b"2"]


def test_a_payload_that_changes_later_is_sent_as_it_was(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    order = {"id": 1}
    with thorn.buffer():
        event.send(order)
        order["id"] = 2
    assert dispatcher.bodies == [b'{"id":1}']


def test_every_content_type_of_a_payload_is_written_when_it_is_sent() -> None:
    dispatcher = RecordingDispatcher()
    serializers: list[Serializer] = [JsonSerializer(), CountingSerializer("text/plain")]
    pipeline = make_pipeline([RecordingTransport()], serializers=serializers, dispatcher=dispatcher)
    order = {"id": 1}
    with Thorn(pipeline=pipeline) as thorn:
        event = thorn.event("order.created")
        with thorn.buffer():
            event.send(order)
            order["id"] = 2
    assert [one.bodies.in_type("text/plain") for one in dispatcher.taken] == [b"{'id': 1}"]


def test_a_payload_that_cannot_be_written_is_an_error_where_it_is_sent(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer():
        with pytest.raises(SerializationError):
            event.send(object())
        event.send(1)
    assert dispatcher.bodies == [b"1"]


def test_each_thorn_has_buffers_of_its_own(thorn: Thorn, dispatcher: RecordingDispatcher) -> None:
    with (
        Thorn(pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher)) as other,
        thorn.buffer(),
    ):
        assert other.event("order.created").send(1).state is ReceiptState.QUEUED


@pytest.mark.parametrize("value", [0, -1, float("nan")])
@pytest.mark.parametrize("name", ["flush_every", "flush_after"])
def test_a_buffer_that_would_never_fill_is_refused(thorn: Thorn, name: str, value: float) -> None:
    with pytest.raises(ConfigurationError) as caught, thorn.buffer(**{name: value}):  # type: ignore[arg-type]  # on purpose
        pass
    assert str(caught.value) == f"{name} is {value!r}; it takes a number above 0, or None"


# Inside another one


def test_an_inner_buffer_leaves_all_to_the_outermost(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as outer:
        event.send(0)
        with thorn.buffer(flush_every=1) as inner:
            event.send(1)
            assert (inner.flush(), inner.maybe_flush()) == ([], [])
            assert len(inner) == len(outer) == 2
        event.send(2)
        assert dispatcher.bodies == []
        assert len(outer.flush()) == 3
    assert dispatcher.bodies == [b"0", b"1", b"2"]


def test_the_outermost_buffer_counts_what_is_sent_in_inner_ones(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer(flush_every=2) as outer:
        with thorn.buffer(), thorn.buffer():
            event.send(0)
            event.send(1)
        assert len(outer.maybe_flush()) == 2
        assert dispatcher.bodies == [b"0", b"1"]


def test_an_inner_buffer_takes_no_wrong_number_either(thorn: Thorn) -> None:
    with thorn.buffer(), pytest.raises(ConfigurationError), thorn.buffer(flush_every=0):
        pass


# When it is time


@define
class FakeTimer:
    """Counts seconds when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@define
class Taken:
    """Keeps what a buffer hands over."""

    messages: list[Dispatch]

    def __call__(self, dispatches: Sequence[Dispatch]) -> Iterator[Receipt]:
        for one in dispatches:
            self.messages.append(one)
            yield Receipt(
                message_id=one.message.id,
                event=one.message.event,
                dispatcher="taken",
                state=ReceiptState.QUEUED,
            )


def test_a_buffer_is_flushed_when_it_holds_enough(thorn: Thorn, event: Event[object]) -> None:
    flushed = []
    with thorn.buffer(flush_every=3) as buffer:
        for number in range(7):
            event.send(number)
            flushed.append(len(buffer.maybe_flush()))
    assert flushed == [0, 0, 3, 0, 0, 3, 0]


def test_a_buffer_is_flushed_when_its_first_message_has_waited_long_enough() -> None:
    timer, taken = FakeTimer(), Taken([])
    with Buffers().opened(taken, flush_every=None, flush_after=5.0, timer=timer) as buffer:
        buffer.add(make_dispatch(1))
        timer.now += 4.9
        buffer.add(make_dispatch(2))
        assert buffer.maybe_flush() == []
        timer.now += 0.1
        assert len(buffer.maybe_flush()) == len(taken.messages) == 2


def test_the_time_is_counted_anew_after_each_flush() -> None:
    timer, taken = FakeTimer(), Taken([])
    with Buffers().opened(taken, flush_every=None, flush_after=5.0, timer=timer) as buffer:
        buffer.add(make_dispatch(1))
        buffer.flush()
        timer.now += 60
        assert buffer.maybe_flush() == []
        buffer.add(make_dispatch(2))
        assert buffer.maybe_flush() == []
        timer.now += 5
        assert len(buffer.maybe_flush()) == 1


def test_a_buffer_without_limits_waits_for_its_end() -> None:
    timer, taken = FakeTimer(), Taken([])
    with Buffers().opened(taken, flush_every=None, flush_after=None, timer=timer) as buffer:
        for number in range(1000):
            buffer.add(make_dispatch(number))
        timer.now += 1e9
        assert buffer.maybe_flush() == []
    assert len(taken.messages) == 1000


# Who it belongs to


def test_a_buffer_is_not_shared_with_another_thread(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer, ThreadPoolExecutor(1) as threads:
        event.send("waits")
        assert threads.submit(event.send, "goes").result(timeout=20).state is ReceiptState.QUEUED
        assert (len(buffer), dispatcher.bodies) == (1, [b'"goes"'])


def test_each_thread_collects_in_a_buffer_of_its_own(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> int:
        with thorn.buffer() as buffer:
            together.wait(timeout=20)
            for _ in range(50):
                event.send(number)
            together.wait(timeout=20)
            return len(buffer)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [50] * 8
    assert sorted(dispatcher.bodies, key=str) == [str(n).encode() for n in range(8) for _ in range(50)]


def test_what_a_task_awaits_is_in_its_buffer(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def deeper() -> ReceiptState:
        await asyncio.sleep(0)
        return (await event.asend(1)).state

    async def main() -> ReceiptState:
        with thorn.buffer():
            return await deeper()

    assert asyncio.run(main()) is ReceiptState.BUFFERED
    assert dispatcher.bodies == [b"1"]


def test_a_task_that_is_started_inside_has_none_of_the_buffer(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def main() -> tuple[ReceiptState, int]:
        with thorn.buffer() as buffer:
            receipt = await asyncio.create_task(event.asend("of the task"))
            return receipt.state, len(buffer)

    assert asyncio.run(main()) == (ReceiptState.QUEUED, 0)
    assert dispatcher.bodies == [b'"of the task"']


def test_tasks_side_by_side_collect_in_buffers_of_their_own(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def work(number: int) -> None:
        with thorn.buffer():
            for _ in range(3):
                await event.asend(number)
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(3)))

    asyncio.run(main())
    bodies = dispatcher.bodies
    assert [set(bodies[start : start + 3]) for start in (0, 3, 6)] == [{b"0"}, {b"1"}, {b"2"}]


def test_a_thread_that_a_task_uses_has_none_of_the_buffer(thorn: Thorn, event: Event[object]) -> None:
    async def main() -> ReceiptState:
        with thorn.buffer():
            return (await asyncio.to_thread(event.send, 1)).state

    assert asyncio.run(main()) is ReceiptState.QUEUED


def test_a_task_can_have_its_buffer_flushed_in_a_thread(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    async def main() -> int:
        with thorn.buffer() as buffer:
            await event.asend(1)
            return len(await asyncio.to_thread(buffer.flush))

    assert asyncio.run(main()) == 1
    assert dispatcher.bodies == [b"1"]


_FORKS = """
import os
from support.stages import CountingSerializer, make_pipeline
from thornsdk.testing import RecordingDispatcher, RecordingTransport
from thornsdk import Thorn

dispatcher = RecordingDispatcher()
with Thorn(pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher)) as thorn:
    event = thorn.event("order.created")
    with thorn.buffer() as buffer:
        event.send(1)
        if child := os.fork() == 0:
            buffer.flush()
            event.send(2)
            with thorn.buffer() as own:
                event.send(3)
                event.send(len(own))
        else:
            os.wait()
            event.send(4)
    print("child" if child else "parent", dispatcher.bodies, flush=True)
"""


def test_a_child_that_is_forked_sends_nothing_that_waits_for_its_parent() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORKS],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.stdout.splitlines() == ["child [b'2', b'3', b'1']", "parent [b'1', b'4']"]


def test_what_another_process_has_left_in_a_buffer_is_not_handed_over_here(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    with thorn.buffer() as buffer:
        event.send(1)
        # As a forked child sees it; here in the parent, where it can be watched.
        buffer._process = os.getppid()
    assert dispatcher.bodies == []


# Trouble


def test_what_a_dispatcher_could_not_take_still_waits_and_is_handed_over_later(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    dispatcher.room = 2
    with thorn.buffer() as buffer:
        for number in range(4):
            event.send(number)
        with pytest.raises(DispatchError, match="there is no room"):
            buffer.flush()
        assert (len(buffer), dispatcher.bodies) == (2, [b"0", b"1"])
        dispatcher.room = 4
        assert len(buffer.flush()) == 2
    assert dispatcher.bodies == [b"0", b"1", b"2", b"3"]


def test_what_waits_when_a_buffer_is_left_can_be_handed_over_after_it(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    dispatcher.room = 0
    with pytest.raises(DispatchError), thorn.buffer() as buffer:
        event.send(0)
    dispatcher.room = 9
    assert event.send(1).state is ReceiptState.QUEUED  # It is no longer in the buffer.
    buffer.flush()
    assert dispatcher.bodies == [b"1", b"0"]


def test_a_message_that_is_sent_while_others_are_handed_over_waits_for_the_next_flush() -> None:
    def sends(record: object) -> None:
        if len(transport.requests) == 1:
            event.send("of the observer")

    class Observer:
        observe = staticmethod(sends)

    transport = RecordingTransport()
    pipeline = make_pipeline([transport], observers=[Observer()])
    with Thorn(pipeline=pipeline) as thorn:
        thorn.subscribe("*", "https://example.com/")
        event = thorn.event("order.created")
        with thorn.buffer() as buffer:
            event.send(1)
            event.send(2)
            assert len(buffer.flush()) == 2
            assert len(buffer) == 1
    assert [one.body for one in transport.requests] == [b"1", b"2", b'"of the observer"']


def test_a_thorn_that_is_closed_inside_a_buffer_tells_that_messages_wait(
    thorn: Thorn, event: Event[object], dispatcher: RecordingDispatcher
) -> None:
    def work() -> None:
        with thorn.buffer():
            event.send(1)
            thorn.close()

    with pytest.raises(ClosedError, match="this Thorn was closed; make a new one"):
        work()
    assert dispatcher.bodies == []


# Whatever the order


_ROOM = st.integers(0, 4)
_STEPS = st.lists(
    st.one_of(
        st.sampled_from(["send", "send", "send", "flush", "maybe_flush", "open", "close"]),
        _ROOM,  # From now on, so many are taken before the dispatcher fails.
    ),
    max_size=40,
)


class Sending:
    """A Thorn in which buffers are opened, left and flushed, whatever the dispatcher says to it."""

    def __init__(self, thorn: Thorn, dispatcher: RecordingDispatcher) -> None:
        self.event = thorn.event("order.created")
        self.thorn = thorn
        self.dispatcher = dispatcher
        self.sent: list[bytes] = []
        self.flushed: list[Receipt] = []

    def go(self, steps: Iterator[str | int], depth: int = 0) -> None:
        with self.thorn.buffer(flush_every=3) as buffer:
            for step in steps:
                if isinstance(step, int):
                    self.dispatcher.room = len(self.dispatcher.taken) + step
                elif step == "send":
                    self.event.send(len(self.sent))
                    self.sent.append(str(len(self.sent)).encode())
                elif step == "open":
                    self.go(steps, depth + 1)
                elif step == "close" and depth:
                    return
                else:
                    self.flush(buffer, step)
            if depth == 0:
                self.dispatcher.room = float("inf")

    def flush(self, buffer: Buffer, step: str) -> None:
        flush: Callable[[], list[Receipt]] = buffer.maybe_flush if step == "maybe_flush" else buffer.flush
        try:
            self.flushed += flush()
        except DispatchError:
            assert self.dispatcher.room == len(self.dispatcher.taken)


@settings(deadline=None)
@given(steps=_STEPS)
def test_whatever_fails_every_message_is_handed_over_once_and_in_order(steps: list[str | int]) -> None:
    dispatcher = RecordingDispatcher()
    with Thorn(pipeline=make_pipeline([RecordingTransport()], dispatcher=dispatcher)) as thorn:
        sending = Sending(thorn, dispatcher)
        sending.go(iter(steps))
    assert dispatcher.bodies == sending.sent
    taken = [one.message.id for one in dispatcher.taken]
    flushed = [one.message_id for one in sending.flushed]
    assert [one for one in taken if one in set(flushed)] == flushed
