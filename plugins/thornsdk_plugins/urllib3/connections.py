"""urllib3's connections, dialled under rules, and the idle ones that are kept for the next request."""

import os
import socket
import ssl
import threading
from collections import OrderedDict
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection

from thornsdk import Origin
from thornsdk_plugins.urllib3.deadline import Deadline, DeadlineSocket, DeadlineSSLSocket
from thornsdk_plugins.urllib3.dial import Dialer

MAX_IDLE: Final = 256
"""How many idle connections are kept at most, over all origins; the longest unused goes first."""

# All safety of addresses hangs on this method: a urllib3 without it must not pass unnoticed.
assert callable(HTTPConnection._new_conn)  # noqa: S101, SLF001


class GuardedHTTPConnection(HTTPConnection):
    """An HTTP connection that a dialer opens."""

    dialer: Dialer
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        return self.dialer.dial(self._dns_host, self.port, self.deadline)


class GuardedHTTPSConnection(HTTPSConnection):
    """An HTTPS connection that a dialer opens; the certificate is checked against the name."""

    dialer: Dialer
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        sock = self.dialer.dial(self._dns_host, self.port, self.deadline)
        # The TLS handshake is one operation, and takes its time limit from the socket.
        sock.settimeout(self.deadline.remaining())
        return sock


Connection = GuardedHTTPConnection | GuardedHTTPSConnection


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
    prepare(connection, deadline)
    try:
        connection.connect()
        prepare(connection, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: Connection, deadline: Deadline) -> None:
    """Puts an exchange under its deadline."""
    connection.deadline = deadline
    connection.timeout = deadline.remaining()
    if isinstance(connection.sock, (DeadlineSocket, DeadlineSSLSocket)):
        connection.sock.deadline = deadline


class IdleConnections:
    """Open connections that wait for the next request to their origin. Safe to share between threads.

    A process that was forked starts empty, and never touches the sockets of its parent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._idle: OrderedDict[int, tuple[Origin, Connection]] = OrderedDict()
        self._by_origin: dict[Origin, list[int]] = {}

    def take(self, origin: Origin) -> Connection | None:
        """Gives an idle connection that is still open at the far side, the latest used first, or None."""
        self._notice_fork()
        while (connection := self._pop(origin)) is not None:
            if connection.is_connected:
                return connection
            connection.close()
        return None

    def give(self, origin: Origin, connection: Connection) -> None:
        """Keeps a connection for the next request, or closes it where there is no place or no tomorrow."""
        self._notice_fork()
        with self._lock:
            dropped = [connection] if self._closed else self._add(origin, connection)
        for one in dropped:
            one.close()

    def close(self) -> None:
        """Closes all, and what is given later as well."""
        self._notice_fork()
        with self._lock:
            self._closed = True
            idle = [connection for _, connection in self._idle.values()]
            self._idle.clear()
            self._by_origin.clear()
        for connection in idle:
            connection.close()

    def _pop(self, origin: Origin) -> Connection | None:
        with self._lock:
            keys = self._by_origin.get(origin)
            if not keys:
                return None
            key = keys.pop()
            if not keys:
                del self._by_origin[origin]
            return self._idle.pop(key)[1]

    def _add(self, origin: Origin, connection: Connection) -> list[Connection]:
        self._idle[id(connection)] = (origin, connection)
        self._by_origin.setdefault(origin, []).append(id(connection))
        if len(self._idle) <= MAX_IDLE:
            return []
        key, (oldest_origin, oldest) = self._idle.popitem(last=False)
        keys = self._by_origin[oldest_origin]
        keys.remove(key)
        if not keys:
            del self._by_origin[oldest_origin]
        return [oldest]

    def _notice_fork(self) -> None:
        if self._pid == os.getpid():
            return
        # The lock may have been held by a thread that this process does not have. Letting go of the parent's
        # connections closes this process's copies of their descriptors, and writes nothing to them.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._idle = OrderedDict()
        self._by_origin = {}
