import json
import signal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from support.commands import Commands, process
from thornsdk.cli.demo_cast import CAST, Desk
from thornsdk.cli.receiver import Arrival


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


def test_every_subscriber_behaves_as_announced(run: Commands) -> None:
    ran = run("demo", "--json")
    last = {(one["subscriber"], one["event_name"]): one for one in ran.json if "subscriber" in one}
    assert {key: (one["outcome"], one["reason"]) for key, one in last.items()} == {
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
    assert last["crm", "order.created"]["attempt"] >= 2
    assert last["archive", "order.created"]["attempt"] == 3


def test_the_summary_counts_what_was_verified_by_each_scheme(run: Commands) -> None:
    summary = summary_of(run("demo", "--json").json)
    received = summary["received"]
    assert received >= 13
    assert summary["authentic"] == received
    assert summary["verified"] == {"standard-webhooks": received, "hook-hmac": received}
    assert summary["disabled"] == {"former": "answered 410 (gone) to order.created"}
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
    assert "0xa9fea9fe is at 169.254.169.254: link-local, cloud metadata" in rest
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
    assert summary_of(run("demo", "--json").json)["delivered"] == 5


def test_it_does_not_wait_for_ever_for_what_is_pending(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thornsdk.cli.demo.PATIENCE", -1.0)
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
