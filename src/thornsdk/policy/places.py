"""Which request may be sent next, so that one origin does not take all the places."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from thornsdk.model import Origin, Request

_FEW = 2
_TURNS = 4


class Places:
    """Gives out requests, at most so many to one origin at once: for transports that keep several in flight.

    Those that find no place wait, and later ones for other origins overtake them. Where too many wait,
    nothing more is read until a place is free: there may be millions. What was read is signed already, and
    receivers refuse signatures that are minutes old: so no more wait than an origin takes in four turns.

    Args:
        requests: What is to be sent.
        width: How many requests are in flight at most; no more than as many wait.
        per_origin: How many places an origin has.
        enough: How many requests in flight are enough while receivers answer at once. Until `widen` is
            called, an origin has two places, so that few connections are needed; it has more only where
            fewer than enough would be in flight otherwise. With 0, an origin has all its places at once.
    """

    def __init__(self, requests: Iterable[Request], width: int, per_origin: int, enough: int = 0) -> None:
        self._requests: Iterator[Request] = iter(requests)
        self._per_origin = per_origin
        self._room = min(width, per_origin * _TURNS)
        self._enough = enough
        self._at_first = min(_FEW, per_origin) if enough else per_origin
        self._taken: Counter[Origin] = Counter()
        self._in_flight = 0
        self._waiting: dict[Origin, deque[Request]] = {}
        self._waiting_count = 0
        self._called: deque[Request] = deque()
        self._read_to_the_end = False

    def widen(self) -> None:
        """Gives each origin all its places: a receiver lets us wait."""
        self._enough = 0
        self._at_first = self._per_origin

    def has_more(self) -> bool:
        """Tells whether a request may still come: perhaps none does, where the end was not met yet."""
        return not self._read_to_the_end or self._waiting_count > 0 or bool(self._called)

    def take(self) -> Request | None:
        """Gives a request that may be sent now, and takes its place; None where there is none now."""
        if self._called:
            return self._called.popleft()
        return self._read() or self._one_that_waits()

    def free(self, origin: Origin) -> None:
        """Gives back a place of an origin, to the one that waits longest for it, if one does."""
        if origin in self._waiting:
            self._called.append(self._next_of(origin))
            return
        self._in_flight -= 1
        if self._taken[origin] == 1:
            del self._taken[origin]
        else:
            self._taken[origin] -= 1

    def _read(self) -> Request | None:
        while self._waiting_count < self._room and not self._read_to_the_end:
            # Once only: what is read here may go on after it has said that it has ended.
            request = next(self._requests, None)
            if request is None:
                self._read_to_the_end = True
            elif self._taken[request.url.origin] < self._at_first:
                self._take_place(request.url.origin)
                return request
            else:
                self._waiting.setdefault(request.url.origin, deque()).append(request)
                self._waiting_count += 1
        return None

    def _one_that_waits(self) -> Request | None:
        if self._enough and self._in_flight >= self._enough:
            return None
        for origin in self._waiting:
            if self._taken[origin] < self._per_origin:
                self._take_place(origin)
                return self._next_of(origin)
        return None

    def _take_place(self, origin: Origin) -> None:
        self._taken[origin] += 1
        self._in_flight += 1

    def _next_of(self, origin: Origin) -> Request:
        waiting = self._waiting[origin]
        self._waiting_count -= 1
        request = waiting.popleft()
        if not waiting:
            del self._waiting[origin]
        return request
