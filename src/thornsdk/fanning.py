"""Keeps several requests in flight: each in a thread, all results in the caller's.

Threads that run side by side spend their time waiting for the interpreter's lock. So while receivers answer
at once, a single thread sends a bunch of requests in turn, and wakes the caller when it is through. As soon
as a receiver lets us wait, there is a thread for each request; now and again a single one is tried, for the
receivers that come later may answer at once.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from attrs import frozen

from thornsdk.errors import InvalidValue
from thornsdk.model import Exchange, Request, Response
from thornsdk.policy.places import Places
from thornsdk.stages import exchange

BUNCH: Final = 8
"""How many requests one thread sends in turn, while receivers answer at once."""
STALL: Final = 0.01
"""How many seconds we wait for a bunch; after that, more threads are started."""
PROBE: Final = 256
"""After how many requests that were sent side by side a single thread is tried again."""

Send: TypeAlias = Callable[[Request], Response]


def fan_out(requests: Iterable[Request], send: Send, width: int, per_origin: int) -> Iterator[Exchange]:
    """Sends requests, at most so many at once, and gives each result as soon as it is known.

    It is all that `Transport.send_many` needs where `Transport.send` serves several threads. The requests are
    read, and the results given, in the caller's thread. Threads are started as they are needed and have ended
    when this ends; where it is left early, they end when they have sent what was read.

    Args:
        requests: What to send. No more of them are read than may be in flight, and as many that wait for
            their origin.
        send: Sends one request. An error that it raises is the result; an exit is raised here, and ends all.
        width: How many are in flight at most.
        per_origin: How many of these go to one origin at most, so that one that hangs leaves places to
            others.

    Raises:
        InvalidValue: If a number is less than 1.

    Example:
        >>> from collections.abc import Iterable, Iterator
        >>> from thornsdk import Exchange, Request, Transport, fan_out
        >>> class PigeonTransport(Transport):
        ...     def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        ...         return fan_out(requests, self.send, width=16, per_origin=8)
    """
    if width < 1 or per_origin < 1:
        raise InvalidValue(f"with width={width} and per_origin={per_origin}, nothing is sent: take 1 or more")
    return _fanned(_FanOut(Places(requests, width, per_origin), _Crew(partial(exchange, send)), width))


def _fanned(fan: "_FanOut") -> Iterator[Exchange]:
    try:
        while fan.has_more():
            yield from fan.in_bunches()
            yield from fan.side_by_side(PROBE)
    finally:
        fan.crew.dismiss()


@frozen(eq=False)
class _FanOut:
    places: Places
    crew: "_Crew"
    width: int

    def has_more(self) -> bool:
        """Tells whether there is anything to send, or to wait for."""
        return bool(self.crew.in_flight) or self.places.has_more()

    def in_bunches(self) -> Iterator[Exchange]:
        """Sends in one thread, until there is nothing that may be sent or a receiver lets us wait."""
        while bunch := self._bunch():
            pending = set(map(id, bunch))
            self.crew.hand_over(bunch)
            patience = STALL
            while pending:
                waited_from = time.monotonic()
                ended = self._ended(timeout=patience)
                patience -= time.monotonic() - waited_from
                pending.difference_update(id(one.request) for one in ended)
                yield from ended
                if pending and patience <= 0:
                    self.crew.share(bunch)
                    return

    def side_by_side(self, count: int) -> Iterator[Exchange]:
        """Sends so many requests, each in a thread of its own."""
        for _ in range(count):
            while self.crew.in_flight >= self.width:
                yield from self._ended()
            while (request := self.places.take()) is None:
                if not self.crew.in_flight:
                    return
                yield from self._ended()
            self.crew.hand_over(deque([request]))
            if self.crew.has_ended():
                yield from self._ended()

    def _bunch(self) -> deque[Request]:
        size = min(BUNCH, self.width - self.crew.in_flight)
        return deque(islice(iter(self.places.take, None), size))

    def _ended(self, timeout: float | None = None) -> list[Exchange]:
        ended = self.crew.ended(timeout)
        for one in ended:
            self.places.free(one.request.url.origin)
        return ended


class _Crew:
    """Threads that send, and what they have in hand.

    Args:
        send: Sends one request.
    """

    def __init__(self, send: Callable[[Request], Exchange]) -> None:
        self._send = send
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._todo: queue.SimpleQueue[deque[Request] | None] = queue.SimpleQueue()
        self._ended: deque[Exchange] = deque()
        self._through: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._broken: BaseException | None = None
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

        Raises:
            BaseException: What ended a thread.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with suppress(queue.Empty):
            # A thread can be through with what was taken from here before.
            while not self._ended:
                self._through.get(timeout=None if give_up_at is None else _until(give_up_at))
                self._busy -= 1
                if self._broken is not None:
                    raise self._broken
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
        self._busy += 1
        if self._busy > len(self._threads) and not self._start_thread():
            self._work_off(bunch)  # There is nobody else.
        else:
            self._todo.put(bunch)

    def _start_thread(self) -> bool:
        """Starts one more thread, if the system lets us; tells whether there are any."""
        thread = threading.Thread(target=self._work, name="thornsdk-send", daemon=True)
        # Those that there are can do the work of more.
        with suppress(RuntimeError):
            thread.start()
            self._threads.append(thread)
        return bool(self._threads)

    def _work(self) -> None:
        while (bunch := self._todo.get()) is not None:
            self._work_off(bunch)

    def _work_off(self, bunch: deque[Request]) -> None:
        try:
            while (request := _taken(bunch)) is not None:
                self._ended.append(self._send(request))
        except BaseException as exc:  # Such as an exit: it is the caller's.
            self._broken = exc
        self._through.put(None)


def _taken(bunch: deque[Request]) -> Request | None:
    try:
        return bunch.popleft()
    except IndexError:  # Another thread may have taken the last one.
        return None


def _until(moment: float) -> float:
    return max(moment - time.monotonic(), 0.0)
