"""Deliveries that are due, as a transport asks for them: read page by page, and planned one by one."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Generic, TypeVar

from attrs import frozen

from thornsdk.dispatching import Planned
from thornsdk.model import DeliveryRecord

T = TypeVar("T")

PAGE: int = 100
"""How many deliveries are claimed at once."""
_PAUSE = 100
"""How many deliveries that were settled without an attempt wait at most to be given."""


@frozen(kw_only=True)
class Claim:
    """A delivery that was claimed.

    Attributes:
        known: What was known of it before.
        leased_until: When its lease is over.
    """

    known: DeliveryRecord
    leased_until: datetime


class Due(Iterator[Planned], Generic[T]):
    """What is to be attempted of a stream of claims, or of others.

    What was settled without an attempt is set aside, for a transport takes nothing else than attempts. After
    many of these it pauses, as if it had ended, so that they can be given: there may be millions.

    Args:
        claims: What was claimed; it is read when more is asked for, and not before.
        prepare: Plans the attempt of a claim; or settles it without one, and gives the result; or lets it be,
            and gives None.
    """

    def __init__(self, claims: Iterator[T], prepare: Callable[[T], Planned | DeliveryRecord | None]) -> None:
        self._claims = claims
        self._prepare = prepare
        self._aside: deque[DeliveryRecord] = deque()
        self.ended: bool = False

    def __next__(self) -> Planned:
        while len(self._aside) < _PAUSE:
            claim = next(self._claims, None)
            if claim is None:
                self.ended = True
                break
            prepared = self._prepare(claim)
            if isinstance(prepared, Planned):
                return prepared
            if prepared is not None:
                self._aside.append(prepared)
        raise StopIteration

    def results(
        self, attempt: Callable[[Iterator[Planned]], Iterator[DeliveryRecord]]
    ) -> Iterator[DeliveryRecord]:
        """Has each attempted, and gives each result when it is known.

        Args:
            attempt: Attempts deliveries, and gives each result when it is known.
        """
        while not self.ended:
            for record in attempt(self):
                yield from self.aside()
                yield record
            yield from self.aside()

    def aside(self) -> Iterator[DeliveryRecord]:
        """Gives what was set aside."""
        while self._aside:
            yield self._aside.popleft()
