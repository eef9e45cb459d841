"""No request reaches an address that policy forbids, however it is written: a promise of every transport.

For each way to write an address there is a case of its own, and then all of them are sent to in a network in
which every address is this machine: there it is seen that none of them was dialled.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from attrs import define

from support.addresses import FORBIDDEN, METADATA, REFUSED_BY_THE_URL, SPELLINGS, host
from support.anywhere import can_be_anywhere, look
from support.transports import make_transport
from support.wire import Listener, keeps_answering, reason, request_to
from thornsdk import URL, AddressRules, Reason, Transport
from thornsdk.errors import InvalidURL
from thornsdk.policy import addresses as policy
from thornsdk.typing import IPAddress

RULES = AddressRules()
HOSTS = [*map(host, FORBIDDEN), *SPELLINGS]


def test_the_table_is_long_and_holds_each_case_once() -> None:
    assert len(HOSTS) + len(REFUSED_BY_THE_URL) >= 200
    assert len(set(FORBIDDEN)) == len(FORBIDDEN)
    assert len(set(SPELLINGS)) == len(SPELLINGS)


def test_each_range_of_the_policy_is_in_the_table() -> None:
    missing = [str(one) for one in policy._RANGES if not any(address in one for address in FORBIDDEN)]
    assert missing == []
    assert [one for one in METADATA if one not in map(str, FORBIDDEN)] == []


@define
class Guarded:
    """A transport of each kind for the whole table, and a listener at every address that is this machine's.

    Attributes:
        transport: Finds names at `found`.
        everywhere: Sees whatever is dialled here.
        found: Where all names are.
    """

    transport: Transport
    everywhere: Listener
    found: list[IPAddress]

    def refusal(self, host: str) -> Reason:
        return reason(self.transport, request_to(f"http://{host}:{self.everywhere.port}/", rules=RULES))


@pytest.fixture(scope="module")
def by_system(transport_kind: str) -> Iterator[Guarded]:
    yield from guarded(transport_kind, [])


@pytest.fixture(scope="module")
def by_resolver(transport_kind: str) -> Iterator[Guarded]:
    found: list[IPAddress] = []
    yield from guarded(transport_kind, found, resolver=lambda name, port: found)


def guarded(kind: str, found: list[IPAddress], **options: Any) -> Iterator[Guarded]:
    with Listener(keeps_answering(), "0.0.0.0") as everywhere:
        transport = make_transport(kind, **options)
        yield Guarded(transport, everywhere, found)
        transport.close()


@pytest.mark.parametrize("spelling", HOSTS)
def test_a_forbidden_address_in_a_url_is_refused(spelling: str, by_system: Guarded) -> None:
    came = by_system.refusal(spelling)
    # What this system takes for no address at all is refused as well.
    is_name = URL.parse(f"http://{spelling}/").address is None
    assert came is Reason.ADDRESS_FORBIDDEN or (is_name and came is Reason.NAME_NOT_RESOLVED)
    assert by_system.everywhere.dialled == [], "it was connected to before it was refused"


@pytest.mark.parametrize("address", FORBIDDEN, ids=str)
def test_a_name_at_a_forbidden_address_is_refused(address: IPAddress, by_resolver: Guarded) -> None:
    by_resolver.found[:] = [address]
    assert by_resolver.refusal("inside.example") is Reason.ADDRESS_FORBIDDEN
    assert by_resolver.everywhere.dialled == [], "it was connected to before it was refused"


@pytest.mark.parametrize("spelling", REFUSED_BY_THE_URL, ids=ascii)
def test_what_is_no_url_is_refused_before_any_transport_sees_it(spelling: str) -> None:
    for text in (f"http://{spelling}/", f"https://{spelling}/hooks", f"HTTP://{spelling}"):
        with pytest.raises(InvalidURL):
            URL.parse(text)


@pytest.mark.parametrize("way", ["literal", "named"])
@pytest.mark.skipif(not can_be_anywhere(), reason="unshare(1) or ip(8) cannot make a network here")
class TestAnywhere:
    def test_no_forbidden_address_is_dialled(self, way: str, transport_kind: str) -> None:
        seen = look(transport_kind, "strict", way)
        assert seen.tried >= len(FORBIDDEN)
        assert seen.dialled == set()
        assert seen.told <= {Reason.ADDRESS_FORBIDDEN, Reason.NAME_NOT_RESOLVED}

    def test_without_a_guard_they_would_be(self, way: str, transport_kind: str) -> None:
        """The other test would see nothing if this one did not."""
        seen = look(transport_kind, "none", way)
        reachable = [str(one) for one in FORBIDDEN if can_be_connected_to(one)]
        assert len(reachable) > 100
        assert [one for one in reachable if one not in seen.dialled] == []


# Where TCP cannot connect to in any network: this host, broadcast, multicast, the unused IPv4-compatible
# addresses; IPv4-mapped ones are seen as IPv4, and link-local ones need a zone.
_NOWHERE = """
    0.0.0.0 127.255.255.255 255.255.255.255 224.0.0.0/4 ::/96 ::ffff:0:0/96 fe80::/10 ff00::/8
"""
NOWHERE = tuple(map(ip_network, _NOWHERE.split()))


def can_be_connected_to(address: IPAddress) -> bool:
    return not any(address in one for one in NOWHERE)
