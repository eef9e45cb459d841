"""Deadlines, and sockets that keep them.

A socket's timeout is for one operation, so an answer that drips could last for ever. These sockets get,
before each operation, the time that is left of the whole exchange.
"""

import socket
import ssl
import time
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@frozen
class Deadline:
    """A moment by which all must be done.

    Attributes:
        at: The moment, in seconds on the scale of `time.monotonic`.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Makes the deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Gives the seconds that are left.

        Raises:
            TimeoutError: If there are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class DeadlineSocket(socket.socket):
    """A socket whose every operation ends at the deadline. It must be given one before it is used."""

    deadline: Deadline

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.deadline.remaining())
        return super().recv_into(buffer, nbytes, flags)

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Sends all, for as long as the deadline allows."""
        self.settimeout(self.deadline.remaining())
        super().sendall(data, flags)


class DeadlineSSLSocket(ssl.SSLSocket):
    """A TLS socket whose every operation ends at the deadline. It must be given one before it is used."""

    deadline: Deadline

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        """Receives, for as long as the deadline allows."""
        self.settimeout(self.deadline.remaining())
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """Sends some, for as long as the deadline allows; `sendall` goes by this."""
        self.settimeout(self.deadline.remaining())
        return super().send(data, flags)
