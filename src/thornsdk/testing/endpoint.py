"""A real HTTP or HTTPS server on loopback, which behaves as a test tells it."""

import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Self, TypeAlias

from attrs import field, frozen

from thornsdk.typing import Headers

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_POLL = 0.01
"""Every how many seconds the server looks whether it is to end."""


@frozen
class Seen:
    """A request as it came over the wire.

    Attributes:
        path: Path and query.
        headers: All headers, in their order.
        body: The exact bytes.
        connection: Over which connection it came; the first is 1.
    """

    path: str
    headers: Headers
    body: bytes = field(repr=False)
    connection: int

    def header(self, name: str) -> str:
        """Gives the value of a header that came once; case does not matter in the name.

        Raises:
            ValueError: If it came never, or more than once.
        """
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return value


class Handler:
    """What a behaviour answers a request with.

    Args:
        connection: The connection that the request came over.
    """

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection

    @property
    def sock(self) -> socket.socket:
        """The connection itself; over TLS, an ``ssl.SSLSocket``."""
        return self._connection.request

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS) -> None:
        """Sends an answer."""
        self._connection.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self._connection.send_header(name, value)
        self._connection.end_headers()
        self._send(body)

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are, and ends the connection after this request."""
        self.close()
        self._send(data)

    def close(self) -> None:
        """Ends the connection after this request, answered or not."""
        self._connection.close_connection = True

    def reset(self) -> None:
        """Ends the connection with a reset, and lets go of what was not sent yet."""
        self.close()
        # A socket that lingers for no time at all says so with RST in place of FIN: socket(7), SO_LINGER.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.server.reset.add(self.sock)

    def wait(self, seconds: float) -> bool:
        """Waits, but no longer than the endpoint is open; tells whether it is closing."""
        return self._connection.server.stopping.wait(seconds)

    def wait_for_sender(self) -> None:
        """Waits until the sender has hung up."""
        self.close()
        self._connection.rfile.read(1)

    def _send(self, data: bytes) -> None:
        self._connection.wfile.write(data)
        self._connection.wfile.flush()


Behaviour: TypeAlias = Callable[[Handler, Seen], object]
"""What an `Endpoint` does with a request: it answers through the handler, or does not."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave in one segment.
    wbufsize = -1
    request: socket.socket
    server: "_Server"  # pyright: ignore[reportIncompatibleVariableOverride] - it serves this one alone

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
        self.server.open.add(self.request)
        super().setup()
        self._number = self.server.count_connection()

    def finish(self) -> None:
        with suppress(OSError):  # Who has hung up takes the rest of an answer no more.
            super().finish()
        self.rfile.close()
        self.server.open.discard(self.request)
        if self.server.tls is not None:
            # The server closes the socket that it accepted; the one around it is ours to close.
            self.request.close()

    def do_POST(self) -> None:
        seen = Seen(self.path, tuple(self.headers.items()), self._body(), self._number)
        self.server.seen.append(seen)
        self.server.behave(Handler(self), seen)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks: list[bytes] = []
        # RFC 9112, section 7.1: a size in hex, with extensions perhaps, and a line end behind each chunk.
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # Trailer fields, up to an empty line.
        return b"".join(chunks)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Says nothing."""


def _accepts(handler: Handler, _: Seen) -> None:
    handler.answer(200, b"ok")


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behave = behave
        self.tls = tls
        self.seen: list[Seen] = []
        self.stopping: threading.Event = threading.Event()
        self.connections: int = 0
        self._lock = threading.Lock()
        self.reset: set[socket.socket] = set()
        self.open: set[socket.socket] = set()

    def count_connection(self) -> int:
        with self._lock:
            self.connections += 1
            return self.connections

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if request in self.reset:
            self.close_request(request)  # A shutdown would say FIN first.
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        for request in list(self.open):
            with suppress(OSError):  # It may have ended by itself in this very moment.
                request.shutdown(socket.SHUT_RD)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are what some tests are about."""


class Endpoint:
    """A subscriber on loopback: it serves while it is open, and keeps what it has seen.

    When it closes, what it is answering is answered to the end, and connections that are idle end.

    Args:
        behave: What it does with each request; by default, it answers 200. `thornsdk.testing` has others.
        tls: Serve HTTPS with this context, such as `Authority.context` gives.

    Example:
        >>> from thornsdk import Thorn
        >>> from thornsdk.testing import Endpoint, answers
        >>> with Endpoint(answers(503)) as endpoint:
        ...     with Thorn(allow_networks=["127.0.0.1"], allow_ports=[endpoint.port]) as thorn:
        ...         subscription = thorn.subscribe("order.*", endpoint.url)
        ...         receipt = thorn.event("order.created").send({"id": 42})
        >>> endpoint.seen[0].body
        b'{"id":42}'
    """

    host: str = "127.0.0.1"
    """The address that it listens at."""

    def __init__(self, behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(behave or _accepts, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,))

    @property
    def port(self) -> int:
        """Where it listens, on a port that was free."""
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        """Scheme, address and port."""
        return f"{'https' if self._server.tls else 'http'}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """A URL to subscribe. It serves all paths alike."""
        return f"{self.origin}/hooks"

    @property
    def seen(self) -> list[Seen]:
        """The requests that came, in their order."""
        return self._server.seen

    @property
    def connections(self) -> int:
        """How many connections came."""
        return self._server.connections

    def came(self, event: str) -> Counter[str]:
        """Gives how often each delivery of an event came, by its id."""
        return Counter(one.header("Hook-Delivery") for one in self.seen if one.header("Hook-Event") == event)

    def behave(self, behaviour: Behaviour) -> None:
        """From now on, it does this with each request."""
        self._server.behave = behaviour

    def hang_up(self) -> None:
        """Ends the connections on which no request is being answered."""
        self._server.hang_up()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._thread.join()
        self._server.server_close()
