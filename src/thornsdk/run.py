"""One pass of deliveries through the transports: where each comes to its outcome."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby, islice

from thornsdk.attempts import Attempts, Hold, InFlight, Settle, hold_nothing
from thornsdk.dispatching import Planned
from thornsdk.errors import crash
from thornsdk.model import DeliveryRecord, Request
from thornsdk.planned import Conditions
from thornsdk.side_by_side import SideBySide
from thornsdk.stages import Transport

_PAUSE = 1000
"""After how many deliveries in a row that are not sent they are given.

Then nothing more is sent until what is in flight has ended.
"""


class Run:
    """One pass of deliveries. Use it once.

    It never holds more than what the transports have in flight, and a few that could not be sent. When the
    subscriptions or the store break in the middle, it starts nothing new, waits for what is in flight, and
    raises then: no result is lost.

    Args:
        conditions: What every attempt has in common.
        settle: Takes each result down: in store, log and observers.
        hold: Is asked about each delivery before it is attempted.
    """

    def __init__(self, conditions: Conditions, settle: Settle, hold: Hold = hold_nothing) -> None:
        self._pipeline = conditions.pipeline
        self._attempts = Attempts(conditions, settle, hold)

    def attempt(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery once, and gives each result when it is known.

        Raises:
            Exception: What the subscriptions, the log or the store raised; every attempt that was begun has
                been given before.
        """
        stream = self._until_broken(planned)
        # Where there is one transport, or one delivery, the caller's thread is enough.
        head = list(islice(stream, 2)) if len(self._pipeline.transports) > 1 else []
        if len(head) > 1:
            yield from SideBySide(self._attempts, self._transport).attempt(chain(head, stream))
        else:
            yield from self._in_turn(chain(head, stream))
        if self._attempts.broken is not None:
            raise self._attempts.broken

    def _until_broken(self, planned: Iterable[Planned]) -> Iterator[Planned]:
        stream = iter(planned)
        while self._attempts.broken is None:
            try:
                one = next(stream)
            except StopIteration:
                return
            except Exception as exc:
                self._attempts.broken = exc
                return
            yield one

    def _transport(self, planned: Planned) -> Transport | None:
        return self._pipeline.by_scheme.get(planned.delivery.subscription.url.scheme)

    def _in_turn(self, stream: Iterator[Planned]) -> Iterator[DeliveryRecord]:
        for transport, group in groupby(stream, self._transport):
            if transport is None:
                yield from map(self._attempts.refuse, group)
            else:
                yield from self._through(transport, group)

    def _through(self, transport: Transport, group: Iterator[Planned]) -> Iterator[DeliveryRecord]:
        in_flight: InFlight = {}
        feed = _Feed(group, lambda planned: self._attempts.begin(planned, transport, in_flight))
        while not feed.ended:
            begun, cause = feed.begun, "lost the request"
            try:
                for exchange in transport.send_many(feed):
                    yield from self._attempts.unsent()
                    if (record := self._attempts.end(exchange, transport, in_flight)) is not None:
                        yield record
            except Exception as exc:
                # A transport that breaks costs what it had in flight, not what is still to come.
                cause = crash(exc)
            if feed.begun == begun:
                next(feed, None)  # One that takes nothing would keep us here for ever.
            yield from self._attempts.unsent()
            yield from self._attempts.lose(in_flight, cause)


class _Feed:
    """Requests as a transport reads them; knows how many were begun and whether there are more.

    After many in a row that could not be built it pauses, so that they can be settled: a transport takes that
    for the end, and is called again.
    """

    def __init__(self, group: Iterator[Planned], build: Callable[[Planned], Request | None]) -> None:
        self._group = group
        self._build = build
        self.begun = 0
        self.ended = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> Request:
        for _ in range(_PAUSE):
            planned = next(self._group, None)
            if planned is None:
                self.ended = True
                break
            self.begun += 1
            request = self._build(planned)
            if request is not None:
                return request
        raise StopIteration
