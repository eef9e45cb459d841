"""Lines: the deliveries of one order key, each of which waits for the one before."""

from datetime import timedelta
from typing import Final

from attrs import evolve

from thornsdk.dispatching import Planned
from thornsdk.errors import StoreDamaged
from thornsdk.gates import Gate, Hold
from thornsdk.model import DeliveryRecord, WhenFailed
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.typing import Clock

LONGEST_WAIT: Final = timedelta(hours=1)
"""How long a delivery waits at most before its line is looked at again, whatever is ahead of it."""
SHORTEST_WAIT: Final = timedelta(seconds=1)
"""How long it waits at least: what is ahead of it may be due already."""


class Lines(Gate):
    """Holds back what is not at the head of its line.

    A delivery that has ended makes the next of its line due. Where the process dies in between, or another
    changes something, the line is looked at again in time.

    Args:
        store: Knows the lines.
        clock: Tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.released: int = 0
        """How many deliveries were made due here, for it was their turn."""

    def hold(self, planned: Planned) -> Hold | None:
        """Tells whether something is ahead of a delivery in its line; None where it is its turn."""
        subscription = planned.delivery.subscription
        if planned.delivery.order_key is None or subscription.ordered_by is None:
            return None
        longest = self._clock() + LONGEST_WAIT
        try:
            ahead = self._ahead_of(planned)
        except StoreDamaged:
            # Nobody knows whether it has arrived. It is the trouble of this line alone.
            return Hold(Reason.OUT_OF_TURN, longest)
        if ahead is None:
            return None
        due_at = ahead.next_attempt_at or longest
        shortest = self._clock() + SHORTEST_WAIT
        return Hold(Reason.OUT_OF_TURN, min(max(due_at, shortest), longest))

    def look_again(self, planned: Planned, held: DeliveryRecord) -> DeliveryRecord:
        """Makes a delivery due that was held back, where what was ahead of it has ended meanwhile.

        Whoever ended that may have come too early to find it waiting.

        Args:
            planned: The delivery.
            held: What is known of it since it was held back.

        Returns:
            What is known of it now.
        """
        try:
            known = self._store.delivery(held.id) if self._ahead_of(planned) is None else None
        except StoreDamaged:
            known = None
        return held if known is None else self._released(known)

    def take_back(self, planned: Planned) -> None:
        """Does nothing: it is still its turn."""

    def settled(self, record: DeliveryRecord) -> None:
        """Makes the next of a line due where a delivery has ended.

        Where that stops the line, it is held back again: the subscription says so, and the store.
        """
        if record.order_key is None or not record.state.has_ended:
            return
        try:
            following = self._store.next_in_line(record.id)
        except StoreDamaged:
            return
        if following is not None:
            self._released(following)

    def _ahead_of(self, planned: Planned) -> DeliveryRecord | None:
        stop = planned.delivery.subscription.when_failed is WhenFailed.STOP
        return self._store.ahead_of(planned.delivery.id, stop=stop)

    def _released(self, record: DeliveryRecord) -> DeliveryRecord:
        """Makes a delivery due, unless it waits for something else than its turn."""
        due_at = record.next_attempt_at
        if record.held is not Reason.OUT_OF_TURN or due_at is None:
            return record
        # But for its turn, it has been due since it was accepted.
        ready = evolve(record.due_at(min(due_at, record.accepted_at or due_at)), held=None)
        if not self._store.take(record.id, due_at, ready):
            return record
        self.released += 1
        return ready
