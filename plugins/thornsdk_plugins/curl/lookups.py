"""Look-ups of names by a resolver of one's own, each in a thread: libcurl has a resolver for all others."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime

from attrs import define, frozen

from thornsdk import Reason, Request
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress, Resolver


@define(eq=False)
class _Asked:
    request: Request
    at: datetime
    began: float
    found: Sequence[IPAddress] | Exception | None = None


@frozen(eq=False)
class Found:
    """What came of a look-up.

    Attributes:
        request: The request that it was for.
        at: When the request was taken up.
        seconds: How long it took.
        result: The addresses, or why there are none.
    """

    request: Request
    at: datetime
    seconds: float
    result: Sequence[IPAddress] | TransportError


class Lookups:
    """Looks names up without making anybody wait.

    Args:
        resolver: Gives the addresses.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._asked: list[_Asked] = []

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, request: Request, at: datetime) -> None:
        """Begins to look up the host of a request."""
        asked = _Asked(request, at, time.monotonic())
        self._asked.append(asked)
        # A look-up cannot be interrupted; in a thread of its own, it can be left behind at the deadline.
        threading.Thread(target=self._ask, args=(asked,), name="thornsdk-lookup", daemon=True).start()

    def ended(self) -> list[Found]:
        """Gives the look-ups that have ended since, and those for which the time is over."""
        now = time.monotonic()
        over = [one for one in self._asked if one.found is not None or _left(one, now) <= 0]
        self._asked = [one for one in self._asked if one not in over]
        return [Found(one.request, one.at, now - one.began, _result(one)) for one in over]

    def _ask(self, asked: _Asked) -> None:
        url = asked.request.url
        try:
            asked.found = self._resolver(url.host, url.port)
        except Exception as exc:
            asked.found = exc  # It is told where the answer is waited for.


def _left(asked: _Asked, now: float) -> float:
    return asked.request.timeout - (now - asked.began)


def _result(asked: _Asked) -> Sequence[IPAddress] | TransportError:
    found = asked.found
    if found is None:
        return TransportError(Reason.TIMEOUT, "the deadline passed")
    if isinstance(found, Exception) or not found:
        error = TransportError(Reason.NAME_NOT_RESOLVED, f"{asked.request.url.host} has no address")
        error.__cause__ = found if isinstance(found, Exception) else None
        return error
    return found
