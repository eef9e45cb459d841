"""What is known of libcurl's sockets: which of them speak unasked, and which are still open."""

import os
import select
import time
from contextlib import suppress
from typing import Final, Protocol

from attrs import frozen

from thornsdk import Origin

READABLE: Final = 1
WRITABLE: Final = 4
"""The values of ``POLLIN`` and ``POLLOUT``, which a module `select` without `poll` lacks."""

_SECOND: Final = 1.0


class Poll(Protocol):
    """Waits for sockets, as `select.poll` does."""

    def register(self, descriptor: int, events: int, /) -> object:
        """Waits for a socket too, or for something else at it."""
        ...

    def unregister(self, descriptor: int, /) -> object:
        """Waits for a socket no more."""
        ...

    def poll(self, milliseconds: float | None, /) -> list[tuple[int, int]]:
        """Waits, and gives the sockets that are ready, and for what."""
        ...


def make_poll() -> Poll:
    """Makes what waits for sockets; eventlet takes `select.poll` away, and leaves `select.select`."""
    return select.poll() if hasattr(select, "poll") else _SelectPoll()


class _SelectPoll:
    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, descriptor: int, events: int, /) -> None:
        self._events[descriptor] = events

    def unregister(self, descriptor: int, /) -> None:
        del self._events[descriptor]

    def poll(self, milliseconds: float | None, /) -> list[tuple[int, int]]:
        readable = [one for one, events in self._events.items() if events & READABLE]
        writable = [one for one, events in self._events.items() if events & WRITABLE]
        seconds = None if milliseconds is None else milliseconds / 1000
        readable, writable, _ = select.select(readable, writable, [], seconds)
        return [*((one, READABLE) for one in readable), *((one, WRITABLE) for one in writable)]


@frozen
class _Open:
    origin: Origin
    inode: int


class OpenSockets:
    """The sockets that libcurl has opened, as far as it tells: not when it closes one.

    It looks whether a connection is still open only when that was idle for more than a second. Before, one
    that speaks while it is idle, be it to say that it ends, is noticed here: nothing is sent over it then.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._silent = make_poll()
        self._are_silent: set[int] = set()
        self._stale_until: dict[Origin, float] = {}
        self._never_silent: set[Origin] = set()

    def add(self, descriptor: int, origin: Origin) -> None:
        """Notes a socket that was opened for an origin."""
        self._open[descriptor] = _Open(origin, os.fstat(descriptor).st_ino)

    def speak(self, descriptor: int) -> None:
        """Notes that a socket is in use."""
        if descriptor in self._are_silent:
            self._are_silent.remove(descriptor)
            self._silent.unregister(descriptor)

    def fall_silent(self, descriptor: int) -> None:
        """Notes that a socket is not in use: idle, or about to be closed."""
        if descriptor in self._open:
            self._are_silent.add(descriptor)
            self._silent.register(descriptor, READABLE)

    def are_never_silent(self, origin: Origin) -> None:
        """Notes that connections to an origin may speak at any time."""
        self._never_silent.add(origin)

    def look(self) -> None:
        """Looks which of the silent ones speak."""
        if not self._are_silent:
            return
        for descriptor, _ in self._silent.poll(0):
            self.speak(descriptor)
            known = self._open[descriptor]
            if _inode(descriptor) != known.inode:
                del self._open[descriptor]
            elif known.origin not in self._never_silent:
                self._stale_until[known.origin] = time.monotonic() + _SECOND * 2

    def are_stale(self, origin: Origin) -> bool:
        """Tells whether connections to an origin may have been ended at the far side."""
        until = self._stale_until.get(origin)
        if until is None:
            return False
        if until < time.monotonic():
            del self._stale_until[origin]  # From now on, libcurl sees it by itself.
            return False
        return True

    def abandon(self) -> None:
        """Puts this process's copies of the sockets out of reach: they are those of its parent."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor, known in self._open.items():
            if _inode(descriptor) == known.inode:
                os.dup2(nothing, descriptor)
        os.close(nothing)


def _inode(descriptor: int) -> int | None:
    """Gives what tells a socket from all others that have had its number; None where it is closed."""
    with suppress(OSError):
        return os.fstat(descriptor).st_ino
    return None
