"""What is promised of headers, whoever writes them."""

from collections.abc import Callable

from thornsdk.errors import InvalidHeader
from thornsdk.model import check_signed
from thornsdk.model.headers import check_sendable
from thornsdk.testing.suites.promises import broken, keeps
from thornsdk.typing import Headers


def check_pairs(headers: object) -> None:
    """Breaks the promise of the test unless headers are pairs of text."""
    if not isinstance(headers, (tuple, list)):
        broken(f"it gave {headers!r}")
    for pair in headers:
        is_pair = isinstance(pair, tuple) and [type(one) for one in pair] == [str, str]
        keeps(is_pair, f"it gave {pair!r}, which is no tuple of two texts")


def check_can_be_sent(headers: Headers) -> None:
    """Breaks the promise of the test unless headers can be sent."""
    _check(check_sendable, headers)


def check_names(headers: Headers) -> None:
    """Breaks the promise of the test unless headers may stand beside those of the library."""
    _check(check_signed, headers)


def check_named(named: frozenset[str], headers: Headers) -> None:
    """Breaks the promise of the test unless the names that were said beforehand are those of the headers."""
    given = {name.lower() for name, _ in headers}
    unnamed = sorted(given - {name.lower() for name in named})
    keeps(not unnamed, f"it gives {', '.join(unnamed)}, and names {', '.join(sorted(named))}")
    check_lower(named)


def check_lower(named: frozenset[str]) -> None:
    """Breaks the promise of the test unless names are in lower case."""
    upper = sorted(name for name in named if name != name.lower())
    keeps(not upper, f"it names {', '.join(upper)}, which is not in lower case")


def _check(check: Callable[[Headers], object], headers: Headers) -> None:
    try:
        check(headers)
    except InvalidHeader as exc:
        broken(str(exc), exc)
