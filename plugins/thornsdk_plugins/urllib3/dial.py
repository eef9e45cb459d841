"""Opens connections to the addresses that policy allows, and to no others."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address

from attrs import frozen

from thornsdk import LookUps, Reason, literal_address
from thornsdk.errors import TransportError
from thornsdk.typing import AddressGuard, IPAddress
from thornsdk_plugins.urllib3.watch import Watch, WatchedSocket


@frozen
class Dialer:
    """Opens TCP connections to addresses that a guard lets pass.

    The name is resolved once; each address is judged, and what was judged is what is connected to, so a name
    server that changes its answer in between gains nothing.

    Attributes:
        lookups: Gives the addresses of a host name.
        guard: Says why an address is forbidden, or None.
    """

    lookups: LookUps
    guard: AddressGuard

    def dial(self, host: str, port: int, watch: Watch) -> WatchedSocket:
        """Opens a connection to the first allowed address that answers.

        Raises:
            TransportError: If no address is allowed, or none answers.
            OSError: What the last of several allowed addresses answered with.
        """
        allowed = self._allowed(host, self._resolve(host, port, watch))
        began_at = watch.elapsed()
        try:
            return self._connect_one(allowed, port, watch)
        finally:
            watch.connect = watch.elapsed() - began_at

    def _connect_one(self, allowed: Sequence[IPAddress], port: int, watch: Watch) -> WatchedSocket:
        for left in range(len(allowed), 1, -1):
            try:
                # Each address gets its share of what is left, so that a dead one does not use up all.
                return self._connect(allowed[-left], port, watch, watch.remaining() / left)
            except OSError:
                continue
        return self._connect(allowed[-1], port, watch, watch.remaining())

    def _resolve(self, host: str, port: int, watch: Watch) -> Sequence[IPAddress]:
        if (literal := literal_address(host)) is not None:
            return [literal]
        began_at = watch.elapsed()
        try:
            return self.lookups.addresses(host, port, watch.remaining())
        finally:
            watch.lookup = watch.elapsed() - began_at

    def _allowed(self, host: str, found: Sequence[IPAddress]) -> list[IPAddress]:
        judged = [(address, self.guard(address)) for address in found]
        allowed = [address for address, problem in judged if problem is None]
        if not allowed:
            address, problem = judged[0]
            raise TransportError(Reason.ADDRESS_FORBIDDEN, f"{host} is at {address}: {problem}")
        return allowed

    def _connect(self, address: IPAddress, port: int, watch: Watch, timeout: float) -> WatchedSocket:
        family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
        sock = WatchedSocket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((str(address), port))
            sock.address = self._checked_peer(sock)
        except BaseException:
            sock.close()
            raise
        sock.watch = watch
        return sock

    def _checked_peer(self, sock: socket.socket) -> str:
        """Looks once more at what is really connected: a packet filter may have turned us elsewhere."""
        peer = ip_address(str(sock.getpeername()[0]))
        if problem := self.guard(peer):
            raise TransportError(Reason.ADDRESS_FORBIDDEN, f"connected to {peer}: {problem}")
        return str(peer)
