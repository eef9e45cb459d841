"""How many requests are in flight: few while receivers answer at once, and as many as may be when not."""

import time
from typing import Final

from thornsdk import Places
from thornsdk_plugins.curl.sockets import Poll

ENOUGH: Final = 32
"""How many requests are in flight while receivers answer at once: more would only need more connections."""
_STALL: Final = 0.01
"""For how many seconds it is waited without a result until there are as many as may be."""


class Pace:
    """Waits for sockets, and notes whether receivers let us wait.

    Args:
        poll: Waits for the sockets.
        places: Told to give each origin all its places when they do.
        width: How many requests may be in flight.

    Attributes:
        width: How many are to be in flight now.
    """

    def __init__(self, poll: Poll, places: Places, width: int) -> None:
        self._poll = poll
        self._places = places
        self._most = width
        self._patience: float | None = _STALL
        self.width = min(width, ENOUGH)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Waits for the sockets, and gives those that are ready.

        Args:
            timeout: For how many seconds at most; None for as long as it takes.
        """
        if self._patience is None:
            return self._poll.poll(_milliseconds(timeout))
        began_at = time.monotonic()
        limit = self._patience if timeout is None else min(timeout, self._patience)
        ready = self._poll.poll(_milliseconds(limit))
        self._patience -= time.monotonic() - began_at
        if self._patience <= 0:
            self._patience = None
            self._places.widen()
            self.width = self._most
        return ready

    def got_a_result(self) -> None:
        """Notes that a receiver has answered."""
        if self._patience is not None:
            self._patience = _STALL


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
