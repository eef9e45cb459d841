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
HANGS_UP: Final[int] = getattr(select, "POLLRDHUP", 0)
"""What tells that the far side has ended a connection, whatever else may be there to read."""

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
    Over HTTP/2, the far side may speak at any time; there it is noticed when it hangs up.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._silent = make_poll()
        self._are_silent: set[int] = set()
        self._stale_until: dict[Origin, float] = {}
        self._http2: set[Origin] = set()

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
            speaks_at_any_time = self.speak_http2(self._open[descriptor].origin)
            self._silent.register(descriptor, HANGS_UP if speaks_at_any_time else READABLE)

    def spoke(self, origin: Origin, *, http2: bool) -> None:
        """Notes what an origin has spoken."""
        if http2:
            self._http2.add(origin)
        else:
            self._http2.discard(origin)

    def speak_http2(self, origin: Origin) -> bool:
        """Tells whether an origin has spoken HTTP/2, when it last answered."""
        return origin in self._http2

    def look(self) -> None:
        """Looks which of the silent ones speak."""
        if not self._are_silent:
            return
        if isinstance(self._silent, _SelectPoll):
            self._forget_those_that_are_gone()
        for descriptor, _ in self._silent.poll(0):
            self.speak(descriptor)
            known = self._open[descriptor]
            if _inode(descriptor) != known.inode:
                del self._open[descriptor]
            else:
                self._stale_until[known.origin] = time.monotonic() + _SECOND * 2

    def _forget_those_that_are_gone(self) -> None:
        """Forgets those that libcurl has closed: `select.select` breaks on a number that is no socket's."""
        gone = [one for one in self._are_silent if _inode(one) != self._open[one].inode]
        for descriptor in gone:
            self.speak(descriptor)
            del self._open[descriptor]

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
