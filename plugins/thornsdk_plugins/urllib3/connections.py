"""urllib3's connections, dialled under rules."""

import os
import re
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen
from urllib3.connection import HTTPConnection, HTTPSConnection

from thornsdk import LookUps, Origin, Reason
from thornsdk.errors import TransportError
from thornsdk.typing import AddressGuard
from thornsdk_plugins.urllib3.dial import Dialer
from thornsdk_plugins.urllib3.overridden import must_have
from thornsdk_plugins.urllib3.tls import Contexts
from thornsdk_plugins.urllib3.watch import Watch, WatchedSocket, WatchedSSLSocket

# All safety of addresses hangs on this method: a urllib3 without it must not pass unnoticed.
must_have(HTTPConnection, "_new_conn", "_tunnel")


class GuardedHTTPConnection(HTTPConnection):
    """An HTTP connection that a dialer opens."""

    sock: WatchedSocket
    dialer: Dialer
    watch: Watch
    address: str

    def _new_conn(self) -> socket.socket:
        sock = self.dialer.dial(self._dns_host, self.port, self.watch)
        self.address = sock.address
        return sock

    def _tunnel(self) -> None:
        with _tunnelling(self.watch):
            super()._tunnel()


class GuardedHTTPSConnection(HTTPSConnection):
    """An HTTPS connection that a dialer opens; the certificate is checked against the name."""

    sock: WatchedSSLSocket
    dialer: Dialer
    watch: Watch
    address: str

    @property
    def is_connected(self) -> bool:
        """Whether it is open and silent. Bytes that TLS has taken in already count as well."""
        return super().is_connected and not self.sock.pending()

    def connect(self) -> None:
        """Connects, and notes how long the TLS handshake took."""
        super().connect()
        self.watch.tls = self.watch.elapsed() - self._ready_for_tls_at
        # Without a closing word of TLS, anyone on the way could have cut the answer (RFC 9112, section 9.8).
        self.sock.suppress_ragged_eofs = False

    def _new_conn(self) -> socket.socket:
        sock = self.dialer.dial(self._dns_host, self.port, self.watch)
        self.address = sock.address
        self._ready_for_tls(sock)
        return sock

    def _tunnel(self) -> None:
        with _tunnelling(self.watch):
            super()._tunnel()
        self._ready_for_tls(self.sock)

    def _ready_for_tls(self, sock: socket.socket) -> None:
        # The TLS handshake is one operation, and takes its time limit from the socket.
        sock.settimeout(self.watch.remaining())
        self._ready_for_tls_at = self.watch.elapsed()


Connection = GuardedHTTPConnection | GuardedHTTPSConnection


@frozen(eq=False)
class Opener:
    """Opens connections to origins.

    Attributes:
        lookups: Gives the addresses of host names.
        contexts: The TLS contexts.
        proxy: The proxy that all go through, or None. It looks names up, and it judges their addresses.
    """

    lookups: LookUps
    contexts: Contexts
    proxy: Origin | None

    def open(
        self, origin: Origin, guard: AddressGuard, client_certificate: str | None, watch: Watch
    ) -> Connection:
        """Opens a connection.

        Raises:
            TransportError: If no address is allowed, or there is no such client certificate.
            OSError: If none answers, or TLS fails.
            TimeoutError: If the deadline passes.
        """
        connection = self._make(self.proxy or origin, origin.scheme, client_certificate)
        connection.dialer = Dialer(self.lookups, _lets_all_pass if self.proxy else guard)
        connection.watch = watch
        _open.add(connection)
        if self.proxy is not None:
            connection.set_tunnel(origin.host, origin.port)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, place: Origin, scheme: str, client_certificate: str | None) -> Connection:
        if scheme == "https":
            context = self.contexts.get(client_certificate)
            return GuardedHTTPSConnection(place.host, place.port, ssl_context=context)
        return GuardedHTTPConnection(place.host, place.port)


def _lets_all_pass(_: object) -> None:
    """Guards the way to the proxy: the operator has named it."""


@contextmanager
def _tunnelling(watch: Watch) -> Iterator[None]:
    began_at = watch.elapsed()
    try:
        yield
    except OSError as exc:
        # http.client has no error of its own for a proxy that says no.
        status = re.match(r"Tunnel connection failed: (\d{3})", str(exc))
        if status is None:
            raise
        raise TransportError(
            Reason.PROXY_REFUSED, f"the proxy would not connect, and answered {status[1]}"
        ) from exc
    finally:
        # The way to the receiver is open only now.
        watch.connect = (watch.connect or 0.0) + watch.elapsed() - began_at


_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def _let_go_of_all() -> None:
    """Lets go of the parent's connections in a child: closes its copies of the descriptors, without a word.

    Those in use too: the far side would not see their end before that of the child.
    """
    for connection in list(_open):
        connection.close()


os.register_at_fork(after_in_child=_let_go_of_all)
