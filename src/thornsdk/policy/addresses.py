"""Which recipients policy allows: explicit tables of address ranges, ports and schemes.

The tables hold more than `ipaddress` calls "not global": translation and tunnel prefixes carry an IPv4
address inside, and some metadata services live at public-looking addresses. Sources: the IANA IPv4 and IPv6
Special-Purpose Address Registries (RFC 6890 and its updates), and each provider's documentation for the
metadata services.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network

from attrs import field, frozen

from thornsdk.errors import RecipientRefused
from thornsdk.model import DEFAULT_PORTS, URL
from thornsdk.reasons import Reason
from thornsdk.typing import IPAddress, IPNetwork

_METADATA = "cloud metadata"
_TABLE = {
    # IPv4
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by carriers (CGNAT)",
    "100.100.100.200/32": _METADATA,
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": _METADATA,
    "169.254.0.0/16": "link-local",
    "169.254.169.254/32": _METADATA,
    "169.254.170.2/32": _METADATA,
    "169.254.170.23/32": _METADATA,
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.0.192/32": _METADATA,
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "AMT",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved (class E)",
    "255.255.255.255/32": "broadcast",
    # IPv6
    "::/96": "unspecified, loopback, IPv4-compatible",
    "::ffff:0:0:0/96": "IPv4-translated (SIIT)",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "NAT64",
    "100::/64": "discard-only",
    "100:0:0:1::/64": "dummy prefix",
    "2001::/32": "Teredo",
    "2001:2::/48": "benchmarking",
    "2001:10::/28": "ORCHID",
    "2001:20::/28": "ORCHIDv2",
    "2001::/23": "protocol assignments",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing (SRv6)",
    "fc00::/7": "unique local",
    "fd00:ec2::23/128": _METADATA,
    "fd00:ec2::254/128": _METADATA,
    "fd20:ce::254/128": _METADATA,
    "fe80::/10": "link-local",
    "fe80::a9fe:a9fe/128": _METADATA,
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}


@frozen
class _Line:
    """All addresses of one version, cut into stretches that each have one meaning.

    A look-up is one search among the stretches' first addresses, where a look into each range of the table
    would take forty.
    """

    starts: tuple[int, ...]
    meanings: tuple[str | None, ...]

    @classmethod
    def of(cls, table: Mapping[IPNetwork, str]) -> "_Line":
        """Cuts the line at the ends of the ranges. Of several that hold an address, the smallest names it."""
        cuts = {int(one.network_address) for one in table} | {int(one.broadcast_address) + 1 for one in table}
        starts = (0, *sorted(cuts - {0}))
        by_size = sorted(table, key=lambda one: -one.prefixlen)
        return cls(starts, tuple(_smallest(start, by_size, table) for start in starts))

    def meaning(self, address: int) -> str | None:
        return self.meanings[bisect_right(self.starts, address) - 1]


def _smallest(address: int, by_size: Iterable[IPNetwork], table: Mapping[IPNetwork, str]) -> str | None:
    holds = (one for one in by_size if int(one.network_address) <= address <= int(one.broadcast_address))
    return next((table[one] for one in holds), None)


_RANGES = {ip_network(text): meaning for text, meaning in _TABLE.items()}
_LINES = {
    version: _Line.of({one: meaning for one, meaning in _RANGES.items() if one.version == version})
    for version in (4, 6)
}
# Only this part of IPv6 is handed out for public use (RFC 4291, section 2.4; IANA's IPv6 address space).
_GLOBAL_UNICAST = ip_network("2000::/3")

WEB_PORTS = frozenset(DEFAULT_PORTS.values())


def _networks(networks: Iterable[str | IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(one) for one in networks)


def _ports(ports: Iterable[int]) -> frozenset[int]:
    return frozenset(ports)


@frozen
class AddressRules:
    """Which addresses, ports and schemes requests may go to.

    Attributes:
        allow: Ranges that are opened although the tables forbid them. The address of a metadata service is
            opened only where a range holds it alone, such as ``169.254.169.254/32``.
        block: Ranges that are closed in any case; block wins over allow.
        ports: The ports that ``http`` and ``https`` URLs may have.
        schemes: The schemes that are allowed, or None for every scheme that a transport serves.
    """

    allow: tuple[IPNetwork, ...] = field(default=(), converter=_networks)
    block: tuple[IPNetwork, ...] = field(default=(), converter=_networks)
    ports: frozenset[int] = field(default=WEB_PORTS, converter=_ports)
    schemes: frozenset[str] | None = None

    def forbidden(self, address: IPAddress) -> str | None:
        """Says why an address is forbidden, or None where it is allowed.

        An IPv4 address inside an IPv6 address is taken out and judged too.

        Args:
            address: The address that would be connected to.
        """
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return "it has a zone"
        for network in self.block:
            if address in network:
                return f"blocked by the setting ({network})"
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return self.forbidden(address.ipv4_mapped)
        problem = _special(address)
        if problem and not self._opens(address, problem):
            return problem
        for inner in _embedded(address):
            if inner_problem := self.forbidden(inner):
                return f"carries {inner}: {inner_problem}"
        return None

    def _opens(self, address: IPAddress, problem: str) -> bool:
        # Who opens a private range does not mean the keys to the cloud that lie in it.
        alone = problem == _METADATA
        return any(address in one and (one.num_addresses == 1 or not alone) for one in self.allow)

    def check_address(self, address: IPAddress) -> None:
        """Refuses an address that is forbidden.

        Raises:
            RecipientRefused: With `Reason.ADDRESS_FORBIDDEN`.
        """
        if problem := self.forbidden(address):
            raise RecipientRefused(
                f"{address} is forbidden: {problem}. THORN_ALLOW_NETWORKS opens a range",
                Reason.ADDRESS_FORBIDDEN,
            )

    def check_url(self, url: URL) -> None:
        """Refuses what can be refused before a name is resolved: scheme, port, an address given as such.

        Raises:
            RecipientRefused: With the reason.
        """
        if self.schemes is not None and url.scheme not in self.schemes:
            allowed = ", ".join(sorted(self.schemes))
            raise RecipientRefused(
                f"the scheme {url.scheme!r} is forbidden; THORN_ALLOW_SCHEMES allows: {allowed}",
                Reason.SCHEME_FORBIDDEN,
            )
        if url.scheme in DEFAULT_PORTS and url.port not in self.ports:
            allowed = ", ".join(str(port) for port in sorted(self.ports))
            raise RecipientRefused(
                f"port {url.port} is forbidden; THORN_ALLOW_PORTS allows: {allowed}",
                Reason.PORT_FORBIDDEN,
            )
        if (address := url.address) is not None:
            self.check_address(address)


def _special(address: IPAddress) -> str | None:
    meaning = _LINES[address.version].meaning(int(address))
    if meaning is None and isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "not global unicast"
    return meaning


def _embedded(address: IPAddress) -> Iterator[IPv4Address]:
    """Gives the IPv4 addresses that an IPv6 address carries, by every prefix that has a place for one."""
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    # Unspecified and loopback lie in the IPv4-compatible range, but carry nothing (RFC 4291, section 2.5.5).
    if int(address) > 1 and any(address in network for network in _CARRY_IN_LAST_BITS):
        yield IPv4Address(int(address) & _32_BITS)
    if address in _LOCAL_NAT64:
        yield from _translated(int(address))


_32_BITS = 0xFFFFFFFF
# RFC 6052, RFC 7915, RFC 4291: the last 32 bits are an IPv4 address.
_CARRY_IN_LAST_BITS = tuple(ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
_THIS_NETWORK = ip_network("0.0.0.0/8")


def _translated(address: int) -> Iterator[IPv4Address]:
    """Gives what an address can stand for behind prefixes of any length (RFC 6052, section 2.2)."""
    # Bits 64 to 71 are never part of the IPv4 address.
    without = address >> 64 << 56 | (address & ((1 << 56) - 1))
    readings = [IPv4Address(without >> 120 - 32 - length & _32_BITS) for length in (88, 64, 56, 48)]
    # Where a prefix of another length was meant, zeros stand.
    yield from [one for one in readings if one not in _THIS_NETWORK] or readings
