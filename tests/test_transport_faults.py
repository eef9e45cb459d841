import errno
import gzip
import http.client
import logging
import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain
from typing import NoReturn

import pytest
from urllib3.exceptions import ProtocolError, SSLError

from conftest import Listen, OpenEndpoint, OpenTransport
from support.endpoint import Behaviour, answers, drips, hangs, resets, says
from support.wire import OK, failure, read_request, reason, replies, request_to
from thornsdk import AddressRules, Reason, Response
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress
from thornsdk_plugins.urllib3 import PooledTransport
from thornsdk_plugins.urllib3.deadline import Deadline
from thornsdk_plugins.urllib3.failures import translate
from thornsdk_plugins.urllib3.transport import MAX_ANSWER

SOON = 0.3
"""A deadline that passes within the test."""

HEAD = b"HTTP/1.1 200 OK\r\n"


def test_a_look_up_that_takes_too_long_ends_at_the_deadline(open_transport: OpenTransport) -> None:
    over = threading.Event()

    def blocks(host: str, port: int) -> list[IPAddress]:
        over.wait(timeout=20)
        return []

    transport = open_transport(resolver=blocks)
    error = failure(transport, request_to("http://slow.example/", timeout=SOON))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_a_connection_that_is_never_taken_ends_at_the_deadline(transport: PooledTransport) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT
        for one in waiting:
            one.close()


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
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    url = open_endpoint(hangs).url
    assert failure(transport, request_to(url, timeout=SOON)).detail == "the deadline passed"


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
    begin: bytes, open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    url = open_endpoint(drips(begin, b".", 0.02)).url
    assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT


def test_interim_answers_without_end_end_at_the_deadline(
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    url = open_endpoint(drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.02)).url
    assert reason(transport, request_to(url, timeout=SOON)) is Reason.TIMEOUT


def test_a_body_that_nobody_reads_ends_at_the_deadline(listen: Listen, transport: PooledTransport) -> None:
    over = threading.Event()
    listener = listen(lambda sock: over.wait(timeout=20))
    error = failure(transport, request_to(listener.url, b"x" * 30_000_000, timeout=SOON))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_a_deadline_that_has_passed_leaves_no_time() -> None:
    with pytest.raises(TimeoutError, match="the deadline has passed"):
        Deadline.after(0).remaining()


def test_a_connection_serves_again_after_the_deadline_of_the_one_before(
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    url = open_endpoint().url
    transport.send(request_to(url, timeout=SOON))
    threading.Event().wait(SOON)
    assert transport.send(request_to(url)).reused is True


@pytest.mark.parametrize("size", [MAX_ANSWER - 1, MAX_ANSWER])
def test_a_body_within_the_cap_is_whole(
    size: int, open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    url = open_endpoint(answers(200, b"x" * size)).url
    answered = [transport.send(request_to(url)) for _ in range(2)]
    assert [(len(one.body), one.truncated) for one in answered] == [(size, False)] * 2
    assert answered[1].reused is True


@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000000000\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_body_without_end_is_cut_and_its_connection_dropped(
    head: bytes, listen: Listen, transport: PooledTransport
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
    assert (response.status, len(response.body), response.truncated) == (503, MAX_ANSWER, True)
    assert ended.wait(timeout=20)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_a_gzip_bomb_is_cut(coding: str, open_endpoint: OpenEndpoint, transport: PooledTransport) -> None:
    bomb = b"\0" * 50_000_000
    for _ in coding.split(","):
        bomb = gzip.compress(bomb)
    endpoint = open_endpoint(answers(200, bomb, {"Content-Encoding": coding}))
    response = transport.send(request_to(endpoint.url))
    assert (response.body, response.truncated) == (b"\0" * MAX_ANSWER, True)


def test_an_encoded_answer_is_decoded(open_endpoint: OpenEndpoint, transport: PooledTransport) -> None:
    endpoint = open_endpoint(answers(200, gzip.compress(b"thanks"), {"Content-Encoding": "gzip"}))
    assert [transport.send(request_to(endpoint.url)).body for _ in range(2)] == [b"thanks"] * 2
    assert endpoint.connections == 1


TOO_LARGE = "the answer's headers are too many or too long"
NOT_HTTP = "what came back is not HTTP"
BROKE = "the connection broke before the answer was whole"


@pytest.mark.parametrize(
    "broken",
    [
        (HEAD + b"X-A: b\r\n" * 200 + b"\r\n", Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (HEAD + b"X-A: " + b"b" * 70_000 + b"\r\n\r\n", Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (b"HTTP/1.1 200 " + b"b" * 70_000, Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (b"\0\xff\x80" * 100 + b"\r\n\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (b"HTTP/1.1 2\r\n\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (b"HTTP/1.1 abc\r\n\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (
            HEAD + b"no header\r\nContent-Length: 0\r\n\r\n",
            Reason.PROTOCOL_ERROR,
            "the answer cannot be read (HeaderParsingError)",
        ),
        (
            HEAD + b"X: a\r\rY: b\r\nContent-Length: 0\r\n\r\n",
            Reason.PROTOCOL_ERROR,
            "the answer cannot be read (HeaderParsingError)",
        ),
        (HEAD + b"Content-Length: 1, 2\r\n\r\nab", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
            Reason.PROTOCOL_ERROR,
            "the answer cannot be read (DecodeError)",
        ),
        (b"", Reason.CONNECTION_LOST, BROKE),
        (b"HTTP/1.1", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (
            HEAD + b"Content-Length: 9\r\n\r\nab",
            Reason.CONNECTION_LOST,
            BROKE,
        ),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
            Reason.CONNECTION_LOST,
            BROKE,
        ),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab",
            Reason.CONNECTION_LOST,
            BROKE,
        ),
    ],
)
def test_a_broken_answer_says_what_is_wrong_and_nothing_secret(
    broken: tuple[bytes, Reason, str],
    open_endpoint: OpenEndpoint,
    transport: PooledTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer, expected, detail = broken
    endpoint = open_endpoint(says(answer))
    with caplog.at_level(logging.DEBUG):
        error = failure(
            transport, request_to(f"{endpoint.url}?key=hidden", headers=(("Hook-HMAC", "hidden"),))
        )
    assert (error.reason, error.detail) == (expected, detail)
    assert "hidden" not in caplog.text


def test_no_query_string_is_logged_where_all_goes_well(
    open_endpoint: OpenEndpoint, transport: PooledTransport, caplog: pytest.LogCaptureFixture
) -> None:
    odd = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nX-Folded: a\r\n b\r\n"
    part = b"Content-Type: multipart/x\r\n"
    endpoint = open_endpoint(says(HEAD + odd + part + b"\r\n2\r\nok\r\n0\r\n\r\n"))
    with caplog.at_level(logging.DEBUG):
        response = transport.send(request_to(f"{endpoint.url}?key=hidden"))
    assert response.body == b"ok"
    assert "hidden" not in caplog.text


def test_a_reset_is_a_lost_connection(listen: Listen, transport: PooledTransport) -> None:
    def resets_hard(sock: socket.socket) -> None:
        read_request(sock)
        # Linger for no time: what is closed is reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert reason(transport, request_to(listen(resets_hard).url)) is Reason.CONNECTION_LOST


def test_nothing_that_listens_is_a_refused_connection(transport: PooledTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    error = failure(transport, request_to(url))
    assert str(error) == "connection_refused: nothing listens there"


def _no_such_name(host: str, port: int) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def _broken(host: str, port: int) -> NoReturn:
    raise KeyError(host)


@pytest.mark.parametrize("resolver", [_no_such_name, _broken, lambda host, port: []])
def test_a_name_without_an_address_is_not_resolved(resolver: object, open_transport: OpenTransport) -> None:
    error = failure(open_transport(resolver=resolver), request_to("http://nowhere.example/"))
    assert str(error) == "name_not_resolved: nowhere.example has no address"


@pytest.mark.parametrize(
    ("raised", "expected", "detail"),
    [
        (OSError(errno.EHOSTUNREACH, ""), Reason.UNREACHABLE, "no route leads there"),
        (OSError(errno.ENETUNREACH, ""), Reason.UNREACHABLE, "no route leads there"),
        (OSError(errno.EMFILE, ""), Reason.CONNECTION_LOST, "the connection failed (EMFILE)"),
        (OSError(), Reason.CONNECTION_LOST, "the connection failed (OSError)"),
        (TimeoutError(errno.ETIMEDOUT, ""), Reason.TIMEOUT, "the deadline passed"),
        (ssl.SSLError(), Reason.TLS_FAILED, "tls failed"),
        (UnicodeError("hidden"), Reason.PROTOCOL_ERROR, "the answer cannot be read (UnicodeError)"),
        (ValueError("hidden"), Reason.PROTOCOL_ERROR, "the answer cannot be read (ValueError)"),
        (ProtocolError("hidden"), Reason.PROTOCOL_ERROR, "the answer cannot be read (ProtocolError)"),
        (SSLError("hidden"), Reason.PROTOCOL_ERROR, "the answer cannot be read (SSLError)"),
        (http.client.HTTPException("hidden"), Reason.PROTOCOL_ERROR, NOT_HTTP),
    ],
)
def test_what_cannot_be_brought_about_here_has_its_reason_too(
    raised: Exception, expected: Reason, detail: str
) -> None:
    error = translate(raised)
    assert (error.reason, error.detail) == (expected, detail)


def test_an_error_of_ours_stays_what_it_is() -> None:
    error = TransportError(Reason.ADDRESS_FORBIDDEN, "no")
    assert translate(error) is error


def test_the_cause_of_an_error_is_kept(open_endpoint: OpenEndpoint, transport: PooledTransport) -> None:
    error = failure(transport, request_to(open_endpoint(resets).url))
    assert isinstance(error.__cause__, http.client.RemoteDisconnected)


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
    answer: bytes, listen: Listen, transport: PooledTransport
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


def test_bad_receivers_do_not_harm_good_ones(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    bad: list[Behaviour] = [
        hangs,
        resets,
        drips(HEAD + b"Content-Length: 1000\r\n\r\n", b".", 0.02),
        drips(HEAD + b"X: ", b".", 0.02),
        says(b"garbage"),
    ]
    good, bads = open_endpoint(), [open_endpoint(one) for one in bad]
    urls = chain.from_iterable((good.url, bads[number % len(bads)].url) for number in range(50))
    requests = [request_to(url, timeout=1.5) for url in urls]
    results = list(open_transport(concurrency=16).send_many(requests))
    told = Counter(
        one.result.status if isinstance(one.result, Response) else one.result.reason for one in results
    )
    assert told == {
        200: 50,
        Reason.TIMEOUT: 30,
        Reason.CONNECTION_LOST: 10,
        Reason.PROTOCOL_ERROR: 10,
    }
