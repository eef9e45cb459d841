"""When a delivery is attempted again: a policy as a value, and the judgement of an attempt."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from attrs import field, frozen, validators

from thornsdk.errors import TransportError
from thornsdk.model import MAX_WAIT, Outcome, OutcomeKind, Response
from thornsdk.reasons import Reason
from thornsdk.typing import Random

HOUR = 3600.0
STANDARD_SCHEDULE = (
    5.0,
    5 * 60.0,
    30 * 60.0,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Seconds between attempts, as the Standard Webhooks specification proposes them."""

_BLOCKING = frozenset(
    {
        Reason.ADDRESS_FORBIDDEN,
        Reason.PORT_FORBIDDEN,
        Reason.RECIPIENT_REFUSED,
        Reason.SCHEME_FORBIDDEN,
    }
)
_WAIT = [validators.ge(0.0), validators.le(MAX_WAIT)]


def _waits(seconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(seconds)


def _statuses(statuses: Iterable[int]) -> frozenset[int]:
    return frozenset(statuses)


@frozen
class RetryPolicy:
    """When a delivery is attempted again, and when it is given up.

    Attributes:
        schedule: Seconds to wait after the first attempt, after the second, and so on, each at most
            `MAX_WAIT`. After one attempt more than there are waits, the delivery is given up.
        jitter: How much of a wait is added to it at most, by chance, as a share of the wait: 0.1 makes
            100 seconds 100 to 110. It keeps what failed together from coming back together.
        max_retry_after: The longest wait, in seconds, that a subscriber can ask for with ``Retry-After``.
        permanent: Statuses that are not attempted again: a delivery that gets one is given up at once.

    Raises:
        ValueError: If a wait is not from 0 to `MAX_WAIT`, or the jitter not from 0 to 1.

    Example:
        >>> RetryPolicy.fixed(times=3, delay=60).schedule
        (60.0, 60.0, 60.0)
    """

    schedule: tuple[float, ...] = field(
        default=STANDARD_SCHEDULE, converter=_waits, validator=validators.deep_iterable(_WAIT)
    )
    jitter: float = field(default=0.1, validator=(validators.ge(0), validators.le(1)), kw_only=True)
    max_retry_after: float = field(default=24 * HOUR, validator=_WAIT, kw_only=True)
    permanent: frozenset[int] = field(default=frozenset(), converter=_statuses, kw_only=True)

    @classmethod
    def fixed(cls, *, times: int, delay: float) -> "RetryPolicy":
        """Makes a policy that waits equally long before each new attempt.

        Args:
            times: How many attempts are made after the first.
            delay: Seconds before each of them.
        """
        return cls((float(delay),) * times)

    @classmethod
    def never(cls) -> "RetryPolicy":
        """Makes a policy that gives up after the first attempt."""
        return cls(())

    @property
    def attempts(self) -> int:
        """How many attempts are made at most, one more than there are waits."""
        return len(self.schedule) + 1

    def wait_after(self, number: int, random: Random, asked: float | None = None) -> float | None:
        """Gives the seconds to wait after an attempt, or None when the delivery is to be given up.

        Args:
            number: The attempt's number; the first is 1.
            random: What the jitter comes from.
            asked: The seconds that the subscriber asked for, or None. A wait is never shorter than that, up
                to the policy's cap.
        """
        if number >= self.attempts:
            return None
        wait = self.schedule[number - 1]
        wait += wait * self.jitter * random()
        return wait if asked is None else max(wait, min(asked, self.max_retry_after))


_DELIVERED = Outcome(OutcomeKind.DELIVERED, Reason.ACCEPTED)


def judge(
    result: Response | TransportError, *, number: int, policy: RetryPolicy, now: datetime, random: Random
) -> Outcome:
    """Says what an attempt means.

    2xx is success and nothing else is. 3xx is given up, and so is 410, which also disables the
    subscription. What policy blocks stays blocked. Everything else is attempted again until the schedule
    ends, unless the policy lists the status as permanent.

    Args:
        result: The answer, or the error in its place.
        number: The attempt's number; the first is 1.
        policy: What says when to attempt again.
        now: When the attempt ended; waits count from then.
        random: What the jitter comes from.
    """
    asked: float | None = None
    if isinstance(result, TransportError):
        if result.reason in _BLOCKING:
            return Outcome(OutcomeKind.BLOCKED, result.reason)
        reason = result.reason
    else:
        reason = _meaning(result.status)
        if reason is Reason.ACCEPTED:
            return _DELIVERED
        if reason is not Reason.STATUS or result.status in policy.permanent:
            return Outcome(OutcomeKind.FAILED, reason)
        asked = retry_after(result.header("Retry-After"), now)
    wait = policy.wait_after(number, random, asked)
    if wait is None:
        return Outcome(OutcomeKind.FAILED, reason)
    return Outcome(OutcomeKind.RETRY, reason, now + timedelta(seconds=wait))


def _meaning(status: int) -> Reason:
    if 200 <= status <= 299:  # noqa: PLR2004 - RFC 9110, section 15: the classes are the first digits
        return Reason.ACCEPTED
    if 300 <= status <= 399:  # noqa: PLR2004
        return Reason.REDIRECT
    return Reason.GONE if status == HTTPStatus.GONE else Reason.STATUS


def retry_after(value: str | None, now: datetime) -> float | None:
    """Reads a ``Retry-After`` header (RFC 9110, section 10.2.3): seconds, or a date.

    Args:
        value: The header's value, or None where there is none.
        now: The time that a date is measured from.

    Returns:
        Seconds from ``now``, never negative; None where there is no header or it cannot be read.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return float(text)
    # It brings the whole email package along, for a form of the header that is seldom met.
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # The second for a year or an offset of twenty digits.
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
