"""urllib3's connections, dialled under rules, and the idle ones that are kept for the next request."""

import http.client
import os
import socket
import ssl
import threading
import weakref
from collections import OrderedDict
from email.errors import MissingHeaderBodySeparatorDefect
from http import HTTPStatus
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.response import assert_header_parsing

from thornsdk import Origin
from thornsdk.typing import AddressGuard
from thornsdk_plugins.urllib3.deadline import Deadline, DeadlineSocket, DeadlineSSLSocket
from thornsdk_plugins.urllib3.dial import Dialer

MAX_IDLE: Final = 256
"""How many idle connections are kept at most, over all origins; the longest unused goes first."""

# All safety of addresses hangs on this method: a urllib3 without it must not pass unnoticed.
assert callable(HTTPConnection._new_conn)  # noqa: S101, SLF001


class FinalAnswer(http.client.HTTPResponse):
    """The final answer to a request.

    Interim answers before it, such as 103, are passed over (RFC 9110, section 15.2): http.client would take
    them for the final one, and what follows for the answer to the next request. A head that does not say
    where the answer ends is an error here, before urllib3 sees it: urllib3 would log the whole URL with it.
    """

    def begin(self) -> None:
        """Reads the head.

        Raises:
            HeaderParsingError: If a line is no header.
            HTTPException: If there are several lengths.
        """
        super().begin()
        # Alone of these, it loses headers. The others are about parts of a body that is not in a head.
        lost = (one for one in self.msg.defects if isinstance(one, MissingHeaderBodySeparatorDefect))
        self.msg.defects = list(lost)
        assert_header_parsing(self.msg)
        lengths = ",".join(self.msg.get_all("Content-Length", [])).split(",")
        if len({one.strip() for one in lengths}) > 1:
            raise http.client.HTTPException("several lengths")

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        interim = HTTPStatus.SWITCHING_PROTOCOLS < status < HTTPStatus.OK
        return version, HTTPStatus.CONTINUE if interim else status, reason


class GuardedHTTPConnection(HTTPConnection):
    """An HTTP connection that a dialer opens."""

    response_class = FinalAnswer
    sock: DeadlineSocket
    dialer: Dialer
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        return self.dialer.dial(self._dns_host, self.port, self.deadline)


class GuardedHTTPSConnection(HTTPSConnection):
    """An HTTPS connection that a dialer opens; the certificate is checked against the name."""

    response_class = FinalAnswer
    sock: DeadlineSSLSocket
    dialer: Dialer
    deadline: Deadline

    @property
    def is_connected(self) -> bool:
        """Whether it is open and silent. Bytes that TLS has taken in already count as well."""
        return super().is_connected and not self.sock.pending()

    def _new_conn(self) -> socket.socket:
        sock = self.dialer.dial(self._dns_host, self.port, self.deadline)
        # The TLS handshake is one operation, and takes its time limit from the socket.
        sock.settimeout(self.deadline.remaining())
        return sock


Connection = GuardedHTTPConnection | GuardedHTTPSConnection

Use = tuple[Origin, AddressGuard]
"""What a connection may be used for: requests to its origin, under the guard that let it be opened."""


def make_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Makes the TLS context that all connections share: TLS 1.2 or newer, verified.

    Args:
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.

    Raises:
        OSError: If the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = DeadlineSSLSocket
    return context


def open_connection(
    origin: Origin, dialer: Dialer, context: ssl.SSLContext, deadline: Deadline
) -> Connection:
    """Opens a connection.

    Raises:
        TransportError: If no address is allowed.
        OSError: If none answers, or TLS fails.
        TimeoutError: If the deadline passes.
    """
    connection: Connection
    if origin.scheme == "https":
        connection = GuardedHTTPSConnection(origin.host, origin.port, ssl_context=context)
    else:
        connection = GuardedHTTPConnection(origin.host, origin.port)
    connection.dialer = dialer
    connection.deadline = deadline
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


class IdleConnections:
    """Open connections that wait for the next request of the same use. Safe to share between threads.

    A process that was forked starts empty, and never touches the sockets of its parent.
    """

    def __init__(self) -> None:
        self._closed = False
        self._start_empty()
        _pools.add(self)

    def take(self, use: Use) -> Connection | None:
        """Gives an idle connection that is still open at the far side, the latest used first, or None."""
        while (connection := self._pop(use)) is not None:
            if connection.is_connected:
                return connection
            connection.close()
        return None

    def give(self, use: Use, connection: Connection) -> None:
        """Keeps a connection for the next request, or closes it where there is no place or no tomorrow."""
        with self._lock:
            dropped = [connection] if self._closed else self._add(use, connection)
        for one in dropped:
            one.close()

    def close(self) -> None:
        """Closes all, and what is given later as well."""
        with self._lock:
            self._closed = True
            idle = [connection for _, connection in self._idle.values()]
            self._idle.clear()
            self._by_use.clear()
        for connection in idle:
            connection.close()

    def forget(self) -> None:
        """Lets go of all in a child process: closes its copies of the descriptors, and writes nothing."""
        idle = [connection for _, connection in self._idle.values()]
        self._start_empty()
        for connection in idle:
            connection.close()

    def _start_empty(self) -> None:
        # A new lock: after a fork, the old one may be held by a thread that this process does not have.
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[Use, Connection]] = OrderedDict()
        self._by_use: dict[Use, list[int]] = {}

    def _pop(self, use: Use) -> Connection | None:
        with self._lock:
            keys = self._by_use.get(use)
            if not keys:
                return None
            key = keys.pop()
            if not keys:
                del self._by_use[use]
            return self._idle.pop(key)[1]

    def _add(self, use: Use, connection: Connection) -> list[Connection]:
        self._idle[id(connection)] = (use, connection)
        self._by_use.setdefault(use, []).append(id(connection))
        if len(self._idle) <= MAX_IDLE:
            return []
        key, (oldest_use, oldest) = self._idle.popitem(last=False)
        keys = self._by_use[oldest_use]
        keys.remove(key)
        if not keys:
            del self._by_use[oldest_use]
        return [oldest]


_pools: weakref.WeakSet[IdleConnections] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)
