"""Skips: what disabled subscriptions would have got is kept as cancelled, so that it can be replayed."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from thornsdk.claims import PAGE
from thornsdk.dispatching import Planned
from thornsdk.model import DeliveryFilter, DeliveryRecord, DeliveryState
from thornsdk.planned import skipped
from thornsdk.stages import Store
from thornsdk.typing import Clock

_STATES = frozenset({DeliveryState.CANCELLED, DeliveryState.FAILED})
_TICK = timedelta(microseconds=1)


class Skips:
    """Keeps and tells deliveries to disabled subscriptions. It never holds more than a page of them.

    Args:
        store: Keeps them.
        clock: Tells the time.
        tell: Tells one to the log and the observers.
    """

    def __init__(self, store: Store, clock: Clock, tell: Callable[[DeliveryRecord], None]) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell

    def keep(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Keeps deliveries, a page at a time, and gives each. What the store knows already is not given."""
        stream = iter(planned)
        while page := list(islice(stream, PAGE)):
            now = self._clock()
            new = [skipped(one, now) for one in page if self._store.delivery(one.delivery.id) is None]
            self._store.accept(new)
            yield from self._told(new)

    def accept_with(
        self, others: Iterable[DeliveryRecord], planned: Iterable[Planned], message_id: UUID
    ) -> Iterator[DeliveryRecord]:
        """Keeps deliveries in one step with others, of the same message, and gives each.

        Args:
            others: What is accepted too, and not given.
            planned: The deliveries.
            message_id: The message's id.
        """
        now, count = self._clock(), 0

        def together() -> Iterator[DeliveryRecord]:
            nonlocal count
            yield from others
            for one in planned:
                count += 1
                yield skipped(one, now)

        self._store.accept(together())
        if count:
            # They are told when it is sure that they are kept; there may be too many to have held them.
            yield from self._told(one for one in self._kept_at(now) if one.message_id == message_id)

    def _kept_at(self, moment: datetime) -> Iterator[DeliveryRecord]:
        return self._store.deliveries(DeliveryFilter(states=_STATES, since=moment, before=moment + _TICK))

    def _told(self, records: Iterable[DeliveryRecord]) -> Iterator[DeliveryRecord]:
        for record in records:
            self._tell(record)
            yield record
