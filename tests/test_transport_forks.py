"""Forks and green threads: promises of every HTTP transport."""

import os
import socket
import ssl
import threading

import pytest

from conftest import Listen
from support.forks import fork_and_send, fork_in_flight, run
from support.wire import OK, read_request
from thornsdk.testing import Endpoint, Handler, Seen
from thornsdk.testing.fixtures import OpenEndpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

EACH_WAY = pytest.mark.parametrize("way", ["closes", "exits", "dies"])


@EACH_WAY
def test_a_forked_child_starts_fresh_and_leaves_its_parents_connection_alone(
    way: str, endpoint: Endpoint, transport_kind: str
) -> None:
    told = fork_and_send(transport_kind, endpoint.url, way=way)
    assert told == ["parent False", "child False True", "parent True"]
    assert [(one.body, one.connection) for one in endpoint.seen] == [
        (b"parent", 1),
        (b"child", 2),
        (b"child", 2),
        (b"parent", 1),
    ]


@EACH_WAY
def test_a_forked_child_leaves_its_parents_tls_connection_alone(
    way: str, open_endpoint: OpenEndpoint, tls: ssl.SSLContext, ca_bundle: str, transport_kind: str
) -> None:
    endpoint = open_endpoint(tls=tls)
    told = fork_and_send(transport_kind, endpoint.url, ca_bundle, way)
    assert told == ["parent False", "child False True", "parent True"]
    assert [one.connection for one in endpoint.seen] == [1, 2, 2, 1]


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_child_that_sends_nothing_leaves_its_parents_connection_alone(
    secure: bool, open_endpoint: OpenEndpoint, tls: ssl.SSLContext, ca_bundle: str, transport_kind: str
) -> None:
    endpoint = open_endpoint(tls=tls if secure else None)
    told = fork_and_send(transport_kind, endpoint.url, ca_bundle if secure else "", "idle")
    assert told == ["parent False", "parent True"]
    assert endpoint.connections == 1


@EACH_WAY
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_not_a_byte_of_a_child_is_on_its_parents_connection(
    *,
    secure: bool,
    way: str,
    listen: Listen,
    tls: ssl.SSLContext,
    ca_bundle: str,
    transport_kind: str,
) -> None:
    between: dict[int, bytes] = {}
    lock = threading.Lock()

    def serve(raw: socket.socket) -> None:
        with lock:
            number = len(between)
            between[number] = b""
        sock = tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=True) if secure else raw
        with sock:
            read_request(sock)
            sock.sendall(OK)
            if number == 0:
                # The raw bytes that come before the parent's next request, which begins as its first one.
                waiting.wait(timeout=30)
                between[0] = _peek(raw.fileno() if not secure else sock.fileno())
            while read_request(sock).strip():
                sock.sendall(OK)
        if number == 1:
            waiting.set()

    waiting = threading.Event()
    listener = listen(serve)
    url = f"{'https' if secure else 'http'}://127.0.0.1:{listener.port}/hooks"
    told = fork_and_send(transport_kind, url, ca_bundle if secure else "", way)
    assert told[-1] == "parent True"
    # Either nothing yet, or the parent's next request: a TLS record of data (23), or its request line.
    assert between[0][:1] in ({b"", b"\x17"} if secure else {b"", b"P"}), (
        "a child wrote to its parent's socket"
    )


def _peek(descriptor: int) -> bytes:
    with socket.socket(fileno=os.dup(descriptor)) as same:
        try:
            return same.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


def test_a_fork_while_requests_are_in_flight_harms_neither(
    open_endpoint: OpenEndpoint, transport_kind: str
) -> None:
    def waits(handler: Handler, _: Seen) -> None:
        handler.wait(0.01)
        handler.answer(200)

    endpoint = open_endpoint(waits)
    assert fork_in_flight(transport_kind, endpoint.url) == ["child 0"]
    bodies = [one.body for one in endpoint.seen]
    assert (bodies.count(b"parent"), bodies.count(b"child")) == (40, 10)


_GREEN = """
import sys
if sys.argv[2] == "gevent":
    import gevent.monkey
    gevent.monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
from support.transports import make_transport
from support.wire import request_to, told

transport = make_transport(sys.argv[1], concurrency=20)
print(sorted(told(one) for one in transport.send_many(request_to(url) for url in sys.argv[3:])), flush=True)
print([transport.send(request_to(url)).status for url in sys.argv[3:5]], flush=True)
transport.close()
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_under_green_threads_that_are_patched_in_first_requests_are_in_flight_at_once(
    library: str, open_endpoint: OpenEndpoint, transport_kind: str
) -> None:
    together = threading.Barrier(20)
    asked: list[int] = []

    def waits_for_all(handler: Handler, _: Seen) -> None:
        asked.append(1)
        if len(asked) <= 20:
            together.wait(timeout=20)
        handler.answer(200)

    urls = [open_endpoint(waits_for_all).url for _ in range(20)]
    # Eventlet warns that it is no longer developed.
    told = run(_GREEN, transport_kind, library, *urls, warnings="ignore")
    assert told == [str([200] * 20), "[200, 200]"]
