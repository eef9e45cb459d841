"""The built-in transport: HTTP and HTTPS over connections that stay open."""

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from types import MappingProxyType

from thornsdk import URL, Exchange, LookUps, Request, Response, exchange, fan_out, system_resolver
from thornsdk.errors import ConfigurationError, TransportError
from thornsdk.typing import Resolver, Timer
from thornsdk_plugins.urllib3.connections import Connection, Opener
from thornsdk_plugins.urllib3.failures import translate
from thornsdk_plugins.urllib3.idle import IdleConnections, Use
from thornsdk_plugins.urllib3.reading import Answer, read_answer
from thornsdk_plugins.urllib3.tls import Contexts
from thornsdk_plugins.urllib3.watch import Watch
from thornsdk_plugins.urllib3.writing import send, written


class PooledTransport:
    """Sends requests over HTTP/1.1 with urllib3.

    Connections stay open and serve the next request to the same origin. Certificates are verified, redirects
    are not followed, proxies of the environment are ignored, and no address is connected to that the
    request's guard forbids. Safe to share between threads, and after a fork.

    Args:
        concurrency: How many requests `send_many` keeps in flight.
        concurrency_per_origin: How many of these go to one origin at most.
        idle_connections: How many connections are kept open for later requests, over all origins.
        idle_timeout: After how many seconds an idle connection is not used again.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        client_certificates: The certificates that requests may name: the path of a PEM file with certificate
            and key for each name.
        filtering_proxy: The URL of a proxy to tunnel all requests through, such as
            ``http://proxy.internal:4750``. It must itself refuse the addresses that are not to be reached: a
            request's guard sees none of them.
        resolver: Gives the addresses of host names.
        timer: Counts seconds.

    Raises:
        ConfigurationError: If a file cannot be used, or the concurrency is less than 1.
    """

    def __init__(  # noqa: PLR0913 - each is one of the settings
        self,
        *,
        concurrency: int = 128,
        concurrency_per_origin: int = 64,
        idle_connections: int = 256,
        idle_timeout: float = 50.0,
        ca_bundle: str | None = None,
        client_certificates: Mapping[str, str] = MappingProxyType({}),
        filtering_proxy: str | None = None,
        resolver: Resolver = system_resolver,
        timer: Timer = time.monotonic,
    ) -> None:
        for width in (concurrency, concurrency_per_origin):
            if width < 1:
                raise ConfigurationError(f"a concurrency of {width} sends nothing; it must be at least 1")
        self._concurrency = concurrency
        self._per_origin = concurrency_per_origin
        self._timer = timer
        self._user_agent = f"urllib3/{version('urllib3')}"
        self._idle = IdleConnections(idle_connections, idle_timeout, timer)
        self._opener = Opener(
            LookUps(resolver),
            Contexts(ca_bundle, client_certificates),
            None if filtering_proxy is None else URL.parse(filtering_proxy).origin,
        )

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
        watch = Watch(request.timeout, self._timer)
        try:
            return self._send(request, watch)
        except TransportError as exc:
            exc.timings = watch.timings()
            raise
        except Exception as exc:
            raise translate(exc, watch.timings()) from exc

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Sends requests, several at once, and gives each result as soon as it is known."""
        stream = iter(requests)
        # What is sent in turn is read in turn; one alone needs no thread.
        head = list(islice(stream, 0 if self._concurrency == 1 else 2))
        if len(head) <= 1:
            return map(partial(exchange, self.send), chain(head, stream))
        return fan_out(chain(head, stream), self.send, self._concurrency, self._per_origin)

    def close(self) -> None:
        """Closes idle connections at once, and those in use when their requests end."""
        self._idle.close()

    def _send(self, request: Request, watch: Watch) -> Response:
        origin = request.url.origin
        use = (origin, request.guard, request.client_certificate)
        data = written(request, origin.authority)
        idle = self._sent_over_idle(use, data, watch)
        connection = idle or self._sent_over_new(use, data, watch)
        answer = _answer(connection)
        if answer.reusable:
            self._idle.give(use, connection)
        else:
            connection.close()
        return Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            truncated=answer.truncated,
            reused=idle is not None,
            address=connection.address,
            timings=watch.timings(),
        )

    def _sent_over_idle(self, use: Use, data: bytes, watch: Watch) -> Connection | None:
        idle = self._idle.take(use)
        if idle is None or _sent(idle, data, watch):
            return idle
        # The far side closed it in this very moment. Nothing has left, so another one may serve.
        idle.close()
        return None

    def _sent_over_new(self, use: Use, data: bytes, watch: Watch) -> Connection:
        connection = self._opener.open(*use, watch)
        _sent(connection, data, watch)
        return connection


def _sent(connection: Connection, data: bytes, watch: Watch) -> bool:
    """Sends a request; tells whether anything has left."""
    try:
        connection.sock.watch = watch
        return send(connection.sock, data)
    except BaseException:
        connection.close()
        raise


def _answer(connection: Connection) -> Answer:
    try:
        return read_answer(connection.sock)
    except BaseException:
        connection.close()
        raise
