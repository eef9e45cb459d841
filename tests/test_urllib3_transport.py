"""What is particular to the transport on urllib3."""

import errno
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from urllib3.exceptions import ProtocolError, SSLError

from conftest import Listen
from support.bad_receivers import RESET_ON_CLOSE
from support.tls import by_name, client_file
from support.wire import OK, failure, keeps, read_request, request_to, wait_until
from thornsdk import AddressRules, Reason, Timings
from thornsdk.testing import Authority, Endpoint, closes, says
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins import urllib3 as plugin
from thornsdk_plugins.urllib3 import PooledTransport, connections, idle
from thornsdk_plugins.urllib3.failures import translate
from thornsdk_plugins.urllib3.overridden import must_have
from thornsdk_plugins.urllib3.watch import Watch

HEAD = b"HTTP/1.1 200 OK\r\n"
TOO_LARGE = "the answer's headers are too many or too long"
NOT_HTTP = "what came back is not HTTP"
BROKE = "the connection broke before the answer was whole"


@pytest.fixture
def pooled(open_endpoint: OpenEndpoint) -> Iterator[PooledTransport]:
    transport = PooledTransport()
    yield transport
    transport.close()


def sending_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "thornsdk-send"]


def test_the_bytes_on_the_wire_are_these(pooled: PooledTransport, listen: Listen) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came))
    url = f"http://127.0.0.1:{listener.port}/a%20b/../c?key=%C3%A9&x"
    pooled.send(request_to(url, b'{"a":1}', headers=(("User-Agent", "Thorn/1"), ("Hook-Event", "a.b"))))
    assert came == [
        b"POST /a%20b/../c?key=%C3%A9&x HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(listener.port).encode() + b"\r\n"
        b"Content-Length: 7\r\n"
        b"User-Agent: Thorn/1\r\nHook-Event: a.b\r\nAccept-Encoding: identity\r\n\r\n"
        b'{"a":1}'
    ]


def test_it_says_what_it_is(pooled: PooledTransport) -> None:
    assert pooled.schemes == {"http", "https"}
    assert pooled.user_agent.startswith("urllib3/2.")


def test_the_plugin_has_no_other_names() -> None:
    assert plugin.PooledTransport is PooledTransport
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = plugin.Nothing  # type: ignore[attr-defined]  # there is none


def test_an_idle_connection_is_not_used_again_after_its_time() -> None:
    now = [0.0]
    with Endpoint() as endpoint:
        transport = PooledTransport(idle_timeout=50, timer=lambda: now[0])
        reused = []
        for moment in (0.0, 49.9, 99.8, 149.9):
            now[0] = moment
            reused.append(transport.send(request_to(endpoint.url)).reused)
        transport.close()
    assert reused == [False, True, True, False]


def test_one_request_alone_needs_no_thread(endpoint: Endpoint, pooled: PooledTransport) -> None:
    before = threading.active_count()
    assert len(list(pooled.send_many([request_to(endpoint.url)]))) == 1
    # The endpoint starts a thread for the connection; the transport none.
    assert sending_threads() == []
    assert threading.active_count() <= before + 1


def test_threads_have_ended_when_the_results_have(endpoint: Endpoint, pooled: PooledTransport) -> None:
    list(pooled.send_many(request_to(endpoint.url) for _ in range(20)))
    assert sending_threads() == []


def test_what_a_child_lets_go_of_is_closed_without_a_word(listen: Listen, pooled: PooledTransport) -> None:
    after: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        after.append(sock.recv(1))

    listener = listen(serve)
    pooled.send(request_to(listener.url))
    # What the fork hooks call; here in the parent, where it can be watched.
    connections._let_go_of_all()
    idle._start_all_empty()
    wait_until(lambda: after == [b""])
    assert pooled.send(request_to(listener.url)).reused is False


def test_a_forbidden_address_is_named_with_its_meaning(endpoint: Endpoint, pooled: PooledTransport) -> None:
    error = failure(pooled, request_to(endpoint.url, rules=AddressRules()))
    assert str(error) == "address_forbidden: 127.0.0.1 is at 127.0.0.1: loopback"


def test_the_cause_of_an_error_is_kept(open_endpoint: OpenEndpoint, pooled: PooledTransport) -> None:
    error = failure(pooled, request_to(open_endpoint(closes).url))
    assert isinstance(error.__cause__, http.client.RemoteDisconnected)


def test_nothing_that_listens_is_told_in_words(pooled: PooledTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    assert str(failure(pooled, request_to(url))) == "connection_refused: nothing listens there"


@pytest.mark.parametrize(
    ("answer", "expected", "detail"),
    [
        (HEAD + b"X-A: b\r\n" * 200 + b"\r\n", Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (HEAD + b"X-A: " + b"b" * 70_000 + b"\r\n\r\n", Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (b"HTTP/1.1 200 " + b"b" * 70_000, Reason.ANSWER_TOO_LARGE, TOO_LARGE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (HEAD + b"no header\r\nContent-Length: 0\r\n\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (HEAD + b"X: a\r\rY: b\r\nContent-Length: 0\r\n\r\n", Reason.PROTOCOL_ERROR, NOT_HTTP),
        (
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
            Reason.PROTOCOL_ERROR,
            "the answer cannot be read (DecodeError)",
        ),
        (b"", Reason.CONNECTION_LOST, BROKE),
        (HEAD + b"Content-Length: 9\r\n\r\nab", Reason.CONNECTION_LOST, BROKE),
        (HEAD + b"Connection: close\r\nContent-Length: 9\r\n\r\nab", Reason.CONNECTION_LOST, BROKE),
    ],
)
def test_a_broken_answer_says_in_words_what_is_wrong(
    answer: bytes, expected: Reason, detail: str, open_endpoint: OpenEndpoint, pooled: PooledTransport
) -> None:
    error = failure(pooled, request_to(open_endpoint(says(answer)).url))
    assert (error.reason, error.detail) == (expected, detail)


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
    error = translate(raised, Timings(total=1))
    assert (error.reason, error.detail, error.timings) == (expected, detail, Timings(total=1))


def test_what_urllib3_wraps_has_the_reason_of_what_is_inside() -> None:
    wrapped = ProtocolError("hidden")
    wrapped.__cause__ = ConnectionResetError()
    error = translate(wrapped, Timings(total=1))
    assert (error.reason, error.detail) == (Reason.CONNECTION_LOST, BROKE)


def test_a_deadline_that_has_passed_leaves_no_time() -> None:
    with pytest.raises(TimeoutError, match="the deadline has passed"):
        Watch(0).remaining()


def test_a_connection_that_is_reset_in_the_very_moment_of_sending_is_replaced(
    listen: Listen, pooled: PooledTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, ended = threading.Event(), threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        assert answered.wait(timeout=20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.close()
        ended.set()

    listener = listen(serve)
    pooled.send(request_to(listener.url))
    answered.set()
    assert ended.wait(timeout=20)
    # As it is when the reset comes after that was looked at.
    monkeypatch.setattr(connections.GuardedHTTPConnection, "is_connected", True)
    assert (pooled.send(request_to(listener.url)).reused, listener.connections) == (False, 2)


def test_a_client_certificate_whose_file_is_gone_is_told(tmp_path: Path, authority: Authority) -> None:
    file = client_file(authority, "shop", tmp_path)
    transport = PooledTransport(client_certificates={"shop": file})
    Path(file).unlink()
    error = failure(transport, by_name(1, certificate="shop"))
    assert str(error) == ("tls_client_certificate: the file of the client certificate 'shop' cannot be used")


def test_the_time_until_a_tunnel_is_open_is_that_of_connecting(listen: Listen) -> None:
    def hangs_up_later(sock: socket.socket) -> None:
        read_request(sock)
        threading.Event().wait(0.2)

    transport = PooledTransport(filtering_proxy=f"http://127.0.0.1:{listen(hangs_up_later).port}")
    error = failure(transport, request_to("http://inside.example/"))
    assert error.timings is not None
    assert error.timings.connect is not None
    assert error.timings.connect >= 0.15
    transport.close()


def test_a_library_without_what_safety_hangs_on_is_refused() -> None:
    with pytest.raises(ImportError, match="HTTPResponse has no _gone: the transport 'urllib3' does not"):
        must_have(http.client.HTTPResponse, "begin", "_gone")
