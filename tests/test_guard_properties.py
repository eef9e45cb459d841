"""What the guard lets pass, and nothing else, is dialled: held for any addresses and any answers of names."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Listen, OpenTransport
from support.addresses import RANGES, host
from support.wire import OK, Listener, keeps_answering, reason, replies, request_to, told
from thornsdk import AddressRules, Reason, Transport, exchange
from thornsdk.typing import IPAddress, IPNetwork

SHARED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""One listener and one transport for all examples."""
CLOSES = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n", 1)
"""Each request needs a connection of its own: each time, it is decided anew where to."""


class Names:
    """A resolver that gives what it is told to give."""

    def __init__(self) -> None:
        self.addresses: Sequence[IPAddress] = ()

    def __call__(self, name: str, port: int) -> Sequence[IPAddress]:
        return self.addresses


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def resolving(open_transport: OpenTransport, names: Names) -> Transport:
    return open_transport(resolver=names)


def in_range(network: IPNetwork) -> st.SearchStrategy[IPAddress]:
    kind = IPv4Address if network.version == 4 else IPv6Address
    return st.integers(int(network[0]), int(network[-1])).map(kind)


forbidden = st.sampled_from(RANGES).flatmap(in_range)
loopback = st.tuples(st.integers(0, 3), st.integers(1, 4)).map(
    lambda one: ip_address(f"127.0.{one[0]}.{one[1]}")
)
parts_of_loopback = st.lists(
    st.one_of(
        loopback.map(str), st.sampled_from(["127.0.0.0/24", "127.0.0.0/23", "127.0.2.0/24", "127.0.1.0/30"])
    ),
    max_size=4,
)


def test_an_address_in_a_forbidden_range_is_judged_and_refused(
    transport: Transport, resolving: Transport, names: Names, listen: Listen
) -> None:
    everywhere = listen(keeps_answering(), "0.0.0.0")

    @SHARED
    @given(address=forbidden)
    def check(address: IPAddress) -> None:
        judged: list[IPAddress] = []

        def guard(one: IPAddress) -> str | None:
            judged.append(one)
            return AddressRules().forbidden(one)

        names.addresses = [address]
        literal = request_to(f"http://{host(address)}:{everywhere.port}/")
        named = request_to(f"http://inside.example:{everywhere.port}/")
        for one, sends in ((literal, transport), (named, resolving)):
            judged.clear()
            assert reason(sends, evolve(one, guard=guard)) is Reason.ADDRESS_FORBIDDEN
            assert set(judged) == {address}

    check()
    assert everywhere.dialled == []


def test_of_any_addresses_of_a_name_only_allowed_ones_are_dialled_and_block_wins(
    resolving: Transport, names: Names, listen: Listen
) -> None:
    everywhere = listen(replies(CLOSES), "0.0.0.0")

    @SHARED
    @given(
        addresses=st.lists(st.one_of(loopback, loopback, forbidden), min_size=1, max_size=6),
        allow=parts_of_loopback,
        block=parts_of_loopback,
    )
    def check(addresses: list[IPAddress], allow: list[str], block: list[str]) -> None:
        everywhere.dialled.clear()
        names.addresses = addresses
        rules = AddressRules(allow=allow, block=block)
        open_ones = {
            str(one)
            for one in addresses
            if any(one in network for network in rules.allow)
            and not any(one in network for network in rules.block)
        }
        request = request_to(f"http://mixed.example:{everywhere.port}/", rules=rules)
        came = told(exchange(resolving.send, request))
        assert came == (200 if open_ones else Reason.ADDRESS_FORBIDDEN)
        assert set(everywhere.dialled) <= open_ones, "a forbidden address was dialled"

    check()


@pytest.fixture
def forbidden_listeners() -> Iterator[list[Listener]]:
    """Listeners at 127.0.9.1 to 127.0.9.4, at the same port."""
    with ExitStack() as stack:
        first = stack.enter_context(Listener(keeps_answering(), "127.0.9.1"))
        rest = [Listener(keeps_answering(), f"127.0.9.{number}", first.port) for number in (2, 3, 4)]
        yield [first, *map(stack.enter_context, rest)]


def test_where_all_that_is_allowed_is_dead_nothing_else_is_tried(
    forbidden_listeners: list[Listener], resolving: Transport, names: Names
) -> None:
    alive = [ip_address(one.host) for one in forbidden_listeners]
    dead = [ip_address(f"127.0.8.{number}") for number in range(1, 5)]
    rules = AddressRules(allow=["127.0.8.0/24"])

    @SHARED
    @given(addresses=st.lists(st.sampled_from([*alive, *dead]), min_size=1, max_size=8, unique=True))
    def check(addresses: list[IPAddress]) -> None:
        names.addresses = addresses
        request = request_to(f"http://mixed.example:{forbidden_listeners[0].port}/", rules=rules)
        some_are_allowed = not set(addresses).isdisjoint(dead)
        wanted = Reason.CONNECTION_REFUSED if some_are_allowed else Reason.ADDRESS_FORBIDDEN
        assert reason(resolving, request) is wanted

    check()
    assert [one.connections for one in forbidden_listeners] == [0] * 4


def test_a_name_that_changes_its_mind_is_judged_each_time(
    resolving: Transport, names: Names, listen: Listen
) -> None:
    everywhere = listen(replies(CLOSES), "0.0.0.0")
    public, private = ip_address("127.0.0.1"), ip_address("127.0.0.2")

    @SHARED
    @given(answers=st.lists(st.lists(st.sampled_from([public, private]), min_size=1, max_size=2), max_size=6))
    def check(answers: list[list[IPAddress]]) -> None:
        for one in answers:
            names.addresses = one
            request = request_to(f"http://rebinding.example:{everywhere.port}/")
            came = told(exchange(resolving.send, request))
            assert came == (200 if public in one else Reason.ADDRESS_FORBIDDEN)

    check()
    assert set(everywhere.dialled) == {"127.0.0.1"}


def test_a_name_that_changes_its_mind_among_many_requests_gains_nothing(
    open_transport: OpenTransport, listen: Listen
) -> None:
    everywhere = listen(replies(CLOSES), "0.0.0.0")
    asked = iter(range(1000))

    def rebinding(name: str, port: int) -> list[IPAddress]:
        return [ip_address("127.0.0.1" if next(asked) % 2 == 0 else "127.0.0.2")]

    transport = open_transport(resolver=rebinding, concurrency=8)
    url = f"http://rebinding.example:{everywhere.port}/"
    came = [told(one) for one in transport.send_many(request_to(url) for _ in range(60))]
    assert set(came) == {200, Reason.ADDRESS_FORBIDDEN}
    assert set(everywhere.dialled) == {"127.0.0.1"}
    assert came.count(200) == len(everywhere.dialled)
