"""What goes over the wire, and what comes back: promises of every HTTP transport."""

import re
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Listen, OpenTransport
from support.transports import KINDS
from support.wire import OK, keeps, read_request, replies, request_to, told
from thornsdk import Reason, Transport, exchange
from thornsdk.errors import ConfigurationError
from thornsdk.testing import Endpoint, answers
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk.typing import Headers

SHARED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""One server and one transport for all examples: that is what they are for."""

# What a transport may add to the headers that it is given. Nothing that asks for more than an answer: an
# Expect or Upgrade would change what follows, and Accept or Connection are nothing that was asked for.
OF_THE_PROTOCOL = {"host", "content-length", "accept-encoding"}


def split(data: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """Gives request line, headers and body of a request as it came."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    # One space is between name and value; whatever else there is belongs to the value.
    pairs = [one.split(":", 1) for one in fields]
    return line, [(name, value.removeprefix(" ")) for name, value in pairs], body


def test_a_request_is_a_post_with_the_headers_given_and_no_more_than_it_needs(
    transport: Transport, listen: Listen
) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came))
    given_headers = (("User-Agent", "Thorn/1"), ("Hook-Event", "a.b"), ("Content-Type", "application/json"))
    url = f"http://127.0.0.1:{listener.port}/a?b"
    transport.send(request_to(url, b'{"a":1}', headers=given_headers))
    line, fields, body = split(came[0])
    assert (line, body) == ("POST /a?b HTTP/1.1", b'{"a":1}')
    assert tuple(one for one in fields if one[0].lower() not in OF_THE_PROTOCOL) == given_headers
    assert ("Host", f"127.0.0.1:{listener.port}") in fields
    assert ("Content-Length", "7") in fields


def test_no_answer_is_asked_to_be_compressed(transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    transport.send(request_to(listen(keeps(came)).url))
    asked = [value for name, value in split(came[0])[1] if name.lower() == "accept-encoding"]
    assert asked in ([], ["identity"])


@pytest.mark.parametrize("size", [1024, 1024 * 1024 + 1, 3_000_000])
def test_a_long_body_does_not_wait_for_leave_to_be_sent(
    size: int, transport: Transport, listen: Listen
) -> None:
    came: list[bytes] = []
    transport.send(request_to(listen(keeps(came)).url, b"x" * size))
    assert "expect" not in [name.lower() for name, _ in split(came[0])[1]]
    assert split(came[0])[2] == b"x" * size


def test_the_host_header_holds_the_name_not_the_address(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    transport = open_transport(resolver=lambda host, port: [ip_address("127.0.0.1")])
    transport.send(request_to(f"http://Hooks.Example.test:{endpoint.port}/"))
    assert endpoint.seen[0].header("Host") == f"hooks.example.test:{endpoint.port}"


def test_an_ipv6_address_stands_in_brackets(transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came), "::1")
    assert transport.send(request_to(listener.url)).address == "::1"
    assert ("Host", f"[::1]:{listener.port}") in split(came[0])[1]


@pytest.mark.parametrize("body", [b"", b"\0", b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", bytes(range(256))])
def test_a_body_arrives_with_its_length(body: bytes, endpoint: Endpoint, transport: Transport) -> None:
    transport.send(request_to(endpoint.url, body))
    assert (endpoint.seen[0].header("Content-Length"), endpoint.seen[0].body) == (str(len(body)), body)


def test_the_answer_is_told_as_it_came(open_endpoint: OpenEndpoint, transport: Transport) -> None:
    endpoint = open_endpoint(answers(202, b"thanks", {"X-Seen": "yes"}))
    response = transport.send(request_to(endpoint.url))
    assert (response.status, response.body, response.truncated) == (202, b"thanks", False)
    assert (response.header("x-seen"), response.address) == ("yes", "127.0.0.1")


def test_headers_of_the_same_name_are_all_told_in_turn(transport: Transport, listen: Listen) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B:2\r\nx-a: 3 \r\nX-C:\r\nContent-Length: 0\r\n\r\n"
    response = transport.send(request_to(listen(replies(answer)).url))
    told = [(name, value.strip()) for name, value in response.headers if name.lower().startswith("x-")]
    assert told == [("X-A", "1"), ("X-B", "2"), ("x-a", "3"), ("X-C", "")]


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 404, 407, 410, 417, 429, 500, 503, 599])
def test_any_status_is_an_answer_and_is_asked_for_once(
    status: int, transport: Transport, listen: Listen
) -> None:
    came: list[bytes] = []
    length = b"" if status in {204, 304} else b"Content-Length: 0\r\n"
    listener = listen(keeps(came, f"HTTP/1.1 {status} x\r\n".encode() + length + b"\r\n"))
    assert transport.send(request_to(listener.url)).status == status
    assert len(came) == 1


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head_whatever_that_says(
    status: int, transport: Transport, listen: Listen
) -> None:
    head = f"HTTP/1.1 {status} x\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = transport.send(request_to(listen(replies(head.encode())).url))
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(
    status: int, endpoint: Endpoint, open_endpoint: OpenEndpoint, transport: Transport
) -> None:
    redirecting = open_endpoint(answers(status, headers={"Location": endpoint.url}))
    response = transport.send(request_to(redirecting.url))
    assert (response.status, response.header("location")) == (status, endpoint.url)
    assert endpoint.connections == 0


def test_a_cookie_is_not_sent_back(open_endpoint: OpenEndpoint, transport: Transport) -> None:
    endpoint = open_endpoint(answers(200, headers={"Set-Cookie": "a=b"}))
    for _ in range(2):
        transport.send(request_to(endpoint.url))
    assert "cookie" not in [name.lower() for name, _ in endpoint.seen[1].headers]


def test_proxies_of_the_environment_are_ignored(
    endpoint: Endpoint,
    open_endpoint: OpenEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    open_transport: OpenTransport,
) -> None:
    proxy = open_endpoint()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.origin)
    open_transport().send(request_to(endpoint.url))
    assert (len(endpoint.seen), proxy.connections) == (1, 0)


def test_passwords_for_hosts_in_a_file_are_ignored(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, open_transport: OpenTransport, tmp_path: Path
) -> None:
    (file := tmp_path / ".netrc").write_text("default login a password b\n")
    file.chmod(0o600)
    for name in ("HOME", "NETRC"):
        monkeypatch.setenv(name, str(file if name == "NETRC" else tmp_path))
    open_transport().send(request_to(endpoint.url))
    assert "authorization" not in [name.lower() for name, _ in endpoint.seen[0].headers]


def test_interim_answers_are_passed_over(transport: Transport, listen: Listen) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    response = transport.send(request_to(listen(replies(interim + OK)).url))
    assert (response.status, response.body, response.header("Link")) == (200, b"ok", None)


def test_what_is_answered_before_the_whole_body_was_read_is_told(
    transport: Transport, listen: Listen, transport_kind: str
) -> None:
    def refuses(sock: socket.socket) -> None:
        sock.recv(1024)
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

    listener = listen(refuses)
    requests = [request_to(listener.url, b"x" * 20_000_000) for _ in range(4)]
    answered = {told(exchange(transport.send, one)) for one in requests}
    # The receiver resets the connection, and that may overtake its answer.
    overtaken = set() if KINDS[transport_kind].reads_after_a_reset else {Reason.CONNECTION_LOST}
    assert answered <= {413} | overtaken
    assert listener.connections == 4


def test_the_transport_says_what_it_serves_and_what_it_is(transport: Transport) -> None:
    assert transport.schemes >= {"http", "https"}
    assert re.fullmatch(r"[!-.0-~]+/[0-9][!-~]*", transport.user_agent)


@pytest.mark.parametrize("option", ["concurrency", "concurrency_per_origin"])
def test_a_concurrency_that_sends_nothing_is_refused(option: str, open_transport: OpenTransport) -> None:
    with pytest.raises(ConfigurationError, match="a concurrency of 0 sends nothing; it must be at least 1"):
        open_transport(**{option: 0})


# The rest holds for anything that thornsdk lets through.

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
names = st.text(TOKEN, min_size=1, max_size=20).map(lambda one: f"X-{one}")
values = st.text(VISIBLE + " \t", max_size=40).map(lambda one: one.strip(" \t"))
sendable: st.SearchStrategy[Headers] = st.lists(
    st.tuples(names, values), max_size=8, unique_by=lambda one: one[0].lower()
).map(tuple)


def test_any_header_that_may_be_sent_arrives_exactly(transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came))

    @SHARED
    @given(headers=sendable)
    def check(headers: Headers) -> None:
        came.clear()
        transport.send(request_to(listener.url, headers=headers))
        assert tuple(one for one in split(came[0])[1] if one[0].lower() not in OF_THE_PROTOCOL) == headers

    check()


def test_any_body_arrives_byte_for_byte(transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came))

    @SHARED
    @given(body=st.binary(max_size=2000))
    def check(body: bytes) -> None:
        came.clear()
        transport.send(request_to(listener.url, body))
        assert split(came[0])[2] == body

    check()


TARGETS = [
    "/a%20b/../c?key=%C3%A9&x",
    "/../../etc/passwd",
    "/./a/./b",
    "/..",
    "/a/..",
    "//a//b",
    "/%2e%2e/%2F",
    "/[1]{2}^`|",
    "/*?*",
    "/a?b?c=/../d",
    "/a;b=c,d@e:f!g$h&i'(j)",
    "/ünï?ü=☃",
    "/%zz%",
    "/?",
    "",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_sent_as_the_url_says(target: str, transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    request = request_to(f"http://127.0.0.1:{listen(keeps(came)).port}{target}")
    transport.send(request)
    assert split(came[0])[0] == f"POST {request.url.target} HTTP/1.1"


def test_any_target_is_sent_as_the_url_says(transport: Transport, listen: Listen) -> None:
    came: list[bytes] = []
    listener = listen(keeps(came))

    @SHARED
    @given(target=st.text("./%?&=[]{}^|~aA0é☃*'\"<>!$(),;:@+-_`", max_size=20))
    def check(target: str) -> None:
        came.clear()
        request = request_to(f"http://127.0.0.1:{listener.port}/{target}")
        transport.send(request)
        assert split(came[0])[0] == f"POST {request.url.target} HTTP/1.1"

    check()


def test_a_request_that_is_read_by_hand_is_whole(transport: Transport, listen: Listen) -> None:
    """The other tests stand on what `read_request` reads: nothing may come behind it."""
    behind: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.settimeout(0.1)
        try:
            behind.append(sock.recv(1))
        except TimeoutError:
            behind.append(b"nothing")
        sock.sendall(OK)

    transport.send(request_to(listen(serve).url, b"x" * 5000))
    assert behind == [b"nothing"]
