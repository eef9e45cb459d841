"""A small HTTP server that takes webhooks, for ``listen`` and ``demo``. No server for production."""

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, TypeAlias

from attrs import field, frozen

from thornsdk.typing import Headers

MAX_BODY = 1024 * 1024
"""The longest body that is taken, in bytes."""

_PATIENCE = 10.0
_CHECK_EVERY = 0.05


@frozen
class Arrival:
    """A request as it came.

    Attributes:
        path: What its first line names.
        headers: As they came.
        body: The exact bytes.
    """

    path: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Gives the first value of a header, or None. Case does not matter."""
        lower = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower), None)


Answer: TypeAlias = Callable[[Arrival], int]
"""Gives the status to answer a request with. It is called in the thread of the connection."""


class Receiver:
    """Receives POST requests while it is open. Its threads have ended when it is closed.

    Args:
        answer: Says what to answer.
        host: The address to listen at.
        port: The port; 0 for one that is free.

    Raises:
        OSError: If it cannot listen there.
    """

    def __init__(self, answer: Answer, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = _Server(answer, host, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_CHECK_EVERY,))
        self._host = f"[{host}]" if ":" in host else host
        self.stopping = threading.Event()
        """Set when it is being closed: an answer that waits must wait for this too."""

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        """Where it listens, as the beginning of a URL."""
        return f"http://{self._host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Closing it waits for the thread of each connection.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, answer: Answer, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answer = answer
        self._open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up, which may take long and serves nothing here.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, object]:
        request, address = super().get_request()
        self._open.add(request)
        return request, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self._open.difference_update([request])
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Ends the reading on every connection: idle ones end, an answer that is being written is written."""
        for request in list(self._open):
            # It may have ended by itself in this very moment.
            with suppress(OSError):
                request.shutdown(socket.SHUT_RD)

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that breaks off is no trouble of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    # Head and body of an answer leave in one segment.
    wbufsize = -1
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # it serves that one alone

    def do_POST(self) -> None:
        """Reads a request, whole, and answers it."""
        refused = self._refused()
        if refused is not None:
            self.close_connection = True
            self._reply(refused)
            return
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        self._reply(self.server.answer(Arrival(self.path, tuple(self.headers.items()), body)))

    def _refused(self) -> HTTPStatus | None:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding"):
            return HTTPStatus.LENGTH_REQUIRED
        if not length.isascii() or not length.isdigit():
            return HTTPStatus.BAD_REQUEST
        # A number that is very long is not even read.
        too_long = len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_long else None

    def _reply(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Who uses the receiver tells what arrives."""
