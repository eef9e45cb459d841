"""The transport `nats` and a real server: what arrives, and what is told of it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from conftest import OpenThorn
from support.commands import Commands, store_url
from support.forks import run as run_program
from support.nats import NatsServer, Stream, open_stream
from support.wire import failure, reason, request_to, told, wait_until
from thornsdk import DeliveryState, Reason, Request
from thornsdk.receive import verify
from thornsdk.testing import Authority, Endpoint
from thornsdk.typing import Headers
from thornsdk_plugins.nats import NatsTransport

OpenNats = Callable[..., NatsTransport]


@pytest.fixture
def open_nats() -> Iterator[OpenNats]:
    """Makes transports that know their servers by name."""
    with ExitStack() as stack:

        def open_one(events: str, ca_bundle: str | None = None, **servers: str) -> NatsTransport:
            transport = NatsTransport(
                servers={"events": events, **servers},
                ca_bundle=ca_bundle,
                resolver=lambda host, port: [ip_address("127.0.0.1")],
            )
            stack.callback(transport.close)
            return transport

        yield open_one


@pytest.fixture
def transport(open_nats: OpenNats, nats_url: str) -> NatsTransport:
    return open_nats(nats_url)


@pytest.fixture
def open_server() -> Iterator[Callable[..., NatsServer]]:
    """Starts servers with configurations of their own; they end with the test."""
    with ExitStack() as stack:
        yield lambda more="": stack.enter_context(NatsServer(more))


def answer(data: bytes) -> dict[str, object]:
    read: dict[str, object] = json.loads(data)
    return read


def test_a_stream_gets_the_bytes_and_the_headers_as_they_are(
    transport: NatsTransport, stream: Stream
) -> None:
    headers: Headers = (("User-Agent", "a b"), ("webhook-signature", "v1,a= v1,b="), ("X-Empty", ""))
    request = request_to(stream.to("created"), body=bytes(range(256)), headers=headers)
    transport.send(request)
    (stored,) = stream.stored()
    assert stored.subject == f"{stream.word}.created"
    assert stored.body == request.body
    assert stored.raw_headers == (
        b"NATS/1.0\r\nUser-Agent: a b\r\nwebhook-signature: v1,a= v1,b=\r\nX-Empty: \r\n"
        b"Nats-Msg-Id: " + str(request.id).encode() + b"\r\n\r\n"
    )


def test_what_a_stream_has_acknowledged_is_202(transport: NatsTransport, stream: Stream) -> None:
    response = transport.send(request_to(stream.to()))
    assert response.status == 202
    assert answer(response.body) == {"stream": stream.word, "seq": 1}
    assert (response.address, response.reused) == ("127.0.0.1", False)
    assert transport.send(request_to(stream.to())).reused is True


def test_a_delivery_that_is_sent_twice_is_stored_once(transport: NatsTransport, stream: Stream) -> None:
    request = request_to(stream.to())
    transport.send(request)
    again = transport.send(request)
    assert again.status == 202
    assert answer(again.body) == {"stream": stream.word, "seq": 1, "duplicate": True}
    assert len(stream.stored()) == 1


def test_a_subject_that_no_stream_takes_is_404(transport: NatsTransport) -> None:
    response = transport.send(request_to(f"nats://events/{uuid4().hex}.created"))
    assert (response.status, response.body) == (404, b"no stream takes the subject")


def test_what_a_stream_refuses_has_the_status_of_its_error(transport: NatsTransport, nats_url: str) -> None:
    full = StreamConfig(max_msgs=1, discard=DiscardPolicy.NEW)
    with open_stream(nats_url, full) as stream:
        assert transport.send(request_to(stream.to())).status == 202
        refused = transport.send(request_to(stream.to()))
    assert refused.status == 429
    assert b"maximum messages exceeded" in refused.body


def test_a_stream_that_does_not_acknowledge_is_408_and_costs_others_nothing(
    stream: Stream, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(**options(stream), event_timeout=1, breaker_failures=2)
    with open_stream(stream.url, StreamConfig(no_ack=True)) as silent:
        for number in range(3):
            thorn.subscribe("order.created", silent.to(f"a{number}"))
        thorn.subscribe("order.paid", stream.to())
        told = [one.last.status for one in thorn.event("order.created").send({}).outcomes.problems]
    assert told == [408] * 3
    assert thorn.event("order.paid").send({}).outcomes.delivered == 1


def test_a_message_that_is_too_large_is_413_and_does_not_break_the_connection(
    transport: NatsTransport, stream: Stream
) -> None:
    # A server counts the headers too: here, 63 bytes.
    largest, too_large = (request_to(stream.to(), body=b"x" * (1024**2 - 63 + more)) for more in (0, 1))
    assert transport.send(too_large).status == 413
    sent = transport.send(largest)
    assert (sent.status, sent.reused) == (202, True)


def test_many_are_in_flight_and_each_is_told(transport: NatsTransport, stream: Stream) -> None:
    requests = [request_to(stream.to(), body=b"%d" % number) for number in range(300)]
    results = list(transport.send_many(iter(requests)))
    assert {told(one) for one in results} == {202}
    assert {one.request.id for one in results} == {one.id for one in requests}
    assert sorted(int(one.body) for one in stream.stored()) == list(range(300))


def test_requests_are_read_and_results_given_in_the_callers_thread(
    transport: NatsTransport, stream: Stream
) -> None:
    read_in: set[int] = set()

    def requests() -> Iterator[Request]:
        for _ in range(200):
            read_in.add(threading.get_ident())
            yield request_to(stream.to())

    assert len(list(transport.send_many(requests()))) == 200
    assert read_in == {threading.get_ident()}


def test_threads_share_a_connection(transport: NatsTransport, stream: Stream) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.extend(transport.send(request_to(stream.to())).status for _ in range(20))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert statuses == [202] * 160
    assert len([one for one in threading.enumerate() if one.name == "thornsdk-nats"]) == 1


def test_after_closing_it_sends_again_and_leaves_nothing_behind(
    transport: NatsTransport, stream: Stream
) -> None:
    transport.send(request_to(stream.to()))
    transport.close()
    transport.close()
    assert "thornsdk-nats" not in {one.name for one in threading.enumerate()}
    assert transport.send(request_to(stream.to())).reused is False
    wait_until(lambda: "thornsdk-nats" not in {one.name for one in threading.enumerate()})


def test_a_server_that_was_restarted_is_connected_to_again(
    open_server: Callable[..., NatsServer], open_nats: OpenNats
) -> None:
    server = open_server()
    transport = open_nats(server.url)
    with open_stream(server.url) as stream:
        assert transport.send(request_to(stream.to())).status == 202
        server.stop()
        # Until the end of the connection has come to be known, a message can still be lost with it.
        wait_until(lambda: reason(transport, request_to(stream.to())) is Reason.CONNECTION_REFUSED)
        server.start()
        again = transport.send(request_to(stream.to()))
        assert (again.status, again.reused) == (202, False)


def test_a_wrong_password_is_401_and_stands_in_no_error(
    open_server: Callable[..., NatsServer], open_nats: OpenNats
) -> None:
    server = open_server("authorization { user: sender, password: right }")
    wrong = server.url.replace("//", "//sender:hunter2@")
    response = open_nats(wrong).send(request_to("nats://events/orders"))
    assert (response.status, response.body) == (401, b"authorization violation")
    right = server.url.replace("//", "//sender:right@")
    assert open_nats(right).send(request_to("nats://events/orders")).status == 404


def test_a_token_is_a_user_without_a_password(
    open_server: Callable[..., NatsServer], open_nats: OpenNats
) -> None:
    server = open_server('authorization { token: "t/k" }')
    token = server.url.replace("//", "//t%2Fk@")
    assert open_nats(token).send(request_to("nats://events/orders")).status == 404


def test_a_subject_that_the_user_must_not_publish_to_is_403_for_it_alone(
    open_server: Callable[..., NatsServer], open_nats: OpenNats
) -> None:
    server = open_server(
        "authorization { users: [ { user: a, password: b, permissions: {"
        ' publish: { deny: "secret.>" } } } ] }'
    )
    transport = open_nats(server.url.replace("//", "//a:b@"))
    urls = ["nats://events/secret.Plans", "nats://events/orders", "nats://events/secret.Plans"]
    results = {told(one) for one in transport.send_many(map(request_to, urls))}
    assert results == {403, 404}
    assert transport.send(request_to("nats://events/orders")).reused is True


def test_a_user_that_must_not_read_answers_sends_nothing(
    open_server: Callable[..., NatsServer], open_nats: OpenNats
) -> None:
    server = open_server(
        "authorization { users: [ { user: root, password: root },"
        ' { user: a, password: b, permissions: { subscribe: { deny: ">" } } } ] }'
    )
    with open_stream(server.url.replace("//", "//root:root@")) as stream:
        transport = open_nats(server.url.replace("//", "//a:b@"))
        assert transport.send(request_to(stream.to())).status == 403
        assert stream.stored() == []


TLS = 'tls {{ cert_file: "{0}/cert.pem", key_file: "{0}/cert.pem" }}'


@pytest.fixture
def tls_server(authority: Authority, tmp_path: Path, open_server: Callable[..., NatsServer]) -> NatsServer:
    """A server that asks for TLS, and is nats.example.test."""
    certificate = authority.ca.issue_cert("nats.example.test")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    return open_server(TLS.format(tmp_path))


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_tls_is_spoken_with_a_server_that_asks_for_it(
    scheme: str, tls_server: NatsServer, open_nats: OpenNats, ca_bundle: str
) -> None:
    transport = open_nats(f"{scheme}://nats.example.test:{tls_server.port}", ca_bundle)
    assert transport.send(request_to("nats://events/orders")).status == 404


def test_a_certificate_is_verified(tls_server: NatsServer, open_nats: OpenNats, ca_bundle: str) -> None:
    untrusting = open_nats(f"tls://nats.example.test:{tls_server.port}")
    assert reason(untrusting, request_to("nats://events/orders")) is Reason.TLS_UNTRUSTED
    misled = open_nats(f"tls://other.example.test:{tls_server.port}", ca_bundle)
    assert reason(misled, request_to("nats://events/orders")) is Reason.TLS_WRONG_NAME


def test_nothing_is_told_to_a_server_without_tls_where_tls_is_a_must(
    nats_url: str, open_nats: OpenNats
) -> None:
    error = failure(open_nats(nats_url.replace("nats://", "tls://")), request_to("nats://events/orders"))
    assert str(error) == "tls_failed: its URL begins with tls://, and the server asks for no TLS"


_FORKS = """
import os, sys, warnings
from support.wire import request_to
from thornsdk_plugins.nats import NatsTransport

# From 3.12 on, Python warns of any fork beside another thread.
warnings.simplefilter("ignore", DeprecationWarning)
server, url, way = sys.argv[1:]
transport = NatsTransport(servers={"events": server})

def send(body):
    return transport.send(request_to(url, body)).reused

print("parent", send(b"parent"), flush=True)
if os.fork() == 0:
    print("child", send(b"child"), send(b"child"), flush=True)
    if way == "dies":
        os._exit(0)
    if way == "closes":
        transport.close()
    sys.exit()
os.wait()
print("parent", send(b"parent"), flush=True)
transport.close()
"""


@pytest.mark.parametrize("way", ["closes", "exits", "dies"])
def test_a_forked_child_starts_fresh_and_leaves_its_parents_connection_alone(
    way: str, stream: Stream
) -> None:
    # Who exits without closing leaves it to Python to close sockets, which warns of each.
    warnings = "ignore" if way == "exits" else "error::ResourceWarning"
    said = run_program(_FORKS, stream.url, stream.to(), way, warnings=warnings)
    assert said == ["parent False", "child False True", "parent True"]
    assert [one.body for one in stream.stored()] == [b"parent", b"child", b"child", b"parent"]


_GREEN = """
import sys
if sys.argv[1] == "gevent":
    import gevent.monkey
    gevent.monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
from support.wire import request_to, told
from thornsdk_plugins.nats import NatsTransport

transport = NatsTransport(servers={"events": sys.argv[2]})
print({told(one) for one in transport.send_many(request_to(sys.argv[3]) for _ in range(50))}, flush=True)
transport.close()
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_it_works_under_green_threads_that_are_patched_in_first(library: str, stream: Stream) -> None:
    # Eventlet warns that it is no longer developed.
    assert run_program(_GREEN, library, stream.url, stream.to(), warnings="ignore") == ["{202}"]
    assert len(stream.stored()) == 50


def options(stream: Stream, **servers: str) -> dict[str, object]:
    """The settings that name the server of a stream."""
    return {"transport": "urllib3,nats", "options": {"nats": {"servers": {"events": stream.url, **servers}}}}


def test_an_event_goes_to_a_stream_and_to_a_url_and_both_verify(
    stream: Stream, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, **options(stream))
    for url in (stream.to(), endpoint.url):
        thorn.subscribe("order.*", url, secret="s3cret", headers={"X-Shop": "7"})
    receipt = thorn.event("order.created").send({"id": 42})
    assert (receipt.outcomes.delivered, receipt.outcomes.total) == (2, 2)
    (stored,), (seen,) = stream.stored(), endpoint.seen
    assert stored.body == seen.body == b'{"id":42}'
    for headers, body in ((stored.headers, stored.body), (seen.headers, seen.body)):
        assert verify(headers, body, secrets="s3cret").event == "order.created"
    assert stored.headers["X-Shop"] == "7"
    assert re.fullmatch(r"Thorn/\S+ nats-py/\S+", stored.headers["User-Agent"])
    assert stored.headers["Nats-Msg-Id"] == stored.headers["Hook-Delivery"]


def test_what_could_not_arrive_arrives_later_and_once(stream: Stream, open_thorn: OpenThorn) -> None:
    word = f"later-{uuid4().hex}"
    thorn = open_thorn(**options(stream), retry_schedule=[0.0, 0.0])
    thorn.subscribe("*", f"nats://events/{word}.created")
    (record,) = thorn.event("order.created").send({}).outcomes.problems
    assert (record.state, record.last.status) == (DeliveryState.PENDING, 404)
    with open_stream(stream.url, word=word) as later:
        assert thorn.run_due().delivered == 1
        thorn.replay(record.id)
        assert len(later.stored()) == 1


def test_operators_see_what_became_of_it(
    stream: Stream, run: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers = {"events": stream.url, "gone": "nats://user:hunter2@127.0.0.1:1"}
    monkeypatch.setenv("THORN_STORE", store_url(tmp_path))
    monkeypatch.setenv("THORN_TRANSPORT", "urllib3,nats")
    monkeypatch.setenv("THORN_OPTIONS", json.dumps({"nats": {"servers": servers}}))
    for url in (stream.to(), "nats://gone/orders", "nats://other/orders", "nats://events/orders.>"):
        assert run("subscribe", url, "--event", "order.*").code == 0
    ran = run("send", "order.created", "--data", '{"id": 42}', "--json")
    assert {(one["origin"], one["outcome"], one["reason"], one["status"]) for one in ran.json} == {
        ("nats://events", "delivered", "accepted", 202),
        ("nats://gone", "retry", "connection_refused", None),
        ("nats://other", "blocked", "address_forbidden", None),
        ("nats://events", "blocked", "recipient_refused", None),
    }
    shown = run("deliveries").out
    assert "nats://gone" in shown
    assert "hunter2" not in shown
