"""Addresses that no request may reach, and the many ways to write them.

Written down once more, independent of the tables of the policy: a range that is lost there is missed here.
Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries; the clouds' documentation of their
metadata services.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from thornsdk.typing import IPAddress, IPNetwork

_RANGES: Final = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 255.255.255.255/32
    ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/32 2001:2::/48
    2001:10::/28 2001:20::/28 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16
    fc00::/7 fe80::/10 fec0::/10 ff00::/8 200::/7 4000::/3 8000::/1
"""
RANGES: Final[tuple[IPNetwork, ...]] = tuple(map(ip_network, _RANGES.split()))

_METADATA: Final = """
    100.100.100.200 168.63.129.16 169.254.169.254 169.254.170.2 169.254.170.23 192.0.0.192
    fd00:ec2::23 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe
"""
METADATA: Final = tuple(_METADATA.split())

_INNER = tuple(map(IPv4Address, ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1")))


def _carried(inner: IPv4Address) -> Iterator[IPv6Address]:
    """Gives the IPv6 addresses that carry an IPv4 address, in each of the ways there are."""
    number = int(inner)
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        yield IPv6Address(int(IPv6Address(prefix)) | number)
    yield IPv6Address(int(IPv6Address("2002::")) | number << 80)  # 6to4
    yield IPv6Address(int(IPv6Address("2001::")) | number << 64)  # Teredo, the server
    yield IPv6Address(int(IPv6Address("2001:0:808:808::")) | (~number & 0xFFFFFFFF))  # Teredo, the client


def _ends_and_middle(network: IPNetwork) -> tuple[IPAddress, ...]:
    return network[0], network[network.num_addresses // 2], network[-1]


def _all() -> Iterator[IPAddress]:
    for network in RANGES:
        yield from _ends_and_middle(network)
    yield from map(ip_address, METADATA)
    for inner in _INNER:
        yield from _carried(inner)


FORBIDDEN: Final[tuple[IPAddress, ...]] = tuple(dict.fromkeys(_all()))
"""First, middle and last of each range, metadata services, and IPv4 addresses inside IPv6 addresses."""


def host(address: IPAddress) -> str:
    """Gives an address as it stands in a URL."""
    return f"[{address}]" if address.version == 6 else str(address)


_SPELLINGS: Final = """
    127.1 127.0.1 127.0.0.1. 0x7f.1 0x7f.0.0.1 0x7F.0x0.0x0.0x1 0x7f000001 0X7F000001 2130706433 017700000001
    0177.0.0.1 0177.1 00177.0.0.01 127.0.0.01 127.0.0.001 127.000.000.001 0 0x0 00 0.0 0.0.0 10.1 0xa.1
    167772161 0xa000001 012.1 192.168.257 0xc0a80101 3232235777 0300.0250.1.1 169.254.43518 0xa9fea9fe
    2852039166 025177524776 0251.0376.0251.0376 localhost LOCALHOST LocalHost localhost.
    [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0:1] [::01] [::]
    [::127.0.0.1] [::ffff:127.0.0.1] [::FFFF:7F00:1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001]
    [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [64:ff9b::169.254.169.254] [64:FF9B::7F00:1]
    [FE80::1] [fE80:0::A9FE:a9fe] [FC00::1] [Fd00:EC2::254]
"""
SPELLINGS: Final = tuple(_SPELLINGS.split())
"""Ways to write such addresses in a URL. Most are names to us: what they resolve to is judged."""

REFUSED_BY_THE_URL: Final = (
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[fe80::1%251]",
    "[::1%lo]",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "\u2460\u2461\u2466.0.0.1",
    "\uff11\uff12\uff17.0.0.1",
    "\u2113ocalhost",
    "loc\u00adalhost",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com",
    "127%2e0%2e0%2e1",
    "%6cocalhost",
    "example.com@127.0.0.1",
    "user:pass@127.0.0.1",
    "@127.0.0.1",
    "example.com:80@127.0.0.1",
    "example.com\\@127.0.0.1",
    "127.0.0.1\\.example.com",
    "\\127.0.0.1",
    "127.0.0.1#.example.com",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.1\t",
    "127.0.0.1\r\nHost: a",
    "127.0.0.1\0",
    "127..0.1",
    ".127.0.0.1",
    "127.0.0.1..",
    "[127.0.0.1]",
    "[::1",
    "::1]",
    "::1",
    "[::1].example.com",
    "[::ffff:127.0.0.1]]",
    "[[::1]]",
    "[v1.127001]",
    "[::ffff:0x7f.1]",
    "[::ffff:127.1]",
    "127.0.0.1:80:80",
    "127.0.0.1:0",
    "127.0.0.1:65616",
    "127.0.0.1:",
    "127.0.0.1,example.com",
    "127.0.0.1;example.com",
    "*",
    "",
)
"""Hosts with which a text is no URL to us."""
