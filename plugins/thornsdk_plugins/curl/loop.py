"""Many requests in flight in one thread: libcurl's multi handle, and what it waits for."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from math import inf
from typing import Final, TypeAlias

import pycurl

from thornsdk import Exchange, Places, Request, Response
from thornsdk.errors import TransportError
from thornsdk.typing import AddressGuard, IPAddress
from thornsdk_plugins.curl.names import Found, Names
from thornsdk_plugins.curl.options import Options
from thornsdk_plugins.curl.pace import Pace
from thornsdk_plugins.curl.sockets import READABLE, WRITABLE, OpenSockets, make_poll
from thornsdk_plugins.curl.transfer import Transfer, unsent
from thornsdk_plugins.curl.way import Way

_AT_A_TIME: Final = 16
"""How many requests are begun before it is looked what has come back."""

_EVENTS: Final = {
    pycurl.POLL_IN: READABLE,
    pycurl.POLL_OUT: WRITABLE,
    pycurl.POLL_INOUT: READABLE | WRITABLE,
}

_Message: TypeAlias = tuple[pycurl.Curl, Callable[[Transfer], Exchange]]


class Loop:
    """Sends requests side by side, and keeps their connections open. For one thread at a time.

    Args:
        options: What all requests have in common.
        guard: The guard under which connections are shared: requests of another one have their own.

    Attributes:
        idle_since: When it was last given back, by `time.monotonic`.
    """

    def __init__(self, options: Options, guard: AddressGuard) -> None:
        self.guard = guard
        self._options = options
        self.idle_since = time.monotonic()
        self._idle: dict[str | None, list[Transfer]] = {}
        self._active: dict[pycurl.Curl, Transfer] = {}
        self._sockets = OpenSockets()
        self._poll = make_poll()
        self._wake_at: float | None = None
        self._paused = 0.0
        self._give_up_at = inf
        self._messages: deque[_Message] = deque()
        self._is_abandoned = False
        self._begins_more = False
        self._names = Names(options.lookups, self._now)
        self._poll.register(self._names.fileno(), READABLE)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max(1, options.idle_connections))
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def run(self, places: Places, width: int) -> Iterator[Exchange]:
        """Sends requests, and gives each result as soon as it is known.

        What was begun is waited for where this is left early: whether it has arrived would not be known
        otherwise. The time that the caller takes over a result is not counted: nothing is read then.

        Args:
            places: Gives the requests.
            width: How many are in flight at most.
        """
        pace = Pace(self._poll, places, width)
        self._messages.clear()  # Nothing is in flight: what an interrupt has left here was settled.
        try:
            while True:
                results = [*self._begin_some(places, pace.width), *self._looked_up()]
                if not (results or self._in_flight()):
                    return
                results += self._ended(pace, limit=0.0 if results or self._begins_more else None)
                for one in results:
                    places.free(one.request.url.origin)
                    paused_at = time.monotonic()
                    yield one
                    self._paused += time.monotonic() - paused_at
        finally:
            while self.is_busy() and not self._is_abandoned:
                self._looked_up()
                self._ended(pace)

    def is_busy(self) -> bool:
        """Tells whether requests are in flight."""
        return self._in_flight() > 0

    def close(self) -> None:
        """Closes the connections."""
        self._multi.close()
        self._names.close()
        for one in chain(self._active.values(), *self._idle.values()):
            one.curl.close()

    def abandon(self) -> None:
        """Lets go of the parent's connections in a child process, without a word on them.

        libcurl would end TLS politely, and so end it for the parent. So the child's copies of the sockets
        are put out of its reach first. What is in flight is the parent's.
        """
        self._is_abandoned = True
        self._sockets.abandon()
        self._names.close()

    def _in_flight(self) -> int:
        return len(self._active) + len(self._names)

    def _begin_some(self, places: Places, width: int) -> list[Exchange]:
        """Begins some requests; gives the results of those that cannot be sent."""
        self._sockets.look()
        failed: list[Exchange] = []
        self._begins_more = width - self._in_flight() > _AT_A_TIME
        for _ in range(min(_AT_A_TIME, width - self._in_flight())):
            if (request := places.take()) is None:
                self._begins_more = False
                break
            at = datetime.now(UTC)
            if self._options.spells_out(request) or self._takes_an_open_one(request):
                failed += self._begin(request, at, 0.0, None)
            else:
                self._names.ask(request, self._options.place(request), at)
        return failed

    def _takes_an_open_one(self, request: Request) -> bool:
        """Tells whether there may be an open connection for a request."""
        fresh = not self._is_shared(request) or self._sockets.are_stale(request.url.origin)
        return not fresh and self._names.are_known(self._options.place(request))

    def _begin(
        self, request: Request, at: datetime, spent: float, addresses: Sequence[IPAddress] | None
    ) -> list[Exchange]:
        origin = request.url.origin
        way = Way(
            spent=spent,
            addresses=addresses,
            shared=self._is_shared(request),
            fresh=self._sockets.are_stale(origin),
            joins=self._sockets.speak_http2(origin),
        )
        try:
            transfer = self._transfer(request)
        except TransportError as exc:
            return [unsent(request, at, spent, exc)]
        transfer.begin(request, at, way)
        transfer.give_up_at = self._now() + request.timeout - spent
        self._give_up_at = min(self._give_up_at, transfer.give_up_at)
        self._active[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)
        return []

    def _is_shared(self, request: Request) -> bool:
        # Without a body, libcurl could send again, over a new connection, what may have arrived.
        return request.guard == self.guard and bool(request.body) and self._options.keeps

    def _transfer(self, request: Request) -> Transfer:
        certificate = request.client_certificate if request.url.scheme == "https" else None
        idle = self._idle.get(certificate)
        return idle.pop() if idle else Transfer(self._options, certificate, self._sockets.add)

    def _looked_up(self) -> list[Exchange]:
        """Begins the requests whose names were looked up; gives the results of the others."""
        return [failed for one in self._names.ended() for failed in self._go_on(one)]

    def _go_on(self, found: Found) -> list[Exchange]:
        if isinstance(found.result, TransportError):
            return [unsent(found.request, found.at, found.seconds, found.result)]
        return self._begin(found.request, found.at, found.seconds, found.result)

    def _ended(self, pace: Pace, limit: float | None = None) -> list[Exchange]:
        """Waits until something happens, and gives the results that there are then.

        Args:
            pace: Waits.
            limit: For how many seconds at most; None for as long as it takes.
        """
        if not self._messages:  # Some are left where an interrupt fell into the settling.
            self._drive(pace, limit)
            _, answered, lost = self._multi.info_read()
            self._messages.extend((curl, Transfer.succeeded) for curl in answered)
            self._messages.extend(
                (curl, partial(Transfer.failed, code=code, text=text)) for curl, code, text in lost
            )
        results: list[Exchange] = []
        while self._messages:
            curl, result = self._messages[0]
            if curl in self._active:
                results.append(self._done(curl, result))
            self._messages.popleft()
        results += self._given_up()
        if results:
            pace.got_a_result()
        return results

    def _done(self, curl: pycurl.Curl, result: Callable[[Transfer], Exchange]) -> Exchange:
        transfer = self._active[curl]
        exchange = result(transfer)
        with suppress(pycurl.error):  # It is removed already where an interrupt came just then.
            self._multi.remove_handle(curl)
        del self._active[curl]
        self._learn(transfer.request, exchange.result, http2=transfer.spoke_http2)
        if result is Transfer.succeeded and isinstance(exchange.result, Response):
            self._idle.setdefault(transfer.certificate, []).append(transfer)
        else:
            # libcurl keeps what it has read of a line, and would put it before the next receiver's answer.
            transfer.curl.close()
        return exchange

    def _learn(self, request: Request, result: Response | TransportError, *, http2: bool) -> None:
        """Notes what an answer says of later requests to its origin."""
        place = self._options.place(request)
        if isinstance(result, Response):
            self._sockets.spoke(request.url.origin, http2=http2)
        if isinstance(result, Response) and (result.header("Connection") or "").lower() != "close":
            self._names.serve_until(place, self._now() + self._options.idle_timeout)
        else:
            self._names.forget(place)

    def _given_up(self) -> list[Exchange]:
        """Ends the requests whose time is over, and gives their results."""
        now = self._now()
        if now < self._give_up_at:
            return []
        late = [one for one in self._active.values() if one.give_up_at <= now]
        results = [self._done(one.curl, Transfer.given_up) for one in late]
        self._give_up_at = min((one.give_up_at for one in self._active.values()), default=inf)
        return results

    def _drive(self, pace: Pace, limit: float | None) -> None:
        """Waits for the sockets or the clock, and lets libcurl go on."""
        waits = [self._wait(), limit] if limit is not None else [self._wait()]
        for descriptor, events in pace.wait(min(waits)):
            if descriptor != self._names.fileno():  # It wakes us, and is not libcurl's.
                self._multi.socket_action(descriptor, _action(events))
        if self._wake_at is not None and self._wake_at <= time.monotonic():
            self._wake_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _wait(self) -> float:
        """Gives after how many seconds there is something to do, whatever the sockets say."""
        until_wake = inf if self._wake_at is None else self._wake_at - time.monotonic()
        until_over = min(self._give_up_at, self._names.next_deadline()) - self._now()
        return max(0.0, min(until_wake, until_over))

    def _now(self) -> float:
        """Counts seconds, without those that the caller takes over results."""
        return time.monotonic() - self._paused

    # What libcurl calls

    def _watch(self, event: int, descriptor: int, *_: object) -> None:
        if event == pycurl.POLL_REMOVE:
            self._poll.unregister(descriptor)
            self._sockets.fall_silent(descriptor)
        else:
            self._poll.register(descriptor, _EVENTS[event])
            self._sockets.speak(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._wake_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _action(events: int) -> int:
    # What is neither is an error or an end, which is read too.
    readable = pycurl.CSELECT_IN if events & ~WRITABLE else 0
    return readable | (pycurl.CSELECT_OUT if events & WRITABLE else 0)
