"""What is particular to the transport ``curl``; its promises are those of every HTTP transport."""

import errno
import os
import select
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from attrs import evolve

from conftest import Listen, OpenThorn
from support.http2 import speaks_http2
from support.tls import NAME, by_name
from support.wire import failure as failure_of
from support.wire import reason, replies, request_to, told
from thornsdk import AddressRules, Exchange, Origin, Places, Reason, Response
from thornsdk.errors import ConfigurationError, StageUnavailableError
from thornsdk.testing import Endpoint, Handler, Seen, answers, waits
from thornsdk.testing.fixtures import OpenEndpoint

pycurl = pytest.importorskip("pycurl", reason="install thornsdk[curl] to test the transport curl")

from thornsdk_plugins import curl as plugin  # noqa: E402 - it needs pycurl
from thornsdk_plugins.curl import CurlTransport, sockets  # noqa: E402
from thornsdk_plugins.curl import transport as curl_transport  # noqa: E402
from thornsdk_plugins.curl.failures import Failure, meaning  # noqa: E402
from thornsdk_plugins.curl.heads import read_head  # noqa: E402
from thornsdk_plugins.curl.pace import Pace  # noqa: E402
from thornsdk_plugins.curl.sockets import READABLE, WRITABLE, OpenSockets, make_poll  # noqa: E402
from thornsdk_plugins.curl.transfer import Transfer  # noqa: E402
from thornsdk_plugins.curl.transport import _forget_all  # noqa: E402

ORIGIN = Origin("http", "a.example", 80)


@pytest.fixture
def transport(ca_bundle: str) -> Iterator[CurlTransport]:
    made = CurlTransport(ca_bundle=ca_bundle, resolver=lambda host, port: [ip_address("127.0.0.1")])
    yield made
    made.close()


# HTTP/2


def test_http2_is_spoken_where_it_is_offered(
    listen: Listen, tls: ssl.SSLContext, transport: CurlTransport
) -> None:
    seen: list[dict[str, str]] = []
    listener = listen(speaks_http2(tls, seen))
    answers = [transport.send(by_name(listener.port, body=b'{"id":42}')) for _ in range(3)]
    assert [(one.status, one.body, one.header("X-Seen")) for one in answers] == [
        (202, b"thanks", str(number)) for number in (1, 2, 3)
    ]
    assert seen[0][":authority"] == f"{NAME}:{listener.port}"
    assert [one.reused for one in answers] == [False, True, True]
    assert listener.connections == 1


def test_many_requests_share_a_connection_over_http2(
    listen: Listen, tls: ssl.SSLContext, transport: CurlTransport
) -> None:
    listener = listen(speaks_http2(tls, []))
    results = [one.result for one in transport.send_many(by_name(listener.port) for _ in range(40))]
    assert [one.status for one in results if isinstance(one, Response)] == [202] * 40
    assert listener.connections < 40


def test_over_http2_no_request_under_another_guard_gets_onto_a_connection(
    listen: Listen, tls: ssl.SSLContext, transport: CurlTransport
) -> None:
    listener = listen(speaks_http2(tls, []))
    strict = evolve(by_name(listener.port), guard=AddressRules().forbidden)
    open_one = by_name(listener.port)
    results = transport.send_many([strict, open_one, *[strict] * 20])
    assert [told(one) for one in results if one.request is strict] == [Reason.ADDRESS_FORBIDDEN] * 21


def test_an_http2_connection_that_was_just_ended_is_replaced(
    listen: Listen, tls: ssl.SSLContext, transport: CurlTransport
) -> None:
    ended = threading.Event()
    listener = listen(speaks_http2(tls, [], answers=1, ended=ended.set))
    for _ in range(4):
        ended.clear()
        assert transport.send(by_name(listener.port)).status == 202
        assert ended.wait(timeout=20)
    assert listener.connections == 4


def test_requests_wait_for_a_connection_to_share_where_http2_is_known_to_be_spoken(
    listen: Listen, tls: ssl.SSLContext, transport: CurlTransport
) -> None:
    listener = listen(speaks_http2(tls, []))
    transport.send(by_name(listener.port))
    results = list(transport.send_many(by_name(listener.port) for _ in range(40)))
    assert [told(one) for one in results] == [202] * 40
    assert listener.connections == 1


# The plugin


def test_the_transport_of_the_plugin_goes_by_the_settings(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, transport="curl")
    thorn.subscribe("*", endpoint.url)
    assert thorn.event("order.created").send({}).outcomes.delivered == 1
    assert f"libcurl/{pycurl.version_info()[1]}" in endpoint.seen[0].header("User-Agent")


def test_where_pycurl_is_missing_it_says_what_to_install(
    open_thorn: OpenThorn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycurl", None)
    for name in [one for one in sys.modules if one.startswith("thornsdk_plugins.curl.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StageUnavailableError, match=r"pip install 'thornsdk\[curl\]'"):
        open_thorn(transport="curl")


def test_the_plugin_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = plugin.Nothing  # type: ignore[attr-defined]


def test_a_system_without_authorities_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    with pytest.raises(ConfigurationError, match="this system has no list of authorities to trust"):
        CurlTransport()


def test_a_concurrency_that_sends_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a concurrency of 0 sends nothing"):
        CurlTransport(concurrency_per_origin=0)


def test_a_libcurl_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pycurl, "version_info", lambda: (9, "7.88.1", 0x075801))
    with pytest.raises(ConfigurationError, match="is too old for the transport 'curl'"):
        CurlTransport()


# Loops and connections


def test_each_thread_that_sends_has_a_loop_of_its_own_and_leaves_it_to_the_next(
    open_endpoint: OpenEndpoint, transport: CurlTransport
) -> None:
    together = threading.Barrier(2)

    def answer_both(handler: Handler, _: Seen) -> None:
        together.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(answer_both)
    threads = [threading.Thread(target=transport.send, args=(request_to(endpoint.url),)) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(transport._idle) == 2


def test_a_loop_that_comes_back_after_the_transport_was_closed_is_closed(
    open_endpoint: OpenEndpoint, transport: CurlTransport
) -> None:
    def closes(handler: object, _: object) -> None:
        transport.close()
        handler.answer(200)  # type: ignore[attr-defined]

    endpoint = open_endpoint(closes)
    assert transport.send(request_to(endpoint.url)).status == 200
    assert transport._idle == []


def test_results_that_are_left_early_let_what_was_begun_be_sent(
    open_endpoint: OpenEndpoint, transport: CurlTransport
) -> None:
    endpoint = open_endpoint()
    results = transport.send_many(request_to(endpoint.url) for _ in range(8))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(endpoint.seen) == 8


def test_an_interrupt_in_the_middle_leaves_nothing_of_one_call_to_the_next(
    endpoint: Endpoint, transport: CurlTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeded = Transfer.succeeded
    broken = iter([True])

    def interrupted(transfer: Transfer) -> Exchange:
        if next(broken, False):
            raise KeyboardInterrupt
        return succeeded(transfer)

    monkeypatch.setattr(Transfer, "succeeded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(transport.send_many(request_to(endpoint.url) for _ in range(8)))
    assert len(list(transport.send_many(request_to(endpoint.url) for _ in range(3)))) == 3


def test_what_was_settled_when_an_interrupt_came_is_not_settled_again(
    endpoint: Endpoint, transport: CurlTransport
) -> None:
    transport.send(request_to(endpoint.url))
    (loop,) = transport._idle
    (done,) = loop._idle[None]
    loop._messages.append((done.curl, Transfer.succeeded))
    assert loop._ended(Pace(loop._poll, Places([], 1, 1), 1), 0) == []
    loop._messages.append((done.curl, Transfer.succeeded))
    requests = [request_to(endpoint.url) for _ in range(3)]
    assert {id(one.request) for one in transport.send_many(requests)} == {id(one) for one in requests}


def busy_loop(endpoint: Endpoint, transport: CurlTransport) -> Iterator[Exchange]:
    """Gives the results of requests of which most are in flight."""
    results = transport.send_many(request_to(endpoint.url) for _ in range(8))
    next(results)
    return results


def test_a_loop_with_requests_in_flight_is_not_lent_to_others(
    open_endpoint: OpenEndpoint, transport: CurlTransport
) -> None:
    endpoint = open_endpoint(waits(0.05, answers(200)))
    results = busy_loop(endpoint, transport)
    (loop,) = transport._all
    assert transport._give_back(loop) == [loop]
    assert transport._idle == []
    assert len(list(results)) == 7


def test_a_loop_that_is_its_parents_waits_for_nothing(
    open_endpoint: OpenEndpoint, transport: CurlTransport
) -> None:
    endpoint = open_endpoint(waits(0.05, answers(200)))
    results = busy_loop(endpoint, transport)
    (loop,) = transport._all
    loop._is_abandoned = True
    results.close()  # type: ignore[attr-defined]
    assert loop.is_busy()


def test_loops_that_were_idle_for_too_long_are_closed(open_endpoint: OpenEndpoint) -> None:
    transport = CurlTransport(idle_timeout=30)
    one, other = open_endpoint(), open_endpoint()
    transport.send(request_to(one.url))
    (old,) = transport._idle
    transport.send(evolve(request_to(other.url), guard=lambda address: None))
    assert len(transport._idle) == 2
    old.idle_since -= 31
    transport.send(evolve(request_to(other.url), guard=lambda address: ""))
    assert old not in transport._idle
    transport.close()


def test_no_more_loops_are_kept_than_may_be(
    endpoint: Endpoint, transport: CurlTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curl_transport, "_MOST_LOOPS", 2)
    guards = [lambda address, number=number: None for number in range(4)]
    for guard in guards:
        transport.send(evolve(request_to(endpoint.url), guard=guard))
    assert [one.guard for one in transport._idle] == guards[-2:]


def test_without_poll_connections_that_are_closed_harm_nobody(
    open_endpoint: OpenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "poll")  # As eventlet does.
    closes = open_endpoint(lambda handler, seen: handler.answer(200, b"", {"Connection": "close"}))
    stays = open_endpoint()
    transport = CurlTransport()
    for _ in range(3):
        results = transport.send_many(request_to(url) for url in [closes.url, stays.url] * 5)
        assert [told(one) for one in results] == [200] * 10
    transport.close()


def test_a_guard_that_breaks_is_told_as_a_defect_of_the_guard(
    endpoint: Endpoint, transport: CurlTransport
) -> None:
    def breaks(address: object) -> str | None:
        raise KeyError("address")

    error = failure_of(transport, evolve(request_to(endpoint.url), guard=breaks))
    assert error.reason is Reason.STAGE_FAILED
    assert error.detail.startswith("the guard raised KeyError")


def test_where_no_socket_can_be_made_the_systems_word_is_told(
    endpoint: Endpoint, transport: CurlTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(Transfer, "_opened_socket", refuses)
    error = failure_of(transport, request_to(endpoint.url))
    assert str(error) == "connection_lost: the connection failed (EMFILE)"


def test_what_a_child_lets_go_of_is_closed_without_a_word(
    endpoint: Endpoint, transport: CurlTransport
) -> None:
    transport.send(request_to(endpoint.url))
    _forget_all()  # What the fork hook calls; here in the parent, where it can be watched.
    assert transport.send(request_to(endpoint.url)).reused is False
    assert len(endpoint.seen) == 2


def test_a_socket_that_is_put_out_of_reach_ends_without_a_byte() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known = OpenSockets()
        known.add(ours.fileno(), ORIGIN)
        known.abandon()
        os.write(ours.fileno(), b"into nothing")
        assert theirs.recv(1) == b""


def test_a_number_that_belongs_to_another_file_by_now_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    another, writes = socket.socketpair()
    known = OpenSockets()
    with ours, theirs, another, writes:
        known.add(ours.fileno(), ORIGIN)
        known.fall_silent(ours.fileno())
        os.dup2(another.fileno(), ours.fileno())
        known.abandon()
        writes.sendall(b"x")
        known.look()
        assert (ours.recv(1), known.are_stale(ORIGIN)) == (b"x", False)


def test_a_silent_socket_that_speaks_makes_its_origin_stale_until_libcurl_looks_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = OpenSockets()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known.add(ours.fileno(), ORIGIN)
        known.fall_silent(ours.fileno())
        known.look()
        assert not known.are_stale(ORIGIN)
        theirs.sendall(b"unasked")
        known.look()
        assert known.are_stale(ORIGIN)
        known.look()
    monkeypatch.setattr(sockets, "_SECOND", 0)
    known._stale_until[ORIGIN] = 0
    assert not known.are_stale(ORIGIN)


def test_a_connection_that_may_speak_at_any_time_is_not_stale_for_it() -> None:
    known = OpenSockets()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known.add(ours.fileno(), ORIGIN)
        known.spoke(ORIGIN, http2=True)
        known.fall_silent(ours.fileno())
        theirs.sendall(b"a frame")
        known.look()
        assert not known.are_stale(ORIGIN)


@pytest.mark.parametrize("has_poll", [True, False])
def test_sockets_are_waited_for_with_poll_or_without(has_poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_poll:
        monkeypatch.delattr(select, "poll")
    poll = make_poll()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        poll.register(ours.fileno(), READABLE | WRITABLE)
        assert dict(poll.poll(0)) == {ours.fileno(): WRITABLE}
        theirs.sendall(b"x")
        poll.register(ours.fileno(), READABLE)
        assert poll.poll(None) == [(ours.fileno(), READABLE)]
        poll.unregister(ours.fileno())
        assert poll.poll(0) == []


# What libcurl says


def test_an_answer_with_more_headers_than_are_taken_is_too_large(
    listen: Listen, transport: CurlTransport
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"A: 1\r\n" * 100 + b"\r\n"
    assert reason(transport, request_to(listen(replies(head)).url)) is Reason.ANSWER_TOO_LARGE


def failure(code: int, **given: object) -> Failure:
    known: dict[str, object] = {"text": "", "os_error": 0, "verify_result": 0, "proxy_status": 0}
    return Failure(code=code, **{**known, **given})  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (failure(pycurl.E_OPERATION_TIMEDOUT), Reason.TIMEOUT),
        (failure(pycurl.E_COULDNT_RESOLVE_PROXY), Reason.NAME_NOT_RESOLVED),
        (failure(pycurl.E_COULDNT_RESOLVE_HOST), Reason.NAME_NOT_RESOLVED),
        (failure(pycurl.E_COULDNT_CONNECT, os_error=errno.ENETUNREACH), Reason.UNREACHABLE),
        (failure(pycurl.E_COULDNT_CONNECT, os_error=errno.ETIMEDOUT), Reason.TIMEOUT),
        (failure(pycurl.E_COULDNT_CONNECT, os_error=errno.EMFILE), Reason.CONNECTION_LOST),
        (failure(pycurl.E_SSL_CERTPROBLEM), Reason.TLS_CLIENT_CERTIFICATE),
        (failure(pycurl.E_PEER_FAILED_VERIFICATION, verify_result=64), Reason.TLS_WRONG_NAME),
        (failure(pycurl.E_PEER_FAILED_VERIFICATION, verify_result=20), Reason.TLS_UNTRUSTED),
        (failure(pycurl.E_RECV_ERROR, text="OpenSSL: unexpected eof while reading"), Reason.CONNECTION_LOST),
        (failure(92), Reason.PROTOCOL_ERROR),
        (failure(100), Reason.ANSWER_TOO_LARGE),
        (failure(pycurl.E_BAD_CONTENT_ENCODING), Reason.PROTOCOL_ERROR),
        (failure(pycurl.E_SEND_FAIL_REWIND), Reason.CONNECTION_LOST),
    ],
)  # fmt: skip
def test_what_libcurl_says_has_its_reason(said: Failure, reason: Reason) -> None:
    assert meaning(said, "a.example")[0] is reason


def test_the_head_of_the_final_answer_is_read_without_trailers() -> None:
    lines = [
        b"HTTP/1.1 103 Early\r\n",
        b"HTTP/odd: 1\r\n",
        b"A: 1\r\n",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"B:2 \r\n",
        b"\r\n",
        b"HTTP/odd: 3\r\n",
        b"C: 3\r\n",
    ]
    head = read_head(lines)
    assert (head.fields, head.whole, head.http2) == ((("B", "2"),), True, False)


def test_a_head_that_never_came_is_not_whole() -> None:
    assert not read_head([]).whole
