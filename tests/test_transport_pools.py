"""Connections that stay open: promises of every HTTP transport."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

import pytest

from conftest import Listen, OpenTransport
from support.wire import OK, keeps_answering, read_request, reason, replies, request_to, told
from thornsdk import Reason, Transport, exchange
from thornsdk.testing import Endpoint, Handler, Seen, answers
from thornsdk.testing.fixtures import OpenEndpoint

RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"
"""Linger for no time: what is closed is reset."""


def test_a_connection_serves_the_next_request_to_its_origin(endpoint: Endpoint, transport: Transport) -> None:
    answered = [transport.send(request_to(endpoint.url)) for _ in range(3)]
    assert [one.reused for one in answered] == [False, True, True]
    assert endpoint.connections == 1


def test_each_origin_has_its_own_connection(open_endpoint: OpenEndpoint, transport: Transport) -> None:
    one, other = open_endpoint(), open_endpoint()
    reused = [transport.send(request_to(url)).reused for url in (one.url, other.url, one.url, other.url)]
    assert reused == [False, False, True, True]
    assert (one.connections, other.connections) == (1, 1)


def test_a_connection_that_the_answer_closes_is_not_kept(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    endpoint = open_endpoint(answers(200, b"ok", {"Connection": "close"}))
    assert [transport.send(request_to(endpoint.url)).reused for _ in range(2)] == [False, False]


def test_a_connection_that_switched_protocols_is_not_used_again(transport: Transport, listen: Listen) -> None:
    listener = listen(replies(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))
    requests = [request_to(listener.url, timeout=0.5) for _ in range(2)]
    answered = [told(exchange(transport.send, one)) for one in requests]
    # Nobody has asked to switch. It may be told, or the final answer be waited for.
    assert set(answered) <= {101, Reason.TIMEOUT, Reason.PROTOCOL_ERROR}
    assert listener.connections == 2


def test_a_connection_is_used_again_within_its_idle_time_and_not_after(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    patient, hasty = open_transport(idle_timeout=600), open_transport(idle_timeout=1)
    for one in (patient, hasty):
        one.send(request_to(endpoint.url))
    threading.Event().wait(2.1)  # Whole seconds are enough of a promise.
    assert [one.send(request_to(endpoint.url)).reused for one in (patient, hasty)] == [True, False]


def test_what_is_kept_idle_is_capped_and_the_longest_unused_goes_first(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    together = threading.Barrier(2)

    def in_pairs(handler: Handler, seen: Seen) -> None:
        if seen.body == b"pair":
            together.wait(timeout=20)
        handler.answer(200)

    first, second, third = open_endpoint(in_pairs), open_endpoint(), open_endpoint()
    transport = open_transport(idle_connections=2)
    list(transport.send_many(request_to(first.url, b"pair") for _ in range(2)))

    def reuses(url: str) -> bool | None:
        threading.Event().wait(0.01)  # libcurl counts milliseconds.
        return transport.send(request_to(url)).reused

    assert [reuses(one.url) for one in (second, first, third)] == [False, True, False]
    assert [reuses(one.url) for one in (first, third, second)] == [True, True, False]


def _shuts(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


def _resets(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


@pytest.mark.parametrize("ends", [_shuts, _resets], ids=["closed", "reset"])
def test_an_idle_connection_that_the_far_side_ended_is_noticed_and_replaced(
    ends: Callable[[socket.socket], None], transport: Transport, listen: Listen
) -> None:
    answered, ended = threading.Event(), threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        assert answered.wait(timeout=20)
        ends(sock)
        ended.set()

    listener = listen(serve)
    transport.send(request_to(listener.url))
    answered.set()
    assert ended.wait(timeout=20)
    assert transport.send(request_to(listener.url)).reused is False
    assert listener.connections == 2


@pytest.mark.parametrize("ends", [_shuts, _resets], ids=["closed", "reset"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2"], ids=["no answer", "part of one"])
def test_a_request_that_was_on_its_way_when_the_connection_broke_is_never_sent_twice(
    answer: bytes, ends: Callable[[socket.socket], None], transport: Transport, listen: Listen
) -> None:
    came: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        while data := read_request(sock).partition(b"\r\n\r\n")[2]:
            came.append(data)
            if data == b"second":
                sock.sendall(answer)
                ends(sock)
                return
            sock.sendall(OK)

    listener = listen(serve)
    transport.send(request_to(listener.url, b"first"))
    broken = reason(transport, request_to(listener.url, b"second"))
    transport.send(request_to(listener.url, b"third"))
    assert came == [b"first", b"second", b"third"]
    # Half a status line that ends may count as a broken connection, or as no HTTP.
    assert broken in ({Reason.CONNECTION_LOST} if not answer else {*BROKEN})


BROKEN = (Reason.CONNECTION_LOST, Reason.PROTOCOL_ERROR)


def test_a_long_request_that_broke_half_way_is_never_begun_again(
    transport: Transport, listen: Listen
) -> None:
    begun: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        begun.append(read_request(sock)[-5:])
        sock.sendall(OK)
        begun.append(sock.recv(4))
        sock.recv(10_000)
        _resets(sock)

    listener = listen(serve)
    transport.send(request_to(listener.url, b"first"))
    assert reason(transport, request_to(listener.url, b"x" * 20_000_000)) is Reason.CONNECTION_LOST
    assert begun == [b"first", b"POST"]


def test_a_server_that_hangs_up_in_any_moment_sees_no_request_twice(
    transport: Transport, listen: Listen
) -> None:
    came: SimpleQueue[bytes] = SimpleQueue()
    pauses = iter([0.0, 0.0002, 0.0005, 0.001] * 100)

    def serve(sock: socket.socket) -> None:
        came.put(read_request(sock).partition(b"\r\n\r\n")[2])
        sock.sendall(OK)
        threading.Event().wait(next(pauses))
        # What has come until now is looked at, and no more is taken.
        sock.setblocking(False)
        with suppress(BlockingIOError):
            came.put(read_request(sock).partition(b"\r\n\r\n")[2])
        sock.close()

    listener = listen(serve)
    seen: Counter[Reason | int] = Counter()
    for number in range(150):
        seen[told(exchange(transport.send, request_to(listener.url, b"%d" % number)))] += 1
    bodies = Counter(came.get() for _ in range(came.qsize()))
    assert set(seen) <= {200, Reason.CONNECTION_LOST}, "a hang-up is a lost connection, or not noticed at all"
    assert max(bodies.values()) == 1, "a request was sent again after it had left"


def test_what_comes_unasked_is_never_taken_for_an_answer(transport: Transport, listen: Listen) -> None:
    forged = b"HTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n"
    listener = listen(keeps_answering(OK + forged))
    answered = [transport.send(request_to(listener.url)) for _ in range(3)]
    assert [(one.status, one.reused) for one in answered] == [(200, False)] * 3


def test_what_comes_unasked_a_while_later_is_never_taken_for_an_answer(
    transport: Transport, listen: Listen
) -> None:
    answered, said = threading.Event(), threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        assert answered.wait(timeout=20)
        sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        said.set()
        sock.recv(1)

    listener = listen(serve)
    transport.send(request_to(listener.url))
    answered.set()
    assert said.wait(timeout=20)
    assert (transport.send(request_to(listener.url)).status, listener.connections) == (200, 2)


FORGED = b"HTTP/1.1 299 Forged\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked \r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
    ],
)
def test_what_follows_an_answer_that_may_end_in_two_places_is_never_taken_for_the_next(
    head: bytes, transport: Transport, listen: Listen
) -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        if read_request(sock).strip():
            sock.sendall(FORGED)

    listener = listen(serve)
    requests = [request_to(listener.url, timeout=0.5) for _ in range(2)]
    assert 299 not in [told(exchange(transport.send, one)) for one in requests]


@pytest.mark.parametrize("connection", [b"keep-alive, close", b"keep-alive\r\nConnection: close"])
def test_a_connection_that_says_anywhere_that_it_closes_is_not_kept(
    connection: bytes, transport: Transport, listen: Listen
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: " + connection + b"\r\nContent-Length: 2\r\n\r\nok"
    listener = listen(keeps_answering(answer))
    assert [transport.send(request_to(listener.url)).reused for _ in range(2)] == [False, False]


def test_closing_lets_go_of_idle_connections_and_twice_does_no_harm(
    listen: Listen, transport: Transport
) -> None:
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        replies(OK)(sock)
        ended.set()

    transport.send(request_to(listen(serve).url))
    assert not ended.is_set()
    transport.close()
    transport.close()
    assert ended.wait(timeout=20)


def test_a_connection_in_use_is_closed_when_its_request_has_ended(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    closed = threading.Event()

    def waits(handler: Handler, _: Seen) -> None:
        transport.close()
        closed.set()
        handler.answer(200)

    endpoint = open_endpoint(waits)
    assert transport.send(request_to(endpoint.url)).status == 200
    assert closed.is_set()
    assert transport.send(request_to(endpoint.url)).reused is False


def test_closing_while_many_are_in_flight_costs_none_of_them(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    transport = open_transport(concurrency=8)
    together = threading.Barrier(8, action=transport.close)

    def waits_for_all(handler: Handler, seen: Seen) -> None:
        together.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(waits_for_all)
    results = list(transport.send_many(request_to(endpoint.url) for _ in range(8)))
    assert [told(one) for one in results] == [200] * 8


def test_many_threads_share_a_transport_and_each_gets_its_own_answers(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    endpoint = open_endpoint(lambda handler, seen: handler.answer(200, seen.body))
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(20):
            body = f"{number}.{turn}".encode()
            if transport.send(request_to(endpoint.url, body)).body != body:
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    assert Counter(one.body for one in endpoint.seen).total() == 240
    assert endpoint.connections <= 12
