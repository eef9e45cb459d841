"""Host names that lead where a test wants."""

import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from thornsdk.typing import IPAddress, Resolver


def fixed_resolver(addresses: Mapping[str, str | Sequence[str]]) -> Resolver:
    """Makes a resolver that knows these names and no others.

    Args:
        addresses: The address of each name, or several, best first.

    Returns:
        A resolver for a transport; of a name that it does not know, it says so as the system would.

    Example:
        >>> from thornsdk.testing import fixed_resolver
        >>> resolve = fixed_resolver({"hooks.example.test": "127.0.0.1"})
        >>> resolve("hooks.example.test", 443)
        [IPv4Address('127.0.0.1')]
    """

    def resolve(host: str, _: int) -> list[IPAddress]:
        if host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"the test knows no {host}")
        known = addresses[host]
        return [ip_address(one) for one in ([known] if isinstance(known, str) else known)]

    return resolve
