"""Circuit breakers: an origin that keeps failing is left alone for a while. Values, without a clock."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from attrs import evolve, field, frozen, validators

from thornsdk.model import Attempt
from thornsdk.reasons import Reason
from thornsdk.typing import Random

LONGEST_PAUSE: float = 3600.0
"""How long a pause gets at most, in seconds."""
_JITTER = 0.1
_FAR = timedelta(days=1)
_SERVER_ERROR = 500

_FAILURES = frozenset(
    {
        Reason.TIMEOUT,
        Reason.NAME_NOT_RESOLVED,
        Reason.CONNECTION_REFUSED,
        Reason.CONNECTION_LOST,
        Reason.UNREACHABLE,
        Reason.TLS_UNTRUSTED,
        Reason.TLS_SELF_SIGNED,
        Reason.TLS_WRONG_NAME,
        Reason.TLS_EXPIRED,
        Reason.TLS_TOO_OLD,
        Reason.TLS_FAILED,
    }
)
# What a client certificate fails is the trouble of one subscription; the others of its origin may be well.
_ANSWERS = frozenset({Reason.PROTOCOL_ERROR, Reason.ANSWER_TOO_LARGE})


class BreakerState(StrEnum):
    """What a circuit breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until its pause is over."""
    HALF_OPEN = "half_open"
    """One delivery as the probe. What comes of it closes or opens the breaker."""


@frozen(kw_only=True)
class Breaker:
    """The circuit breaker of an origin. That of an origin of which nothing bad is known is ``Breaker()``.

    Attributes:
        failures: How many attempts in a row have failed.
        pause: How long the present pause is, or was, in seconds; 0 while it is closed.
        until: When the pause is over; while there is a probe, by when its result must be there. None while
            it is closed.
        probe: The delivery that was let through to see how the origin is; None while there is none.
    """

    failures: int = 0
    pause: float = 0.0
    until: datetime | None = None
    probe: UUID | None = None

    def state(self, now: datetime) -> BreakerState:
        """Gives the state at a moment."""
        if self.until is None:
            return BreakerState.CLOSED
        if self.probe is None and not self.is_over(now):
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def is_over(self, now: datetime) -> bool:
        """Tells whether its pause, or the time of its probe, is over."""
        # What lies so far ahead was written by a clock that was wrong.
        return self.until is not None and not now < self.until <= now + _FAR


@frozen
class BreakerPolicy:
    """When an origin is paused, and for how long.

    Attributes:
        failures: After how many failed attempts in a row; with 0, never.
        pause: For how many seconds at first, more than 0. The pause doubles with each probe that fails, up
            to `LONGEST_PAUSE`.

    Raises:
        ValueError: If one of them is out of its range.
    """

    failures: int = field(default=10, validator=validators.ge(0))
    pause: float = field(default=60.0, validator=[validators.gt(0.0), validators.le(LONGEST_PAUSE)])

    def begun(self, known: Breaker, delivery_id: UUID, now: datetime, time: timedelta) -> Breaker:
        """Gives what is true when a delivery asks to be let through: it may become the probe.

        Args:
            known: The breaker before.
            delivery_id: Which delivery.
            now: When it asks.
            time: In what time the result of a probe must be there; later, another one is let through.
        """
        if not known.is_over(now):
            return known
        return evolve(known, probe=delivery_id, until=now + time)

    def admits(self, known: Breaker, delivery_id: UUID) -> bool:
        """Tells whether a delivery that has asked is let through."""
        return known.until is None or known.probe == delivery_id

    def ended(self, known: Breaker, delivery_id: UUID, well: bool | None, now: datetime) -> Breaker:  # noqa: FBT001 - a verdict
        """Gives what is true after an attempt.

        While it is not closed, failures do not count but that of the probe: they were begun before.

        Args:
            known: The breaker before.
            delivery_id: Of which delivery the attempt was.
            well: What the attempt says of the origin, as `verdict` gives it.
            now: When it ended.
        """
        if well:
            return Breaker()
        if known.until is None:
            return known if well is None else self._failed(known, self.pause, now)
        if known.probe != delivery_id:
            return known
        if well is None:
            return evolve(known, probe=None, until=now)
        return self._failed(known, min(known.pause * 2, LONGEST_PAUSE), now)

    def put_off(self, known: Breaker, now: datetime, random: Random, timeout: float) -> datetime:
        """Gives when a delivery that was not let through is due.

        Args:
            known: The breaker, which is not closed.
            now: When it asked.
            random: What the jitter comes from: up to a tenth of the pause.
            timeout: The deadline of an attempt, in seconds: by then, a probe has mostly ended.
        """
        soon = now + timedelta(seconds=timeout)
        until = soon if known.until is None or known.probe is not None else known.until
        return until + timedelta(seconds=known.pause * _JITTER * random())

    def _failed(self, known: Breaker, pause: float, now: datetime) -> Breaker:
        failures = known.failures + 1
        if failures < self.failures:
            return evolve(known, failures=failures)
        return Breaker(failures=failures, pause=pause, until=now + timedelta(seconds=pause))


def verdict(attempt: Attempt) -> bool | None:
    """Says whether an attempt shows that its origin is well, or is not; None where it shows neither.

    An origin that answers is well, whatever it answers, unless that is a 5xx. What policy or a stage kept
    from being sent shows nothing.
    """
    if attempt.number == 0:
        return None
    if attempt.status is not None:
        return attempt.status < _SERVER_ERROR
    reason = attempt.outcome.reason
    if reason in _FAILURES:
        return False
    return True if reason in _ANSWERS else None
