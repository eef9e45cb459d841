"""Where the time went: promises of every HTTP transport."""

import ssl
import threading
from collections.abc import Sequence
from ipaddress import ip_address

from attrs import evolve

from conftest import Listen, OpenTransport
from support.tls import by_name
from support.wire import failure, replies, request_to, told
from thornsdk import Reason, Timings, Transport
from thornsdk.testing import Endpoint, Handler, Seen, hangs
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk.typing import IPAddress

WHILE = 0.2
"""How long something takes that is to be seen."""
CLOCKS = 0.005
"""By how much two clocks may differ."""


def timings_of(transport: Transport, url: str) -> Timings:
    timings = transport.send(request_to(url)).timings
    assert timings is not None, "a transport over HTTP tells where the time went"
    return timings


def known(timings: Timings) -> set[str]:
    steps = {"lookup", "connect", "tls", "first_byte"}
    return {step for step in steps if getattr(timings, step) is not None}


def parts(timings: Timings) -> list[float]:
    return [getattr(timings, step) for step in known(timings)]


def slow_resolver(host: str, port: int) -> Sequence[IPAddress]:
    threading.Event().wait(WHILE)
    return [ip_address("127.0.0.1")]


def test_an_address_needs_no_look_up_and_plain_http_no_tls(endpoint: Endpoint, transport: Transport) -> None:
    assert known(timings_of(transport, endpoint.url)) == {"connect", "first_byte"}


def test_a_connection_that_is_used_again_needs_no_connecting(
    endpoint: Endpoint, transport: Transport
) -> None:
    transport.send(request_to(endpoint.url))
    assert known(timings_of(transport, endpoint.url)) == {"first_byte"}


def test_a_look_up_is_told_where_there_was_one(endpoint: Endpoint, open_transport: OpenTransport) -> None:
    transport = open_transport(resolver=slow_resolver)
    url = f"http://slow.example:{endpoint.port}/"
    rules_allow_it = timings_of(transport, url)
    assert known(rules_allow_it) == {"lookup", "connect", "first_byte"}
    assert rules_allow_it.lookup is not None
    assert rules_allow_it.lookup >= WHILE - CLOCKS
    assert known(timings_of(transport, url)) == {"first_byte"}


def test_a_handshake_is_told_on_a_fresh_connection_alone(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=tls)
    both = [trusting.send(by_name(endpoint.port)).timings for _ in range(2)]
    assert [known(one) for one in both if one] == [{"lookup", "connect", "tls", "first_byte"}, {"first_byte"}]


def test_a_handshake_that_takes_a_while_is_seen_as_tls_and_not_as_connecting(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    def dawdles(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        threading.Event().wait(WHILE)

    tls.sni_callback = dawdles
    timings = trusting.send(by_name(open_endpoint(tls=tls).port)).timings
    assert timings is not None
    assert timings.tls is not None
    assert timings.connect is not None
    assert timings.tls >= WHILE - CLOCKS
    assert timings.connect <= timings.total - WHILE + CLOCKS


def test_a_receiver_that_waits_is_seen_in_the_first_byte(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    def waits(handler: Handler, _: Seen) -> None:
        handler.wait(WHILE)
        handler.answer(200)

    endpoint = open_endpoint(waits)
    for _ in range(2):
        first_byte = timings_of(transport, endpoint.url).first_byte
        assert first_byte is not None
        assert first_byte >= WHILE - CLOCKS


def test_an_answer_that_takes_a_while_after_its_first_byte_is_not_seen_there(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    def dawdles(handler: Handler, _: Seen) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        handler.wait(WHILE)
        handler.raw(b"ok")

    timings = timings_of(transport, open_endpoint(dawdles).url)
    assert timings.first_byte is not None
    assert timings.first_byte <= timings.total - WHILE + CLOCKS


def test_the_parts_are_no_more_than_the_whole(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=tls)
    for timings in (trusting.send(by_name(endpoint.port)).timings for _ in range(20)):
        assert timings is not None
        assert min(parts(timings)) >= 0
        assert sum(parts(timings)) <= timings.total + CLOCKS


def test_many_at_once_have_each_their_own(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    def waits(handler: Handler, _: Seen) -> None:
        handler.wait(WHILE)
        handler.answer(200)

    slow = open_endpoint(waits)
    requests = [request_to(url) for url in [slow.url, endpoint.url] * 10]
    for one in transport.send_many(requests):
        timings = one.result.timings
        assert (told(one), timings is not None) == (200, True)
        assert timings is not None
        assert timings.total <= one.duration + CLOCKS
        assert timings.first_byte is not None
        if str(one.request.url) == slow.url:
            assert timings.first_byte >= WHILE - CLOCKS


def test_an_error_tells_how_far_it_came(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport, listen: Listen
) -> None:
    transport = open_transport(resolver=slow_resolver)
    hanging = open_endpoint(hangs)
    error = failure(transport, request_to(f"http://slow.example:{hanging.port}/", timeout=2 * WHILE))
    assert error.reason is Reason.TIMEOUT
    assert error.timings is not None
    assert known(error.timings) == {"lookup", "connect"}
    assert error.timings.total >= 2 * WHILE - CLOCKS


def test_an_answer_that_is_no_http_was_connected_to(transport: Transport, listen: Listen) -> None:
    error = failure(transport, request_to(listen(replies(b"SSH-2.0\r\n")).url))
    assert error.timings is not None
    # Not every library tells when it began to come.
    assert known(error.timings) - {"first_byte"} == {"connect"}


def test_an_address_that_is_forbidden_was_looked_up_and_not_connected_to(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    transport = open_transport(resolver=slow_resolver)
    request = request_to(f"http://slow.example:{endpoint.port}/")
    error = failure(transport, evolve(request, guard=lambda address: "forbidden"))
    assert error.timings is not None
    assert known(error.timings) == {"lookup"}
