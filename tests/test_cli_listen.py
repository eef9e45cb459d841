import io
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from support.commands import Commands, Ran, Screen, process
from thornsdk import Secret, SigningKey, hook_hmac, standard_webhooks_v1a
from thornsdk.cli.listen import _Desk
from thornsdk.cli.receiver import MAX_BODY, Arrival, Receiver
from thornsdk.cli.stopping import stoppable
from thornsdk.model import Digest

SECRET = "s3cret"


def post(url: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request("POST", parts.path, body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def _ignored(_: int) -> None:
    """The status does not matter."""


def signed(body: bytes) -> dict[str, str]:
    return {"Hook-HMAC": hook_hmac(Secret(SECRET).key, body, Digest.SHA256), "Hook-Event": "order.created"}


def listen(run: Commands, *flags: str, doing: Callable[[str], None], stop: bool = True) -> Ran:
    """Runs `listen` while a thread does something with its URL, and stops it as SIGTERM does."""
    screen = Screen()

    def visit() -> None:
        while (found := re.search(r"http://\S+?:\d+/", screen.text)) is None:
            threading.Event().wait(0.01)
        try:
            doing(found[0])
        finally:
            if stop:
                os.kill(os.getpid(), signal.SIGTERM)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        return run("listen", "--port", 0, *flags, screen=screen)
    finally:
        visitor.join()


def test_it_prints_and_verifies_what_arrives(run: Commands) -> None:
    statuses: list[int] = []
    body = b'{"id":42}'
    ran = listen(
        run, "--secret", SECRET, doing=lambda url: statuses.append(post(f"{url}hooks", body, signed(body)))
    )
    assert (ran.code, ran.err, statuses) == (0, "", [200])
    first, empty, *rest = ran.out.splitlines()
    assert first.startswith("listening at http://127.0.0.1:")
    assert first.endswith("  verifying")
    assert [empty, *rest] == [
        "",
        "order.created  (no id)  9 bytes  /hooks",
        "✓ verified by hook-hmac  answered 200",
        "    {",
        '      "id": 42',
        "    }",
    ]


def test_what_is_not_authentic_is_answered_401(run: Commands) -> None:
    statuses: list[int] = []
    ran = listen(run, "--secret", "other", doing=lambda url: statuses.append(post(url, b"x", signed(b"x"))))
    assert (ran.code, statuses) == (0, [401])
    assert "✗ Hook-HMAC does not match the body" in ran.out
    assert "answered 401" in ran.out


def test_without_a_secret_everything_is_taken_and_not_called_verified(run: Commands) -> None:
    statuses: list[int] = []
    ran = listen(run, "--status", "202", doing=lambda url: statuses.append(post(url)))
    assert statuses == [202]
    assert "not verifying: no --secret or --public-key was given" in ran.out
    assert "not verified  answered 202" in ran.out


def test_machines_get_one_line_for_each_request(run: Commands) -> None:
    ran = listen(
        run, "--json", "--secret", SECRET, doing=lambda url: _ignored(post(url, b"\xffhi", signed(b"\xffhi")))
    )
    first, second = ran.json
    assert list(first) == ["listening"]
    assert second == {
        "event": "order.created",
        "delivery": None,
        "verified": "hook-hmac",
        "problem": None,
        "answered": 200,
        "path": "/",
        "content_type": None,
        "bytes": 3,
        "body": "\\xffhi",
    }


def test_what_arrives_cannot_steer_the_terminal(run: Commands) -> None:
    evil = "\x1b[2J\x9b2J"
    headers = {"Hook-Event": "\x1b[2J", "Hook-Delivery": "\x9b2J"}

    def visit(url: str) -> None:
        post(url, evil.encode(), headers)
        post(url, json.dumps(evil + "\u202e").encode(), headers)

    ran = listen(run, doing=visit)
    assert "\\x1b[2J" in ran.out
    for one in ("\x1b", "\x9b", "\u202e"):
        assert one not in ran.out


def test_a_long_body_is_cut(run: Commands) -> None:
    ran = listen(run, doing=lambda url: _ignored(post(url, b"a" * 3210)))
    assert "(1,210 more characters)" in ran.out
    assert ran.out.count("a" * 2000) == 1
    assert "a" * 2001 not in ran.out


def test_json_that_is_nested_too_deeply_is_shown_as_text(run: Commands) -> None:
    ran = listen(run, doing=lambda url: _ignored(post(url, b"[" * 100_000)))
    assert "98,000 more characters" in ran.out


@pytest.mark.parametrize(("secret", "code"), [(SECRET, 0), ("other", 1)])
def test_once_ends_after_one_request_and_tells_whether_it_was_authentic(
    run: Commands, secret: str, code: int
) -> None:
    ran = listen(
        run,
        "--once",
        "--secret",
        secret,
        doing=lambda url: _ignored(post(url, b"x", signed(b"x"))),
        stop=False,
    )
    assert ran.code == code


def test_it_verifies_with_a_public_key(run: Commands) -> None:
    key, now = SigningKey.generate(), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": str(now),
        "webhook-signature": standard_webhooks_v1a(key, "id-1", now, b"{}"),
    }
    statuses: list[int] = []

    def visit(url: str) -> None:
        statuses.append(post(url, b"{}", headers))
        statuses.append(post(url, b"{}", signed(b"{}")))

    ran = listen(run, "--public-key", str(key.public_key), "--json", doing=visit)
    assert statuses == [200, 401]
    assert [one["verified"] for one in ran.json[1:]] == ["ed25519", None]


def test_after_the_one_request_others_are_answered_but_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk = _Desk(
        {
            "host": "127.0.0.1",
            "port": 0,
            "secrets": (),
            "public_keys": (),
            "status": 202,
            "once": True,
            "as_json": False,
        }
    )
    assert [desk.answer(Arrival("/", (), b"")) for _ in range(2)] == [202, 202]
    desk.wait()
    assert capsys.readouterr().out.count("answered 202") == 1


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_it_ends_when_nobody_reads_its_output(run: Commands, flags: list[str]) -> None:
    reading, writing = os.pipe()
    err = Screen()

    def visit() -> None:
        with os.fdopen(reading) as lines:
            url = re.findall(r"http://\S+?:\d+/", lines.readline())[0]
        assert post(url) == 200

    visitor = threading.Thread(target=visit)
    visitor.start()
    with io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8") as out:
        code = run.printing_to(out, err, "listen", "--port", 0, *flags)
    visitor.join()
    assert (code, err.text) == (0, "")


def test_a_port_that_is_taken_is_told(run: Commands) -> None:
    with Receiver(lambda _: 200) as other:
        ran = run("listen", "--port", other.port)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"error: cannot listen at 127.0.0.1 port {other.port}: Address already in use; "
        f"--port 0 takes a port that is free\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with process("listen", "--port", 0, "--json") as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["listening"]
        assert post(url) == 200
        idle = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
        running.send_signal(number)
        out, err = running.communicate(timeout=50)
        idle.close()
    assert (running.returncode, err) == (0, "")
    assert json.loads(out)["answered"] == 200


def test_the_second_signal_does_not_stop_the_clean_up() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


# The receiver


def note(taken: list[Arrival], one: Arrival) -> int:
    taken.append(one)
    return 200


def talk(receiver: Receiver, data: bytes) -> bytes:
    """Sends bytes as they are, and reads until the connection ends."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Transfer-Encoding: chunked", 411),
        (b"Content-Length: some", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: %d" % (MAX_BODY + 1), 413),
        (b"Content-Length: " + b"9" * 5000, 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_unread(header: bytes, status: int) -> None:
    taken: list[Arrival] = []
    with Receiver(lambda one: note(taken, one)) as receiver:
        answer = talk(receiver, b"POST / HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert taken == []


def test_a_request_that_breaks_off_is_dropped() -> None:
    taken: list[Arrival] = []
    with Receiver(lambda one: note(taken, one)) as receiver:
        answer = talk(receiver, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
    assert (answer, taken) == (b"", [])


def test_a_defect_in_the_answer_costs_only_its_connection() -> None:
    def answer(one: Arrival) -> int:
        return 200 // (one.path != "/bad")

    with Receiver(answer) as receiver:
        assert talk(receiver, b"POST /bad HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert post(f"{receiver.origin}/good") == 200


def test_it_listens_at_ipv6_too() -> None:
    with Receiver(lambda _: 204, host="::1") as receiver:
        assert receiver.origin == f"http://[::1]:{receiver.port}"
        assert post(f"{receiver.origin}/") == 204


def test_closing_lets_an_answer_be_written_to_its_end() -> None:
    begun = threading.Event()
    statuses: list[int] = []

    def answer(_: Arrival) -> int:
        begun.set()
        receiver.stopping.wait(30)
        return 203

    with Receiver(answer) as receiver:
        visitor = threading.Thread(target=lambda: statuses.append(post(f"{receiver.origin}/")))
        visitor.start()
        assert begun.wait(30)
    visitor.join()
    assert statuses == [203]


def test_closing_ends_a_connection_that_is_idle() -> None:
    with Receiver(lambda _: 200) as receiver:
        idle = socket.create_connection(("127.0.0.1", receiver.port), timeout=20)
        idle.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
    with idle:
        assert b"".join(iter(lambda: idle.recv(65536), b"")).endswith(b"\r\n\r\n")
