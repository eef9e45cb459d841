"""The sockets to a broker: opened within a time limit, and shut down where nobody waits any more."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from thornsdk import LookUps, literal_address
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress

Socket: TypeAlias = Callable[[], socket.socket | None]
"""Gives the socket that a client has at present: TLS puts another in the place of the one that was opened."""


class Wire:
    """The sockets of one link. Kombu's clients open and use them; who waits for the link may shut them down.

    Args:
        host: The broker's host.
        port: Its port.
        look_ups: Looks up names.
    """

    def __init__(self, host: str, port: int, look_ups: LookUps) -> None:
        self._host = host
        self._port = port
        self._look_ups = look_ups
        self._sockets: list[Socket] = []

    def dial(self, timeout: float) -> socket.socket:
        """Connects to the first of the broker's addresses where that is possible.

        Args:
            timeout: For how many seconds it tries, the look-up of the name included. Each address gets its
                share of what is left, so that a dead one does not use up all.

        Raises:
            OSError: If it is not possible; what went wrong at the last address.
            TransportError: If the host has no address.
        """
        give_up_at = time.monotonic() + timeout
        *others, last = self._addresses(timeout)
        for shares, address in zip(range(len(others) + 1, 1, -1), others, strict=True):
            with suppress(OSError):
                return self._connect(address, (give_up_at - time.monotonic()) / shares)
        return self._connect(last, give_up_at - time.monotonic())

    def hold(self, current: Socket) -> None:
        """Takes note of a socket that belongs to it."""
        self._sockets.append(current)

    def wait_at_most(self, timeout: float) -> None:
        """Has its sockets wait for so many seconds at most, each time that they wait."""
        for sock in self._open():
            sock.settimeout(timeout)

    def shut(self) -> None:
        """Ends its connections. Another thread that waits for them goes on, and closes them."""
        for sock in self._open():
            with suppress(OSError):
                # Not its own: TLS would be taken away from under the thread that uses it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes its sockets."""
        for sock in self._open():
            sock.close()

    def _open(self) -> list[socket.socket]:
        return [sock for current in list(self._sockets) if (sock := current()) is not None]

    def _addresses(self, timeout: float) -> Sequence[IPAddress]:
        literal = literal_address(self._host)
        if literal is not None:
            return [literal]
        try:
            return self._look_ups.addresses(self._host, self._port, timeout)
        except TransportError as exc:
            # Where brokers are is the operator's alone.
            raise TransportError(exc.reason, exc.detail.replace(self._host, "the broker's host")) from exc

    def _connect(self, address: IPAddress, timeout: float) -> socket.socket:
        if timeout <= 0:
            raise TimeoutError("there was no time left to connect")
        return socket.create_connection((str(address), self._port), timeout)
