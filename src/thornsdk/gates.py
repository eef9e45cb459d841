"""Gates: what a delivery has to pass before it is attempted, or else is held back."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

from attrs import frozen

from thornsdk.dispatching import Planned
from thornsdk.model import DeliveryRecord
from thornsdk.reasons import Reason


@frozen
class Hold:
    """A delivery is to be held back.

    Attributes:
        reason: Why.
        until: When it is due.
    """

    reason: Reason
    until: datetime


class Gate(Protocol):
    """Holds back what must not be attempted now. That spends no attempt."""

    def hold(self, planned: Planned) -> Hold | None:
        """Tells whether a delivery is held back; None for one that may pass."""
        ...

    def take_back(self, planned: Planned) -> None:
        """Takes note that a delivery, which has passed, is held back by a later gate."""
        ...

    def settled(self, record: DeliveryRecord) -> None:
        """Takes note of what came of an attempt."""
        ...


class Gates:
    """The gates, in the order in which a delivery comes to them.

    Args:
        gates: Each of them.
    """

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = gates

    def hold(self, planned: Planned) -> Hold | None:
        """Tells whether one of the gates holds a delivery back; None for one that passes all."""
        for number, gate in enumerate(self._gates):
            try:
                hold = gate.hold(planned)
            except Exception:
                self._take_back(planned, number)  # It is not attempted either.
                raise
            if hold is not None:
                self._take_back(planned, number)
                return hold
        return None

    def settled(self, record: DeliveryRecord) -> None:
        """Tells all gates what came of an attempt."""
        with ExitStack() as stack:
            # Each is told, even where one before it breaks: otherwise its place would stay taken.
            for gate in reversed(self._gates):
                stack.callback(gate.settled, record)

    def _take_back(self, planned: Planned, number: int) -> None:
        for passed in self._gates[:number]:
            passed.take_back(planned)
