"""Several requests in flight: promises of every HTTP transport."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from attrs import define, field

from conftest import OpenTransport
from support.wire import request_to, told, wait_until
from thornsdk import Reason, Request, Response, Transport
from thornsdk.testing import Endpoint, Handler, Seen
from thornsdk.testing.fixtures import OpenEndpoint


@define(eq=False)
class Counting:
    """A receiver that waits a moment, and knows how many requests it had in hand at most."""

    pause: float = 0.01
    now: int = 0
    most: int = 0
    lock: threading.Lock = field(factory=threading.Lock)

    def __call__(self, handler: Handler, seen: Seen) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        handler.wait(self.pause)
        with self.lock:
            self.now -= 1
        handler.answer(200)


def test_requests_are_in_flight_at_once(open_endpoint: OpenEndpoint, open_transport: OpenTransport) -> None:
    together = threading.Barrier(8)

    def waits_for_all(handler: Handler, _: Seen) -> None:
        together.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(waits_for_all)
    results = list(open_transport(concurrency=8).send_many(request_to(endpoint.url) for _ in range(16)))
    assert [told(one) for one in results] == [200] * 16


@pytest.mark.parametrize("width", [1, 2, 3, 20])
@pytest.mark.parametrize("pause", [0, 0.02], ids=["at once", "after a while"])
def test_no_more_requests_are_taken_than_are_in_flight_or_may_wait(
    width: int, pause: float, open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    receiver = Counting(pause)
    endpoint = open_endpoint(receiver)
    taken: list[Request] = []

    def requests() -> Iterator[Request]:
        for _ in range(40):
            taken.append(request_to(endpoint.url))
            yield taken[-1]

    for given, _ in enumerate(open_transport(concurrency=width).send_many(requests())):
        assert len(taken) - given <= 2 * width
    assert (len(taken), len(endpoint.seen)) == (40, 40)
    assert receiver.most <= width


def test_equal_requests_are_told_apart(open_endpoint: OpenEndpoint, transport: Transport) -> None:
    endpoint = open_endpoint()
    request = request_to(endpoint.url)
    results = list(transport.send_many([request] * 20))
    assert (len(results), len(endpoint.seen)) == (20, 20)


def test_a_result_comes_as_soon_as_it_is_known(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    got_the_first = threading.Event()

    def waits(handler: Handler, _: Seen) -> None:
        handler.answer(200 if got_the_first.wait(timeout=20) else 500)

    slow = open_endpoint(waits)
    results = transport.send_many([request_to(slow.url), request_to(endpoint.url)])
    assert str(next(results).request.url) == endpoint.url
    got_the_first.set()
    assert [told(one) for one in results] == [200]


def test_results_that_are_left_early_still_let_what_was_begun_be_sent(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    left = threading.Event()

    def all_but_the_first_wait(handler: Handler, seen: Seen) -> None:
        if seen.body != b"0":
            left.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(all_but_the_first_wait)
    taken: list[Request] = []

    def requests() -> Iterator[Request]:
        for number in range(100):
            taken.append(request_to(endpoint.url, str(number).encode()))
            yield taken[-1]

    results = open_transport(concurrency=4).send_many(requests())
    assert isinstance(next(results).result, Response)
    wait_until(lambda: len(endpoint.seen) >= 3)
    # It may wait here for what is in flight, or let it end by itself.
    threading.Timer(0.2, left.set).start()
    results.close()  # type: ignore[attr-defined]  # a generator, as all that yield are
    wait_until(lambda: len(endpoint.seen) >= 3)
    assert len(endpoint.seen) <= len(taken) <= 9


def test_a_transport_whose_results_were_left_early_serves_on(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    endpoint = open_endpoint(Counting())
    transport = open_transport(concurrency=8)
    results = transport.send_many(request_to(endpoint.url, b"left") for _ in range(20))
    next(results)
    results.close()  # type: ignore[attr-defined]
    given = [request_to(endpoint.url, b"next") for _ in range(10)]
    came = list(transport.send_many(given))
    assert {id(one.request) for one in came} == {id(one) for one in given}
    assert [told(one) for one in came] == [200] * 10


def test_an_origin_has_no_more_in_flight_than_its_places(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    receivers = [Counting(), Counting()]
    urls = [open_endpoint(one).url for one in receivers]
    transport = open_transport(concurrency=12, concurrency_per_origin=3)
    results = list(transport.send_many(request_to(urls[number % 2]) for number in range(60)))
    assert Counter(map(told, results)) == {200: 60}
    assert [one.most for one in receivers] == [3, 3]


def test_an_origin_that_hangs_does_not_keep_others_waiting(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    others_were_told = threading.Event()

    def hangs(handler: Handler, _: Seen) -> None:
        handler.answer(200 if others_were_told.wait(timeout=30) else 500)

    hanging = open_endpoint(hangs)
    transport = open_transport(concurrency=8, concurrency_per_origin=4)
    # As many as find a place, and as many as may wait for one; then the others.
    urls = [hanging.url] * (4 + 8 - 1) + [endpoint.url] * 40
    order: list[str] = []
    for one in transport.send_many(request_to(url, timeout=60) for url in urls):
        assert told(one) == 200
        order.append(str(one.request.url))
        if order.count(endpoint.url) == 40:
            others_were_told.set()
    assert order == [endpoint.url] * 40 + [hanging.url] * 11


def test_what_waits_for_a_hanging_origin_is_bounded(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    taken: list[Request] = []
    full = threading.Event()
    width = 6

    def hangs(handler: Handler, _: Seen) -> None:
        full.wait(timeout=20)
        handler.answer(200)

    hanging = open_endpoint(hangs)

    def requests() -> Iterator[Request]:
        for _ in range(60):
            taken.append(request_to(hanging.url))
            yield taken[-1]

    threading.Timer(0.3, full.set).start()
    transport = open_transport(concurrency=width, concurrency_per_origin=2)
    for given, _ in enumerate(transport.send_many(requests())):
        assert len(taken) - given <= 2 * width
    assert len(taken) == 60


def test_a_stream_of_many_is_never_read_ahead_of_its_results(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    taken = 0

    def requests() -> Iterator[Request]:
        nonlocal taken
        for _ in range(1500):
            taken += 1
            yield request_to(endpoint.url)

    transport = open_transport(concurrency=16, concurrency_per_origin=4)
    ahead = [taken - given for given, _ in enumerate(transport.send_many(requests()))]
    assert len(ahead) == 1500
    assert max(ahead) <= 2 * 16


def test_a_caller_that_dawdles_over_a_result_does_not_make_the_others_late(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    def answers_soon(handler: Handler, _: Seen) -> None:
        handler.wait(0.2)
        handler.answer(200)

    soon = open_endpoint(answers_soon)
    results: list[int | Reason] = []
    for one in transport.send_many(request_to(url, timeout=1) for url in [endpoint.url, *[soon.url] * 6]):
        # A store that is slow, or an observer: by now, all the others have answered within their time.
        threading.Event().wait(0 if results else 1.5)
        results.append(told(one))
    assert results == [200] * 7


def test_while_results_come_the_caller_may_send(endpoint: Endpoint, transport: Transport) -> None:
    inner = [
        transport.send(request_to(endpoint.url, b"inner"))
        for _ in transport.send_many(request_to(endpoint.url) for _ in range(10))
    ]
    assert [one.status for one in inner] == [200] * 10
    assert len(endpoint.seen) == 20
