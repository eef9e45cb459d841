"""The transport that sends with libcurl."""

import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from types import MappingProxyType

import pycurl

from thornsdk import Exchange, Places, Request, Response, system_resolver
from thornsdk.errors import ConfigurationError, TransportError
from thornsdk.typing import AddressGuard, Resolver
from thornsdk_plugins.curl.loop import Loop
from thornsdk_plugins.curl.options import Options
from thornsdk_plugins.curl.pace import ENOUGH

_MOST_LOOPS = 64
"""How many loops are kept, one for each thread that has sent at the same time as others, and each guard."""
_OLDEST = 0x081000
"""libcurl 8.16: the oldest that this was tested with."""


class CurlTransport:
    """Sends requests over HTTP with libcurl, many at once in the thread that asks for it.

    HTTP/2 is spoken with receivers that offer it over TLS, HTTP/1.1 with the others. Connections stay open
    and serve the next request to the same origin. Certificates are verified, redirects are not followed,
    proxies of the environment are ignored, and no address is connected to that the request's guard forbids.
    Safe to share between threads, and after a fork.

    Args:
        concurrency: How many requests `send_many` keeps in flight.
        concurrency_per_origin: How many of these go to one origin at most.
        idle_connections: How many connections are kept open for later requests, over all origins; where
            several threads send at once, for each of them.
        idle_timeout: After how many seconds an idle connection is not used again; whole seconds count.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        client_certificates: The certificates that requests may name: the path of a PEM file with certificate
            and key for each name.
        filtering_proxy: The URL of a proxy to tunnel all requests through, such as
            ``http://proxy.internal:4750``. It must itself refuse the addresses that are not to be reached: a
            request's guard sees none of them.
        resolver: Gives the addresses of host names.

    Raises:
        ConfigurationError: If a file cannot be used, or the concurrency is less than 1.
    """

    def __init__(
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
    ) -> None:
        _check_version()
        for width in (concurrency, concurrency_per_origin):
            if width < 1:
                raise ConfigurationError(f"a concurrency of {width} sends nothing; it must be at least 1")
        self._concurrency = concurrency
        self._per_origin = concurrency_per_origin
        self._options = Options.checked(
            ca_bundle=ca_bundle,
            client_certificates=client_certificates,
            idle_connections=idle_connections,
            idle_timeout=idle_timeout,
            filtering_proxy=filtering_proxy,
            resolver=resolver,
        )
        self._user_agent = f"libcurl/{pycurl.version_info()[1]}"
        self._closed = False
        self._start_empty()
        _transports.add(self)

    @property
    def schemes(self) -> frozenset[str]:
        """``http`` and ``https``."""
        return frozenset({"http", "https"})

    @property
    def user_agent(self) -> str:
        """``libcurl`` and its version."""
        return self._user_agent

    def send(self, request: Request) -> Response:
        """Sends one request as a POST and reads the answer.

        Raises:
            TransportError: If there was no answer within the deadline, or no connection that is allowed.
        """
        (result,) = (one.result for one in self.send_many([request]))
        if isinstance(result, TransportError):
            raise result
        return result

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Sends requests, many at once, and gives each result as soon as it is known.

        All happens in the caller's thread, between one result and the next. Where the results are left
        early, what was begun is waited for.
        """
        stream = iter(requests)
        for first in stream:
            many = chain([first], stream)
            places = Places(many, self._concurrency, self._per_origin, enough=ENOUGH)
            with self._loop(first.guard) as loop:
                yield from loop.run(places, self._concurrency)
            return

    def close(self) -> None:
        """Closes idle connections at once, and those in use when their requests end."""
        with self._lock:
            self._closed = True
            loops = self._idle.copy()
            self._idle.clear()
        for one in loops:
            one.close()

    def forget(self) -> None:
        """Starts afresh in a child process, and leaves the parent's connections alone."""
        _abandoned.extend(self._all)
        for one in self._all:
            one.abandon()
        self._start_empty()

    def _start_empty(self) -> None:
        # A new lock: after a fork, the old one may be held by a thread that this process does not have.
        self._lock = threading.Lock()
        self._idle: list[Loop] = []
        self._all: weakref.WeakSet[Loop] = weakref.WeakSet()

    @contextmanager
    def _loop(self, guard: AddressGuard) -> Iterator[Loop]:
        """Lends a loop to this thread; those of the same guard keep its connections."""
        with self._lock:
            known = next((one for one in reversed(self._idle) if one.guard == guard), None)
            if known is not None:
                self._idle.remove(known)
        loop = known or self._make(guard)
        try:
            yield loop
        finally:
            for one in self._give_back(loop):
                one.close()

    def _give_back(self, loop: Loop) -> list[Loop]:
        """Keeps a loop for the next who sends; gives those that are to be closed."""
        loop.idle_since = now = time.monotonic()
        with self._lock:
            # One that was left in the middle, by an interrupt, has requests of another's in it.
            if self._closed or loop.is_busy():
                return [loop]
            self._idle.append(loop)
            oldest_since = now - self._options.idle_timeout
            old = [one for one in self._idle[:-1] if one.idle_since < oldest_since]
            old += self._idle[: max(0, len(self._idle) - len(old) - _MOST_LOOPS)]
            self._idle = [one for one in self._idle if one not in old]
            return old

    def _make(self, guard: AddressGuard) -> Loop:
        loop = Loop(self._options, guard)
        self._all.add(loop)
        return loop


def _check_version() -> None:
    version = pycurl.version_info()
    if version[2] < _OLDEST:
        raise ConfigurationError(
            f"libcurl {version[1]} is too old for the transport 'curl', which needs 8.16 or newer; wheels of "
            f"pycurl bring one along: pip install 'thornsdk[curl]'"
        )


_transports: weakref.WeakSet[CurlTransport] = weakref.WeakSet()
# In a child process, what libcurl has of its parent: taking it apart would write to the parent's connections.
_abandoned: list[Loop] = []


def _forget_all() -> None:
    for transport in list(_transports):
        transport.forget()


os.register_at_fork(after_in_child=_forget_all)
