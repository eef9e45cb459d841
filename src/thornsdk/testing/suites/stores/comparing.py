"""How the promises of a store say what was seen in place of what was wanted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

import attrs

from thornsdk.model import DeliveryRecord, Subscription
from thornsdk.testing.suites.promises import broken, keeps
from thornsdk.testing.suites.stores.samples import name, names

_SHOWN = 8
_LONGEST = 120


class Deliberate(Exception):
    """What a change, a claim or a stream raises on purpose."""

    def __init__(self) -> None:
        super().__init__("raised by the test, on purpose")


def check_is(found: object, wanted: object, what: str) -> None:
    """Breaks the promise of the test unless a value is that which is wanted; names the fields that are not.

    Args:
        found: What was seen.
        wanted: What is promised.
        what: What it is, such as ``the subscription``.
    """
    __tracebackhide__ = True
    if type(found) is not type(wanted):
        broken(f"{what} is {_shown(found)}, not {_shown(wanted)}")
    keeps(found == wanted, f"of {what}, {'; '.join(_differences(found, wanted)) or f'it is {_shown(found)}'}")


def check_given(
    found: Iterable[Subscription | DeliveryRecord], wanted: Iterable[Subscription | DeliveryRecord]
) -> None:
    """Breaks the promise of the test unless these are given, in this order, and as they are."""
    __tracebackhide__ = True
    given, expected = list(found), list(wanted)
    keeps(names(given) == names(expected), f"it gave {_listed(given)}, not {_listed(expected)}")
    for one, other in zip(given, expected, strict=True):
        check_is(one, other, name(other))


def check_same_set(
    found: Iterable[Subscription | DeliveryRecord],
    wanted: Iterable[Subscription | DeliveryRecord],
    where: str = "",
) -> None:
    """Breaks the promise of the test unless these are given, each once, in whatever order.

    Args:
        found: What was given.
        wanted: What is promised.
        where: In which case, such as ``for order.*: ``.
    """
    __tracebackhide__ = True
    given, expected = sorted(found, key=_id), sorted(wanted, key=_id)
    same = list(map(_id, given)) == list(map(_id, expected))
    keeps(same, f"{where}it gave {_listed(given)}, not {_listed(expected)}")


def check_raises_that(do: Callable[[], object]) -> None:
    """Breaks the promise of the test unless a call raises just what it met, and no other error."""
    __tracebackhide__ = True
    try:
        do()
    except Deliberate:
        return
    except Exception as exc:
        broken(f"what was raised inside came out as {type(exc).__name__}: {exc}", exc)
    broken("it raised nothing where it met an error")


def fails(_: object) -> NoReturn:
    """Is a change that fails."""
    raise Deliberate


def _id(one: Subscription | DeliveryRecord) -> str:
    return str(one.id)


def _listed(found: Sequence[Subscription | DeliveryRecord]) -> str:
    told = ", ".join(names(found[:_SHOWN])) or "none"
    return f"{told} and {len(found) - _SHOWN} more" if len(found) > _SHOWN else told


def _differences(found: object, wanted: object, field: str = "") -> Iterator[str]:
    """Gives the fields in which two values are not the same, with what is in them."""
    kind = type(wanted)
    if type(found) is kind and attrs.has(kind):
        for one in attrs.fields(kind):
            below = f"{field}.{one.name}" if field else one.name
            yield from _differences(getattr(found, one.name), getattr(wanted, one.name), below)
    elif found != wanted:
        yield f"{field} is {_shown(found)}, not {_shown(wanted)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
