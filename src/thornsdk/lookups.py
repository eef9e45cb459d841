"""Looks names up without waiting longer than there is time: for transports that connect by themselves."""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, TypeAlias

from thornsdk.errors import TransportError
from thornsdk.reasons import Reason
from thornsdk.typing import IPAddress, Resolver

LIMIT: Final = 256
"""How many names are looked up at once: each takes a thread, for as long as the name server takes."""

_Name: TypeAlias = tuple[int, str, int]


def system_resolver(host: str, port: int) -> Sequence[IPAddress]:
    """Asks the operating system for the addresses of a host.

    Raises:
        OSError: If it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(place[0])) for *_, place in found]


class LookUp:
    """A look-up that was begun.

    Args:
        host: The host.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: Sequence[IPAddress] | Exception = ()
        self._done = threading.Event()
        self._told: list[Callable[[], object]] = []

    def is_done(self) -> bool:
        """Tells whether there is a result."""
        return self._done.is_set()

    def wait(self, timeout: float) -> bool:
        """Waits for the result for so many seconds at most; tells whether there is one."""
        return self._done.wait(timeout)

    def tell(self, told: Callable[[], object]) -> None:
        """Has a function called when there is a result, in another thread perhaps, and once or twice."""
        self._told.append(told)
        if self.is_done():
            told()

    def addresses(self) -> Sequence[IPAddress]:
        """Gives the result: one address or more.

        Raises:
            TransportError: If the host has none.
        """
        if isinstance(self._found, TransportError):
            raise TransportError(self._found.reason, self._found.detail) from self._found
        if isinstance(self._found, Exception):
            raise TransportError(Reason.NAME_NOT_RESOLVED, f"{self._host} has no address") from self._found
        if not self._found:
            raise TransportError(Reason.NAME_NOT_RESOLVED, f"{self._host} has no address")
        return self._found

    def end(self, found: Sequence[IPAddress] | Exception) -> None:
        """Sets the result."""
        self._found = found
        self._done.set()
        for told in self._told:
            with suppress(OSError):  # Who wanted to be told may be gone.
                told()


class LookUps:
    """Looks names up, each in a thread: a look-up cannot be interrupted, but left behind at the deadline.

    Those who ask for a name that is being looked up already share the answer.

    Args:
        resolver: Gives the addresses of host names.
        limit: How many are under way at most.
    """

    def __init__(self, resolver: Resolver = system_resolver, limit: int = LIMIT) -> None:
        self._resolver = resolver
        self._limit = limit
        # By process, host and port: of those that its parent has begun, a forked process will hear nothing.
        self._under_way: dict[_Name, LookUp] = {}

    def addresses(self, host: str, port: int, timeout: float) -> Sequence[IPAddress]:
        """Gives the addresses of a host.

        Args:
            host: The host.
            port: The port that is to be connected to.
            timeout: For how many seconds it waits at most.

        Raises:
            TransportError: If it has none, or too many look-ups are under way.
            TimeoutError: If they are not known in time.
        """
        look_up = self.begin(host, port)
        if not look_up.wait(timeout):
            raise TimeoutError("the name was not resolved before the deadline")
        return look_up.addresses()

    def begin(self, host: str, port: int) -> LookUp:
        """Begins to look up a host, if nobody has; its result may be that there are too many."""
        name = (os.getpid(), host, port)
        return self._under_way.get(name) or self._begin(name)

    def _begin(self, name: _Name) -> LookUp:
        process, host, _ = name
        look_up = LookUp(host)
        if sum(one[0] == process for one in list(self._under_way)) >= self._limit:
            look_up.end(_not_begun(host, f"{self._limit} other look-ups are still without an answer"))
            return look_up
        begun = self._under_way.setdefault(name, look_up)
        if begun is look_up:
            self._start(name, look_up)
        return begun

    def _start(self, name: _Name, look_up: LookUp) -> None:
        ask = threading.Thread(target=self._ask, args=(name, look_up), name="thornsdk-lookup", daemon=True)
        try:
            ask.start()
        except RuntimeError as exc:
            error = _not_begun(name[1], "no thread could be started for it")
            error.__cause__ = exc
            self._end(name, look_up, error)

    def _ask(self, name: _Name, look_up: LookUp) -> None:
        _, host, port = name
        try:
            found: Sequence[IPAddress] | Exception = self._resolver(host, port)
        except Exception as exc:
            found = exc  # It is told where the answer is waited for.
        self._end(name, look_up, found)

    def _end(self, name: _Name, look_up: LookUp, found: Sequence[IPAddress] | Exception) -> None:
        del self._under_way[name]
        look_up.end(found)


def _not_begun(host: str, why: str) -> TransportError:
    return TransportError(Reason.NAME_NOT_RESOLVED, f"{host} was not looked up: {why}")
