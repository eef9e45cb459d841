from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thornsdk import URL, AddressRules, Reason, literal_address
from thornsdk.errors import RecipientRefused
from thornsdk.typing import IPAddress

RULES = AddressRules()

# Each range by its first and last address, and some between.
FORBIDDEN = {
    "this network": "0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255 ::ffff:0.0.0.0 ::ffff:0:1",
    "private": """
        10.0.0.0 10.0.0.1 10.1.2.3 10.128.0.1 10.255.255.255
        172.16.0.0 172.16.0.1 172.20.1.1 172.31.255.255
        192.168.0.0 192.168.0.1 192.168.1.1 192.168.255.255
        ::ffff:10.0.0.1 ::ffff:172.16.0.1 ::ffff:192.168.0.1 ::ffff:a00:1 ::ffff:c0a8:ffff""",
    "shared by carriers (CGNAT)": """
        100.64.0.0 100.64.0.1 100.100.100.199 100.100.100.201 100.127.255.255 ::ffff:100.64.0.1""",
    "cloud metadata": """
        100.100.100.200 168.63.129.16 169.254.169.254 169.254.170.2 169.254.170.23 192.0.0.192
        ::ffff:168.63.129.16 ::ffff:100.100.100.200 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe
        fd00:ec2::23 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe""",
    "loopback": "127.0.0.0 127.0.0.1 127.0.1.1 127.1.2.3 127.255.255.255 ::ffff:127.0.0.1 ::ffff:7f00:1",
    "protocol assignments": """
        192.0.0.0 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.170 192.0.0.255
        2001:1:: 2001:1::1 2001:1::2 2001:3:: 2001:4:112:: 2001:5:: 2001:f:ffff:ffff:ffff:ffff:ffff:ffff
        2001:30:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "documentation": """
        192.0.2.0 192.0.2.1 192.0.2.255 198.51.100.0 198.51.100.7 198.51.100.255
        203.0.113.0 203.0.113.9 203.0.113.255
        2001:db8:: 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
        3fff:: 3fff::1 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "AS112": """
        192.31.196.0 192.31.196.1 192.31.196.255 192.175.48.0 192.175.48.1 192.175.48.255
        2620:4f:8000:: 2620:4f:8000::1 2620:4f:8000:ffff:ffff:ffff:ffff:ffff""",
    "AMT": "192.52.193.0 192.52.193.1 192.52.193.255",
    "6to4 relay": "192.88.99.0 192.88.99.1 192.88.99.2 192.88.99.255",
    "benchmarking": """
        198.18.0.0 198.18.0.1 198.19.0.0 198.19.255.255
        2001:2:: 2001:2::1 2001:2:0:ffff:ffff:ffff:ffff:ffff""",
    "multicast": """
        224.0.0.0 224.0.0.1 230.1.2.3 239.255.255.250 239.255.255.255
        ff00:: ff02::1 ff05::1:3 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "reserved (class E)": "240.0.0.0 240.0.0.1 250.1.2.3 255.0.0.0 255.255.255.254",
    "broadcast": "255.255.255.255 ::ffff:255.255.255.255",
    "unspecified, loopback, IPv4-compatible": """
        :: ::1 ::2 ::7f00:1 ::127.0.0.1 ::10.0.0.1 ::8.8.8.8 ::255.255.255.255""",
    "IPv4-translated (SIIT)": """
        ::ffff:0:0:0 ::ffff:0:7f00:1 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::ffff:0:ffff:ffff""",
    "NAT64": """
        64:ff9b:: 64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::169.254.169.254 64:ff9b::8.8.8.8
        64:ff9b::ffff:ffff
        64:ff9b:1:: 64:ff9b:1::127.0.0.1 64:ff9b:1::10.0.0.1 64:ff9b:1:2:3:4:808:808
        64:ff9b:1:ffff:ffff:ffff:ffff:ffff""",
    "discard-only": "100:: 100::1 100::ffff:ffff:ffff:ffff",
    "dummy prefix": "100:0:0:1:: 100:0:0:1::1 100:0:0:1:ffff:ffff:ffff:ffff",
    "Teredo": """
        2001:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:7f00:1::
        2001:0:ffff:ffff:ffff:ffff:ffff:ffff""",
    "ORCHID": "2001:10:: 2001:10::1 2001:1f:ffff:ffff:ffff:ffff:ffff:ffff",
    "ORCHIDv2": "2001:20:: 2001:20::1 2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
    "6to4": """
        2002:: 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2002:808:808::
        2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "segment routing (SRv6)": "5f00:: 5f00::1 5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "unique local": """
        fc00:: fc00::1 fd00::1 fd00:ec2::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "link-local": """
        169.254.0.0 169.254.0.1 169.254.169.253 169.254.255.255
        fe80:: fe80::1 febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff""",
    "site-local": "fec0:: fec0::1 feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "not global unicast": """
        0:0:0:1:: ::1:0:0 ::fffe:7f00:1 64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff 64:ff9b:0:1:: 64:ff9b::1:0:0
        64:ff9b:2:: ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 100:0:0:2:: 200::
        1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 4000:: 5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 5f01::
        8000:: c000:: fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
        fe00:: fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff""",
}

# The nearest neighbours of the ranges, and addresses that are well known.
ALLOWED_TEXT = """
    1.0.0.0 1.1.1.1 8.8.8.8 9.9.9.9 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0
    126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255
    172.32.0.0 191.255.255.255
    192.0.1.0 192.0.1.255 192.0.3.0 192.31.195.255 192.31.197.0 192.52.192.255 192.52.194.0
    192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.47.255 192.175.49.0
    198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
    ::ffff:8.8.8.8 ::ffff:9.255.255.255 ::ffff:1.1.1.1
    2000:: 2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200:: 2001:4860:4860::8888
    2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003::
    2606:4700:4700::1111 2620:4f:7fff:ffff:ffff:ffff:ffff:ffff 2620:4f:8001:: 2a00:1450:4001::200e
    3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:1000:: 3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
"""
ALLOWED = ALLOWED_TEXT.split()

FORBIDDEN_CASES = [(address, meaning) for meaning, texts in FORBIDDEN.items() for address in texts.split()]

RANGES_TEXT = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20
"""
FORBIDDEN_RANGES = RANGES_TEXT.split()


def v4_in(network: IPv4Network) -> st.SearchStrategy[IPv4Address]:
    return st.integers(int(network[0]), int(network[-1])).map(IPv4Address)


def v6_in(network: IPv6Network) -> st.SearchStrategy[IPv6Address]:
    return st.integers(int(network[0]), int(network[-1])).map(IPv6Address)


def in_range(text: str) -> st.SearchStrategy[IPAddress]:
    network = ip_network(text)
    return v4_in(network) if isinstance(network, IPv4Network) else v6_in(network)


forbidden_addresses = st.sampled_from(FORBIDDEN_RANGES).flatmap(in_range)
forbidden_v4 = st.sampled_from([text for text in FORBIDDEN_RANGES if ":" not in text]).flatmap(
    lambda text: v4_in(IPv4Network(text))
)
public_v4 = st.sampled_from(["8.0.0.0/8", "64.0.0.0/3", "128.0.0.0/3", "208.0.0.0/4"]).flatmap(
    lambda text: v4_in(IPv4Network(text)).filter(
        lambda address: not any(address in IPv4Network(one) for one in FORBIDDEN_RANGES if ":" not in one)
    )
)
public_v6 = st.sampled_from(["2400::/12", "2600::/12", "2800::/12", "2a00::/12", "2001:4860::/32"]).flatmap(
    lambda text: v6_in(IPv6Network(text))
)

# What carries an IPv4 address in an IPv6 address, by how it is put there.
CARRIERS: dict[str, Callable[[IPv4Address], int]] = {
    "IPv4-compatible": int,
    "SIIT": lambda inner: int(IPv6Address("::ffff:0:0:0")) | int(inner),
    "NAT64": lambda inner: int(IPv6Address("64:ff9b::")) | int(inner),
    "local NAT64": lambda inner: int(IPv6Address("64:ff9b:1::")) | int(inner),
    "6to4": lambda inner: int(IPv6Address("2002::")) | int(inner) << 80,
    "Teredo server": lambda inner: int(IPv6Address("2001::")) | int(inner) << 64 | (~0x08080808 & 0xFFFFFFFF),
    "Teredo client": lambda inner: int(IPv6Address("2001:0:808:808::")) | (~int(inner) & 0xFFFFFFFF),
}
carriers = st.sampled_from(sorted(CARRIERS))


def carry(how: str, inner: IPv4Address) -> IPv6Address:
    return IPv6Address(CARRIERS[how](inner))


def test_the_table_is_long_enough() -> None:
    assert len({address for address, _ in FORBIDDEN_CASES} | set(ALLOWED)) >= 200


@pytest.mark.parametrize(("address", "meaning"), FORBIDDEN_CASES)
def test_a_special_address_is_forbidden_and_named(address: str, meaning: str) -> None:
    assert RULES.forbidden(ip_address(address)) == meaning


@pytest.mark.parametrize("address", ALLOWED)
def test_an_ordinary_address_is_allowed(address: str) -> None:
    assert RULES.forbidden(ip_address(address)) is None


@given(address=forbidden_addresses)
def test_no_address_inside_a_forbidden_range_is_ever_allowed(address: IPAddress) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = IPv6Address(int(address) & ~0xFFFFFFFF | 0x7F000001)
    assert RULES.forbidden(address)


@given(inner=forbidden_v4)
def test_a_forbidden_ipv4_address_is_forbidden_when_it_is_mapped(inner: IPv4Address) -> None:
    assert RULES.forbidden(IPv6Address(f"::ffff:{inner}")) == RULES.forbidden(inner) is not None


@given(address=st.one_of(public_v4, public_v6))
def test_public_addresses_are_allowed(address: IPAddress) -> None:
    assert RULES.forbidden(address) is None


@given(inner=public_v4)
def test_a_public_ipv4_address_is_allowed_when_it_is_mapped(inner: IPv4Address) -> None:
    assert RULES.forbidden(IPv6Address(f"::ffff:{inner}")) is None


@given(address=st.integers(0, 2**128 - 1).map(IPv6Address))
def test_what_python_does_not_call_global_is_never_allowed(address: IPv6Address) -> None:
    assert RULES.forbidden(address) is not None or address.is_global


@given(address=st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_python_does_not_call_global_is_never_allowed_in_ipv4(address: IPv4Address) -> None:
    assert RULES.forbidden(address) is not None or address.is_global


@given(how=carriers, inner=st.one_of(forbidden_v4, public_v4))
def test_no_translation_or_tunnel_is_used_by_default(how: str, inner: IPv4Address) -> None:
    assert RULES.forbidden(carry(how, inner))


@given(how=carriers, inner=forbidden_v4)
def test_opening_a_tunnel_does_not_open_the_forbidden_addresses_inside(how: str, inner: IPv4Address) -> None:
    rules = AddressRules(allow=["::/96", "::ffff:0:0:0/96", "64:ff9b::/32", "2001::/32", "2002::/16"])
    assume(int(inner) > 1)  # ::0.0.0.0 and ::0.0.0.1 are unspecified and loopback.
    told = rules.forbidden(carry(how, inner))
    assert told == f"carries {inner}: {RULES.forbidden(inner)}"


@given(length=st.sampled_from([48, 56, 64, 96]), inner=forbidden_v4)
def test_an_opened_local_translation_carries_no_forbidden_address_behind_a_prefix_of_any_length(
    length: int, inner: IPv4Address
) -> None:
    assume(int(inner) >> 24)  # Addresses of this network stand wherever a prefix of another length was meant.
    # RFC 6052, section 2.2: bits 64 to 71 are left out.
    bits = f"{int(IPv6Address('64:ff9b:1::')):0128b}"[:length]
    with_inner = bits + f"{int(inner):032b}"
    spread = with_inner if length == 96 else with_inner[:64] + "0" * 8 + with_inner[64:]
    address = IPv6Address(int(spread.ljust(128, "0"), 2))
    assert AddressRules(allow=["64:ff9b:1::/48"]).forbidden(address) is not None


def test_a_forbidden_address_behind_a_short_prefix_is_found_whatever_follows_it() -> None:
    rules = AddressRules(allow=["64:ff9b:1::/48"])
    assert rules.forbidden(ip_address("64:ff9b:1:a9fe:a9:fe00:808:808")) is not None


@given(how=carriers, inner=public_v4)
def test_an_opened_tunnel_carries_public_addresses(how: str, inner: IPv4Address) -> None:
    rules = AddressRules(allow=["::/96", "::ffff:0:0:0/96", "64:ff9b::/32", "2001::/32", "2002::/16"])
    assert rules.forbidden(carry(how, inner)) is None


@given(how=carriers, inner=public_v4)
def test_a_blocked_address_is_blocked_inside_an_opened_tunnel_too(how: str, inner: IPv4Address) -> None:
    rules = AddressRules(allow=["::/0"], block=[f"{inner}/32"])
    assert rules.forbidden(carry(how, inner)) == f"carries {inner}: blocked by the setting ({inner}/32)"


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1/32", "::ffff:127.0.0.1"),
        ("10.1.0.0/16", "10.1.2.3"),
        ("169.254.169.254/32", "169.254.169.254"),
        ("::1/128", "::1"),
        ("::/128", "::"),
        ("fd00::/8", "fd00::1"),
        ("fe80::/10", "fe80::1"),
        ("0.0.0.0/0", "255.255.255.255"),
        ("::/0", "ff02::1"),
    ],
)
def test_allow_opens_a_range(allow: str, address: str) -> None:
    assert AddressRules().forbidden(ip_address(address))
    assert AddressRules(allow=[allow]).forbidden(ip_address(address)) is None


def test_allow_opens_nothing_beyond_its_range() -> None:
    rules = AddressRules(allow=["10.1.0.0/16"])
    assert rules.forbidden(ip_address("10.2.0.1")) == "private"


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        ("169.254.0.0/16", "169.254.169.254"),
        ("169.254.169.254/31", "169.254.169.254"),
        ("fc00::/7", "fd00:ec2::254"),
        ("100.64.0.0/10", "::ffff:100.100.100.200"),
        ("0.0.0.0/0", "168.63.129.16"),
    ],
)
def test_a_range_does_not_open_the_metadata_service_in_it(allow: str, address: str) -> None:
    assert AddressRules(allow=[allow]).forbidden(ip_address(address)) == "cloud metadata"


def test_allow_leaves_public_addresses_allowed() -> None:
    assert AddressRules(allow=["10.0.0.0/8"]).forbidden(ip_address("8.8.8.8")) is None


@pytest.mark.parametrize(
    ("block", "address"),
    [
        ("8.8.8.0/24", "8.8.8.8"),
        ("8.8.8.0/24", "::ffff:8.8.8.8"),
        ("::ffff:8.8.8.0/120", "::ffff:8.8.8.8"),
        ("::/0", "::ffff:8.8.8.8"),
        ("::/0", "2606:4700::1111"),
        ("10.0.0.0/8", "10.0.0.1"),
    ],
)
def test_block_wins_over_allow(block: str, address: str) -> None:
    rules = AddressRules(allow=["0.0.0.0/0", "::/0"], block=[block])
    assert rules.forbidden(ip_address(address)) == f"blocked by the setting ({ip_network(block)})"


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%1", "::1%lo"])
def test_an_address_with_a_zone_is_forbidden_whatever_is_allowed(address: str) -> None:
    assert AddressRules(allow=["::/0"]).forbidden(ip_address(address)) == "it has a zone"


def test_a_forbidden_address_is_refused_with_what_to_do() -> None:
    with pytest.raises(RecipientRefused) as caught:
        RULES.check_address(ip_address("10.0.0.1"))
    assert caught.value.reason is Reason.ADDRESS_FORBIDDEN
    assert str(caught.value) == "10.0.0.1 is forbidden: private. THORN_ALLOW_NETWORKS opens a range"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://example.com/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "http://example.com:443/",
        "kafka://broker:9092/topic",
        "kafka://broker/topic",
        "http://0x7f.1/",
    ],
)
def test_a_url_in_which_nothing_is_forbidden_is_let_through(url: str) -> None:
    RULES.check_url(URL.parse(url))


@pytest.mark.parametrize(
    ("url", "reason", "message"),
    [
        ("https://127.0.0.1/", Reason.ADDRESS_FORBIDDEN, "127.0.0.1 is forbidden: loopback."),
        ("https://[::1]/", Reason.ADDRESS_FORBIDDEN, "::1 is forbidden: unspecified, loopback"),
        ("https://[::ffff:10.0.0.1]/", Reason.ADDRESS_FORBIDDEN, "is forbidden: private."),
        ("kafka://10.0.0.1/", Reason.ADDRESS_FORBIDDEN, "10.0.0.1 is forbidden: private."),
        (
            "https://example.com:22/",
            Reason.PORT_FORBIDDEN,
            "port 22 is forbidden; THORN_ALLOW_PORTS allows: 80, 443",
        ),
    ],
)
def test_a_url_is_refused_before_its_name_is_resolved(url: str, reason: Reason, message: str) -> None:
    with pytest.raises(RecipientRefused) as caught:
        RULES.check_url(URL.parse(url))
    assert caught.value.reason is reason
    assert message in str(caught.value)


def test_other_ports_can_be_allowed() -> None:
    rules = AddressRules(ports=[8443])
    rules.check_url(URL.parse("https://example.com:8443/"))
    with pytest.raises(RecipientRefused, match=r"^port 443 is forbidden; THORN_ALLOW_PORTS allows: 8443$"):
        rules.check_url(URL.parse("https://example.com/"))


def test_schemes_can_be_limited() -> None:
    rules = AddressRules(schemes=frozenset({"https", "kafka"}))
    rules.check_url(URL.parse("https://example.com/"))
    with pytest.raises(RecipientRefused) as caught:
        rules.check_url(URL.parse("http://example.com/"))
    assert caught.value.reason is Reason.SCHEME_FORBIDDEN
    assert str(caught.value) == ("the scheme 'http' is forbidden; THORN_ALLOW_SCHEMES allows: https, kafka")


@pytest.mark.parametrize("host", ["example.com", "0x7f.1", "0177.0.0.1", "2130706433", "127.1", "127.0.0.1."])
def test_a_host_in_another_spelling_counts_as_a_name(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db8::1"])
def test_a_host_in_normal_form_is_an_address(host: str) -> None:
    assert literal_address(host) == ip_address(host)
