"""One pass of deliveries through several transports at once."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TypeAlias

from thornsdk.attempts import Attempts
from thornsdk.dispatching import Planned
from thornsdk.lanes import Ended, Lane, Notice, Wants
from thornsdk.model import DeliveryRecord
from thornsdk.stages import Transport

TransportOf: TypeAlias = Callable[[Planned], Transport | None]
"""Gives the transport that serves a delivery; None where none does."""


class SideBySide:
    """Has each transport send in a lane of its own, so that one that hangs holds up no other.

    Deliveries are read, begun and settled in the caller's thread. One that its transport has no room for is
    kept in hand until it has; meanwhile no more are read, for there may be millions.

    Args:
        attempts: Begins and ends each attempt.
        transport_of: Finds the transport of each.
    """

    def __init__(self, attempts: Attempts, transport_of: TransportOf) -> None:
        self._attempts = attempts
        self._transport_of = transport_of
        self._lanes: dict[int, Lane] = {}
        self._notices: SimpleQueue[Notice] = SimpleQueue()
        self._in_hand: Planned | None = None

    def attempt(self, stream: Iterator[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery once, and gives each result when it is known."""
        try:
            yield from self._hand_out(stream)
            while self._lanes:
                yield from self._heed(self._notices.get())
                yield from self._hand_out(stream)
        finally:
            for lane in self._lanes.values():
                lane.leave()

    def _hand_out(self, stream: Iterator[Planned]) -> Iterator[DeliveryRecord]:
        """Begins what there is room for; gives what needs no request."""
        while (planned := self._next(stream)) is not None:
            transport = self._transport_of(planned)
            if transport is None:
                self._in_hand = None
                yield self._attempts.refuse(planned)
            elif (lane := self._lane(transport)) is None:
                self._in_hand = None
                yield self._attempts.lose_one(planned, "had no thread to send in")
            elif lane.wants:
                self._begin(planned, lane)
                yield from self._attempts.unsent()
            else:
                return
        for lane in self._lanes.values():
            if lane.wants:
                lane.give_none()

    def _heed(self, notice: Notice) -> Iterator[DeliveryRecord]:
        lane = notice.lane
        if isinstance(notice, Wants):
            lane.wants = True
        elif isinstance(notice, Ended):
            yield from self._end(lane, notice.cause, notice.error)
        elif (record := self._attempts.end(notice.exchange, lane.transport, lane.in_flight)) is not None:
            yield record

    def _next(self, stream: Iterator[Planned]) -> Planned | None:
        if self._in_hand is None:
            self._in_hand = next(stream, None)
        return self._in_hand

    def _lane(self, transport: Transport) -> Lane | None:
        """Gives the lane of a transport; None where the system has no thread for one."""
        lane = self._lanes.get(id(transport))
        if lane is None:
            lane = Lane(transport, self._notices)
            try:
                lane.start()
            except RuntimeError:
                return None
            self._lanes[id(transport)] = lane
        return lane

    def _begin(self, planned: Planned, lane: Lane) -> None:
        self._in_hand = None
        request = self._attempts.begin(planned, lane.transport, lane.in_flight)
        if request is not None:
            lane.give(request)

    def _end(self, lane: Lane, cause: str, error: BaseException | None) -> Iterator[DeliveryRecord]:
        del self._lanes[id(lane.transport)]
        lane.join()
        if error is not None:
            raise error
        if not lane.has_begun and self._in_hand is not None:
            # One that takes nothing would keep us here for ever: what it was there for is lost.
            planned, self._in_hand = self._in_hand, None
            self._attempts.begin(planned, lane.transport, lane.in_flight)
            yield from self._attempts.unsent()
        yield from self._attempts.lose(lane.in_flight, cause)
