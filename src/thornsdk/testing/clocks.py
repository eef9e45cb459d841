"""Time that goes when it is told to."""

from datetime import UTC, datetime, timedelta

from attrs import define, field


@define
class FakeClock:
    """A clock that goes when it is told to.

    Attributes:
        now: The time that it tells, with its time zone.

    Example:
        >>> from thornsdk import Thorn
        >>> from thornsdk.testing import FakeClock
        >>> clock = FakeClock()
        >>> thorn = Thorn(clock=clock)
        >>> clock.advance(3600)
    """

    now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tells the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets so many seconds pass; with a negative number, the clock is set back."""
        self.now += timedelta(seconds=seconds)


@define
class FakeSleep:
    """Sleeps by setting a clock forward, so that no time is lost.

    Attributes:
        clock: The clock that goes on.
        slept: How many seconds it slept, each time.
    """

    clock: FakeClock
    slept: list[float] = field(factory=list, init=False)

    def __call__(self, seconds: float) -> None:
        """Sleeps for so many seconds."""
        self.slept.append(seconds)
        self.clock.advance(seconds)
