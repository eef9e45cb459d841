"""TLS: promises of every HTTP transport."""

import os
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import Listen, OpenThorn, OpenTransport
from support.tls import NAME, by_name, over_tls, self_signed, server_context
from support.wire import OK, failure, read_request, reason, request_to, told
from thornsdk import Reason, Transport
from thornsdk.errors import ConfigurationError
from thornsdk.testing import Authority, Handler, Seen, drips
from thornsdk.testing.fixtures import OpenEndpoint

DAY = timedelta(days=1)


def test_a_private_authority_is_trusted_where_it_is_given(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=tls)
    response = trusting.send(by_name(endpoint.port))
    assert (response.status, response.address) == (200, "127.0.0.1")
    assert endpoint.seen[0].header("Host") == f"{NAME}:{endpoint.port}"


def test_the_transport_of_the_plugin_goes_by_the_settings(
    open_endpoint: OpenEndpoint,
    tls: ssl.SSLContext,
    open_thorn: OpenThorn,
    ca_bundle: str,
    transport_kind: str,
) -> None:
    endpoint = open_endpoint(tls=tls)
    thorn = open_thorn(endpoint, ca_bundle=ca_bundle, transport=transport_kind)
    thorn.subscribe("order.*", endpoint.url)
    assert thorn.event("order.created").send({}).outcomes.delivered == 1


def test_the_name_that_is_asked_for_in_tls_is_the_name_of_the_url(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    asked: list[str | None] = []
    tls.sni_callback = lambda sock, name, context: asked.append(name)
    trusting.send(by_name(open_endpoint(tls=tls).port))
    assert asked == [NAME]


def test_a_certificate_for_the_address_serves_where_the_url_has_the_address(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    assert trusting.send(request_to(open_endpoint(tls=tls).url)).status == 200


def test_an_authority_that_is_not_trusted_is_told(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, open_transport: OpenTransport
) -> None:
    endpoint = open_endpoint(tls=tls)
    assert reason(open_transport(), request_to(endpoint.url)) is Reason.TLS_UNTRUSTED
    assert endpoint.seen == []


def test_another_private_authority_is_not_trusted(open_endpoint: OpenEndpoint, trusting: Transport) -> None:
    endpoint = open_endpoint(tls=Authority().context(NAME))
    assert reason(trusting, by_name(endpoint.port)) is Reason.TLS_UNTRUSTED
    assert endpoint.seen == []


def test_a_certificate_that_is_signed_by_itself_is_told(
    open_endpoint: OpenEndpoint, trusting: Transport, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(NAME, tmp_path))
    endpoint = open_endpoint(tls=context)
    assert reason(trusting, by_name(endpoint.port)) is Reason.TLS_SELF_SIGNED
    assert endpoint.seen == []


@pytest.mark.parametrize("host", ["other.example.test", "127.0.0.1"])
def test_a_certificate_for_another_host_is_told(
    host: str, open_endpoint: OpenEndpoint, authority: Authority, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=authority.context(NAME))
    assert reason(trusting, request_to(f"https://{host}:{endpoint.port}/")) is Reason.TLS_WRONG_NAME
    assert endpoint.seen == []


def test_a_certificate_for_all_names_below_one_is_not_for_those_further_below(
    open_endpoint: OpenEndpoint, authority: Authority, trusting: Transport
) -> None:
    endpoint = open_endpoint(tls=authority.context("*.example.test"))
    assert trusting.send(by_name(endpoint.port)).status == 200
    further = request_to(f"https://a.b.example.test:{endpoint.port}/")
    assert reason(trusting, further) is Reason.TLS_WRONG_NAME


@pytest.mark.parametrize(("begins", "ends"), [(-2 * DAY, -DAY), (DAY, 2 * DAY)], ids=["past", "to come"])
def test_a_certificate_out_of_its_time_is_told(
    begins: timedelta,
    ends: timedelta,
    open_endpoint: OpenEndpoint,
    trusting: Transport,
    authority: Authority,
) -> None:
    now = datetime.now(UTC)
    certificate = authority.ca.issue_cert(NAME, not_before=now + begins, not_after=now + ends)
    endpoint = open_endpoint(tls=server_context(certificate))
    assert reason(trusting, by_name(endpoint.port)) is Reason.TLS_EXPIRED
    assert endpoint.seen == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_a_protocol_that_is_too_old_is_refused(
    version: str, open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion[version]
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    endpoint = open_endpoint(tls=tls)
    assert reason(trusting, by_name(endpoint.port)) is Reason.TLS_TOO_OLD
    assert endpoint.seen == []


def test_nothing_in_the_environment_turns_verification_off(
    open_endpoint: OpenEndpoint,
    tls: ssl.SSLContext,
    open_transport: OpenTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONHTTPSVERIFY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_TLS_REJECT_UNAUTHORIZED"):
        monkeypatch.setenv(name, "0")
    assert reason(open_transport(), request_to(open_endpoint(tls=tls).url)) is Reason.TLS_UNTRUSTED


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_cannot_be_used_is_told(
    content: str | None, open_transport: OpenTransport, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"^the CA bundle {path} cannot be used: "):
        open_transport(ca_bundle=str(path))


def test_https_to_a_server_without_tls_is_told(open_endpoint: OpenEndpoint, trusting: Transport) -> None:
    assert reason(trusting, by_name(open_endpoint().port)) is Reason.TLS_FAILED


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_connection_is_used_again_session_tickets_or_not(
    version: ssl.TLSVersion, open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    tls.minimum_version = tls.maximum_version = version
    endpoint = open_endpoint(tls=tls)
    assert [trusting.send(by_name(endpoint.port)).reused for _ in range(4)] == [False, True, True, True]
    assert endpoint.connections == 1


@pytest.mark.parametrize("politely", [True, False], ids=["with a word", "without"])
def test_an_idle_tls_connection_that_the_far_side_closed_is_noticed_and_replaced(
    politely: bool, listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    answered, ended = threading.Event(), threading.Event()

    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        sock.sendall(OK)
        assert answered.wait(timeout=20)
        if politely:
            sock.setblocking(False)
            with suppress(ssl.SSLWantReadError):  # The word is out; the other's is not waited for.
                sock.unwrap()
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
        ended.set()

    listener = listen(over_tls(tls, serve))
    trusting.send(by_name(listener.port))
    answered.set()
    assert ended.wait(timeout=20)
    assert trusting.send(by_name(listener.port)).reused is False


def test_what_follows_an_answer_is_not_taken_for_the_next(
    listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    # One TLS record of more than is read at once: the rest waits inside TLS, where poll() cannot see it.
    forged = b"HTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n"
    record = OK + b" " * (8192 - len(OK)) + forged * 100

    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        sock.sendall(record)
        sock.recv(1)

    listener = listen(over_tls(tls, serve))
    answered = [trusting.send(by_name(listener.port)) for _ in range(2)]
    assert [(one.status, one.reused) for one in answered] == [(200, False), (200, False)]


def test_a_handshake_that_is_never_answered_ends_at_the_deadline(listen: Listen, trusting: Transport) -> None:
    over = threading.Event()
    listener = listen(lambda sock: over.wait(timeout=20))
    error = failure(trusting, by_name(listener.port, timeout=0.3))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_a_handshake_that_drips_ends_at_the_deadline(listen: Listen, trusting: Transport) -> None:
    over = threading.Event()

    def serve(sock: socket.socket) -> None:
        # A handshake record of 16 KiB, of which little comes.
        sock.sendall(b"\x16\x03\x03\x40\x00\x02")
        while not over.wait(0.02):
            sock.sendall(b"\0")

    error = failure(trusting, by_name(listen(serve).port, timeout=0.5))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_an_answer_over_tls_that_drips_ends_at_the_deadline(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    endpoint = open_endpoint(drips(b"HTTP/1.1 200 OK\r\nX: ", b".", 0.02), tls)
    assert reason(trusting, by_name(endpoint.port, timeout=0.5)) is Reason.TIMEOUT


def test_a_body_over_tls_that_nobody_reads_ends_at_the_deadline(
    listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    over = threading.Event()
    listener = listen(over_tls(tls, lambda sock: over.wait(timeout=20)))
    error = failure(trusting, by_name(listener.port, timeout=1, body=b"x" * 30_000_000))
    over.set()
    assert error.reason is Reason.TIMEOUT


def test_a_large_body_arrives_whole_over_tls(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    body = os.urandom(2_000_000)
    endpoint = open_endpoint(tls=tls)
    trusting.send(by_name(endpoint.port, body=body))
    assert endpoint.seen[0].body == body


def test_a_server_that_hangs_up_in_the_handshake_is_a_lost_connection(
    listen: Listen, trusting: Transport
) -> None:
    listener = listen(lambda sock: sock.recv(65536))
    assert reason(trusting, by_name(listener.port)) is Reason.CONNECTION_LOST


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 9\r\n\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
        b"Content-Length: 9\r\nConnection: close\r\n\r\nab",
    ],
)
def test_an_answer_that_ends_too_early_over_tls_is_a_lost_connection(
    answer: bytes, listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

    assert reason(trusting, by_name(listen(over_tls(tls, serve)).port)) is Reason.CONNECTION_LOST


def test_an_answer_that_ends_with_its_connection_is_whole_without_a_last_word_of_tls(
    listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nthanks")
        socket.socket.shutdown(sock, socket.SHUT_WR)  # As many servers do it.
        socket.socket.recv(sock, 1)

    response = trusting.send(by_name(listen(over_tls(tls, serve)).port))
    assert (response.status, response.body) == (200, b"thanks")


def test_tls_that_is_torn_in_the_body_is_told(
    listen: Listen, tls: ssl.SSLContext, trusting: Transport
) -> None:
    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        # A record that no key fits.
        socket.socket.sendall(sock, b"\x17\x03\x03\x00\x40" + b"\0" * 64)
        socket.socket.recv(sock, 1)

    torn = reason(trusting, by_name(listen(over_tls(tls, serve)).port))
    assert torn in {Reason.TLS_FAILED, Reason.CONNECTION_LOST}


def test_requests_over_tls_are_in_flight_at_once(
    open_endpoint: OpenEndpoint, tls: ssl.SSLContext, trusting: Transport
) -> None:
    together = threading.Barrier(4)

    def waits_for_all(handler: Handler, _: Seen) -> None:
        together.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(waits_for_all, tls)
    results = list(trusting.send_many(by_name(endpoint.port) for _ in range(4)))
    assert [told(one) for one in results] == [200] * 4
