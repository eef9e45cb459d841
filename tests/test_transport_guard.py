"""Which addresses are connected to: promises of every HTTP transport."""

import ssl
from ipaddress import ip_address

import pytest
from attrs import evolve

from conftest import Listen, OpenTransport
from support.tls import NAME
from support.wire import OK, failure, reason, replies, request_to, told
from thornsdk import AddressRules, Reason, Transport, exchange
from thornsdk.errors import TransportError
from thornsdk.testing import Endpoint
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk.typing import IPAddress


def test_a_forbidden_address_is_not_connected_to(endpoint: Endpoint, transport: Transport) -> None:
    error = failure(transport, request_to(endpoint.url, rules=AddressRules()))
    assert error.reason is Reason.ADDRESS_FORBIDDEN
    assert "127.0.0.1: loopback" in error.detail
    assert endpoint.connections == 0


def test_a_name_at_a_forbidden_address_is_not_connected_to(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    transport = open_transport(resolver=lambda host, port: [ip_address("127.0.0.1"), ip_address("10.0.0.1")])
    request = request_to(f"http://inside.example:{endpoint.port}/", rules=AddressRules())
    error = failure(transport, request)
    assert error.reason is Reason.ADDRESS_FORBIDDEN
    assert "inside.example is at 127.0.0.1: loopback" in error.detail
    assert endpoint.connections == 0


# In these tests 127.0.0.1 is allowed, as a public address is; 127.0.0.2 is forbidden, as a private one is.


def test_of_a_names_addresses_only_those_that_are_allowed_are_tried(
    listen: Listen, open_transport: OpenTransport
) -> None:
    forbidden = listen(replies(OK), "127.0.0.2")
    addresses = [ip_address("127.0.0.1"), ip_address("127.0.0.2")]
    transport = open_transport(resolver=lambda host, port: addresses)
    assert (
        reason(transport, request_to(f"http://both.example:{forbidden.port}/")) is Reason.CONNECTION_REFUSED
    )
    assert forbidden.connections == 0


def test_a_forbidden_address_does_not_spoil_the_allowed_one(
    listen: Listen, open_transport: OpenTransport
) -> None:
    allowed = listen(replies(OK))
    forbidden = listen(replies(OK), "127.0.0.2", allowed.port)
    addresses = [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    transport = open_transport(resolver=lambda host, port: addresses)
    response = transport.send(request_to(f"http://both.example:{allowed.port}/"))
    assert response.address == "127.0.0.1"
    assert forbidden.connections == 0


def test_a_resolver_that_changes_its_answer_gains_nothing(
    listen: Listen, open_transport: OpenTransport
) -> None:
    public = listen(replies(OK.replace(b"200 OK", b"200 OK\r\nConnection: close")))
    private = listen(replies(OK), "127.0.0.2", public.port)
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[IPAddress]:
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) % 2 else "127.0.0.2")]

    transport = open_transport(resolver=rebinding)
    request = request_to(f"http://rebind.example:{public.port}/")
    assert transport.send(request).address == "127.0.0.1"
    assert reason(transport, request) is Reason.ADDRESS_FORBIDDEN
    assert transport.send(request).address == "127.0.0.1"
    assert (len(asked), private.connections) == (3, 0)


def test_the_next_allowed_address_is_tried_where_one_is_dead(
    listen: Listen, open_transport: OpenTransport
) -> None:
    listener = listen(replies(OK))
    addresses = [ip_address("127.0.0.3"), ip_address("127.0.0.1")]
    transport = open_transport(resolver=lambda host, port: addresses)
    rules = AddressRules(allow=["127.0.0.0/8"])
    request = request_to(f"http://two.example:{listener.port}/", rules=rules)
    assert transport.send(request).address == "127.0.0.1"


def test_what_is_really_connected_to_is_looked_at_once_more(
    listen: Listen, open_transport: OpenTransport
) -> None:
    # Linux connects 0.0.0.0 to 127.0.0.1.
    came: list[bytes] = []
    listener = listen(lambda sock: came.append(sock.recv(1)))
    request = request_to(f"http://0.0.0.0:{listener.port}/", rules=AddressRules(allow=["0.0.0.0/8"]))
    error = failure(open_transport(), request)
    assert error.reason is Reason.ADDRESS_FORBIDDEN
    assert "127.0.0.1: loopback" in error.detail
    assert b"".join(came) == b""


def test_a_connection_that_one_guard_let_pass_serves_no_request_of_another(
    endpoint: Endpoint, transport: Transport
) -> None:
    transport.send(request_to(endpoint.url))
    strict = request_to(endpoint.url, rules=AddressRules())
    assert reason(transport, strict) is Reason.ADDRESS_FORBIDDEN
    assert transport.send(request_to(endpoint.url)).reused


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_requests_under_different_guards_share_no_connection_even_at_the_same_time(
    secure: bool, open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=tls if secure else None)
    url = f"{endpoint.origin.replace('127.0.0.1', NAME)}/hooks"
    open_one, strict = request_to(url), request_to(url, rules=AddressRules())
    told_by_guard = [
        (one.request is open_one, told(one)) for one in trusting.send_many([strict, open_one, *[strict] * 10])
    ]
    assert sorted(told_by_guard) == [(False, Reason.ADDRESS_FORBIDDEN)] * 11 + [(True, 200)]


def test_a_guard_that_breaks_lets_nothing_through(endpoint: Endpoint, transport: Transport) -> None:
    def breaks(address: IPAddress) -> str | None:
        raise KeyError(address)

    one = exchange(transport.send, evolve(request_to(endpoint.url), guard=breaks))
    assert isinstance(one.result, TransportError)
    # One calls it a defect of the guard, another an answer that cannot be had.
    assert one.result.reason in {Reason.STAGE_FAILED, Reason.PROTOCOL_ERROR}
    assert endpoint.connections == 0
