import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from conftest import Listen, OpenEndpoint, OpenTransport
from support.endpoint import Endpoint, Handler, Seen, answers
from support.forks import fork_and_send
from support.wire import OK, read_request, replies, request_to, wait_until
from thornsdk import Request, Response
from thornsdk.errors import ConfigurationError
from thornsdk_plugins import urllib3 as plugin
from thornsdk_plugins.urllib3 import PooledTransport, connections


def test_a_connection_serves_the_next_request_to_its_origin(
    endpoint: Endpoint, transport: PooledTransport
) -> None:
    answered = [transport.send(request_to(endpoint.url)) for _ in range(3)]
    assert [one.reused for one in answered] == [False, True, True]
    assert endpoint.connections == 1


def test_each_origin_has_its_own_connection(open_endpoint: OpenEndpoint, transport: PooledTransport) -> None:
    one, other = open_endpoint(), open_endpoint()
    reused = [transport.send(request_to(url)).reused for url in (one.url, other.url, one.url, other.url)]
    assert reused == [False, False, True, True]
    assert (one.connections, other.connections) == (1, 1)


def test_the_answer_is_told_as_it_came(open_endpoint: OpenEndpoint, transport: PooledTransport) -> None:
    endpoint = open_endpoint(answers(202, b"thanks", {"X-Seen": "yes"}))
    response = transport.send(request_to(endpoint.url))
    assert (response.status, response.body, response.truncated) == (202, b"thanks", False)
    assert (response.header("x-seen"), response.address) == ("yes", "127.0.0.1")


def test_the_bytes_on_the_wire_are_these(transport: PooledTransport, listen: Listen) -> None:
    came: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        came.append(read_request(sock))
        sock.sendall(OK)

    listener = listen(serve)
    url = f"http://127.0.0.1:{listener.port}/a%20b/../c?key=%C3%A9&x"
    transport.send(request_to(url, b'{"a":1}', headers=(("User-Agent", "Thorn/1"), ("Hook-Event", "a.b"))))
    assert came == [
        b"POST /a%20b/../c?key=%C3%A9&x HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(listener.port).encode() + b"\r\n"
        b"Content-Length: 7\r\n"
        b"User-Agent: Thorn/1\r\nHook-Event: a.b\r\nAccept-Encoding: identity\r\n\r\n"
        b'{"a":1}'
    ]


def test_the_host_header_holds_the_name_not_the_address(
    endpoint: Endpoint, open_transport: OpenTransport
) -> None:
    transport = open_transport(resolver=lambda host, port: [ip_address("127.0.0.1")])
    transport.send(request_to(f"http://Hooks.Example.test:{endpoint.port}/"))
    assert endpoint.seen[0].header("Host") == f"hooks.example.test:{endpoint.port}"


def test_an_ipv6_address_stands_in_brackets(transport: PooledTransport, listen: Listen) -> None:
    came: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        came.append(read_request(sock))
        sock.sendall(OK)

    listener = listen(serve, "::1")
    assert transport.send(request_to(listener.url)).address == "::1"
    assert f"Host: [::1]:{listener.port}\r\n".encode() in came[0]


def test_an_empty_body_is_sent_with_its_length(endpoint: Endpoint, transport: PooledTransport) -> None:
    transport.send(request_to(endpoint.url, b""))
    assert (endpoint.seen[0].header("Content-Length"), endpoint.seen[0].body) == ("0", b"")


def test_a_redirect_is_told_and_not_followed(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    redirecting = open_endpoint(answers(307, headers={"Location": endpoint.url}))
    response = transport.send(request_to(redirecting.url))
    assert (response.status, response.header("location")) == (307, endpoint.url)
    assert endpoint.connections == 0


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


def test_an_idle_connection_that_the_far_side_closed_is_noticed_and_replaced(
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    def closes(handler: Handler, _: Seen) -> None:
        handler.answer(200)
        handler.close_connection = True

    endpoint = open_endpoint(closes)
    transport.send(request_to(endpoint.url))
    ((_, idle),) = transport._idle._idle.values()
    wait_until(lambda: not idle.is_connected)
    assert transport.send(request_to(endpoint.url)).reused is False
    assert endpoint.connections == 2


def test_a_connection_that_the_answer_closes_is_not_kept(
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    endpoint = open_endpoint(answers(200, b"ok", {"Connection": "close"}))
    assert [transport.send(request_to(endpoint.url)).reused for _ in range(2)] == [False, False]


def test_interim_answers_are_passed_over(transport: PooledTransport, listen: Listen) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    response = transport.send(request_to(listen(replies(interim + OK)).url))
    assert (response.status, response.body, response.header("Link")) == (200, b"ok", None)


def test_a_connection_that_switched_protocols_is_not_used_again(
    transport: PooledTransport, listen: Listen
) -> None:
    listener = listen(replies(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))
    answered = [transport.send(request_to(listener.url)) for _ in range(2)]
    assert [(one.status, one.reused) for one in answered] == [(101, False), (101, False)]


def test_what_is_answered_before_the_whole_body_was_read_is_told(
    transport: PooledTransport, listen: Listen
) -> None:
    def refuses(sock: socket.socket) -> None:
        sock.recv(1024)
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

    listener = listen(refuses)
    answered = [transport.send(request_to(listener.url, b"x" * 20_000_000)) for _ in range(2)]
    assert [(one.status, one.reused) for one in answered] == [(413, False), (413, False)]


def test_requests_are_in_flight_at_once(open_endpoint: OpenEndpoint, open_transport: OpenTransport) -> None:
    together = threading.Barrier(8)

    def waits_for_all(handler: Handler, _: Seen) -> None:
        together.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(waits_for_all)
    results = list(open_transport(concurrency=8).send_many(request_to(endpoint.url) for _ in range(16)))
    assert [isinstance(one.result, Response) for one in results] == [True] * 16


def test_requests_are_read_in_the_callers_thread(endpoint: Endpoint, transport: PooledTransport) -> None:
    read_in: set[int] = set()

    def requests() -> Iterator[Request]:
        for _ in range(10):
            read_in.add(threading.get_ident())
            yield request_to(endpoint.url)

    assert len(list(transport.send_many(requests()))) == 10
    assert read_in == {threading.get_ident()}


@pytest.mark.parametrize("width", [1, 2, 3, 20])
@pytest.mark.parametrize("pause", [0, 0.02], ids=["at once", "after a while"])
def test_no_more_requests_are_taken_than_are_in_flight(
    width: int, pause: float, open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    def answers_after_a_pause(handler: Handler, _: Seen) -> None:
        handler.wait(pause)
        handler.answer(200)

    endpoint = open_endpoint(answers_after_a_pause)
    taken: list[Request] = []

    def requests() -> Iterator[Request]:
        for _ in range(40):
            taken.append(request_to(endpoint.url))
            yield taken[-1]

    for given, _ in enumerate(open_transport(concurrency=width).send_many(requests())):
        assert len(taken) - given <= width
    assert len(taken) == 40
    assert endpoint.connections <= width


def test_each_request_has_one_result_and_it_is_the_very_object(
    endpoint: Endpoint, transport: PooledTransport
) -> None:
    requests = [request_to(endpoint.url) for _ in range(40)]
    results = list(transport.send_many(requests))
    assert {id(one.request) for one in results} == {id(one) for one in requests}
    assert len(results) == 40


def test_one_request_alone_needs_no_thread(endpoint: Endpoint, transport: PooledTransport) -> None:
    before = threading.active_count()
    (result,) = transport.send_many([request_to(endpoint.url)])
    # The endpoint starts a thread for the connection; the transport none.
    assert isinstance(result.result, Response)
    assert "thornsdk-send" not in {one.name for one in threading.enumerate()}
    assert threading.active_count() <= before + 1


def test_nothing_to_send_gives_nothing(transport: PooledTransport) -> None:
    assert list(transport.send_many([])) == []


def test_threads_have_ended_when_the_results_have(endpoint: Endpoint, transport: PooledTransport) -> None:
    list(transport.send_many(request_to(endpoint.url) for _ in range(20)))
    assert "thornsdk-send" not in {one.name for one in threading.enumerate()}


def test_results_that_are_left_early_still_let_what_was_taken_be_sent(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport
) -> None:
    left = threading.Event()

    def all_but_the_first_wait(handler: Handler, seen: Seen) -> None:
        if seen.body != b"0":
            left.wait(timeout=20)
        handler.answer(200)

    endpoint = open_endpoint(all_but_the_first_wait)
    taken: list[Request] = []

    def requests() -> Iterator[Request]:
        for number in range(100):
            taken.append(request_to(endpoint.url, str(number).encode()))
            yield taken[-1]

    results = open_transport(concurrency=4).send_many(requests())
    assert isinstance(next(results).result, Response)
    results.close()  # type: ignore[attr-defined]
    left.set()
    wait_until(lambda: len(endpoint.seen) == len(taken))
    wait_until(lambda: "thornsdk-send" not in {one.name for one in threading.enumerate()})
    assert len(taken) <= 5


def test_what_is_kept_idle_is_capped_and_the_longest_unused_goes_first(
    open_endpoint: OpenEndpoint, open_transport: OpenTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE", 2)
    together = threading.Barrier(2)

    def in_pairs(handler: Handler, seen: Seen) -> None:
        if seen.body == b"pair":
            together.wait(timeout=20)
        handler.answer(200)

    first, second, third = open_endpoint(in_pairs), open_endpoint(), open_endpoint()
    transport = open_transport()
    list(transport.send_many(request_to(first.url, b"pair") for _ in range(2)))
    transport.send(request_to(second.url))
    assert transport.send(request_to(first.url)).reused is True
    transport.send(request_to(third.url))
    reused = [transport.send(request_to(url)).reused for url in (first.url, third.url, second.url)]
    assert reused == [True, True, False]


def test_closing_lets_go_of_idle_connections_and_twice_does_no_harm(
    listen: Listen, transport: PooledTransport
) -> None:
    ended = threading.Event()

    def serve(sock: socket.socket) -> None:
        replies(OK)(sock)
        ended.set()

    transport.send(request_to(listen(serve).url))
    assert not ended.is_set()
    transport.close()
    transport.close()
    assert ended.wait(timeout=20)


def test_a_connection_in_use_is_closed_when_its_request_has_ended(
    open_endpoint: OpenEndpoint, transport: PooledTransport
) -> None:
    closed = threading.Event()

    def waits(handler: Handler, _: Seen) -> None:
        transport.close()
        closed.set()
        handler.answer(200)

    endpoint = open_endpoint(waits)
    assert transport.send(request_to(endpoint.url)).status == 200
    assert closed.is_set()
    assert transport.send(request_to(endpoint.url)).reused is False


def test_a_forked_child_starts_fresh_and_leaves_its_parents_connection_alone(endpoint: Endpoint) -> None:
    assert fork_and_send(endpoint.url) == ["parent False", "child False True", "parent True"]
    assert [(one.body, one.connection) for one in endpoint.seen] == [
        (b"parent", 1),
        (b"child", 2),
        (b"child", 2),
        (b"parent", 1),
    ]


def test_what_a_child_lets_go_of_is_closed_without_a_word(listen: Listen, transport: PooledTransport) -> None:
    after: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        after.append(sock.recv(1))

    listener = listen(serve)
    transport.send(request_to(listener.url))
    connections._forget_all()  # What the fork hook calls; here in the parent, where it can be watched.
    wait_until(lambda: after == [b""])
    assert transport.send(request_to(listener.url)).reused is False


def test_the_transport_says_what_it_serves_and_what_it_is(transport: PooledTransport) -> None:
    assert transport.schemes == {"http", "https"}
    assert transport.user_agent.startswith("urllib3/2.")


def test_a_concurrency_that_sends_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a concurrency of 0 sends nothing; it must be at least 1"):
        PooledTransport(concurrency=0)


def test_the_plugin_has_no_other_names() -> None:
    assert plugin.PooledTransport is PooledTransport
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = plugin.Nothing  # type: ignore[attr-defined]  # there is none
