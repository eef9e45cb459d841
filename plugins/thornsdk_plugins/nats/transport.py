"""The transport that publishes to JetStream."""

import os
import queue
import ssl
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version

from thornsdk import Exchange, LookUps, Places, Request, Response, exchange, system_resolver
from thornsdk.errors import ConfigurationError, TransportError
from thornsdk.typing import Resolver
from thornsdk_plugins.nats.failures import translate
from thornsdk_plugins.nats.hub import Hub
from thornsdk_plugins.nats.loop import LoopThread, Tell
from thornsdk_plugins.nats.servers import SCHEME, read_servers


class NatsTransport:
    """Publishes requests to streams of NATS JetStream, and waits until these have acknowledged them.

    ``nats://events/orders.created`` is the subject ``orders.created`` at the server that is given here by the
    name ``events``. A URL comes from a customer, so it does not say where to connect, and a request's guard
    has nothing to judge.

    One connection to a server carries all requests, and stays open. Everything happens in an event loop in a
    thread of its own, which starts with the first request and ends with `close`. Safe to share between
    threads, and after a fork.

    Args:
        servers: The URLs of servers by name, such as ``{"events": "nats://user:password@nats.internal:4222"}``.
            ``tls://`` insists on TLS; a user without a password is a token.
        concurrency: How many requests `send_many` keeps in flight.
        concurrency_per_origin: How many of these go to one server at most.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        resolver: Gives the addresses of host names.

    Raises:
        InvalidValue: If a name or a URL of a server cannot be one. The error does not quote the URL.
        ConfigurationError: If the file cannot be used, or a concurrency is less than 1.

    Example:
        >>> from thornsdk_plugins.nats import NatsTransport
        >>> transport = NatsTransport(servers={"events": "tls://user:password@nats.internal"})
        >>> transport.schemes
        frozenset({'nats'})
    """

    def __init__(
        self,
        *,
        servers: Mapping[str, str],
        concurrency: int = 128,
        concurrency_per_origin: int = 64,
        ca_bundle: str | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        for width in (concurrency, concurrency_per_origin):
            if width < 1:
                raise ConfigurationError(f"a concurrency of {width} sends nothing; it must be at least 1")
        self._servers = read_servers(servers)
        self._concurrency = concurrency
        self._per_origin = concurrency_per_origin
        self._context = _context(ca_bundle)
        self._look_ups = LookUps(resolver)
        self._user_agent = f"nats-py/{version('nats-py')}"
        self._closed = False
        self._running: LoopThread | None = None
        self._start_empty()
        _transports.add(self)

    @property
    def schemes(self) -> frozenset[str]:
        """``nats``."""
        return frozenset({SCHEME})

    @property
    def user_agent(self) -> str:
        """``nats-py`` and its version."""
        return self._user_agent

    def send(self, request: Request) -> Response:
        """Publishes one request, and waits for the answer of the stream.

        Raises:
            TransportError: If there was no answer within the deadline, or the URL names no server or subject.
        """
        (result,) = (one.result for one in self.send_many([request]))
        if isinstance(result, TransportError):
            raise result
        return result

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Publishes requests, many at once, and gives each result as soon as it is known.

        The requests are read, and the results given, in the caller's thread. Where the results are left
        early, what was begun is published all the same.
        """
        places = Places(requests, self._concurrency, self._per_origin)
        ended: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        in_flight = 0
        while True:
            while in_flight < self._concurrency and (request := places.take()) is not None:
                self._begin(request, ended.put)
                in_flight += 1
            if not in_flight:
                return
            one = ended.get()
            in_flight -= 1
            places.free(one.request.url.origin)
            yield one

    def close(self) -> None:
        """Closes the connections at once, or when the requests that are under way have ended."""
        with self._lock:
            self._closed = True
            running = self._running
            self._running = None
        if running is not None:
            running.end()

    def forget(self) -> None:
        """Starts afresh in a child process, and leaves the parent's connections alone."""
        if self._running is not None:
            _abandoned.append(self._running)
        self._start_empty()

    def _start_empty(self) -> None:
        # A new lock: after a fork, the old one may be held by a thread that this process does not have.
        self._lock = threading.Lock()
        self._running = None

    def _begin(self, request: Request, tell: Tell) -> None:
        with self._lock:
            try:
                running = self._running or LoopThread(self._make_hub())
            except (OSError, RuntimeError) as exc:
                tell(exchange(partial(_fail, exc), request))
                return
            running.begin(request, tell)
            if self._closed:
                running.end()
            else:
                self._running = running

    def _make_hub(self) -> Hub:
        return Hub(self._servers, self._context, self._look_ups)


def _fail(error: Exception, _: Request) -> Response:
    raise translate(error) from error


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as exc:
        raise ConfigurationError(f"the CA bundle {ca_bundle} cannot be used: {exc}") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


_transports: weakref.WeakSet[NatsTransport] = weakref.WeakSet()
# In a child process, what its parent's loop has: taking it apart would close what is the parent's.
_abandoned: list[LoopThread] = []


def _forget_all() -> None:
    for transport in list(_transports):
        transport.forget()


os.register_at_fork(after_in_child=_forget_all)
