"""Looks names up without waiting longer than there is time."""

import os
import threading
from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import define, field

from thornsdk import Reason
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress, Resolver

LIMIT: Final = 256
"""How many names are looked up at once: each takes a thread, for as long as the name server takes."""

_Name: TypeAlias = tuple[int, str, int]


@define(eq=False)
class _LookUp:
    done: threading.Event = field(factory=threading.Event)
    found: Sequence[IPAddress] | Exception = ()


class LookUps:
    """Looks names up, each in a thread: a look-up cannot be interrupted, but left behind at the deadline.

    Those who ask for a name that is being looked up already share the answer.

    Args:
        resolver: Gives the addresses of host names.
        limit: How many are under way at most.
    """

    def __init__(self, resolver: Resolver, limit: int = LIMIT) -> None:
        self._resolver = resolver
        self._limit = limit
        # By process, host and port: of those that its parent has begun, a forked process will hear nothing.
        self._under_way: dict[_Name, _LookUp] = {}

    def addresses(self, host: str, port: int, timeout: float) -> Sequence[IPAddress]:
        """Gives the addresses of a host.

        Raises:
            TransportError: If it has none, or too many look-ups are under way.
            TimeoutError: If they are not known in time.
        """
        name = (os.getpid(), host, port)
        look_up = self._under_way.get(name) or self._begin(name)
        if not look_up.done.wait(timeout):
            raise TimeoutError("the name was not resolved before the deadline")
        if isinstance(look_up.found, TransportError):
            raise look_up.found
        if isinstance(look_up.found, Exception):
            raise TransportError(Reason.NAME_NOT_RESOLVED, f"{host} has no address") from look_up.found
        if not look_up.found:
            raise TransportError(Reason.NAME_NOT_RESOLVED, f"{host} has no address")
        return look_up.found

    def _begin(self, name: _Name) -> _LookUp:
        process, host, _ = name
        if sum(one[0] == process for one in list(self._under_way)) >= self._limit:
            raise TransportError(
                Reason.NAME_NOT_RESOLVED,
                f"{host} was not looked up: {self._limit} other look-ups are still without an answer",
            )
        look_up = _LookUp()
        begun = self._under_way.setdefault(name, look_up)
        if begun is look_up:
            self._start(name, look_up)
        return begun

    def _start(self, name: _Name, look_up: _LookUp) -> None:
        ask = threading.Thread(target=self._ask, args=(name, look_up), name="thornsdk-lookup", daemon=True)
        try:
            ask.start()
        except RuntimeError as exc:
            error = TransportError(
                Reason.NAME_NOT_RESOLVED, f"{name[1]} was not looked up: no thread could be started for it"
            )
            error.__cause__ = exc
            self._end(name, look_up, error)

    def _ask(self, name: _Name, look_up: _LookUp) -> None:
        _, host, port = name
        try:
            found: Sequence[IPAddress] | Exception = self._resolver(host, port)
        except Exception as exc:
            found = exc  # It is told where the answer is waited for.
        self._end(name, look_up, found)

    def _end(self, name: _Name, look_up: _LookUp, found: Sequence[IPAddress] | Exception) -> None:
        look_up.found = found
        del self._under_way[name]
        look_up.done.set()
