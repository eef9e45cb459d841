"""What `thornsdk.testing` gives to the tests of plugins and applications."""

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path

import pytest
import structlog

from support.stages import make_dispatch
from support.wire import reason
from thornsdk import Observer, OutcomeKind, Reason, Response, Signer, Thorn
from thornsdk.errors import DispatchError, InvalidHeader
from thornsdk.receive import verify
from thornsdk.testing import (
    Authority,
    Behaviour,
    DeliveryLogCapture,
    Endpoint,
    FakeClock,
    FakeSleep,
    RecordingDispatcher,
    RecordingObserver,
    RecordingSigner,
    RecordingTransport,
    answers,
    capture_log,
    closes,
    drips,
    fixed_resolver,
    hangs,
    in_turn,
    make_delivery,
    make_message,
    make_record,
    make_request,
    make_subscription,
    never_answers,
    once_then,
    reaching,
    resets,
    says,
    waits,
)
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.urllib3 import PooledTransport

# The endpoint


@pytest.fixture
def pooled() -> Iterator[PooledTransport]:
    with closing(PooledTransport()) as transport:
        yield transport


def test_an_endpoint_keeps_what_it_has_seen(endpoint: Endpoint) -> None:
    with Thorn(**reaching(endpoint), store="memory") as thorn:
        secret = thorn.subscribe("order.*", endpoint.url).secrets[0].reveal()
        thorn.event("order.created").send({"id": 42})
    (seen,) = endpoint.seen
    assert (seen.path, seen.body, seen.connection) == ("/hooks", b'{"id":42}', 1)
    assert verify(seen.headers, seen.body, secrets=secret).event == "order.created"
    assert endpoint.came("order.created") == {seen.header("hook-delivery"): 1}


def test_a_header_that_came_never_or_twice_is_an_error(endpoint: Endpoint, pooled: PooledTransport) -> None:
    pooled.send(make_request(endpoint.url, headers=(("A", "1"), ("A", "2"))))
    for name in ("A", "B"):
        with pytest.raises(ValueError, match="unpack"):
            endpoint.seen[0].header(name)


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (closes, Reason.CONNECTION_LOST),
        (resets, Reason.CONNECTION_LOST),
        (says(b"220 mail.example ESMTP\r\n"), Reason.PROTOCOL_ERROR),
        (hangs, Reason.TIMEOUT),
        (never_answers, Reason.TIMEOUT),
        (drips(b"HTTP/1.1 200 OK\r\n", b"A: 1\r\n", every=0.02), Reason.TIMEOUT),
        (waits(20, answers(200)), Reason.TIMEOUT),
    ],
    ids=["closes", "resets", "garbage", "hangs", "never answers", "drips", "waits"],
)
def test_an_endpoint_is_broken_in_many_ways(
    behaviour: Behaviour, told: Reason, open_endpoint: OpenEndpoint, pooled: PooledTransport
) -> None:
    assert reason(pooled, make_request(open_endpoint(behaviour).url, timeout=0.3)) is told


def test_a_reset_is_a_reset_on_the_wire(open_endpoint: OpenEndpoint) -> None:
    endpoint = open_endpoint(resets)
    with socket.create_connection((endpoint.host, endpoint.port)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


@pytest.mark.parametrize("behaviour", [closes, resets])
def test_an_endpoint_breaks_off_over_tls_too(
    behaviour: Behaviour, authority: Authority, ca_bundle: str, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(behaviour, authority.context("127.0.0.1"))
    with closing(PooledTransport(ca_bundle=ca_bundle)) as trusting:
        assert reason(trusting, make_request(endpoint.url)) is Reason.CONNECTION_LOST


def test_an_endpoint_closes_though_connections_are_kept_open(authority: Authority, ca_bundle: str) -> None:
    with closing(PooledTransport(ca_bundle=ca_bundle)) as trusting:
        for tls in (None, authority.context("127.0.0.1")):
            with Endpoint(tls=tls) as endpoint:
                assert trusting.send(make_request(endpoint.url)).status == 200


def test_behaviours_come_in_turn_and_the_last_one_stays(
    open_endpoint: OpenEndpoint, pooled: PooledTransport
) -> None:
    endpoint = open_endpoint(in_turn(answers(503), waits(0.01, answers(200, b"yes", {"A": "1"}))))
    responses = [pooled.send(make_request(endpoint.url)) for _ in range(3)]
    assert [one.status for one in responses] == [503, 200, 200]
    assert (responses[1].body, responses[1].header("A")) == (b"yes", "1")


def test_the_first_attempt_of_each_delivery_may_be_met_in_another_way(
    open_endpoint: OpenEndpoint, pooled: PooledTransport
) -> None:
    endpoint = open_endpoint(once_then(answers(503), answers(200)))
    one, other = (make_request(endpoint.url, headers=(("Hook-Delivery", name),)) for name in ("1", "2"))
    assert [pooled.send(request).status for request in (one, other, one, other)] == [503, 503, 200, 200]


def test_an_endpoint_changes_its_ways(endpoint: Endpoint, pooled: PooledTransport) -> None:
    before = pooled.send(make_request(endpoint.url)).status
    endpoint.behave(answers(418))
    assert (before, pooled.send(make_request(endpoint.url)).status) == (200, 418)


def test_an_endpoint_serves_https_for_those_who_trust_its_authority(
    authority: Authority, ca_bundle: str, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(tls=authority.context("hooks.example.test"))
    resolver = fixed_resolver({"hooks.example.test": "127.0.0.1"})
    trusting = PooledTransport(ca_bundle=ca_bundle, resolver=resolver)
    request = make_request(f"https://hooks.example.test:{endpoint.port}/")
    assert trusting.send(request).status == 200
    trusting.close()
    assert reason(PooledTransport(resolver=resolver), request) is Reason.TLS_UNTRUSTED


def test_an_authority_can_be_written_down(tmp_path: Path) -> None:
    path = Authority().write_to(tmp_path / "ca.pem")
    assert Path(path).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_an_endpoint_reads_a_body_that_comes_in_chunks(endpoint: Endpoint) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    chunks = b'3;last=no\r\n{"i\r\n5\r\nd":1}\r\n0\r\nTrailer: 1\r\n\r\n'
    with socket.create_connection((endpoint.host, endpoint.port)) as sock, sock.makefile("rb") as came:
        sock.sendall(2 * (head + chunks))
        while came.readline() != b"\r\n":
            pass
        assert came.read(2) == b"ok"
        assert came.readline() == b"HTTP/1.1 200 OK\r\n"
    assert [one.body for one in endpoint.seen] == [b'{"id":1}', b'{"id":1}']


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_endpoint_takes_bodies_by_any_method_that_sends_one(endpoint: Endpoint, method: str) -> None:
    connection = HTTPConnection(endpoint.host, endpoint.port)
    connection.request(method, "/", b"{}")
    assert connection.getresponse().status == 200
    connection.close()
    assert [one.body for one in endpoint.seen] == [b"{}"]


# Time and names


def test_a_sleep_sets_the_clock_forward(clock: FakeClock, fake_sleep: FakeSleep) -> None:
    before = clock()
    fake_sleep(60)
    clock.advance(-1)
    assert (clock() - before, fake_sleep.slept) == (timedelta(seconds=59), [60])


def test_a_fixed_resolver_knows_its_names_and_no_others() -> None:
    resolve = fixed_resolver({"one.test": "127.0.0.1", "two.test": ["::1", "127.0.0.1"]})
    assert resolve("one.test", 443) == [ip_address("127.0.0.1")]
    assert resolve("two.test", 443) == [ip_address("::1"), ip_address("127.0.0.1")]
    with pytest.raises(OSError, match=r"the test knows no three\.test"):
        resolve("three.test", 443)


# Stages


def test_a_recording_transport_answers_as_it_is_told() -> None:
    transport = RecordingTransport(lambda request: Response(status=503), schemes=["pigeon"])
    request = make_request("pigeon://loft.example/")
    assert (transport.send(request).status, transport.requests) == (503, [request])
    assert (transport.schemes, transport.user_agent) == (frozenset({"pigeon"}), "recording/1")
    assert RecordingTransport().send(request).status == 200


def test_a_recording_transport_counts_how_often_it_is_closed() -> None:
    transport = RecordingTransport()
    transport.close()
    assert transport.closed == 1


def test_a_recording_dispatcher_keeps_messages_until_there_is_no_room() -> None:
    dispatcher = RecordingDispatcher(room=1)
    dispatch = make_dispatch(42)
    with Thorn(store="memory") as thorn:
        dispatcher.dispatch(dispatch, thorn.deliverer)
        assert dispatcher.bodies == [b"42"]
        with pytest.raises(DispatchError, match="there is no room"):
            dispatcher.dispatch(dispatch, thorn.deliverer)


def test_recording_stages_keep_what_they_are_given() -> None:
    signer, observer, record = RecordingSigner((("A", "1"),)), RecordingObserver(), make_record()
    delivery = make_delivery()
    assert signer.sign(delivery, record.last.started_at) == (("A", "1"),)
    observer.observe(record)
    assert signer.signed == [(delivery, record.last.started_at)]
    assert observer.records == [record]
    assert isinstance(signer, Signer)
    assert isinstance(observer, Observer)


# Values


def test_values_fit_together() -> None:
    message = make_message({"id": 1}, sender="acme")
    subscription = make_subscription("https://hooks.example/", content_type="text/plain")
    record = make_record(OutcomeKind.FAILED, Reason.STATUS, of=make_delivery(b"1", to=subscription), number=3)
    assert subscription.wants(message.event)
    assert (record.content_type, record.body, record.origin) == ("text/plain", b"1", "https://hooks.example")
    assert (record.last.number, record.last.outcome.reason) == (3, Reason.STATUS)


def test_a_delivery_of_another_event_has_a_subscriber_that_wants_it() -> None:
    assert make_delivery(event="invoice.paid").subscription.wants("invoice.paid")


def test_a_request_may_go_to_this_machine_and_is_checked_like_any_other() -> None:
    assert make_request("http://127.0.0.1/").guard(ip_address("127.0.0.1")) is None
    with pytest.raises(InvalidHeader):
        make_request("http://127.0.0.1/", headers=(("A", "1\r\nB: 2"),))


# The log


def send_one(endpoint: Endpoint) -> None:
    with Thorn(**reaching(endpoint), store="memory") as thorn:
        thorn.subscribe("order.*", endpoint.url)
        thorn.event("order.created").send({"id": 42})


def test_what_the_log_tells_is_kept(endpoint: Endpoint, delivery_log: DeliveryLogCapture) -> None:
    send_one(endpoint)
    (told,) = delivery_log.told
    assert (told.level, told.event) == ("info", "delivery.delivered")
    assert delivery_log.of("delivery.delivered")[0]["status"] == 200
    assert delivery_log.of("delivery.retry") == []


def test_the_logger_is_afterwards_as_it_was(endpoint: Endpoint) -> None:
    logger = logging.getLogger("thornsdk")
    before = (logger.level, list(logger.handlers))
    with capture_log():
        send_one(endpoint)
    assert (logger.level, logger.handlers) == before


def test_what_structlog_is_told_is_kept_and_goes_on_to_the_application(open_endpoint: OpenEndpoint) -> None:
    seen: list[object] = []

    def last(_: object, __: str, event: structlog.typing.EventDict) -> str:
        seen.append(event["event"])
        raise structlog.DropEvent

    structlog.configure(processors=[last])
    try:
        with capture_log() as log:
            send_one(open_endpoint(answers(503)))
        assert log.of("delivery.retry")[0]["status"] == 503
        assert [(one.level, one.event) for one in log.told] == [("warning", "delivery.retry")]
        assert seen == ["delivery.retry"]
        assert structlog.get_config()["processors"] == [last]
    finally:
        structlog.reset_defaults()
