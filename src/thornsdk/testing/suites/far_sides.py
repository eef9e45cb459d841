"""The far side of a transport: where it can send to, and what arrived there."""

import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Protocol, Self

from attrs import field, frozen

from thornsdk.testing.behaviours import answers, closes, drips, never_answers
from thornsdk.testing.endpoint import Endpoint, Handler, Seen
from thornsdk.typing import Headers

_REFUSING = "/refusing"
_SILENT = "/silent"
_BREAKING = "/breaking"
_DRIPPING = "/dripping"
_DRIPS: Final = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x", every=0.05)
_BEHAVIOURS: Final = {
    _REFUSING: answers(503),
    _SILENT: never_answers,
    _BREAKING: closes,
    _DRIPPING: _DRIPS,
}
_TAKES: Final = answers(200, b"ok")


@frozen(kw_only=True)
class Arrived:
    """What arrived at a far side.

    Attributes:
        body: The bytes, as they came.
        headers: The headers, with others that came besides; None where the far side cannot tell.
    """

    body: bytes = field(repr=False)
    headers: Headers | None = field(default=None, repr=False)


class FarSide(Protocol):
    """Where a transport can send to in a test, and what arrived there.

    It is fresh for each test. What cannot be had is None; the promises about it are then skipped.
    """

    @property
    def url(self) -> str:
        """A URL where requests are taken, and answered well."""
        ...

    @property
    def refusing(self) -> str | None:
        """A URL where requests are taken, and refused."""
        ...

    @property
    def nobody(self) -> str | None:
        """A URL where nothing listens."""
        ...

    @property
    def silent(self) -> str | None:
        """A URL where requests are taken or a connection is opened, and nothing is ever answered."""
        ...

    @property
    def breaking(self) -> str | None:
        """A URL where requests are taken, and the connection is then closed without an answer."""
        ...

    @property
    def dripping(self) -> str | None:
        """A URL where requests are taken, and answered byte by byte, over more than a second."""
        ...

    def arrived(self) -> Sequence[Arrived]:
        """Gives what was taken since the test began, answered or not, in its order."""
        ...


class HttpFarSide:
    """The far side of a transport that speaks HTTP: a server on loopback. It serves while it is open.

    Args:
        tls: Serve HTTPS with this context, such as `~thornsdk.testing.Authority.context` gives.

    Example:
        >>> from thornsdk.testing import make_request
        >>> from thornsdk.testing.suites import HttpFarSide
        >>> from thornsdk_plugins.urllib3 import PooledTransport
        >>> transport = PooledTransport()
        >>> with HttpFarSide() as far_side:
        ...     response = transport.send(make_request(far_side.url, b"hello"))
        ...     transport.close()
        >>> [one.body for one in far_side.arrived()]
        [b'hello']
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.endpoint: Endpoint = Endpoint(_behave, tls)
        """What serves; a test may tell it to behave in another way, at all URLs."""
        self._scheme = "http" if tls is None else "https"
        self._closed = socket.socket()
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Where it answers 200."""
        return self.endpoint.url

    @property
    def refusing(self) -> str:
        """Where it answers 503."""
        return f"{self.endpoint.origin}{_REFUSING}"

    @property
    def nobody(self) -> str:
        """A port that is taken, and where nobody listens."""
        return f"{self._scheme}://127.0.0.1:{self._closed.getsockname()[1]}/hooks"

    @property
    def silent(self) -> str:
        """Where it waits until the sender gives up."""
        return f"{self.endpoint.origin}{_SILENT}"

    @property
    def breaking(self) -> str:
        """Where it reads the request, and hangs up."""
        return f"{self.endpoint.origin}{_BREAKING}"

    @property
    def dripping(self) -> str:
        """Where it answers 200, with a body that comes byte by byte and does not end."""
        return f"{self.endpoint.origin}{_DRIPPING}"

    def arrived(self) -> Sequence[Arrived]:
        """Gives what came, whatever became of it."""
        return [Arrived(body=one.body, headers=one.headers) for one in list(self.endpoint.seen)]

    def __enter__(self) -> Self:
        self._stack.enter_context(self._closed).bind(("127.0.0.1", 0))
        self._stack.enter_context(self.endpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _behave(handler: Handler, seen: Seen) -> None:
    behave = _BEHAVIOURS.get(seen.path.partition("?")[0], _TAKES)
    behave(handler, seen)
