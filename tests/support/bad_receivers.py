"""Receivers that misbehave, each in its way, and what a sender must make of them."""

import gzip
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from support.wire import Listener, read_request
from thornsdk import Reason
from thornsdk.testing import Endpoint, drips, hangs, says

HEAD = b"HTTP/1.1 200 OK\r\n"
RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"
BOMB = gzip.compress(gzip.compress(b"\0" * 100_000_000))


def floods(sock: socket.socket) -> None:
    """Sends a body without end."""
    read_request(sock)
    sock.sendall(HEAD + b"Content-Length: 100000000000\r\n\r\n")
    while True:
        sock.sendall(b"x" * 0x10000)


def heads_without_end(sock: socket.socket) -> None:
    """Sends headers without end."""
    read_request(sock)
    sock.sendall(HEAD)
    while True:
        sock.sendall(b"X-A: " + b"b" * 1000 + b"\r\n")


def interim_without_end(sock: socket.socket) -> None:
    """Sends interim answers without end."""
    read_request(sock)
    while True:
        sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


def resets_hard(sock: socket.socket) -> None:
    """Resets the connection when the request has come."""
    read_request(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def never_reads(sock: socket.socket) -> None:
    """Takes the connection, and nothing more, until the sender gives up."""
    gone = select.poll()
    gone.register(sock, select.POLLRDHUP)
    gone.poll(30_000)


def chunks_without_end(sock: socket.socket) -> None:
    """Sends a chunk of a size that means all that ever comes, to who takes it for a number."""
    read_request(sock)
    sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n")
    while True:
        sock.sendall(b"x" * 0x10000)


bomb = says(
    HEAD
    + b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(BOMB)
    + BOMB
)

ENDPOINTS = (
    (hangs, Reason.TIMEOUT),
    (drips(HEAD + b"Content-Length: 1000\r\n\r\n", b".", 0.05), Reason.TIMEOUT),
    (drips(HEAD + b"X: ", b".", 0.05), Reason.TIMEOUT),
    (drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n.\r\n", 0.05), Reason.TIMEOUT),
    (drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.05), Reason.TIMEOUT),
    (says(b""), Reason.CONNECTION_LOST),
    (says(HEAD + b"Content-Length: 9\r\n\r\nab"), Reason.CONNECTION_LOST),
    (says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab"), Reason.CONNECTION_LOST),
    (says(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.PROTOCOL_ERROR),
    (says(b"\0\xff\x80" * 100 + b"\r\n\r\n"), Reason.PROTOCOL_ERROR),
    (bomb, 200),
)
LISTENERS: tuple[tuple[Callable[[socket.socket], None], Reason | int], ...] = (
    (floods, 200),
    (chunks_without_end, Reason.PROTOCOL_ERROR),
    (heads_without_end, Reason.ANSWER_TOO_LARGE),
    (interim_without_end, Reason.ANSWER_TOO_LARGE),
    (resets_hard, Reason.CONNECTION_LOST),
    (never_reads, Reason.TIMEOUT),
)


@contextmanager
def never_accepts() -> Iterator[str]:
    """Opens a port where the queue of connections is full: nothing is refused, and nothing is taken."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/hooks"


@contextmanager
def bad_receivers() -> Iterator[dict[str, Reason | int]]:
    """Opens one receiver of each kind; gives their URLs, and what comes of a request to each."""
    with ExitStack() as stack:
        expected: dict[str, Reason | int] = {stack.enter_context(never_accepts()): Reason.TIMEOUT}
        for behave, reason in ENDPOINTS:
            expected[stack.enter_context(Endpoint(behave)).url] = reason
        for serve, reason in LISTENERS:
            expected[stack.enter_context(Listener(serve)).url] = reason
        yield expected
