"""Tells attempts as they are recorded in the store, whoever makes them."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve

from thornsdk import Attempt, DeliveryFilter, DeliveryRecord, DeliveryState, Thorn
from thornsdk.cli import show
from thornsdk.cli.stopping import stoppable
from thornsdk.typing import Clock

LOOK_EVERY = 1.0
"""After how many seconds the store is looked at again."""


class Follower:
    """Finds the attempts that have ended since it looked last. What had ended before is not told.

    It looks at deliveries by the time at which their latest attempt began, and an attempt is recorded when it
    has ended: so it looks back for as long as an attempt may take.

    Args:
        thorn: Where to look.
        wanted: Which deliveries. Its states are those that an attempt leaves its delivery in.
        look_back: How long before its record an attempt may have begun.
        clock: Tells the time.
    """

    def __init__(self, thorn: Thorn, wanted: DeliveryFilter, *, look_back: timedelta, clock: Clock) -> None:
        self._thorn = thorn
        self._states = wanted.states
        self._wanted = evolve(wanted, states=None)
        self._look_back = look_back
        self._clock = clock
        self._since: datetime = clock() - look_back
        # How many attempts of each delivery had ended, of those that were attempted lately.
        self._ended: dict[UUID, int] = {one.id: _ended(one) for one in self._lately()}

    def new(self) -> list[DeliveryRecord]:
        """Gives the attempts that have ended since, in the order of their ends: each as its record's last."""
        before, self._ended = self._ended, {}
        found: list[DeliveryRecord] = []
        since = self._clock() - self._look_back
        for record in self._lately():
            self._ended[record.id] = _ended(record)
            found.extend(self._new_of(record, before.get(record.id)))
        self._since = since
        return sorted(found, key=_ended_at)

    def _lately(self) -> Iterator[DeliveryRecord]:
        return self._thorn.deliveries(self._wanted, since=self._since)

    def _new_of(self, record: DeliveryRecord, told: int | None) -> Iterator[DeliveryRecord]:
        if _ended(record) == (told or 0):
            return
        for attempt in self._attempts(record):
            is_new = attempt.started_at >= self._since if told is None else attempt.number > told
            if is_new and attempt.number <= _ended(record) and self._is_wanted(attempt):
                yield evolve(record, last=attempt, lease=None)

    def _attempts(self, record: DeliveryRecord) -> list[Attempt]:
        # Most have one, and need no look at the history.
        return [record.last] if record.last.number == 1 else self._thorn.attempts(record.id)

    def _is_wanted(self, attempt: Attempt) -> bool:
        return self._states is None or DeliveryState.after(attempt.outcome) in self._states


def follow(
    follower: Follower,
    tell: Callable[[DeliveryRecord], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Tells attempts until Ctrl-C, SIGTERM, or nobody reads any more.

    Args:
        follower: Finds them.
        tell: Prints one.
        sleep: Waits for so many seconds.
    """
    with stoppable():
        try:
            while True:
                for record in follower.new():
                    tell(record)
                sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            return
        except (BrokenPipeError, SystemExit):
            # Rich ends the process here, from release 13.8 on.
            show.discard_stdout()


def _ended(record: DeliveryRecord) -> int:
    """Gives how many attempts have ended: not the one that is under way, whose result is not known."""
    return record.last.number if record.lease is None else max(record.last.number - 1, 0)


def _ended_at(record: DeliveryRecord) -> datetime:
    return record.last.started_at + timedelta(seconds=record.last.duration)
