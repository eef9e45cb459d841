"""Deliveries that must be attempted in this pass, and wait in it for their turn."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import Final

from attrs import field, frozen

from thornsdk.dispatching import Planned
from thornsdk.limits import Limits
from thornsdk.planned import Conditions

_MOST: Final = 100
"""How many deliveries wait at most; then no more are read, so that memory is bounded."""


@frozen(order=True)
class _Waiting:
    until: datetime
    number: int
    planned: Planned = field(order=False)


class InTurn(Iterator[Planned]):
    """Gives deliveries as the limits of their subscriptions let them through; meanwhile, it gives others.

    When all that is left has to wait, it pauses, as if it had ended, so that what is in flight ends and gives
    its places back. After `wait`, it goes on.

    Args:
        planned: What is to be attempted.
        limits: Says what has to wait.
        conditions: The clock, and what waits.
        look_again: Gives what has waited, as its subscription is now. One that is disabled by then asks no
            more, and is given.
    """

    def __init__(
        self,
        planned: Iterable[Planned],
        limits: Limits,
        conditions: Conditions,
        look_again: Callable[[Planned], Planned],
    ) -> None:
        self._planned = iter(planned)
        self._limits = limits
        self._conditions = conditions
        self._look_again = look_again
        self._waiting: list[_Waiting] = []
        self._number = count()
        self._read_to_the_end = False

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._read_to_the_end and not self._waiting

    def wait(self) -> None:
        """Sleeps until one of those that wait has its turn."""
        if self._waiting:
            left = self._waiting[0].until - self._conditions.clock()
            self._conditions.sleep(max(left.total_seconds(), 0.0))

    def __next__(self) -> Planned:
        while (one := self._next()) is not None:
            planned, has_waited = one
            if planned.problem is not None or not planned.delivery.subscription.active:
                return planned  # It fails without a request.
            hold = self._limits.ask(planned, has_waited=has_waited)
            if hold is None:
                return planned
            heapq.heappush(self._waiting, _Waiting(hold.until, next(self._number), planned))
        raise StopIteration

    def _next(self) -> tuple[Planned, bool] | None:
        """Gives the next that may ask, and whether it has waited."""
        if self._waiting and self._waiting[0].until <= self._conditions.clock():
            return self._look_again(heapq.heappop(self._waiting).planned), True
        if self._read_to_the_end or len(self._waiting) >= _MOST:
            return None
        planned = next(self._planned, None)
        self._read_to_the_end = planned is None
        return None if planned is None else (planned, False)
