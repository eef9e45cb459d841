"""The aliases that several floors share."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import LiteralString, Protocol, TypeAlias, runtime_checkable

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Header names and values, in the order in which they are sent or came."""


@runtime_checkable
class HasItems(Protocol):
    """What gives headers by ``items()``: a mapping, or the message that ``http.server`` has."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Gives names and values."""
        ...


HeadersLike: TypeAlias = HasItems | Iterable[tuple[str, str]]
"""What is taken where headers are given, either something with ``items()`` or pairs."""

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

AddressGuard: TypeAlias = Callable[[IPAddress], str | None]
"""Says why an address must not be connected to, or None where it may."""

Clock: TypeAlias = Callable[[], datetime]
"""Tells the time, with its time zone."""

Random: TypeAlias = Callable[[], float]
"""Gives a number from 0 up to but not including 1."""

Sleep: TypeAlias = Callable[[float], None]
"""Waits for so many seconds."""

Timer: TypeAlias = Callable[[], float]
"""Counts seconds, from any beginning."""

OnCommit: TypeAlias = Callable[[Callable[[], None]], object]
"""Calls a function when a transaction is committed, and never when it is rolled back."""

Resolver: TypeAlias = Callable[[str, int], Sequence[IPAddress]]
"""Gives the addresses of a host name for a port, best first; raises ``OSError`` where there is none."""


class Cursor(Protocol):
    """A cursor of DB-API 2.0 (PEP 249), as far as the outbox needs it."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: LiteralString, parameters: Sequence[str | int], /) -> object:
        """Runs a statement."""
        ...

    def fetchall(self) -> Iterable[Iterable[object]]:
        """Gives the rows that the last statement found."""
        ...

    def close(self) -> object:
        """Lets go of it."""
        ...


class Connection(Protocol):
    """A connection of DB-API 2.0 (PEP 249), as far as the outbox needs it."""

    def cursor(self) -> Cursor:
        """Gives a new cursor."""
        ...

    def commit(self) -> object:
        """Commits the open transaction, if there is one."""
        ...

    def rollback(self) -> object:
        """Rolls the open transaction back, if there is one."""
        ...
