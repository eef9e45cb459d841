"""A bare listener on loopback, for tests about the very bytes, and short ways to make requests."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from uuid import uuid4

import pytest

from thornsdk import URL, AddressRules, Exchange, Reason, Request, Response, Transport
from thornsdk.errors import TransportError
from thornsdk.typing import Headers

LOOPBACK = AddressRules(allow=["127.0.0.1", "::1"])


def request_to(
    url: str,
    body: bytes = b"{}",
    timeout: float = 20,
    headers: Headers = (),
    rules: AddressRules = LOOPBACK,
    *,
    client_certificate: str | None = None,
) -> Request:
    """Makes a request, by default one that may go to 127.0.0.1 and ::1."""
    return Request(
        id=uuid4(),
        url=URL.parse(url),
        headers=headers,
        body=body,
        timeout=timeout,
        guard=rules.forbidden,
        client_certificate=client_certificate,
    )


def failure(transport: Transport, request: Request) -> TransportError:
    """Sends a request that must fail, and gives the error."""
    with pytest.raises(TransportError) as caught:
        transport.send(request)
    return caught.value


def reason(transport: Transport, request: Request) -> Reason:
    """Sends a request that must fail, and gives the reason."""
    return failure(transport, request).reason


def told(one: Exchange) -> int | Reason:
    """Gives the status of an answer, or the reason why there is none."""
    return one.result.status if isinstance(one.result, Response) else one.result.reason


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for what must come soon."""
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, "it never came"
        time.sleep(0.005)


def read_request(sock: socket.socket) -> bytes:
    """Reads one request as it comes over the wire."""
    data = b""
    while b"\r\n\r\n" not in data and (more := sock.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < wanted and (more := sock.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def replies(data: bytes) -> Callable[[socket.socket], None]:
    """Reads a request, answers with these bytes, and waits until the client has gone."""

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(data)
        sock.recv(1)

    return serve


def keeps_answering(data: bytes = OK) -> Callable[[socket.socket], None]:
    """Answers each request of a connection with these bytes, until the client has gone."""

    def serve(sock: socket.socket) -> None:
        while read_request(sock).strip():
            sock.sendall(data)

    return serve


def keeps(came: list[bytes], answer: bytes = OK) -> Callable[[socket.socket], None]:
    """Keeps each request of a connection as it came, and answers it."""

    def serve(sock: socket.socket) -> None:
        while (data := read_request(sock)).strip():
            came.append(data)
            sock.sendall(answer)

    return serve


class Listener:
    """Takes connections while it is open, and does with each of them what the test says, in a thread.

    The connection is closed when that is done. Where it listens at many addresses, it knows which of them
    were dialled.
    """

    def __init__(
        self, serve: Callable[[socket.socket], object], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._serve = serve
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self.stopping = threading.Event()
        self.host = f"[{host}]" if ":" in host else host
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self.dialled: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hooks"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        # On Linux this wakes the thread that accepts; closing alone does not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self.dialled.append(sock.getsockname()[0])
            self._open.append(sock)
            thread = threading.Thread(target=self._run, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._serve(sock)
            except OSError:
                return  # The client went away: that is what some tests are about.
