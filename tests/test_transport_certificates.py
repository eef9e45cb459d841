"""Client certificates (mutual TLS): promises of every HTTP transport."""

import ssl
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from conftest import Listen, OpenThorn, OpenTransport
from support.tls import NAME, by_name, client_file, over_tls
from support.transports import KINDS
from support.wire import OK, failure, read_request, reason, request_to, told
from thornsdk import Reason, Transport
from thornsdk.errors import ConfigurationError
from thornsdk.testing import Authority, Endpoint, Handler, Seen
from thornsdk.testing.fixtures import OpenEndpoint

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture
def wanting(authority: Authority) -> ssl.SSLContext:
    """What a server needs that wants certificates of our authority."""
    context = authority.context(NAME, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    return context


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, str]:
    """Two certificates that the server knows, and one that it does not."""
    known = {name: client_file(authority, name, tmp_path) for name in ("one", "other")}
    return known | {"stranger": client_file(Authority(), "stranger", tmp_path)}


@pytest.fixture
def showing(open_transport: OpenTransport, ca_bundle: str, files: dict[str, str]) -> Transport:
    """A transport that has these certificates to show."""
    return open_transport(
        ca_bundle=ca_bundle,
        client_certificates=files,
        resolver=lambda host, port: [ip_address("127.0.0.1")],
    )


def shown(handler: Handler) -> str:
    """Gives whom the certificate of a connection is for."""
    assert isinstance(handler.sock, ssl.SSLSocket)
    certificate: Any = handler.sock.getpeercert()
    return certificate["subjectAltName"][0][1].split("@")[0] if certificate else "nobody"


def says_who(handler: Handler, _: Seen) -> None:
    handler.answer(200, shown(handler).encode())


@VERSIONS
def test_the_certificate_that_a_request_names_is_shown(
    version: ssl.TLSVersion, open_endpoint: OpenEndpoint, wanting: ssl.SSLContext, showing: Transport
) -> None:
    wanting.minimum_version = wanting.maximum_version = version
    endpoint = open_endpoint(says_who, wanting)
    bodies = [showing.send(by_name(endpoint.port, certificate=name)).body for name in ("one", "other")]
    assert bodies == [b"one", b"other"]


@VERSIONS
@pytest.mark.parametrize("certificate", [None, "stranger"])
def test_a_receiver_that_wants_another_certificate_or_any_is_told_in_any_moment(
    *,
    certificate: str | None,
    version: ssl.TLSVersion,
    open_endpoint: OpenEndpoint,
    wanting: ssl.SSLContext,
    showing: Transport,
    transport_kind: str,
) -> None:
    wanting.minimum_version = wanting.maximum_version = version
    endpoint = open_endpoint(tls=wanting)
    bodies = [b"{}", b"x" * 1_000_000] * 10
    requests = [by_name(endpoint.port, body=body, certificate=certificate) for body in bodies]
    told = {reason(showing, one) for one in requests}
    expected = {Reason.TLS_CLIENT_CERTIFICATE}
    if certificate is None and version is ssl.TLSVersion.TLSv1_2:
        expected = {Reason.TLS_FAILED}  # It has no word for a certificate that is missing.
    if version is ssl.TLSVersion.TLSv1_3 and not KINDS[transport_kind].reads_after_a_reset:
        # The refusal comes when the client takes the handshake for done, and has perhaps sent more.
        expected.add(Reason.CONNECTION_LOST)
    assert told <= expected
    assert endpoint.seen == []


def test_a_receiver_that_gives_up_on_the_client_without_a_word_is_a_lost_connection(
    listen: Listen, tls: ssl.SSLContext, showing: Transport
) -> None:
    listener = listen(over_tls(tls, read_request))
    assert reason(showing, by_name(listener.port, certificate="one")) is Reason.CONNECTION_LOST


def test_a_name_that_no_certificate_has_is_told_and_nothing_is_connected_to(
    open_endpoint: OpenEndpoint, wanting: ssl.SSLContext, showing: Transport
) -> None:
    endpoint = open_endpoint(tls=wanting)
    error = failure(showing, by_name(endpoint.port, certificate="nobody"))
    assert (error.reason, "'nobody'" in error.detail) == (Reason.TLS_CLIENT_CERTIFICATE, True)
    assert endpoint.seen == []


def asking(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@VERSIONS
def test_each_certificate_has_its_own_connections_and_they_are_used_again(
    version: ssl.TLSVersion, open_endpoint: OpenEndpoint, wanting: ssl.SSLContext, showing: Transport
) -> None:
    wanting.minimum_version = wanting.maximum_version = version
    endpoint = open_endpoint(says_who, asking(wanting))
    names = ["one", "other", None] * 3
    answered = [showing.send(by_name(endpoint.port, certificate=name)) for name in names]
    assert [one.body for one in answered] == [b"one", b"other", b"nobody"] * 3
    assert [one.reused for one in answered] == [False] * 3 + [True] * 6
    assert endpoint.connections == 3


@VERSIONS
def test_no_session_of_one_certificate_is_resumed_for_another(
    version: ssl.TLSVersion, listen: Listen, wanting: ssl.SSLContext, showing: Transport
) -> None:
    # A resumed session shows no certificate again: it stands for the one that began it.
    wanting.minimum_version = wanting.maximum_version = version
    who: list[str] = []

    def serve(sock: ssl.SSLSocket) -> None:
        read_request(sock)
        certificate = sock.getpeercert()
        who.append(certificate["subjectAltName"][0][1] if certificate else "nobody")  # type: ignore[arg-type]
        sock.sendall(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))

    listener = listen(over_tls(asking(wanting), serve))
    for name in ("one", None, "other", None, "one"):
        showing.send(by_name(listener.port, certificate=name))
    assert [one.split("@")[0] for one in who] == ["one", "nobody", "other", "nobody", "one"]


def test_many_at_once_are_each_sent_with_their_own_certificate(
    open_endpoint: OpenEndpoint, wanting: ssl.SSLContext, showing: Transport
) -> None:
    together = threading.Barrier(6)

    def all_at_once(handler: Handler, seen: Seen) -> None:
        together.wait(timeout=20)
        says_who(handler, seen)

    endpoint = open_endpoint(all_at_once, asking(wanting))
    requests = [by_name(endpoint.port, certificate=name) for name in ["one", "other", None] * 8]
    for one in showing.send_many(requests):
        assert told(one) == 200
        assert one.result.body.decode() == (one.request.client_certificate or "nobody")  # type: ignore[union-attr]


def test_a_subscription_names_its_certificate(
    *,
    open_endpoint: OpenEndpoint,
    wanting: ssl.SSLContext,
    open_thorn: OpenThorn,
    ca_bundle: str,
    files: dict[str, str],
    transport_kind: str,
) -> None:
    who: list[str] = []

    def notes_who(handler: Handler, _: Seen) -> None:
        who.append(shown(handler))
        handler.answer(200)

    endpoint: Endpoint = open_endpoint(notes_who, asking(wanting))
    thorn = open_thorn(endpoint, ca_bundle=ca_bundle, transport=transport_kind, client_certificates=files)
    for name in ("one", "other", None):
        thorn.subscribe("order.*", f"{endpoint.url}/{name}", client_certificate=name)
    assert thorn.event("order.created").send({}).outcomes.delivered == 3
    assert sorted(who) == ["nobody", "one", "other"]


def test_a_receiver_over_http_is_sent_to_whatever_the_name(endpoint: Endpoint, showing: Transport) -> None:
    for name in ("one", "nobody knows it"):
        request = by_name(endpoint.port, certificate=name)
        plain = evolve(request, url=request_to(endpoint.url).url)
        assert showing.send(plain).status == 200


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_that_cannot_be_used_is_told_at_the_start(
    content: str | None, open_transport: OpenTransport, tmp_path: Path
) -> None:
    path = tmp_path / "client.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="the client certificate 'shop'"):
        open_transport(client_certificates={"shop": str(path)})


def test_a_file_without_a_key_is_told_at_the_start(
    open_transport: OpenTransport, authority: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "client.pem"
    authority.ca.issue_cert("a@example.test").cert_chain_pems[0].write_to_path(str(path))
    with pytest.raises(ConfigurationError, match="the client certificate 'shop'"):
        open_transport(client_certificates={"shop": str(path)})
