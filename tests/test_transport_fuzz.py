"""Whatever a receiver answers, a transport comes to an end and tells the truth: held for any answers."""

import socket
import threading
import time

from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Listen
from support.wire import read_request, request_to, told
from thornsdk import Exchange, Reason, Response, Transport, exchange

SHARED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DEADLINE = 0.25
"""For the few answers after which the connection is left open."""
FORGED = b"HTTP/1.1 299 Forged\r\nContent-Length: 6\r\n\r\nforged"

statuses = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 304 Not Modified",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 103 Early",
        b"HTTP/1.1 500 ",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 -20 x",
        b"HTTP/1.1 2000 x",
        b"HTTP/2 200",
        b"HTTP/9.9 200 OK",
        b"http/1.1 200 ok",
        b"ICY 200 OK",
        b"",
    ]
)
lines = st.sampled_from(
    [
        b"Content-Length: 2",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: +2",
        b"Content-Length: 2, 2",
        b"Content-Length: 99999999999999999999999",
        b"Content-Length: 0x2",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: identity",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Content-Encoding: unheard-of",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: upgrade",
        b"Upgrade: h2c",
        b"Trailer: X-A",
        b"Location: http://10.0.0.1/",
        b"WWW-Authenticate: Basic realm=a",
        b"Set-Cookie: a=b",
        b'Alt-Svc: h2=":443"',
        b"X-Odd: \xff\xfe\x00",
        b"no colon",
        b": no name",
        b" folded",
        b"\tfolded",
        b"",
    ]
)
bodies = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"ok",
            b"2\r\nok\r\n0\r\n\r\n",
            b"2;a=b\r\nok\r\n0\r\nX-A: b\r\n\r\n",
            b"2\nok\n0\n\n",
            b"-2\r\nok\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nok",
            b"zz\r\n",
            b"0\r\n\r\n",
            b"0\r\n\r\n" + FORGED,
            FORGED,
            b"ok" + FORGED,
        ]
    ),
)
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@define
class Answer:
    """What the receiver sends, and whether it leaves the connection open after it."""

    data: bytes = b""
    stays: bool = False


@st.composite
def near_http(draw: st.DrawFn) -> bytes:
    """Answers that are nearly HTTP, cut at any byte."""
    head = [draw(statuses), *draw(st.lists(lines, max_size=5))]
    data = b"".join(line + draw(ends) for line in head) + draw(ends) + draw(bodies)
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


garbage = st.one_of(near_http(), near_http(), near_http(), st.binary(max_size=60))
stays_open = st.integers(0, 19).map(lambda one: one == 0)


def timed(transport: Transport, url: str, body: bytes, timeout: float) -> tuple[Exchange, float]:
    began_at = time.monotonic()
    one = exchange(transport.send, request_to(url, body, timeout))
    return one, time.monotonic() - began_at


def test_any_answer_is_an_answer_or_a_reason_and_never_a_hang(transport: Transport, listen: Listen) -> None:
    answer, over = Answer(), threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer.data)
        if answer.stays:
            sock.recv(1)

    url = listen(serve).url

    @SHARED
    @given(data=garbage, stays=stays_open)
    def check(data: bytes, stays: bool) -> None:
        answer.data, answer.stays = data, stays
        one, took = timed(transport, url, b"{}", DEADLINE if stays else 10)
        assert told(one) is not Reason.STAGE_FAILED, f"raised what is no TransportError: {one.result}"
        # Far past any deadline here: a machine that is busy does not make it red.
        assert took < (8 if stays else 10), "it went on after the deadline"
        if isinstance(one.result, Response):
            assert 100 <= one.result.status <= 999

    check()
    over.set()


def test_no_answer_holds_anything_of_the_one_before(transport: Transport, listen: Listen) -> None:
    answer = Answer()

    def serve(sock: socket.socket) -> None:
        while data := read_request(sock).partition(b"\r\n\r\n")[2]:
            if data == b"garbage":
                sock.sendall(answer.data)
                if not answer.stays:
                    return
            else:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))

    url = listen(serve).url
    numbers = iter(range(100_000))

    @SHARED
    @given(data=garbage, stays=st.booleans())
    def check(data: bytes, stays: bool) -> None:
        answer.data, answer.stays = data, stays
        timed(transport, url, b"garbage", 0.1 if stays else 10)
        for _ in range(2):
            body = b"%d" % next(numbers)
            after, _ = timed(transport, url, body, 10)
            # It may have been sent over a connection that broke in this moment: then there is no answer.
            if isinstance(after.result, Response):
                assert (after.result.status, after.result.body) == (200, body), "bytes of another answer"
            else:
                assert after.result.reason is Reason.CONNECTION_LOST

    check()


def test_an_answer_may_be_cut_at_any_byte(transport: Transport, listen: Listen) -> None:
    whole = b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    answer = Answer()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer.data)

    url = listen(serve).url
    delivered = []
    for size in range(len(whole) + 1):
        answer.data = whole[:size]
        if isinstance(exchange(transport.send, request_to(url)).result, Response):
            delivered.append(whole[:size])
    # All of the body has come with the last chunk's 0; what follows it says nothing more.
    assert [one for one in delivered if b"\r\nok\r\n0" not in one] == []
    assert whole in delivered
