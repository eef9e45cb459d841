"""Receivers that misbehave: promises of every HTTP transport."""

import gzip
import logging
import socket
import threading
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import NoReturn

import pytest

from conftest import Listen, OpenThorn, OpenTransport
from support.bad_receivers import HEAD, bad_receivers, never_accepts, resets_hard
from support.memory import growth_beside
from support.wire import OK, failure, read_request, reason, replies, request_to, told
from thornsdk import URL, AddressRules, Reason, Transport
from thornsdk.testing import Endpoint, Handler, Seen, answers, drips, hangs, says
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk.typing import IPAddress

SOON = 0.3
"""A deadline that passes within the test."""

MAX_BODY = 64 * 1024
"""How much of an answer's body is kept."""


def test_a_look_up_that_takes_too_long_ends_at_the_deadline(open_transport: OpenTransport) -> None:
    over = threading.Event()

    def blocks(host: str, port: int) -> list[IPAddress]:
        over.wait(timeout=20)
        return []

    transport = open_transport(resolver=blocks)
    error = failure(transport, request_to("http://slow.example/", timeout=SOON))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_names_without_an_answer_do_not_hold_up_others(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    over = threading.Event()

    def answers_some(host: str, port: int) -> list[IPAddress]:
        if host.startswith("dead"):
            over.wait(timeout=20)
        return [ip_address("127.0.0.1")]

    transport = open_transport(resolver=answers_some)
    hosts = [f"dead{number}.example" for number in range(40)] + [
        f"good{number}.example" for number in range(20)
    ]
    requests = [request_to(f"http://{host}:{endpoint.port}/", timeout=2) for host in hosts]
    results = [(one.request.url.host[:4], told(one)) for one in transport.send_many(requests)]
    over.set()
    assert results == [("good", 200)] * 20 + [("dead", Reason.TIMEOUT)] * 40


def test_a_name_is_not_looked_up_to_use_a_connection_that_is_open(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    asked: list[str] = []

    def answers_once(host: str, port: int) -> list[IPAddress]:
        asked.append(host)
        return [ip_address("127.0.0.1")]

    transport = open_transport(resolver=answers_once)
    request = request_to(f"http://hooks.example:{endpoint.port}/")
    assert [transport.send(request).reused for _ in range(3)] == [False, True, True]
    assert asked == ["hooks.example"]


def test_what_hangs_ends_before_what_takes_longer_than_its_deadline(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    def answers_late(handler: Handler, _: Seen) -> None:
        handler.wait(5 * SOON)
        handler.answer(200)

    late, hanging = open_endpoint(answers_late), open_endpoint(hangs)
    requests = [request_to(late.url), *(request_to(hanging.url, timeout=SOON) for _ in range(3))]
    assert [told(one) for one in transport.send_many(requests)] == [Reason.TIMEOUT] * 3 + [200]


def test_a_connection_that_is_never_taken_ends_at_the_deadline(transport: Transport) -> None:
    with never_accepts() as url:
        assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT


def test_a_dead_address_does_not_use_up_the_time_of_the_next(
    listen: Listen, open_transport: OpenTransport
) -> None:
    listener = listen(replies(OK))
    with socket.socket() as full:
        full.bind(("127.0.0.3", listener.port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        addresses = [ip_address("127.0.0.3"), ip_address("127.0.0.1")]
        transport = open_transport(resolver=lambda host, port: addresses)
        rules = AddressRules(allow=["127.0.0.0/8"])
        request = request_to(f"http://two.example:{listener.port}/", timeout=4, rules=rules)
        assert transport.send(request).address == "127.0.0.1"
        for one in waiting:
            one.close()


def test_an_answer_that_never_comes_ends_at_the_deadline(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    assert reason(transport, request_to(open_endpoint(hangs).url, timeout=SOON)) is Reason.TIMEOUT


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 O",
        HEAD + b"X-Slow: ",
        HEAD + b"Content-Length: 100000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
        HEAD + b"Connection: close\r\n\r\n",
    ],
    ids=["status", "header", "body", "chunk", "until the end"],
)
def test_an_answer_that_drips_ends_at_the_deadline(
    begin: bytes, open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    url = open_endpoint(drips(begin, b".", 0.02)).url
    assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT


def test_interim_answers_without_end_end_at_the_deadline(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    url = open_endpoint(drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.02)).url
    assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT


def test_a_body_that_nobody_reads_ends_at_the_deadline(listen: Listen, transport: Transport) -> None:
    over = threading.Event()
    listener = listen(lambda sock: over.wait(timeout=20))
    error = failure(transport, request_to(listener.url, b"x" * 30_000_000, timeout=SOON))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_a_connection_serves_again_after_the_deadline_of_the_one_before(
    endpoint: Endpoint, transport: Transport
) -> None:
    transport.send(request_to(endpoint.url, timeout=SOON))
    threading.Event().wait(SOON)
    assert transport.send(request_to(endpoint.url)).reused is True


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY])
def test_a_body_within_the_cap_is_whole(size: int, open_endpoint: OpenEndpoint, transport: Transport) -> None:
    url = open_endpoint(answers(200, b"x" * size)).url
    answered = [transport.send(request_to(url)) for _ in range(2)]
    assert [(len(one.body), one.truncated) for one in answered] == [(size, False)] * 2
    assert answered[1].reused is True


@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000000000\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_body_without_end_is_cut_and_its_connection_dropped(
    head: bytes, listen: Listen, transport: Transport
) -> None:
    ended = threading.Event()

    def floods(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 503 Busy\r\n" + head + b"\r\n")
        piece = b"x" * 0x10000
        try:
            while True:
                sock.sendall(b"10000\r\n" + piece + b"\r\n" if b"chunked" in head else piece)
        finally:
            ended.set()

    response = transport.send(request_to(listen(floods).url))
    assert (response.status, len(response.body), response.truncated) == (503, MAX_BODY, True)
    assert ended.wait(timeout=20)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_a_gzip_bomb_is_cut(coding: str, open_endpoint: OpenEndpoint, transport: Transport) -> None:
    bomb = b"\0" * 50_000_000
    for _ in coding.split(","):
        bomb = gzip.compress(bomb)
    endpoint = open_endpoint(answers(200, bomb, {"Content-Encoding": coding}))
    response = transport.send(request_to(endpoint.url))
    assert (response.status, response.truncated) == (200, True)
    assert len(response.body) <= MAX_BODY


def test_an_encoded_answer_is_decoded(open_endpoint: OpenEndpoint, transport: Transport) -> None:
    endpoint = open_endpoint(answers(200, gzip.compress(b"thanks"), {"Content-Encoding": "gzip"}))
    assert [transport.send(request_to(endpoint.url)).body for _ in range(2)] == [b"thanks"] * 2
    assert endpoint.connections == 1


# An answer can be read in more than one way once it is broken: what ends too early may count as lost.
BROKEN = {Reason.PROTOCOL_ERROR, Reason.CONNECTION_LOST}
PROTOCOL = {Reason.PROTOCOL_ERROR}
LOST = {Reason.CONNECTION_LOST}
LARGE = {Reason.ANSWER_TOO_LARGE}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(HEAD + b"X-A: b\r\n" * 100_000 + b"\r\n", LARGE, id="many headers"),
        pytest.param(HEAD + b"X-A: " + b"b" * 1_000_000 + b"\r\n\r\n", LARGE, id="long header"),
        pytest.param(b"HTTP/1.1 200 " + b"b" * 1_000_000, LARGE, id="long status line"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", PROTOCOL, id="SSH"),
        pytest.param(b"220 mail.example ESMTP\r\n", PROTOCOL, id="SMTP"),
        pytest.param(b"<html>502</html>", PROTOCOL, id="HTTP 0.9"),
        pytest.param(b"\0\xff\x80" * 100 + b"\r\n\r\n", PROTOCOL, id="bytes"),
        pytest.param(b"HTTP/1.1 2\r\n\r\n", PROTOCOL, id="short status"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", PROTOCOL, id="status in letters"),
        pytest.param(HEAD + b"no header\r\nContent-Length: 0\r\n\r\n", PROTOCOL, id="line without colon"),
        pytest.param(HEAD + b"Content-Length: 1, 2\r\n\r\nab", PROTOCOL, id="two lengths in one"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", PROTOCOL, id="two lengths"),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", PROTOCOL, id="not gzip"
        ),
        pytest.param(b"", LOST, id="nothing"),
        pytest.param(b"HTTP/1.1", BROKEN, id="half a status line"),
        pytest.param(HEAD + b"X-A: ", BROKEN, id="half a head"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nab", LOST, id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab", LOST, id="half a chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", LOST, id="no last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab", BROKEN, id="chunk without size"),
    ],
)
def test_a_broken_answer_has_its_reason_and_nothing_secret_is_told(
    answer: bytes,
    expected: set[Reason],
    open_endpoint: OpenEndpoint,
    transport: Transport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint = open_endpoint(says(answer))
    one = request_to(f"{endpoint.url}/hidden?key=hidden", b"hidden", headers=(("Hook-HMAC", "hidden"),))
    with caplog.at_level(logging.DEBUG):
        error = failure(transport, one)
    assert error.reason in expected, f"{error} instead of one of {sorted(expected)}"
    assert "hidden" not in caplog.text + str(error) + repr(error)


def test_nothing_of_an_answer_is_quoted_in_an_error(
    open_endpoint: OpenEndpoint, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = open_endpoint(says(b"HTTP/1.1 mirrored\r\nX: mirrored\r\n\r\nmirrored"))
    with caplog.at_level(logging.DEBUG):
        error = failure(transport, request_to(endpoint.url))
    assert "mirrored" not in caplog.text + str(error) + repr(error)


def test_no_query_string_is_logged_where_all_goes_well(
    open_endpoint: OpenEndpoint, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    odd = b"Transfer-Encoding: chunked\r\nX-Folded: a\r\n b\r\nContent-Type: multipart/x\r\n"
    endpoint = open_endpoint(says(HEAD + odd + b"\r\n2\r\nok\r\n0\r\n\r\n"))
    with caplog.at_level(logging.DEBUG):
        response = transport.send(request_to(f"{endpoint.url}?key=hidden"))
    assert response.body == b"ok"
    assert "hidden" not in caplog.text


@pytest.mark.parametrize(
    "cut",
    [b"HTTP/1.1 200 OK\r\nX-A: b\r\n ", b"HTTP/1.1 200 OK\r\nX-A: b", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\n"],
)
def test_an_answer_that_is_cut_leaves_nothing_for_that_of_another_receiver(
    cut: bytes, listen: Listen, endpoint: Endpoint, transport: Transport
) -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 " + cut)

    bad = request_to(listen(serve).url)
    for _ in range(3):
        assert reason(transport, bad) in {Reason.CONNECTION_LOST, Reason.PROTOCOL_ERROR}
        assert transport.send(request_to(endpoint.url)).status == 200


def test_a_reset_is_a_lost_connection(listen: Listen, transport: Transport) -> None:
    assert reason(transport, request_to(listen(resets_hard).url)) is Reason.CONNECTION_LOST


def test_nothing_that_listens_is_a_refused_connection(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    assert reason(transport, request_to(url)) is Reason.CONNECTION_REFUSED


def _no_such_name(host: str, port: int) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def _broken(host: str, port: int) -> NoReturn:
    raise KeyError(host)


@pytest.mark.parametrize("resolver", [_no_such_name, _broken, lambda host, port: []])
def test_a_name_without_an_address_is_not_resolved(resolver: object, open_transport: OpenTransport) -> None:
    error = failure(open_transport(resolver=resolver), request_to("http://nowhere.example/"))
    assert error.reason is Reason.NAME_NOT_RESOLVED
    assert "nowhere.example" in error.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        HEAD
        + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 999999\r\n\r\n"
        + b"x" * 70_000,
    ],
    ids=["head", "body"],
)
def test_a_failure_closes_its_connection_while_its_error_is_kept(
    answer: bytes, listen: Listen, transport: Transport
) -> None:
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        with suppress(OSError):
            sock.recv(1)
        ended.set()

    kept = failure(transport, request_to(listen(serve).url))
    assert ended.wait(timeout=5)
    assert kept.reason is Reason.PROTOCOL_ERROR


TOGETHER = 2.0
"""The deadline of each of many requests that are sent together."""


def test_fifty_bad_receivers_do_not_harm_fifty_good_ones(
    open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    good = [open_endpoint().url for _ in range(50)]
    began_at = time.monotonic()
    with bad_receivers() as bad:
        expected = dict.fromkeys(good, 200) | bad
        requests = [request_to(url, timeout=TOGETHER) for url in mixed(good, list(bad))]
        results = [(without_query(one.request.url), told(one)) for one in transport.send_many(requests)]
        took = time.monotonic() - began_at
    wrong = [(url, came, expected[url]) for url, came in results if came != expected[url]]
    assert (len(results), wrong) == (100, [])
    # One after the other, those that hang would take a minute.
    assert took < 10 * TOGETHER


def test_fifty_bad_receivers_cost_no_memory(open_endpoint: OpenEndpoint, transport_kind: str) -> None:
    good = [open_endpoint().url for _ in range(50)]
    with bad_receivers() as bad:
        grown = growth_beside(transport_kind, good, mixed(good, list(bad)), TOGETHER)
    # One bomb unpacks to 100 MB, and a flood has no end.
    assert grown < 50, f"the process grew by {grown} MB"


def test_events_are_delivered_to_the_good_beside_fifty_bad_ones(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, transport_kind: str
) -> None:
    good = [open_endpoint().url for _ in range(50)]
    with bad_receivers() as bad:
        urls = mixed(good, list(bad))
        ports = {URL.parse(url).port for url in urls}
        thorn = open_thorn(
            transport=transport_kind,
            event_timeout=TOGETHER,
            allow_ports=ports,
            subscribers={"order.*": urls},
            secret="a secret",
        )
        outcomes = thorn.event("order.created").send({"id": 1}).outcomes
    # The bombs and floods have answered 200, before what follows was cut.
    answered = sum(1 for url in urls if bad.get(without_query(url), 200) == 200)
    assert (outcomes.delivered, outcomes.retry) == (answered, 100 - answered)


def mixed(good: list[str], bad: list[str]) -> list[str]:
    """Gives fifty good and fifty bad ones in turn; no URL twice, for that would be one subscription."""
    bad = [f"{bad[number % len(bad)]}?{number}" for number in range(50)]
    return [url for number in range(50) for url in (bad[number], good[number])]


def without_query(url: URL | str) -> str:
    return str(url).split("?")[0]
