"""What lets a Thorn send to endpoints on this machine: by itself, it never would."""

from collections.abc import Iterable
from typing import TypedDict

from thornsdk.policy.addresses import WEB_PORTS
from thornsdk.testing.endpoint import Endpoint


class Reaching(TypedDict):
    """The settings that say where requests may go."""

    allow_networks: Iterable[str]
    allow_ports: Iterable[int]


def reaching(*endpoints: Endpoint) -> Reaching:
    """Gives the settings with which a `~thornsdk.Thorn` may send to endpoints.

    Example:
        >>> from thornsdk import Thorn
        >>> from thornsdk.testing import Endpoint, reaching
        >>> with Endpoint() as endpoint, Thorn(**reaching(endpoint), store="memory") as thorn:
        ...     subscription = thorn.subscribe("order.*", endpoint.url)
        ...     receipt = thorn.event("order.created").send({"id": 42})
        >>> receipt.outcomes.delivered
        1
    """
    return {
        "allow_networks": ["127.0.0.0/8"],
        "allow_ports": [*sorted(WEB_PORTS), *(one.port for one in endpoints)],
    }
