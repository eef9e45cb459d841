import threading
from collections import Counter
from itertools import groupby

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire import request_to
from thornsdk import Origin, Request, Response, fan_out
from thornsdk.errors import InvalidValue
from thornsdk.fanning import BUNCH, PROBE, STALL


@define(eq=False)
class Receivers:
    """Answer at once, or later where the body says so; and know how many they had in hand at most."""

    together: int = 0
    by_origin: Counter[Origin] = field(factory=Counter)
    most: int = 0
    most_of_one: int = 0
    threads: list[int] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)

    def send(self, request: Request) -> Response:
        self._enter(request.url.origin)
        if request.body == b"slow":
            threading.Event().wait(STALL * 1.5)
        self._leave(request.url.origin)
        return Response(status=200)

    def _enter(self, origin: Origin) -> None:
        with self.lock:
            self.threads.append(threading.get_ident())
            self.together += 1
            self.by_origin[origin] += 1
            self.most = max(self.most, self.together)
            self.most_of_one = max(self.most_of_one, *self.by_origin.values())

    def _leave(self, origin: Origin) -> None:
        with self.lock:
            self.together -= 1
            self.by_origin[origin] -= 1


def requests(bodies: list[bytes], hosts: int = 1) -> list[Request]:
    return [request_to(f"http://{number % hosts}.example/", body) for number, body in enumerate(bodies)]


@settings(max_examples=25, deadline=None)
@given(
    bodies=st.lists(st.sampled_from([b"slow", b"fast"]), max_size=30),
    hosts=st.integers(1, 3),
    width=st.integers(1, 6),
    per_origin=st.integers(1, 4),
)
def test_each_request_has_one_result_and_no_more_are_in_flight_than_may_be(
    bodies: list[bytes], hosts: int, width: int, per_origin: int
) -> None:
    receivers, given = Receivers(), requests(bodies, hosts)
    results = list(fan_out(iter(given), receivers.send, width, per_origin))
    assert Counter(id(one.request) for one in results) == Counter(map(id, given))
    assert receivers.most <= width
    assert receivers.most_of_one <= per_origin


def test_while_receivers_answer_at_once_one_request_is_in_flight() -> None:
    receivers = Receivers()
    list(fan_out(iter(requests([b"fast"] * 64)), receivers.send, 16, 16))
    assert receivers.most < 16


def test_receivers_that_answer_at_once_again_need_one_thread_again() -> None:
    receivers = Receivers()
    bodies = [b"slow"] * 32 + [b"fast"] * (PROBE + 160)
    list(fan_out(iter(requests(bodies)), receivers.send, 16, 16))
    in_a_row = max(len(list(same)) for _, same in groupby(receivers.threads[32 + PROBE :]))
    assert (receivers.most, in_a_row >= BUNCH) == (16, True)


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_where_no_more_threads_can_be_started_those_that_are_there_do_the_work(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_some(thread: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    receivers, given = Receivers(), requests([b"slow"] * 12 + [b"fast"] * 12)
    results = list(fan_out(iter(given), receivers.send, 8, 8))
    assert Counter(id(one.request) for one in results) == Counter(map(id, given))
    assert receivers.most <= max(allowed, 1)


def test_an_exit_in_a_thread_is_raised_in_the_callers() -> None:
    def exits(request: Request) -> Response:
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        list(fan_out(iter(requests([b"fast"] * 20)), exits, 4, 4))


@pytest.mark.parametrize(("width", "per_origin"), [(0, 1), (1, 0)])
def test_a_width_that_sends_nothing_is_refused(width: int, per_origin: int) -> None:
    with pytest.raises(InvalidValue, match=f"per_origin={per_origin}, nothing is sent"):
        fan_out([], Receivers().send, width, per_origin)
