"""The built-in transport: HTTP and HTTPS over connections that stay open."""

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from itertools import chain, islice

from urllib3 import BaseHTTPResponse, HTTPHeaderDict

from thornsdk import Exchange, Request, Response, exchange
from thornsdk.errors import ConfigurationError
from thornsdk.typing import Resolver
from thornsdk_plugins.urllib3.connections import (
    Connection,
    IdleConnections,
    make_context,
    open_connection,
)
from thornsdk_plugins.urllib3.deadline import Deadline
from thornsdk_plugins.urllib3.dial import Dialer, system_resolver
from thornsdk_plugins.urllib3.failures import translate
from thornsdk_plugins.urllib3.fan_out import fan_out

MAX_ANSWER = 64 * 1024
"""How many bytes of an answer's body are read, after decoding. The rest is not of interest to a sender."""


class PooledTransport:
    """Sends requests over HTTP/1.1 with urllib3.

    Connections stay open and serve the next request to the same origin. Certificates are verified, redirects
    are not followed, proxies of the environment are ignored, and no address is connected to that the
    request's guard forbids. Safe to share between threads, and after a fork.

    Args:
        concurrency: How many requests `send_many` keeps in flight.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        resolver: Gives the addresses of host names.

    Raises:
        ConfigurationError: If the file of authorities cannot be used, or the concurrency is less than 1.
    """

    def __init__(
        self,
        *,
        concurrency: int = 64,
        ca_bundle: str | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"a concurrency of {concurrency} sends nothing; it must be at least 1")
        self._concurrency = concurrency
        self._resolver = resolver
        self._user_agent = f"urllib3/{version('urllib3')}"
        self._idle = IdleConnections()
        try:
            self._context = make_context(ca_bundle)
        except OSError as exc:
            raise ConfigurationError(f"the CA bundle {ca_bundle} cannot be used: {exc}") from exc

    @property
    def schemes(self) -> frozenset[str]:
        """``http`` and ``https``."""
        return frozenset({"http", "https"})

    @property
    def user_agent(self) -> str:
        """``urllib3`` and its version."""
        return self._user_agent

    def send(self, request: Request) -> Response:
        """Sends one request as a POST and reads the answer.

        Raises:
            TransportError: If there was no answer within the deadline, or no connection that is allowed.
        """
        try:
            return self._send(request, Deadline.after(request.timeout))
        except Exception as exc:
            error = translate(exc)
            raise error from (None if error is exc else exc)

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Sends requests, several at once, and gives each result as soon as it is known."""
        stream = iter(requests)
        send = partial(exchange, self.send)
        if self._concurrency == 1:
            return map(send, stream)
        head = list(islice(stream, 2))
        if len(head) == 1:  # One alone needs no thread.
            return map(send, head)
        return fan_out(chain(head, stream), send, self._concurrency)

    def close(self) -> None:
        """Closes idle connections at once, and those in use when their requests end."""
        self._idle.close()

    def _send(self, request: Request, deadline: Deadline) -> Response:
        use = (request.url.origin, request.guard)
        connection = self._idle.take(use)
        reused = connection is not None
        if connection is None:
            dialer = Dialer(self._resolver, request.guard)
            connection = open_connection(request.url.origin, dialer, self._context, deadline)
        try:
            connection.sock.deadline = deadline
            response, reusable = _exchange(connection, request, reused=reused)
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._idle.give(use, connection)
        else:
            connection.close()
        return response


def _exchange(connection: Connection, request: Request, *, reused: bool) -> tuple[Response, bool]:
    """Sends a request and reads its answer; tells too whether the connection can serve another one."""
    address = str(connection.sock.getpeername()[0])
    # Compression would save nothing on answers of which so little is read.
    headers = HTTPHeaderDict((*request.headers, ("Accept-Encoding", "identity")))
    # A server may refuse a long body before it has read it: what it answered can be there to read.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", request.url.target, request.body, headers, preload_content=False)
    answer: BaseHTTPResponse = connection.getresponse()
    with closing(answer):
        body = answer.read(MAX_ANSWER + 1, decode_content=True)
    response = Response(
        status=answer.status,
        headers=tuple(answer.headers.items()),
        body=body[:MAX_ANSWER],
        truncated=len(body) > MAX_ANSWER,
        reused=reused,
        address=address,
    )
    ended = not response.truncated and answer.status != HTTPStatus.SWITCHING_PROTOCOLS
    return response, ended and not connection.is_closed
