"""The transport ``queue`` where brokers and networks do what they should not."""

import gc
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis import exceptions as redis_errors

from conftest import Listen, OpenQueue
from support.amqp_server import (
    ACK,
    BLOCKED,
    NACK,
    SILENCE,
    UNBLOCKED,
    closes_channel,
    closes_connection,
    returns,
    speaks_amqp,
)
from support.forks import run
from support.queues import Queues
from support.relay import Relay, drip, drips
from support.tls import self_signed
from support.wire import failure, reason, request_to, told, wait_until
from thornsdk import LookUps, Reason, Request, Response
from thornsdk.errors import TransportError
from thornsdk.testing import Authority
from thornsdk_plugins.queue import transport as transport_module
from thornsdk_plugins.queue.brokers import Broker
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import refused, translate
from thornsdk_plugins.queue.jobs import Flight
from thornsdk_plugins.queue.lines import Lines
from thornsdk_plugins.queue.links import Link
from thornsdk_plugins.queue.transport import _forget_all
from thornsdk_plugins.queue.wires import Wire

SCHEMES = pytest.mark.parametrize("scheme", ["amqp", "redis"])


@pytest.fixture
def relay(queues: Queues) -> Iterator[Relay]:
    """Stands before each broker in turn."""
    with Relay(queues.port) as relay:
        yield relay


def to(queues: Queues, **options: float) -> Request:
    return request_to(f"{queues.scheme}://events/orders", **options)  # type: ignore[arg-type]  # timeout alone


def send_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "thornsdk-queue"]


@contextmanager
def takes_no_connections(host: str, port: int) -> Iterator[None]:
    """Meanwhile, who connects there waits: the queue of those who want to is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield


def hangs(sock: socket.socket) -> None:
    """Reads, and says nothing."""
    while sock.recv(65536):
        pass


# Getting there


@SCHEMES
def test_where_nothing_listens_it_is_refused(scheme: str, open_queue: OpenQueue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = failure(open_queue(f"{scheme}://127.0.0.1:{port}"), request_to(f"{scheme}://events/orders"))
    assert (error.reason, error.detail) == (
        Reason.CONNECTION_REFUSED,
        "nothing listens where the broker should be",
    )


@SCHEMES
def test_a_host_without_an_address_is_told(scheme: str, open_queue: OpenQueue) -> None:
    transport = open_queue(f"{scheme}://:hunter2@broker.invalid")
    error = failure(transport, request_to(f"{scheme}://events/orders"))
    assert error.reason is Reason.NAME_NOT_RESOLVED
    assert "invalid" not in str(error)


@SCHEMES
@pytest.mark.parametrize("serve", [hangs, drips])
def test_a_broker_that_takes_the_connection_and_never_answers_ends_at_the_deadline(
    scheme: str, serve: Callable[[socket.socket], None], listen: Listen, open_queue: OpenQueue
) -> None:
    transport = open_queue(f"{scheme}://127.0.0.1:{listen(serve).port}")
    assert reason(transport, request_to(f"{scheme}://events/orders", timeout=0.3)) is Reason.TIMEOUT


def test_nobody_waits_beyond_a_deadline_for_what_drips(listen: Listen, open_queue: OpenQueue) -> None:
    def comes_later(sock: socket.socket) -> None:
        time.sleep(2)
        speaks_amqp(ACK)(sock)

    later = {"later": f"amqp://127.0.0.1:{listen(comes_later).port}"}
    transport = open_queue(f"amqp://127.0.0.1:{listen(drips).port}", later)
    requests = [request_to("amqp://later/orders"), request_to("amqp://events/orders", timeout=0.3)]
    assert [told(one) for one in transport.send_many(requests)] == [Reason.TIMEOUT, 202]


def test_a_broker_that_dripped_is_reached_again_when_it_is_well(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port), concurrency_per_origin=1)
    relay.drip()
    for _ in range(2):
        assert reason(transport, to(queues, timeout=0.3)) is Reason.TIMEOUT
    relay.pass_on_answers()
    wait_until(lambda: [told(one) for one in transport.send_many([to(queues, timeout=1)])] == [202])


def test_an_answer_in_drips_holds_a_connection_until_the_deadline_and_no_longer(
    listen: Listen, open_queue: OpenQueue
) -> None:
    def begins_to_answer(sock: socket.socket) -> None:
        speaks_amqp(None)(sock)
        drip(sock)

    listener = listen(begins_to_answer)
    transport = open_queue(f"amqp://127.0.0.1:{listener.port}", concurrency_per_origin=1)
    for connections in (1, 2):
        assert reason(transport, request_to("amqp://events/orders", timeout=1)) is Reason.TIMEOUT
        assert listener.connections == connections


def test_an_address_that_is_dead_leaves_time_for_the_others(
    queues: Queues, relay: Relay, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    monkeypatch.setattr(transport_module, "LookUps", lambda: LookUps(lambda host, port: addresses))
    transport = open_queue(queues.through(relay.port).replace("127.0.0.1", "broker.example.test"))
    with takes_no_connections("127.0.0.2", relay.port):
        assert transport.send(to(queues, timeout=4)).status == 202


def test_where_no_time_is_left_nothing_is_connected_to() -> None:
    with pytest.raises(TimeoutError, match="there was no time left to connect"):
        Wire("127.0.0.1", 1, LookUps()).dial(0.0)


@SCHEMES
def test_what_is_no_such_broker_gives_no_answer(scheme: str, listen: Listen, open_queue: OpenQueue) -> None:
    def speaks_http(sock: socket.socket) -> None:
        sock.recv(1)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    transport = open_queue(f"{scheme}://127.0.0.1:{listen(speaks_http).port}")
    found = reason(transport, request_to(f"{scheme}://events/orders", timeout=5))
    assert found in {Reason.PROTOCOL_ERROR, Reason.CONNECTION_LOST}


# The connection breaks


def test_a_message_whose_answer_is_lost_is_not_sent_again_by_itself(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port))
    transport.send(to(queues))
    relay.cut_at_next_answer()
    assert reason(transport, to(queues)) is Reason.CONNECTION_LOST
    assert transport.send(to(queues)) == Response(status=202, reused=False)
    assert len(queues.take("orders")) == 3


def test_a_connection_waits_for_as_long_as_each_request_allows(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port))
    transport.send(to(queues, timeout=0.5))
    relay.delay_answers(0.6)
    assert transport.send(to(queues)).status == 202


def test_a_channel_is_opened_anew_in_the_time_that_the_request_has(
    rabbit: Queues, open_queue: OpenQueue
) -> None:
    rabbit.declare("orders")
    with Relay(rabbit.port) as relay:
        transport = open_queue(rabbit.through(relay.port))
        transport.send(to(rabbit, timeout=0.5))
        relay.delay_answers(0.6)
        assert transport.send(request_to("amqp://events/orders?exchange=shop")).status == 404
        assert transport.send(to(rabbit)) == Response(status=202, reused=True)


def test_a_connection_serves_requests_that_have_less_time_and_ends_at_their_deadlines(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port), concurrency_per_origin=1)
    assert [transport.send(to(queues, timeout=one)).reused for one in (20, 9, 20)] == [False, True, True]
    relay.swallow_answers()
    assert reason(transport, to(queues, timeout=0.3)) is Reason.TIMEOUT
    relay.pass_on_answers()
    assert transport.send(to(queues, timeout=5)) == Response(status=202, reused=False)


def test_an_answer_that_comes_too_late_is_nobody_elses(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port))
    transport.send(to(queues, timeout=0.5))
    relay.swallow_answers()
    assert reason(transport, to(queues, timeout=0.5)) is Reason.TIMEOUT
    relay.pass_on_answers()
    assert transport.send(to(queues)) == Response(status=202, reused=False)


def test_a_connection_that_was_ended_while_it_was_idle_is_opened_anew(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port))
    transport.send(to(queues))
    before = relay.connections
    relay.cut()
    time.sleep(0.05)
    assert transport.send(to(queues)).status == 202
    assert relay.connections > before
    assert len(queues.take("orders")) == 2


def test_a_broker_that_took_its_leave_while_idle_is_connected_to_anew(
    listen: Listen, open_queue: OpenQueue
) -> None:
    leaves = closes_connection(320, "CONNECTION_FORCED - broker is going down")
    listener = listen(speaks_amqp(ACK + leaves))
    transport = open_queue(f"amqp://127.0.0.1:{listener.port}")
    for _ in range(2):
        assert transport.send(request_to("amqp://events/orders")) == Response(status=202, reused=False)
    assert listener.connections == 2


# What the broker says


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ACK, 202),
        (NACK, 429),
        (returns(312, "NO_ROUTE"), 404),
        (returns(313, "NO_CONSUMERS"), 404),
        (returns(399, "UNKNOWN"), 404),
        (closes_channel(311, "CONTENT_TOO_LARGE"), 413),
        (closes_channel(403, "ACCESS_REFUSED"), 403),
        (closes_channel(404, "NOT_FOUND"), 404),
        (closes_channel(405, "RESOURCE_LOCKED"), 423),
        (closes_channel(406, "PRECONDITION_FAILED"), 406),
        (closes_connection(506, "RESOURCE_ERROR"), 503),
        (closes_connection(540, "NOT_IMPLEMENTED"), 501),
        (closes_connection(541, "INTERNAL_ERROR"), 500),
        (closes_connection(320, "CONNECTION_FORCED"), Reason.CONNECTION_LOST),
        (closes_connection(501, "FRAME_ERROR"), Reason.PROTOCOL_ERROR),
        (None, Reason.CONNECTION_LOST),
    ],
)
def test_each_word_of_an_amqp_broker_has_a_meaning(
    answer: bytes | None, expected: int | Reason, listen: Listen, open_queue: OpenQueue
) -> None:
    listener = listen(speaks_amqp(answer))
    transport = open_queue(f"amqp://127.0.0.1:{listener.port}")
    (one,) = transport.send_many([request_to("amqp://events/orders", timeout=5)])
    assert told(one) == expected


def test_an_amqp_broker_that_says_nothing_to_a_message_ends_at_the_deadline(
    listen: Listen, open_queue: OpenQueue
) -> None:
    listener = listen(speaks_amqp(SILENCE))
    transport = open_queue(f"amqp://127.0.0.1:{listener.port}")
    for _ in range(2):
        assert reason(transport, request_to("amqp://events/orders", timeout=0.3)) is Reason.TIMEOUT
    assert listener.connections == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (BLOCKED, "the deadline passed, and the broker takes no messages at present: it has told so"),
        (BLOCKED + UNBLOCKED, "the deadline passed"),
    ],
)
def test_a_broker_that_tells_that_it_takes_nothing_is_quoted(
    answer: bytes, told: str, listen: Listen, open_queue: OpenQueue
) -> None:
    transport = open_queue(f"amqp://127.0.0.1:{listen(speaks_amqp(answer)).port}")
    error = failure(transport, request_to("amqp://events/orders", timeout=0.5))
    assert (error.reason, error.detail.partition(" (")[0]) == (Reason.TIMEOUT, told)


def test_headers_that_are_too_large_for_the_broker_are_told_in_its_words(
    rabbit: Queues, open_queue: OpenQueue
) -> None:
    request = request_to("amqp://events/orders", headers=(("X-Shop", "7" * 200_000),))
    error = failure(open_queue(rabbit.url), request)
    assert error.reason is Reason.PROTOCOL_ERROR
    assert error.detail.startswith("broker and client do not understand each other: FRAME_ERROR")
    assert "frame_too_large" in error.detail


def test_a_channel_that_was_closed_over_one_message_serves_the_next(
    listen: Listen, open_queue: OpenQueue
) -> None:
    listener = listen(speaks_amqp(closes_channel(404, "NOT_FOUND"), ACK))
    transport = open_queue(f"amqp://127.0.0.1:{listener.port}")
    assert transport.send(request_to("amqp://events/orders")).status == 404
    assert transport.send(request_to("amqp://events/orders")) == Response(status=202, reused=True)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (redis_errors.AuthenticationError("WRONGPASS"), 403),
        (redis_errors.NoPermissionError("NOPERM"), 403),
        (redis_errors.BusyLoadingError("LOADING"), 503),
        (redis_errors.OutOfMemoryError("OOM"), 503),
        (redis_errors.ReadOnlyError("READONLY"), 503),
        (redis_errors.ClusterDownError("CLUSTERDOWN"), 503),
        (redis_errors.ResponseError("WRONGTYPE Operation against a key"), 409),
        (redis_errors.ResponseError("MISCONF Redis is configured to save"), 500),
    ],
)
def test_each_word_of_redis_has_a_status(error: Exception, status: int) -> None:
    wrapped = OperationalError("wrapped")
    wrapped.__cause__ = error
    assert refused(wrapped) == Response(status=status, body=str(error).encode())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(110, "timed out"), Reason.CONNECTION_LOST),
        (socket.gaierror(-2, "Name or service not known"), Reason.NAME_NOT_RESOLVED),
        (OSError(113, "no route"), Reason.UNREACHABLE),
        (OSError("server unexpectedly closed connection"), Reason.CONNECTION_LOST),
        (redis_errors.TimeoutError("timed out"), Reason.TIMEOUT),
        (redis_errors.ConnectionError("closed"), Reason.CONNECTION_LOST),
        (redis_errors.InvalidResponse("what"), Reason.PROTOCOL_ERROR),
        (ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL]"), Reason.TLS_FAILED),
        (ssl.SSLEOFError(8, "eof"), Reason.CONNECTION_LOST),
    ],
)
def test_each_error_of_a_connection_has_a_reason(error: Exception, expected: Reason) -> None:
    found = translate(error)
    assert found is not None
    assert found.reason is expected


# TLS


@pytest.fixture
def secure(queues: Queues, tls: ssl.SSLContext) -> Iterator[Relay]:
    """Speaks TLS before each broker in turn."""
    with Relay(queues.port, tls) as relay:
        yield relay


def over_tls(queues: Queues, relay: Relay, host: str = "127.0.0.1") -> str:
    return queues.through(relay.port, f"{queues.scheme}s").replace("127.0.0.1", host)


def to_tls(queues: Queues) -> Request:
    return request_to(f"{queues.scheme}s://events/orders", timeout=5)


def test_it_publishes_over_tls(queues: Queues, secure: Relay, ca_bundle: str, open_queue: OpenQueue) -> None:
    transport = open_queue(over_tls(queues, secure), ca_bundle=ca_bundle)
    assert [transport.send(to_tls(queues)).status for _ in range(2)] == [202, 202]
    assert len(queues.take("orders")) == 2


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    queues: Queues, secure: Relay, open_queue: OpenQueue
) -> None:
    assert reason(open_queue(over_tls(queues, secure)), to_tls(queues)) is Reason.TLS_UNTRUSTED


def test_a_certificate_for_another_host_is_not_taken(
    queues: Queues, secure: Relay, ca_bundle: str, open_queue: OpenQueue
) -> None:
    error = failure(open_queue(over_tls(queues, secure, "localhost"), ca_bundle=ca_bundle), to_tls(queues))
    assert (error.reason, error.detail) == (
        Reason.TLS_WRONG_NAME,
        "the broker's certificate is for another host",
    )


def test_a_certificate_that_is_past_its_last_day_is_not_taken(
    queues: Queues, authority: Authority, ca_bundle: str, open_queue: OpenQueue
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    from datetime import UTC, datetime

    old = authority.ca.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    old.configure_cert(context)
    with Relay(queues.port, context) as relay:
        transport = open_queue(over_tls(queues, relay), ca_bundle=ca_bundle)
        assert reason(transport, to_tls(queues)) is Reason.TLS_EXPIRED


def test_a_certificate_that_vouches_for_itself_is_not_taken(
    queues: Queues, tmp_path: Path, open_queue: OpenQueue
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed("broker.example.test", tmp_path))
    with Relay(queues.port, context) as relay:
        transport = open_queue(over_tls(queues, relay))
        assert reason(transport, to_tls(queues)) is Reason.TLS_SELF_SIGNED


def test_a_broker_that_speaks_old_tls_alone_is_told(listen: Listen, open_queue: OpenQueue) -> None:
    def alerts(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # a fatal alert: protocol_version

    transport = open_queue(f"amqps://127.0.0.1:{listen(alerts).port}")
    error = failure(transport, request_to("amqps://events/orders"))
    assert (error.reason, error.detail) == (Reason.TLS_TOO_OLD, "tlsv1 alert protocol version")


# One does not harm another


def test_a_broker_that_hangs_holds_up_no_other(queues: Queues, listen: Listen, open_queue: OpenQueue) -> None:
    hanging = f"amqp://127.0.0.1:{listen(hangs).port}"
    transport = open_queue(queues.url, {"hanging": hanging, "fast": queues.url})
    slow = [request_to("amqp://hanging/orders", timeout=1) for _ in range(8)]
    fast = [request_to(f"{queues.scheme}://fast/orders") for _ in range(40)]
    results = [told(one) for one in transport.send_many(slow + fast)]
    assert results[:40] == [202] * 40
    assert results[40:] == [Reason.TIMEOUT] * 8


def test_what_finds_no_free_connection_in_time_is_not_published_later(
    queues: Queues, relay: Relay, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.through(relay.port), concurrency_per_origin=1)
    transport.send(to(queues, timeout=1))
    queues.take("orders")
    relay.swallow_answers()
    first = threading.Thread(target=lambda: reason(transport, to(queues, timeout=1)))
    first.start()
    wait_until(lambda: len(queues.take("orders")) == 1)
    assert reason(transport, to(queues, timeout=0.2)) is Reason.TIMEOUT
    first.join()
    relay.pass_on_answers()
    assert transport.send(to(queues)).status == 202
    assert len(queues.take("orders")) == 1


def test_a_connection_that_nobody_needs_is_closed_and_its_thread_ends(
    queues: Queues, open_queue: OpenQueue
) -> None:
    transport = open_queue(queues.url, idle_timeout=0.05)
    assert transport.send(to(queues)).status == 202
    wait_until(lambda: not send_threads())
    assert transport.send(to(queues)) == Response(status=202, reused=False)


# Lines alone

PLACE = Destination(
    broker=Broker(name="events", scheme="amqp", host="", port=1, user=None, password=None, space="/"),
    exchange="",
    routing_key="orders",
)


class TestLink(Link):
    """Answers when it is let."""

    __test__ = False
    why_late = "the deadline passed"

    def __init__(self, opens: Callable[[float], object] = lambda _: None) -> None:
        self.may_answer = threading.Event()
        self.opened = self.published = self.shut_down = 0
        self._opens = opens

    def open(self, timeout: float) -> None:
        self.opened += 1
        self._opens(timeout)

    def serves(self, request: Request) -> bool:
        return True

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        self.published += 1
        self.may_answer.wait(timeout=20)
        if self.shut_down:
            raise ConnectionResetError
        return Response(status=202)

    def shut(self) -> None:
        self.shut_down += 1
        self.may_answer.set()

    def close(self) -> None:
        raise OSError("it is broken")

    def drop(self) -> None:
        raise OSError("it is broken")


def results_of(flight: Flight) -> list[int | Reason]:
    results: list[int | Reason] = []
    while len(flight):
        results += [told(one) for one in flight.ended()]
    return results


def no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_where_no_thread_can_be_started_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(TestLink, limit=8, idle_timeout=1)
    no_thread_starts(monkeypatch)
    with pytest.raises(TransportError, match="stage_failed: no thread could be started for it"):
        lines.put(Flight().begin(request_to("amqp://events/orders")), PLACE)


def test_where_no_more_threads_can_be_started_those_that_there_are_do_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link, flight = TestLink(), Flight()
    lines = Lines(lambda: link, limit=8, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    no_thread_starts(monkeypatch)
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    link.may_answer.set()
    assert [told(one) for _ in range(2) for one in flight.ended()] == [202, 202]
    lines.close()


def test_a_connection_that_opened_too_late_publishes_nothing_and_serves_the_next_message() -> None:
    may_open = threading.Event()
    link, flight = TestLink(lambda _: may_open.wait(timeout=20)), Flight()
    link.may_answer.set()
    lines = Lines(lambda: link, limit=1, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders", timeout=0.05)), PLACE)
    assert results_of(flight) == [Reason.TIMEOUT]
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    may_open.set()
    assert results_of(flight) == [202]
    lines.close()
    assert (link.opened, link.published) == (1, 1)


def test_a_job_that_waits_in_vain_is_forgotten() -> None:
    link, flight = TestLink(), Flight()
    lines = Lines(lambda: link, limit=1, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    waiting = flight.begin(request_to("amqp://events/orders", timeout=0.05))
    lines.put(waiting, PLACE)
    (one,) = flight.ended()
    assert isinstance(one.result, TransportError)
    assert one.result.detail == "the deadline passed before a connection to the broker was free"
    kept = weakref.ref(waiting)
    del waiting
    gc.collect()
    assert kept() is None
    link.may_answer.set()
    assert results_of(flight) == [202]
    lines.close()


def test_a_job_whose_deadline_passed_while_nobody_looked_is_not_published() -> None:
    link, flight = TestLink(), Flight()
    lines = Lines(lambda: link, limit=1, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    late = flight.begin(request_to("amqp://events/orders", timeout=0.01))
    lines.put(late, PLACE)
    wait_until(lambda: late.left() < 0)
    link.may_answer.set()
    wait_until(lambda: late.result is not None)
    assert results_of(flight) == [202, Reason.TIMEOUT]
    lines.close()
    assert link.published == 1


def test_a_connection_that_is_late_with_a_message_is_shut_down() -> None:
    link, flight = TestLink(), Flight()
    lines = Lines(lambda: link, limit=1, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders", timeout=0.05)), PLACE)
    assert results_of(flight) == [Reason.TIMEOUT]
    assert link.shut_down == 1
    lines.close()


def test_what_breaks_because_it_was_shut_down_at_a_deadline_is_a_timeout() -> None:
    flights = [Flight(), Flight()]
    lines = Lines(TestLink, limit=2, idle_timeout=1)
    jobs = [one.begin(request_to("amqp://events/orders", timeout=0.05)) for one in flights]
    for one in jobs:
        lines.put(one, PLACE)
    wait_until(lambda: all(one.left() < 0 for one in jobs))
    assert results_of(flights[0]) == [Reason.TIMEOUT]
    wait_until(lambda: jobs[1].result is not None)
    assert results_of(flights[1]) == [Reason.TIMEOUT]
    lines.close()


def test_what_is_nobodys_error_but_ours_is_told_as_such() -> None:
    def broken(_: float) -> None:
        raise ZeroDivisionError

    flight = Flight()
    lines = Lines(lambda: TestLink(broken), limit=1, idle_timeout=1)
    lines.put(flight.begin(request_to("amqp://events/orders")), PLACE)
    (one,) = flight.ended()
    assert isinstance(one.result, TransportError)
    assert one.result.detail.startswith("the transport raised ZeroDivisionError at test_queue_faults.py")
    lines.close()


# Forks


def test_what_is_forgotten_opens_new_connections(queues: Queues, open_queue: OpenQueue) -> None:
    transport = open_queue(queues.url, idle_timeout=0.2)
    transport.send(to(queues))
    _forget_all()
    assert transport.send(to(queues)) == Response(status=202, reused=False)


_FORKS = """
import os, sys
from support.wire import request_to
from thornsdk_plugins.queue import QueueTransport

broker, url, way = sys.argv[1:]
transport = QueueTransport({"events": broker})

def send(body):
    return transport.send(request_to(url, body)).reused

print("parent", send(b"parent"), flush=True)
if os.fork() == 0:
    print("child", send(b"child"), send(b"child"), flush=True)
    if way == "dies":
        os._exit(0)
    if way == "closes":
        transport.close()
    sys.exit()
os.wait()
print("parent", send(b"parent"), flush=True)
transport.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("way", ["closes", "exits", "dies"])
def test_a_forked_child_starts_fresh_and_leaves_its_parents_connection_alone(
    way: str, queues: Queues
) -> None:
    warnings = "ignore" if way == "exits" else "error::ResourceWarning"
    told = run(_FORKS, queues.url, f"{queues.scheme}://events/orders", way, warnings=warnings)
    assert told == ["parent False", "child False True", "parent True"]
    assert [one.body for one in queues.take("orders")] == [b"parent", b"child", b"child", b"parent"]
