"""A real HTTP or HTTPS server on loopback, which behaves as a test tells it."""

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, TypeAlias

from attrs import frozen


@frozen
class Seen:
    """A request as it came over the wire."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str) -> str:
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one segment.
    wbufsize = -1
    server: "_Server"

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.number = self.server.count_connection()

    def finish(self) -> None:
        super().finish()
        if self.server.tls is not None:
            # The server closes the socket that it accepted; the one around it is ours to close.
            self.request.close()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        seen = Seen(self.path, tuple(self.headers.items()), body, self.number)
        self.server.seen.append(seen)
        self.server.behave(self, seen)

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are, and ends the connection after this request."""
        self.close_connection = True
        self.wfile.write(data)
        self.wfile.flush()

    def wait(self, seconds: float) -> None:
        """Waits, but no longer than the server lives."""
        self.server.stopping.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        pass


Behaviour: TypeAlias = Callable[[Handler, Seen], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.tls = tls
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self.connections = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def count_connection(self) -> int:
        with self._lock:
            self.connections += 1
            return self.connections

    def get_request(self) -> tuple[socket.socket, object]:
        request, address = super().get_request()
        self._open.add(request)
        return request, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self._open.difference_update([request])
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for request in list(self._open):
            with suppress(OSError):  # It may have ended by itself in this very moment.
                request.shutdown(socket.SHUT_RD)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are what some tests are about."""


class Endpoint:
    """Serves while it is open.

    Args:
        behave: What it does with each request; by default, it answers 200.
        tls: Serve HTTPS with this context.
    """

    def __init__(self, behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(behave or answers(200, b"ok"), tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.host = "127.0.0.1"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        return f"{'https' if self._server.tls else 'http'}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/hooks"

    @property
    def seen(self) -> list[Seen]:
        return self._server.seen

    def came(self, event: str) -> Counter[str]:
        """Gives how often each delivery of an event came."""
        return Counter(one.header("Hook-Delivery") for one in self.seen if one.header("Hook-Event") == event)

    @property
    def connections(self) -> int:
        return self._server.connections

    def hang_up(self) -> None:
        """Ends the connections on which no request is being answered."""
        self._server.hang_up()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answers(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Behaviour:
    """Answers with this status."""
    return lambda handler, _: handler.answer(status, body, headers)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behaves in one way for the first request, in the next for the second; the last one stays."""
    left = list(behaviours)

    def behave(handler: Handler, seen: Seen) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(handler, seen)

    return behave


def once_then(first: Behaviour, then: Behaviour) -> Behaviour:
    """Behaves in one way towards the first attempt of each delivery, and in another towards the others."""
    known: set[str] = set()

    def behave(handler: Handler, seen: Seen) -> None:
        key = seen.header("Hook-Delivery")
        now = then if key in known else first
        known.add(key)
        now(handler, seen)

    return behave


def never_answers(handler: Handler, _: Seen) -> None:
    """Waits until the sender gives up."""
    handler.close_connection = True
    handler.rfile.read(1)


def hangs(handler: Handler, _: Seen) -> None:
    """Never answers."""
    handler.close_connection = True
    handler.wait(30)


def resets(handler: Handler, _: Seen) -> None:
    """Closes the connection without an answer."""
    handler.close_connection = True


def says(data: bytes) -> Behaviour:
    """Answers with these very bytes, and closes the connection."""
    return lambda handler, _: handler.raw(data)


def drips(first: bytes, drop: bytes, every: float) -> Behaviour:
    """Sends something, and then a drop now and again for ever."""

    def behave(handler: Handler, _: Seen) -> None:
        handler.raw(first)
        while not handler.server.stopping.wait(every):
            handler.raw(drop)

    return behave
