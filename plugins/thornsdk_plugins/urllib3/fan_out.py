"""Keeps several requests in flight: each in a thread, all results in the caller's.

Threads that run side by side spend their time waiting for the interpreter's lock. So while receivers answer
at once, a single thread sends a bunch of requests in turn, and wakes the caller when it is through. As soon
as a receiver lets us wait, there is a thread for each request.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final, TypeAlias

from thornsdk import Exchange, Request

BUNCH: Final = 8
"""How many requests one thread sends in turn, while receivers answer at once."""
STALL: Final = 0.01
"""How many seconds a bunch may take; after that, more threads are started."""

Send: TypeAlias = Callable[[Request], Exchange]


def fan_out(requests: Iterable[Request], send: Send, width: int) -> Iterator[Exchange]:
    """Sends requests, at most so many at once, and gives each result as soon as it is known.

    The requests are read, and the results given, in the caller's thread. Threads are started as they are
    needed and have ended when this ends; where it is left early, they end when they have sent what was read.

    Args:
        requests: What to send; no more of them are read than may be in flight.
        send: Sends one request; it never raises.
        width: How many are in flight at most.
    """
    crew = _Crew(send)
    stream = iter(requests)
    try:
        yield from _in_bunches(crew, stream, min(BUNCH, width))
        yield from _side_by_side(crew, stream, width)
    finally:
        crew.dismiss()


def _in_bunches(crew: "_Crew", stream: Iterator[Request], size: int) -> Iterator[Exchange]:
    """Sends in one thread, until the requests end or a receiver lets us wait."""
    while bunch := deque(islice(stream, size)):
        crew.hand_over(bunch)
        yield from crew.ended(timeout=STALL)
        if crew.in_flight:
            crew.share(bunch)
            return


def _side_by_side(crew: "_Crew", stream: Iterator[Request], width: int) -> Iterator[Exchange]:
    """Sends each request in a thread of its own."""
    while crew.in_flight >= width:  # The bunch that got stuck may be as large.
        yield from crew.ended()
    for request in stream:
        crew.hand_over(deque([request]))
        while crew.in_flight == width or (crew.in_flight and crew.has_ended()):
            yield from crew.ended()
    while crew.in_flight:
        yield from crew.ended()


class _Crew:
    """Threads that send, and what they have in hand.

    Args:
        send: Sends one request; it never raises.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._todo: queue.SimpleQueue[deque[Request] | None] = queue.SimpleQueue()
        self._ended: deque[Exchange] = deque()
        self._through: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.in_flight = 0

    def hand_over(self, bunch: deque[Request]) -> None:
        """Gives requests to a thread, to be sent in turn."""
        self.in_flight += len(bunch)
        self._put(bunch)

    def share(self, bunch: deque[Request]) -> None:
        """Gives what is left of a bunch to as many threads: the one that has it is stuck."""
        for _ in range(len(bunch)):
            self._put(bunch)

    def has_ended(self) -> bool:
        """Tells whether there are results to take."""
        return bool(self._ended)

    def ended(self, timeout: float | None = None) -> list[Exchange]:
        """Waits until a thread is through with what it was given, and gives the results that there are.

        Args:
            timeout: For how many seconds it waits at most.
        """
        if not self._ended:
            with suppress(queue.Empty):
                self._through.get(timeout=timeout)
                self._busy -= 1
        found = [self._ended.popleft() for _ in range(len(self._ended))]
        self.in_flight -= len(found)
        return found

    def dismiss(self) -> None:
        """Ends the threads, when they are through with what they were given."""
        for _ in self._threads:
            self._todo.put(None)
        if not self.in_flight:
            for thread in self._threads:
                thread.join()

    def _put(self, bunch: deque[Request]) -> None:
        while self._busy and not self._through.empty():
            self._through.get()
            self._busy -= 1
        if self._busy == len(self._threads):
            thread = threading.Thread(target=self._work, name="thornsdk-send", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._busy += 1
        self._todo.put(bunch)

    def _work(self) -> None:
        while (bunch := self._todo.get()) is not None:
            while (request := _taken(bunch)) is not None:
                self._ended.append(self._send(request))
            self._through.put(None)


def _taken(bunch: deque[Request]) -> Request | None:
    try:
        return bunch.popleft()
    except IndexError:  # Another thread may have taken the last one.
        return None
