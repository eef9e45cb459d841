"""The names of a loop's receivers: which must be looked up, and which look-ups have ended."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from math import inf

from attrs import define, frozen

from thornsdk import LookUp, LookUps, Origin, Reason, Request
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress, Timer


@define(eq=False)
class Asked:
    """A request whose name is being looked up.

    Attributes:
        request: The request.
        at: When it was taken up.
        began: The same by the clock of the loop.
        look_up: The look-up.
    """

    request: Request
    at: datetime
    began: float
    look_up: LookUp


@frozen(eq=False)
class Found:
    """What came of a look-up.

    Attributes:
        request: The request that it was for.
        at: When the request was taken up.
        seconds: How long it took.
        result: The addresses, or why there are none.
    """

    request: Request
    at: datetime
    seconds: float
    result: Sequence[IPAddress] | TransportError


class Names:
    """Looks names up without making anybody wait.

    libcurl keeps the addresses that it was told of a name. They serve as long as connections to its origin
    may be open: to use one of these, nothing is looked up again.

    Args:
        lookups: Looks up.
        now: Counts seconds.
    """

    def __init__(self, lookups: LookUps, now: Timer) -> None:
        self._lookups = lookups
        self._now = now
        self._asked: list[Asked] = []
        self._known_until: dict[Origin, float] = {}
        self._woken, self._waker = socket.socketpair()
        self._woken.settimeout(0)
        self._waker.settimeout(0)

    def __len__(self) -> int:
        return len(self._asked)

    def fileno(self) -> int:
        """Gives the descriptor that becomes readable when a look-up has ended."""
        return self._woken.fileno()

    def are_known(self, place: Origin) -> bool:
        """Tells whether libcurl knows the addresses of a host, for a connection that may be open still."""
        return self._known_until.get(place, 0.0) > self._now()

    def serve_until(self, place: Origin, moment: float) -> None:
        """Notes until when the addresses of a host serve."""
        self._known_until[place] = moment

    def forget(self, place: Origin) -> None:
        """Notes that the addresses of a host are to be looked up again."""
        self._known_until.pop(place, None)

    def ask(self, request: Request, place: Origin, at: datetime) -> None:
        """Begins to look up a name for a request."""
        look_up = self._lookups.begin(place.host, place.port)
        self._asked.append(Asked(request, at, self._now(), look_up))
        look_up.tell(self._wake)

    def ended(self) -> list[Found]:
        """Gives the look-ups that have ended since, and those for which the time is over."""
        if not self._asked:
            return []
        self._drain()
        now = self._now()
        over = [one for one in self._asked if one.look_up.is_done() or _over_at(one) <= now]
        if over:
            self._asked = [one for one in self._asked if one not in over]
        return [Found(one.request, one.at, now - one.began, _result(one.look_up)) for one in over]

    def next_deadline(self) -> float:
        """Gives when the time of the first request is over."""
        return min(map(_over_at, self._asked), default=inf)

    def close(self) -> None:
        """Lets go of its sockets."""
        self._woken.close()
        self._waker.close()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # It was woken often enough.
            self._waker.send(b"\0")

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)


def _over_at(asked: Asked) -> float:
    return asked.began + asked.request.timeout


def _result(look_up: LookUp) -> Sequence[IPAddress] | TransportError:
    if not look_up.is_done():
        return TransportError(Reason.TIMEOUT, "the deadline passed")
    try:
        return look_up.addresses()
    except TransportError as exc:
        return exc
