"""What a store is to say, in the plainest words: dictionaries in one thread."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from thornsdk.model import Attempt, DeliveryRecord, DeliveryState

_IN_THE_WAY = frozenset({DeliveryState.FAILED, DeliveryState.BLOCKED})


class Model:
    """A store of deliveries without a lock, an index or a file; all are of one day and one event."""

    def __init__(self) -> None:
        self.known: dict[UUID, DeliveryRecord] = {}
        """What is known of each delivery, in the order of acceptance."""
        self.history: dict[UUID, dict[int, Attempt]] = {}
        """The attempts of each delivery, by number."""
        self.failing: dict[UUID, datetime] = {}
        """Since when the attempts to a subscription have failed."""
        self.pruned: Counter[tuple[UUID, DeliveryState]] = Counter()
        """How many were pruned, by subscription and state."""

    def counts(self) -> dict[tuple[UUID, DeliveryState], int]:
        """Gives how many there are and were, by subscription and state."""
        there = Counter((one.subscription_id, one.state) for one in self.known.values())
        return dict(self.pruned + there)

    def write(self, record: DeliveryRecord) -> None:
        """Replaces what is known of a delivery."""
        self.known[record.id] = record
        if record.last.number > 0:
            self.history.setdefault(record.id, {})[record.last.number] = record.last

    def record(self, record: DeliveryRecord) -> None:
        """Keeps what became of an attempt."""
        known = self.known.get(record.id)
        if known is None or _weight(record) >= _weight(known):
            self._note_health(known, record)
            self.write(record)
        elif record.last.number != known.last.number:
            self.history[record.id][record.last.number] = record.last

    def forget(self, gone: DeliveryRecord) -> None:
        """Removes a delivery with its attempts."""
        del self.known[gone.id]
        self.history.pop(gone.id, None)

    def prune(self, wanted: Callable[[DeliveryRecord], bool]) -> Counter[DeliveryState]:
        """Removes those that have ended, are wanted, and stop no line; gives how many they are, by state."""
        gone = [one for one in self.known.values() if one.state.has_ended and wanted(one)]
        gone = [one for one in gone if not self._holds_up(one)]
        for one in gone:
            self.forget(one)
            self.pruned[one.subscription_id, one.state] += 1
        return Counter(one.state for one in gone)

    def ahead_of(self, one: DeliveryRecord, *, stop: bool) -> DeliveryRecord | None:
        """Gives the first of its line that a delivery waits for."""
        line = self._line(one)
        before = line[: line.index(one)] if line else []
        ways = (o for o in before if not o.state.has_ended or (stop and o.state in _IN_THE_WAY))
        return next(ways, None)

    def next_in_line(self, one: DeliveryRecord) -> DeliveryRecord | None:
        """Gives the first of its line behind a delivery that has not ended."""
        line = self._line(one)
        after = line[line.index(one) + 1 :] if line else []
        return next((other for other in after if not other.state.has_ended), None)

    def due(self, now: datetime) -> list[DeliveryRecord]:
        """Gives what is due, the longest due first, and those of one moment by origin."""
        due = [one for one in self.known.values() if one.next_attempt_at and one.next_attempt_at <= now]
        return sorted(due, key=lambda one: (one.next_attempt_at, one.origin))

    def new(self, message_id: UUID) -> list[DeliveryRecord]:
        """Gives what is new of a message, by origin."""
        of_message = [one for one in self.known.values() if one.message_id == message_id]
        new = [one for one in of_message if one.last.number == 0 and one.lease is not None]
        return sorted(new, key=lambda one: one.origin)

    def _line(self, one: DeliveryRecord) -> list[DeliveryRecord]:
        """Gives the line of a delivery; none where it has no key."""
        if one.order_key is None:
            return []
        place = (one.subscription_id, one.order_key)
        return [other for other in self.known.values() if (other.subscription_id, other.order_key) == place]

    def _holds_up(self, one: DeliveryRecord) -> bool:
        return one.state in _IN_THE_WAY and self.next_in_line(one) is not None

    def _note_health(self, known: DeliveryRecord | None, record: DeliveryRecord) -> None:
        # The same failure that is told twice is no news.
        told = known is not None and known.last.receiver_failed and known.last.started_at
        if record.state is DeliveryState.DELIVERED:
            self.failing.pop(record.subscription_id, None)
        elif record.last.receiver_failed and told != record.last.started_at:
            self.failing.setdefault(record.subscription_id, record.last.started_at)


def _weight(record: DeliveryRecord) -> tuple[bool, int]:
    return record.state is DeliveryState.DELIVERED, record.last.number
