"""The connections that stay open for the next request."""

import os
import threading
import time
import weakref
from collections import OrderedDict
from typing import TypeAlias

from attrs import frozen

from thornsdk import Origin
from thornsdk.typing import AddressGuard, Timer
from thornsdk_plugins.urllib3.connections import Connection

Use: TypeAlias = tuple[Origin, AddressGuard, str | None]
"""What a connection may be used for: requests to its origin, under the guard that let it be opened, with the
client certificate that it was opened with."""


@frozen(eq=False)
class _Idle:
    use: Use
    connection: Connection
    since: float


class IdleConnections:
    """Open connections that wait for the next request of the same use. Safe to share between threads.

    A process that was forked starts empty, and never touches the sockets of its parent.

    Args:
        limit: How many are kept at most, over all origins; the longest unused goes first.
        timeout: After how many seconds a connection is not used again.
        timer: Counts seconds.
    """

    def __init__(self, limit: int, timeout: float, timer: Timer = time.monotonic) -> None:
        self._limit = limit
        self._timeout = timeout
        self._timer = timer
        self._closed = False
        self.start_empty()
        _pools.add(self)

    def take(self, use: Use) -> Connection | None:
        """Gives an idle connection that is still open at the far side, the latest used first, or None."""
        while (idle := self._pop(use)) is not None:
            if self._timer() - idle.since < self._timeout and idle.connection.is_connected:
                return idle.connection
            idle.connection.close()
        return None

    def give(self, use: Use, connection: Connection) -> None:
        """Keeps a connection for the next request, or closes it where there is no place or no tomorrow."""
        idle = _Idle(use, connection, self._timer())
        with self._lock:
            dropped = [idle] if self._closed else self._add(idle)
        for one in dropped:
            one.connection.close()

    def close(self) -> None:
        """Closes all, and what is given later as well."""
        with self._lock:
            self._closed = True
            dropped = list(self._idle.values())
            self._idle.clear()
            self._by_use.clear()
        for one in dropped:
            one.connection.close()

    def start_empty(self) -> None:
        """Starts afresh in a child process: the connections are those of its parent."""
        # A new lock: after a fork, the old one may be held by a thread that this process does not have.
        self._lock = threading.Lock()
        # The longest unused stands first: what has been idle for too long is found there.
        self._idle: OrderedDict[int, _Idle] = OrderedDict()
        self._by_use: dict[Use, list[int]] = {}

    def _pop(self, use: Use) -> _Idle | None:
        with self._lock:
            keys = self._by_use.get(use)
            if not keys:
                return None
            key = keys.pop()
            if not keys:
                del self._by_use[use]
            return self._idle.pop(key)

    def _add(self, idle: _Idle) -> list[_Idle]:
        """Adds one, and gives those for which there is no place or no use any more."""
        key = id(idle.connection)
        self._idle[key] = idle
        self._by_use.setdefault(idle.use, []).append(key)
        dropped: list[_Idle] = []
        while self._idle and self._is_in_excess(next(iter(self._idle.values())), idle.since):
            dropped.append(self._drop_oldest())
        return dropped

    def _is_in_excess(self, oldest: _Idle, now: float) -> bool:
        return len(self._idle) > self._limit or now - oldest.since >= self._timeout

    def _drop_oldest(self) -> _Idle:
        key, oldest = self._idle.popitem(last=False)
        keys = self._by_use[oldest.use]
        keys.remove(key)
        if not keys:
            del self._by_use[oldest.use]
        return oldest


_pools: weakref.WeakSet[IdleConnections] = weakref.WeakSet()


def _start_all_empty() -> None:
    for pool in list(_pools):
        pool.start_empty()


os.register_at_fork(after_in_child=_start_all_empty)
