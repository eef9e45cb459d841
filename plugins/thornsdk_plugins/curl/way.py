"""How a request is to be sent."""

from collections.abc import Sequence

from attrs import frozen

from thornsdk.typing import IPAddress


@frozen(kw_only=True)
class Way:
    """How a request is to be sent.

    Attributes:
        spent: How many seconds of its time have gone into the look-up.
        addresses: The addresses of its host, or of the proxy; None where libcurl knows them.
        shared: Whether it may use connections that are open, and leave its own to others.
        fresh: Whether it takes a new connection: one of the open ones may have been ended at the far side.
        joins: Whether it waits for the connection that another one is opening, to share it.
    """

    spent: float
    addresses: Sequence[IPAddress] | None
    shared: bool
    fresh: bool
    joins: bool
