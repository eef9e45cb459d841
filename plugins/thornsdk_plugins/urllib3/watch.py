"""The time of one attempt: by when it must be done, and where it went; and sockets that keep to it.

A socket's timeout is for one operation, so an answer that drips could last for ever. These sockets get,
before each operation, the time that is left of the whole attempt.
"""

import socket
import ssl
import time
from typing import TYPE_CHECKING

from attrs import define, field

from thornsdk import Timings
from thornsdk.typing import Timer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@define(eq=False)
class Watch:
    """Measures one attempt. It begins when it is made.

    Attributes:
        timeout: How many seconds the attempt may take.
        timer: Counts seconds.
        lookup: How many seconds the look-up of the name took, or None.
        connect: How many seconds it took to connect, or None.
        tls: How many seconds the TLS handshake took, or None.
    """

    timeout: float
    timer: Timer = time.monotonic
    lookup: float | None = None
    connect: float | None = None
    tls: float | None = None
    _began_at: float = field(init=False)
    _sent_at: float | None = field(default=None, init=False)
    _first_byte: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._began_at = self.timer()

    def elapsed(self) -> float:
        """Gives the seconds since it was made."""
        return self.timer() - self._began_at

    def remaining(self) -> float:
        """Gives the seconds that are left.

        Raises:
            TimeoutError: If there are none.
        """
        left = self.timeout - self.elapsed()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def sending(self) -> None:
        """Notes that the request is about to be sent."""
        self._sent_at = self.elapsed()
        self._first_byte = None

    def received(self, count: int) -> None:
        """Notes that some bytes came: after the request was sent, the first time counts."""
        if count and self._first_byte is None and self._sent_at is not None:
            self._first_byte = self.elapsed() - self._sent_at

    def timings(self) -> Timings:
        """Tells where the time went until now."""
        return Timings(
            total=self.elapsed(),
            lookup=self.lookup,
            connect=self.connect,
            tls=self.tls,
            first_byte=self._first_byte,
        )


class WatchedSocket(socket.socket):
    """A socket whose every operation ends at the deadline. It must be given a watch before it is used.

    Attributes:
        watch: What measures the attempt that it is used for.
        address: The address that it is connected to.
    """

    watch: Watch
    address: str

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        data = super().recv(bufsize, flags)
        self.watch.received(len(data))
        return data

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        count = super().recv_into(buffer, nbytes, flags)
        self.watch.received(count)
        return count

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """Sends some, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        return super().send(data, flags)

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Sends all, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        super().sendall(data, flags)


class WatchedSSLSocket(ssl.SSLSocket):
    """A TLS socket whose every operation ends at the deadline. It must be given a watch before it is used."""

    watch: Watch
    suppress_ragged_eofs: bool

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        data = super().recv(buflen, flags)
        self.watch.received(len(data))
        return data

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.watch.remaining())
        count = super().recv_into(buffer, nbytes, flags)
        self.watch.received(count)
        return count

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """Sends some, for as long as the deadline allows; `sendall` goes by this."""
        self.settimeout(self.watch.remaining())
        return super().send(data, flags)
