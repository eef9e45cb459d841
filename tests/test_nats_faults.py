"""The transport `nats` and servers that misbehave: each is told truthfully, and harms no other."""

import errno
import gc
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

import pytest
from nats import errors as nats_errors

from conftest import Listen
from support.forks import run
from support.nats import (
    ACKED,
    INFO,
    NO_NATS,
    Published,
    acknowledges,
    free_port,
    greets_and_hangs,
    hangs,
    speaks,
)
from support.tls import over_tls
from support.wire import failure, reason, request_to, told
from thornsdk import Reason, Request, Response
from thornsdk.errors import TransportError
from thornsdk_plugins.nats import NatsTransport
from thornsdk_plugins.nats.failures import translate
from thornsdk_plugins.nats.transport import _abandoned, _forget_all

URL = "nats://events/orders.created"

OpenNats = Callable[..., NatsTransport]


@pytest.fixture
def open_nats() -> Iterator[OpenNats]:
    """Makes transports that know their servers by name."""
    with ExitStack() as stack:

        def open_one(**options: object) -> NatsTransport:
            transport = NatsTransport(**options)  # type: ignore[arg-type]  # passed on as they came
            stack.callback(transport.close)
            return transport

        yield open_one


def speaks_once(sock: socket.socket) -> None:
    """Speaks until a message comes, and says no word from then on."""
    speaks(lambda _: None)(sock)
    hangs(sock)


def at(port: int) -> str:
    return f"nats://127.0.0.1:{port}"


def test_a_stream_that_acknowledges_is_202(listen: Listen, open_nats: OpenNats) -> None:
    transport = open_nats(servers={"events": at(listen(speaks()).port)})
    assert transport.send(request_to(URL)).status == 202


@pytest.mark.parametrize("serve", [hangs, greets_and_hangs, speaks_once])
def test_a_server_that_never_answers_is_a_timeout_and_the_next_message_has_a_new_connection(
    serve: Callable[[socket.socket], None], listen: Listen, open_nats: OpenNats
) -> None:
    listener = listen(serve)
    transport = open_nats(servers={"events": at(listener.port)})
    for connections in (1, 2):
        assert reason(transport, request_to(URL, timeout=0.2)) is Reason.TIMEOUT
        assert listener.connections == connections


def test_a_server_that_lives_while_no_stream_acknowledges_is_408_and_keeps_its_connection(
    listen: Listen, open_nats: OpenNats
) -> None:
    listener = listen(speaks(lambda _: b""))
    transport = open_nats(servers={"events": at(listener.port)})
    told = [transport.send(request_to(URL, timeout=1)) for _ in range(2)]
    assert {(one.status, one.body) for one in told} == {
        (408, b"the server is well, and no stream has acknowledged in time")
    }
    assert listener.connections == 1


def test_a_server_that_stops_to_read_is_a_timeout(listen: Listen, open_nats: OpenNats) -> None:
    stopped = threading.Event()

    def stops(_: Published) -> bytes:
        stopped.wait(timeout=20)
        return b""

    transport = open_nats(servers={"events": at(listen(speaks(stops)).port)})
    # More than the client, the system and the far side hold together: it has to wait until it may write.
    requests = [request_to(URL, body=b"x" * 1_000_000, timeout=0.5) for _ in range(30)]
    results = [told(one) for one in transport.send_many(requests)]
    stopped.set()
    assert results == [Reason.TIMEOUT] * 30


def test_a_deadline_that_passes_while_it_connects_is_that_of_one_request(
    listen: Listen, open_nats: OpenNats
) -> None:
    may_greet = threading.Event()

    def greets_late(sock: socket.socket) -> None:
        may_greet.wait(timeout=20)
        speaks()(sock)

    listener = listen(greets_late)
    transport = open_nats(servers={"events": at(listener.port)})
    results = transport.send_many([request_to(URL, timeout=0.2), request_to(URL)])
    assert told(next(results)) is Reason.TIMEOUT
    may_greet.set()
    assert told(next(results)) == 202
    assert listener.connections == 1


def test_a_connection_that_breaks_while_much_is_to_be_written_is_no_timeout(
    listen: Listen, open_nats: OpenNats
) -> None:
    transport = open_nats(servers={"events": at(listen(speaks(lambda _: None)).port)})
    results = transport.send_many(request_to(URL, body=b"x" * 1_000_000) for _ in range(30))
    assert {told(one) for one in results} == {Reason.CONNECTION_LOST}


def test_a_server_that_hangs_holds_up_no_other(listen: Listen, open_nats: OpenNats) -> None:
    transport = open_nats(
        servers={"hung": at(listen(hangs).port), "events": at(listen(speaks()).port)},
        concurrency=8,
        concurrency_per_origin=4,
    )
    hung = [request_to("nats://hung/orders", timeout=1) for _ in range(6)]
    well = [request_to(URL) for _ in range(20)]
    results = [told(one) for one in transport.send_many([*hung, *well])]
    assert results == [202] * 20 + [Reason.TIMEOUT] * 6


def test_one_late_answer_does_not_cost_others_their_connection(listen: Listen, open_nats: OpenNats) -> None:
    def answers_but_one(published: Published) -> bytes | None:
        return b"" if published.subject == "late" else acknowledges(published)

    listener = listen(speaks(answers_but_one))
    transport = open_nats(servers={"events": at(listener.port)})
    transport.send(request_to(URL))
    late, well = request_to("nats://events/late", timeout=0.3), request_to(URL)
    assert [told(one) for one in transport.send_many([late, well])] == [202, 408]
    assert transport.send(request_to(URL)).reused is True


def test_an_answer_that_comes_too_late_is_nobodys(listen: Listen, open_nats: OpenNats) -> None:
    late: list[Published] = []

    def answers_the_one_before_too(published: Published) -> bytes | None:
        late.append(published)
        if published.subject == "late":
            return b""
        return b"".join(one.answered(b'{"stream":"X","seq":%d}' % len(late)) for one in late)

    transport = open_nats(servers={"events": at(listen(speaks(answers_the_one_before_too)).port)})
    transport.send(request_to(URL))
    late_one, well = request_to("nats://events/late", timeout=0.3), request_to(URL)
    list(transport.send_many([late_one, well]))
    assert transport.send(request_to(URL)).body == b'{"stream":"X","seq":4}'


def test_a_connection_that_breaks_is_told_at_once_to_all_who_wait(
    listen: Listen, open_nats: OpenNats
) -> None:
    together = threading.Barrier(2)

    def closes(published: Published) -> bytes | None:
        if published.subject == "last":
            together.wait(timeout=20)
            return None
        return b""

    def both() -> Iterator[Request]:
        yield request_to("nats://events/first")
        yield request_to("nats://events/last")
        together.wait(timeout=20)

    transport = open_nats(servers={"events": at(listen(speaks(closes)).port)})
    results = [told(one) for one in transport.send_many(both())]
    assert results == [Reason.CONNECTION_LOST] * 2


@pytest.mark.parametrize("kind", NO_NATS)
def test_a_server_that_does_not_speak_nats_is_told_so(kind: str, listen: Listen, open_nats: OpenNats) -> None:
    serve, expected = NO_NATS[kind]
    transport = open_nats(servers={"events": at(listen(serve).port)})
    assert reason(transport, request_to(URL, timeout=0.5)) is expected


_IS_SILENT = """
from support.wire import Listener, reason, request_to
from support.nats import NO_NATS, greets_and_hangs, hangs, speaks
from thornsdk_plugins.nats import NatsTransport

for serve in [*(serve for serve, _ in NO_NATS.values()), hangs, greets_and_hangs]:
    with Listener(serve) as listener:
        transport = NatsTransport(servers={"events": f"nats://127.0.0.1:{listener.port}"})
        print(reason(transport, request_to("nats://events/orders", timeout=0.2)), flush=True)
        transport.close()

with Listener(speaks(lambda _: None)) as listener:
    transport = NatsTransport(servers={"events": f"nats://127.0.0.1:{listener.port}"})
    many = (request_to("nats://events/orders", b"x" * 1_000_000, timeout=0.5) for _ in range(30))
    print(len(list(transport.send_many(many))), flush=True)
    transport.close()
"""


def test_where_nobody_listens_to_logs_nothing_is_written_to_stderr() -> None:
    assert run(_IS_SILENT)[-1] == "30"


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile, the process has all file descriptors that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_the_system_gives_no_descriptors_it_says_so_and_goes_on_later(
    listen: Listen, open_nats: OpenNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # asyncio complains when the loop is collected that it could not make.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    transport = open_nats(servers={"events": at(listen(speaks()).port)})
    with no_descriptors():
        error = str(failure(transport, request_to(URL)))
    gc.collect()
    assert error == "connection_lost: the connection failed (EMFILE)"
    assert transport.send(request_to(URL)).status == 202


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Authorization Violation", 401),
        ("User Authentication Expired", 401),
        ("maximum connections exceeded", 503),
        ("maximum account active connections exceeded", 503),
    ],
)
def test_a_server_that_lets_nobody_in_has_a_status(
    words: str, status: int, listen: Listen, open_nats: OpenNats
) -> None:
    listener = listen(speaks(pong=f"-ERR '{words}'\r\n".encode()))
    response = open_nats(servers={"events": at(listener.port)}).send(request_to(URL))
    assert response.status == status
    assert response.body.decode() in words.lower()


def test_other_words_of_refusal_are_a_protocol_error(listen: Listen, open_nats: OpenNats) -> None:
    listener = listen(speaks(pong=b"-ERR 'Parser Error'\r\n"))
    assert reason(open_nats(servers={"events": at(listener.port)}), request_to(URL)) is Reason.PROTOCOL_ERROR


def test_a_subject_that_is_forbidden_is_403_for_those_who_publish_to_it(
    listen: Listen, open_nats: OpenNats
) -> None:
    well: list[Published] = []
    refusal = b"-ERR 'Permissions Violation for Publish to \"Secret\"'\r\n"

    def forbids(published: Published) -> bytes | None:
        if published.subject != "Secret":
            well.append(published)
            return b""
        return refusal + refusal + well[0].answered(ACKED)

    transport = open_nats(servers={"events": at(listen(speaks(forbids)).port)})
    requests = [request_to(URL), request_to("nats://events/Secret")]
    forbidden, taken = transport.send_many(requests)
    assert isinstance(forbidden.result, Response)
    assert (forbidden.result.status, forbidden.result.body) == (403, b"permissions violation")
    assert told(taken) == 202


@pytest.mark.parametrize(
    "subject", ["authentication", "maximum-connections", "publish-to", "it's", "caf\u00e9"]
)
def test_a_subject_is_forbidden_whatever_words_are_in_it(
    subject: str, listen: Listen, open_nats: OpenNats
) -> None:
    def forbids(published: Published) -> bytes:
        return f"-ERR 'Permissions Violation for Publish to \"{published.subject}\"'\r\n".encode()

    transport = open_nats(servers={"events": at(listen(speaks(forbids)).port)})
    assert transport.send(request_to(f"nats://events/{subject}")).status == 403


def test_a_subject_that_differs_in_case_from_a_forbidden_one_is_told_truthfully(
    listen: Listen, open_nats: OpenNats
) -> None:
    well: list[Published] = []

    def forbids(published: Published) -> bytes:
        if published.subject == "secret":
            well.append(published)
            return b""
        return b"-ERR 'Permissions Violation for Publish to \"Secret\"'\r\n" + well[0].answered(ACKED)

    transport = open_nats(servers={"events": at(listen(speaks(forbids)).port)})
    requests = [request_to(f"nats://events/{one}", timeout=0.5) for one in ("secret", "Secret")]
    assert [told(one) for one in transport.send_many(requests)] == [202, 408]


def test_where_answers_must_not_be_read_nothing_is_published(listen: Listen, open_nats: OpenNats) -> None:
    published: list[Published] = []

    def keeps(one: Published) -> bytes | None:
        published.append(one)
        return b""

    def refuses() -> bytes:
        time.sleep(0.05)  # What the client has sent ahead of this was answered before.
        return b"-ERR 'Permissions Violation for Subscription to \"_INBOX.X.*\"'\r\n"

    listener = listen(speaks(keeps, subscribed=refuses))
    assert open_nats(servers={"events": at(listener.port)}).send(request_to(URL)).status == 403
    assert published == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"thank you",
        b"[" * 100_000,
        b"[1]",
        b'{"stream":1,"seq":1}',
        b'{"stream":"X"}',
        b'{"error":{"code":200}}',
        b'{"error":"x","stream":"X","seq":1}',
    ],
)
def test_what_is_no_answer_of_a_stream_is_no_delivery(
    data: bytes, listen: Listen, open_nats: OpenNats
) -> None:
    listener = listen(speaks(lambda published: published.answered(data)))
    error = failure(open_nats(servers={"events": at(listener.port)}), request_to(URL))
    assert str(error) == "protocol_error: what answered is not a stream: nothing was acknowledged"


def test_an_error_of_a_stream_has_its_status_and_its_words(listen: Listen, open_nats: OpenNats) -> None:
    data = b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"}}'
    listener = listen(speaks(lambda published: published.answered(data)))
    response = open_nats(servers={"events": at(listener.port)}).send(request_to(URL))
    assert (response.status, response.body) == (400, data)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ('{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}', 429),
        ('{"code":500,"err_code":10118,"description":"stream is offline"}', 429),
        ('{"code":503,"description":"who knows"}', 429),
        ('{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}', 503),
        ('{"code":503,"err_code":10023,"description":"insufficient resources"}', 503),
        ('{"code":500,"err_code":10047,"description":"insufficient storage resources available"}', 503),
    ],
)
def test_only_what_ails_the_whole_server_counts_against_it(
    error: str, status: int, listen: Listen, open_nats: OpenNats
) -> None:
    data = f'{{"error":{error}}}'.encode()
    listener = listen(speaks(lambda published: published.answered(data)))
    response = open_nats(servers={"events": at(listener.port)}).send(request_to(URL))
    assert (response.status, response.body) == (status, data)


def test_nobody_who_listens_is_404(listen: Listen, open_nats: OpenNats) -> None:
    listener = listen(speaks(lambda published: published.answered(b"", b"NATS/1.0 503\r\n\r\n")))
    assert open_nats(servers={"events": at(listener.port)}).send(request_to(URL)).status == 404


def test_a_message_larger_than_the_server_takes_is_not_sent(listen: Listen, open_nats: OpenNats) -> None:
    small = INFO.replace(b"1048576", b"100")
    listener = listen(speaks(lambda _: None, info=small))
    transport = open_nats(servers={"events": at(listener.port)})
    response = transport.send(request_to(URL, body=b"x" * 100))
    assert (response.status, response.body) == (413, b"it is larger than the server takes")


@pytest.mark.parametrize("login", ["", "user:hunter2@", "hunter2@"])
def test_a_password_is_not_told_in_the_clear_where_tls_is_a_must(
    login: str, listen: Listen, open_nats: OpenNats
) -> None:
    came: list[bytes] = []

    def keeps(sock: socket.socket) -> None:
        sock.sendall(INFO)
        while data := sock.recv(65536):
            came.append(data)
            sock.sendall(b"PONG\r\n")

    transport = open_nats(servers={"events": f"tls://{login}127.0.0.1:{listen(keeps).port}"})
    assert reason(transport, request_to(URL)) is Reason.TLS_FAILED
    transport.close()
    assert b"hunter2" not in b"".join(came)
    assert b"orders" not in b"".join(came)


def test_each_address_of_a_name_is_tried(listen: Listen, open_nats: OpenNats) -> None:
    listener = listen(speaks())
    transport = open_nats(
        servers={"events": f"nats://nats.example.test:{listener.port}"},
        resolver=lambda host, port: [ip_address("::1"), ip_address("127.0.0.1")],
    )
    response = transport.send(request_to(URL))
    assert (response.status, response.address) == (202, "127.0.0.1")


def test_an_address_that_is_dead_leaves_time_for_the_others(listen: Listen, open_nats: OpenNats) -> None:
    dead = listen(hangs)
    listener = listen(speaks(), "127.0.0.2", dead.port)
    transport = open_nats(
        servers={"events": f"nats://nats.example.test:{dead.port}"},
        resolver=lambda host, port: [ip_address("127.0.0.1"), ip_address("127.0.0.2")],
    )
    response = transport.send(request_to(URL, timeout=1))
    assert (response.status, response.address) == (202, "127.0.0.2")
    assert (dead.connections, listener.connections) == (1, 1)


def test_a_name_without_an_address_is_told_so(open_nats: OpenNats) -> None:
    def knows_none(host: str, port: int) -> list[object]:
        raise OSError

    transport = open_nats(servers={"events": "nats://nats.example.test"}, resolver=knows_none)
    error = failure(transport, request_to(URL))
    assert str(error) == "name_not_resolved: nats.example.test has no address"


def test_the_deadline_covers_the_look_up_of_the_name(open_nats: OpenNats) -> None:
    answered = threading.Event()

    def slow(host: str, port: int) -> list[object]:
        answered.wait(timeout=20)
        return []

    transport = open_nats(servers={"events": "nats://nats.example.test"}, resolver=slow)
    assert reason(transport, request_to(URL, timeout=0.2)) is Reason.TIMEOUT
    transport.close()
    answered.set()


def test_results_that_are_left_early_harm_nothing(listen: Listen, open_nats: OpenNats) -> None:
    transport = open_nats(servers={"events": at(listen(speaks()).port)}, concurrency=4)
    results = transport.send_many(request_to(URL) for _ in range(10))
    assert told(next(results)) == 202
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert transport.send(request_to(URL)).status == 202


def test_closing_lets_what_is_under_way_end(listen: Listen, open_nats: OpenNats) -> None:
    may_answer = threading.Event()

    def waits(published: Published) -> bytes | None:
        may_answer.wait(timeout=20)
        return acknowledges(published)

    transport = open_nats(servers={"events": at(listen(speaks(waits)).port)})

    def requests() -> Iterator[Request]:
        yield request_to(URL)
        transport.close()
        may_answer.set()

    assert [told(one) for one in transport.send_many(requests())] == [202]


def upgrades(tls: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """Introduces itself in the clear, and goes on over TLS."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(INFO.replace(b"{", b'{"tls_required":true,', 1))
        over_tls(tls, speaks(info=b""))(sock)

    return serve


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_server_that_asks_for_tls_gets_it_and_its_password(
    scheme: str, listen: Listen, open_nats: OpenNats, tls: ssl.SSLContext, ca_bundle: str
) -> None:
    listener = listen(upgrades(tls))
    server = f"{scheme}://user:password@127.0.0.1:{listener.port}"
    transport = open_nats(servers={"events": server}, ca_bundle=ca_bundle)
    assert transport.send(request_to(URL)).status == 202


def test_a_certificate_of_an_authority_that_is_not_trusted_is_told_so(
    listen: Listen, open_nats: OpenNats, tls: ssl.SSLContext
) -> None:
    transport = open_nats(servers={"events": at(listen(upgrades(tls)).port)})
    assert reason(transport, request_to(URL)) is Reason.TLS_UNTRUSTED


def test_where_nothing_listens_it_is_told_so(open_nats: OpenNats) -> None:
    transport = open_nats(servers={"events": at(free_port())})
    assert str(failure(transport, request_to(URL))) == "connection_refused: nothing listens there"


def test_what_is_sent_after_closing_arrives_and_leaves_nothing_behind(
    listen: Listen, open_nats: OpenNats
) -> None:
    transport = open_nats(servers={"events": at(listen(speaks()).port)})
    transport.close()
    assert transport.send(request_to(URL)).status == 202


def test_a_child_starts_afresh(listen: Listen, open_nats: OpenNats) -> None:
    listener = listen(speaks())
    transport = open_nats(servers={"events": at(listener.port)})
    transport.send(request_to(URL))
    _forget_all()  # What the fork hook calls; here in the parent, where it can be watched.
    _forget_all()
    assert transport.send(request_to(URL)).reused is False
    assert listener.connections == 2
    _abandoned.pop().end()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (nats_errors.FlushTimeoutError(), Reason.TIMEOUT),
        (ConnectionRefusedError(), Reason.CONNECTION_REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Reason.CONNECTION_LOST),
        (OSError(errno.EHOSTUNREACH, "no route"), Reason.UNREACHABLE),
        (OSError("odd"), Reason.CONNECTION_LOST),
        (nats_errors.ConnectionClosedError(), Reason.CONNECTION_LOST),
        (nats_errors.UnexpectedEOF(), Reason.PROTOCOL_ERROR),
        (ssl.SSLEOFError(), Reason.CONNECTION_LOST),
        (ssl.SSLError(), Reason.TLS_FAILED),
        (AssertionError("hunter2"), Reason.STAGE_FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_error_has_its_reason(error: Exception, expected: Reason) -> None:
    translated = translate(error)
    assert isinstance(translated, TransportError)
    assert translated.reason is expected
    assert "hunter2" not in str(translated)
