"""Through a proxy that filters, with every transport."""

import ssl

import pytest

from conftest import Listen, OpenThorn, OpenTransport
from support.proxy import refuses, tunnels_to
from support.wire import failure, read_request, reason, request_to
from thornsdk import AddressRules, Reason
from thornsdk.testing import Authority, Endpoint
from thornsdk.testing.fixtures import OpenEndpoint

NO_NETWORKS = AddressRules()


def test_requests_go_through_a_tunnel_to_the_name(
    endpoint: Endpoint, listen: Listen, open_transport: OpenTransport
) -> None:
    asked: list[str] = []
    proxy = listen(tunnels_to(endpoint.port, asked))
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{proxy.port}")
    response = transport.send(request_to("http://hooks.example/a", rules=NO_NETWORKS))
    assert (response.status, response.address) == (200, "127.0.0.1")
    assert [one.rsplit(" ", 1)[0] for one in asked] == ["CONNECT hooks.example:80"]
    assert (endpoint.seen[0].path, endpoint.seen[0].header("Host")) == ("/a", "hooks.example")


def test_tls_is_with_the_receiver_not_with_the_proxy(
    open_endpoint: OpenEndpoint,
    listen: Listen,
    open_transport: OpenTransport,
    authority: Authority,
    ca_bundle: str,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert("hooks.example").configure_cert(tls)
    asked: list[str] = []
    proxy = listen(tunnels_to(open_endpoint(tls=tls).port, asked))
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{proxy.port}", ca_bundle=ca_bundle)
    assert transport.send(request_to("https://hooks.example/", rules=NO_NETWORKS)).status == 200
    other = request_to("https://other.example/", rules=NO_NETWORKS)
    assert reason(transport, other) is Reason.TLS_WRONG_NAME
    assert [one.split()[1] for one in asked] == ["hooks.example:443", "other.example:443"]


def test_a_tunnel_serves_the_next_request_to_its_origin(
    endpoint: Endpoint, listen: Listen, open_transport: OpenTransport
) -> None:
    proxy = listen(tunnels_to(endpoint.port, []))
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{proxy.port}")
    hosts = ("a.example", "b.example", "a.example")
    sent = [transport.send(request_to(f"http://{host}/", rules=NO_NETWORKS)) for host in hosts]
    assert [one.reused for one in sent] == [False, False, True]
    assert proxy.connections == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_told_with_its_status(
    scheme: str, listen: Listen, open_transport: OpenTransport
) -> None:
    proxy = listen(refuses(b"HTTP/1.1 407 hidden\r\nContent-Length: 0\r\n\r\n"))
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{proxy.port}")
    error = failure(transport, request_to(f"{scheme}://inside.example/", rules=NO_NETWORKS))
    assert error.reason is Reason.PROXY_REFUSED
    assert error.detail == "the proxy would not connect, and answered 407"


def test_a_proxy_that_says_nothing_ends_at_the_deadline(
    listen: Listen, open_transport: OpenTransport
) -> None:
    proxy = listen(lambda sock: sock.recv(1000) and sock.recv(1))
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{proxy.port}")
    request = request_to("https://inside.example/", timeout=0.3, rules=NO_NETWORKS)
    assert reason(transport, request) is Reason.TIMEOUT


def test_a_proxy_that_hangs_up_has_given_no_first_byte(listen: Listen, open_transport: OpenTransport) -> None:
    transport = open_transport(filtering_proxy=f"http://127.0.0.1:{listen(read_request).port}")
    error = failure(transport, request_to("http://inside.example/", rules=NO_NETWORKS))
    assert error.reason is Reason.CONNECTION_LOST
    assert error.timings is not None
    assert error.timings.first_byte is None


def test_an_address_that_policy_forbids_does_not_even_get_to_the_proxy(
    endpoint: Endpoint, listen: Listen, open_thorn: OpenThorn
) -> None:
    proxy = listen(tunnels_to(endpoint.port, []))
    subscribers = {"*": ["http://10.0.0.1/", "http://hooks.example/"]}
    thorn = open_thorn(
        filtering_proxy=f"http://127.0.0.1:{proxy.port}", subscribers=subscribers, secret="a secret"
    )
    outcomes = thorn.event("order.created").send({}).outcomes
    assert (outcomes.blocked, outcomes.delivered, proxy.connections) == (1, 1, 1)
