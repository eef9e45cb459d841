"""What a subscription asks of whoever delivers to it: how fast at most, how often again, in which order."""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TypeAlias, cast

from attrs import Factory, field, frozen

from thornsdk.errors import InvalidValue

FASTEST: float = 100_000.0
"""The most attempts in a second that a rate limit takes: above, it limits nothing."""
SLOWEST: float = 1 / 3600
"""The fewest attempts in a second that a rate limit takes: one in an hour."""
MOST: int = 1_000_000
"""The largest burst, and the most attempts in flight, that a limit takes."""

MAX_WAIT: float = 365 * 24 * 3600.0
"""The longest wait between two attempts, in seconds: a year."""


def _check_rate(_: object, __: object, rate: float) -> None:
    if not _is_rate(rate):
        raise InvalidValue(
            f"a rate limit of {rate!r} per second; it takes a number from 1/3600, one in an hour, to "
            f"{FASTEST:g}"
        )


def _is_rate(given: float) -> bool:
    return _is_number(given, int, float) and SLOWEST <= given <= FASTEST


def _is_number(given: object, *kinds: type) -> bool:
    # What stands in a configuration may be anything, and True is an int.
    return isinstance(given, kinds) and not isinstance(given, bool)


def count_of(what: str) -> Callable[[object, object, int | None], None]:
    """Gives the check of a count, which may be None.

    Args:
        what: What is counted, for the error: `InvalidValue`, where it is not a whole number from 1 to
            1,000,000.
    """

    def check(_: object, __: object, count: int | None) -> None:
        if count is not None and not (_is_number(count, int) and 1 <= count <= MOST):
            raise InvalidValue(f"{what} is {count!r}; it takes a whole number from 1 to {MOST}")

    return check


def _one_second(limit: "RateLimit") -> int:
    rate = limit.per_second
    # It is asked before the rate is checked, which may be anything, also a number without end.
    return max(1, math.ceil(rate)) if _is_rate(rate) else 1


@frozen(kw_only=True)
class RateLimit:
    """How fast attempts may follow each other: a token bucket.

    Attributes:
        per_second: How many attempts in a second, in the long run.
        burst: How many may begin at once when none was made for long. By default, those of one second.

    Raises:
        InvalidValue: If the rate is not from 1/3600 to 100,000, or the burst not a whole number from 1 to
            1,000,000.
    """

    per_second: float = field(validator=_check_rate)
    burst: int = field(
        default=Factory(_one_second, takes_self=True), validator=count_of("the burst of a rate limit")
    )


RateLimitLike: TypeAlias = RateLimit | float | Mapping[str, object]
"""What is taken where a rate limit is given: also the attempts per second alone, or both by their names."""


ScheduleLike: TypeAlias = Iterable[float]
"""What is taken where a retry schedule is given: seconds."""


def as_schedule(given: ScheduleLike | None) -> tuple[float, ...] | None:
    """Returns the waits between attempts, in seconds, as a tuple.

    Raises:
        InvalidValue: If one of them is not from 0 to `MAX_WAIT`.
    """
    if given is None:
        return None
    # A text is a sequence too, of texts.
    waits = tuple(given)
    if not all(map(_is_wait, waits)):
        raise InvalidValue(
            f"retry_schedule is {given!r}; it takes a list of seconds, each from 0 to {MAX_WAIT:.0f}, a year"
        )
    return tuple(map(float, waits))


def _is_wait(given: float) -> bool:
    return _is_number(given, int, float) and 0 <= given <= MAX_WAIT


class WhenFailed(StrEnum):
    """What becomes of the messages that wait for one before them, when that is given up."""

    STOP = "stop"
    """They wait until it is replayed and arrives, or is cancelled."""
    SKIP = "skip"
    """The next of them is delivered."""


def as_rate_limit(given: RateLimitLike | None) -> RateLimit | None:
    """Returns a rate limit as one.

    Raises:
        InvalidValue: If it cannot be one.
    """
    if given is None or isinstance(given, RateLimit):
        return given
    if not isinstance(given, Mapping):
        return RateLimit(per_second=given)
    try:
        return RateLimit(**cast("Mapping[str, int]", given))  # It checks each of them.
    except TypeError:
        raise InvalidValue("a rate limit takes per_second, and burst if you like") from None


def as_when_failed(given: WhenFailed | str) -> WhenFailed:
    """Returns what is done after a failure as one of `WhenFailed`.

    Raises:
        InvalidValue: If there is none of that name.
    """
    try:
        return WhenFailed(given)
    except ValueError:
        raise InvalidValue(f"when_failed is {given!r}; it takes one of: {', '.join(WhenFailed)}") from None


def check_path(_: object, __: object, path: str | None) -> None:
    """Checks the path of a field of a payload, such as ``order.id``.

    Raises:
        InvalidValue: If it is empty, or a part of it is.
    """
    if path is not None and not _is_path(path):
        raise InvalidValue(
            f"ordered_by is {path!r}; it takes the name of a field of the payload, such as order_id, or a "
            f"path to it, such as order.id"
        )


def _is_path(given: object) -> bool:
    return isinstance(given, str) and given.isprintable() and all(given.split("."))
