"""Times as people give them: an age, such as ``2h``, or a moment in ISO 8601."""

import re
from datetime import date, datetime, timedelta

import click

from thornsdk.stages import utc_now
from thornsdk.typing import Clock

_AGE = re.compile(r"([0-9]+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EXAMPLES = "such as 90s, 15m, 2h, 3d or 4w"


def age(text: str) -> timedelta:
    """Reads how long ago something was: a whole number and its unit.

    Raises:
        click.BadParameter: If it is no age, or one that no calendar has.
    """
    try:
        return _age(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no age, {_EXAMPLES}") from None


def moment(text: str, clock: Clock = utc_now) -> datetime:
    """Reads when something was: an age, or ISO 8601; without a zone, it is of the zone of this machine.

    Raises:
        click.BadParameter: If it is neither, or one that no calendar has.
    """
    try:
        if _AGE.fullmatch(text):
            return clock() - _age(text)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        problem = f"{text!r} is no time, such as 2026-01-31T12:00, and no age, {_EXAMPLES}"
        raise click.BadParameter(problem) from None


def day(text: str, clock: Clock = utc_now) -> date:
    """Reads which day is meant, in UTC: a day in ISO 8601, or an age, for the day of that moment.

    Raises:
        click.BadParameter: If it is neither, or one that no calendar has.
    """
    try:
        return (clock() - _age(text)).date() if _AGE.fullmatch(text) else date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no day, such as 2026-01-31, and no age, {_EXAMPLES}") from None


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if found is None:
        raise ValueError
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
