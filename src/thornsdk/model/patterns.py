"""Names of events, and the patterns that subscribe to them.

A name is one to eight segments joined by dots: ``order.created``. A segment is made of ASCII letters,
digits, ``_`` and ``-``. A pattern has the same form, and a segment of it may be ``*``, which stands for one
or more whole segments: ``order.*`` matches ``order.created`` and ``order.item.added``, ``*`` matches all.
"""

import re

from attrs import Factory, field, frozen

from thornsdk.errors import InvalidEventName, InvalidPattern

MAX_SEGMENTS = 8
"""The most segments a name or pattern has: it bounds the patterns that can match one event."""

MAX_LENGTH = 200
"""The most characters a name or pattern has; it is sent as a header and is a key in stores."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NAME = re.compile(rf"{_SEGMENT.pattern}(?:\.{_SEGMENT.pattern}){{0,{MAX_SEGMENTS - 1}}}", re.ASCII)
_ANY = r"[^.]+(?:\.[^.]+)*"


def check_event_name(name: str) -> str:
    """Returns the name of an event, checked.

    Args:
        name: Such as ``order.created``.

    Raises:
        InvalidEventName: If an event cannot have that name.
    """
    if _NAME.fullmatch(name) is None or len(name) > MAX_LENGTH:
        problem = _problem(name, wildcard=False)
        raise InvalidEventName(f"{name!r} cannot be the name of an event: {problem}")
    return name


def covering(event: str) -> frozenset[str]:
    """Returns every pattern that matches an event, so that a store can look them up in an index.

    Args:
        event: The event's name, of n segments.

    Returns:
        The texts of the patterns. There are 2 for n = 1, 5 for n = 2, and never more than F(2n + 1), a
        Fibonacci number.
    """
    segments = check_event_name(event).split(".")
    # ends[i]: what can stand for the first i segments.
    ends: list[set[str]] = [{""}]
    for here, segment in enumerate(segments):
        literal = {f"{head}.{segment}" for head in ends[here]}
        starred = {f"{head}.*" for before in ends for head in before}
        ends.append(literal | starred)
    return frozenset(text[1:] for text in ends[-1])


def _check_pattern(_: object, __: object, text: str) -> None:
    problem = _problem(text, wildcard=True)
    if problem:
        raise InvalidPattern(f"no event can match the pattern {text!r}: {problem}")


def _compile(pattern: "EventPattern") -> re.Pattern[str]:
    segments = (_ANY if part == "*" else re.escape(part) for part in pattern.text.split("."))
    return re.compile(r"\.".join(segments))


@frozen
class EventPattern:
    """Which events a subscription wants.

    Attributes:
        text: An event's name, in which a segment may be ``*``.

    Raises:
        InvalidPattern: If no event could ever match.

    Example:
        >>> EventPattern("order.*").matches("order.created")
        True
    """

    text: str = field(validator=_check_pattern)
    _regex: re.Pattern[str] = field(
        init=False, eq=False, repr=False, default=Factory(_compile, takes_self=True)
    )

    def matches(self, event: str) -> bool:
        """Tells whether an event of this name is wanted."""
        return self._regex.fullmatch(event) is not None

    def __str__(self) -> str:
        return self.text


def _problem(text: str, *, wildcard: bool) -> str:
    """Says what is wrong with a name or pattern, or nothing."""
    if not text:
        return "it is empty"
    if len(text) > MAX_LENGTH:
        return f"it is longer than {MAX_LENGTH} characters"
    segments = text.split(".")
    if len(segments) > MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS} segments"
    for segment in segments:
        if not segment:
            return "it has an empty segment"
        if wildcard and segment == "*":
            continue
        if not _SEGMENT.fullmatch(segment):
            if wildcard and "*" in segment:
                return f"in {segment!r}, a * must stand alone between dots"
            return f"in {segment!r}, only ASCII letters, digits, _ and - may stand"
    return ""


def as_pattern(pattern: EventPattern | str | None) -> EventPattern | None:
    """Returns a pattern, or its text, as a pattern; None stays None.

    Raises:
        InvalidPattern: If no event could ever match it.
    """
    return EventPattern(pattern) if isinstance(pattern, str) else pattern
