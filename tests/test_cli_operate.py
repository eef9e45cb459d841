"""The commands that see, mend and replay what is in a store."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from attrs import evolve

from support.commands import Commands, Ran, Screen, broken_pipe, send_one
from support.records import MINUTE, NOW, delivery
from thornsdk import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    OutcomeKind,
    Reason,
    Tally,
    Thorn,
    Timings,
)
from thornsdk.cli import delivery_view, times
from thornsdk.cli.following import Follower, follow
from thornsdk.cli.retry import rounds
from thornsdk.cli.show import moment
from thornsdk.cli.stopping import StopFlag, asked_to_stop
from thornsdk.cli.telling import total
from thornsdk.errors import StoreBusy
from thornsdk.testing import Endpoint, FakeClock, answers, in_turn, make_taken
from thornsdk_plugins.sqlite import SqliteStore

SECOND = timedelta(seconds=1)


pytestmark = pytest.mark.usefixtures("cli_settings")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path / "thorn.db")
    yield one
    one.close()


def ids(ran: Ran) -> list[str]:
    return [one["delivery"] for one in ran.json]


# Times


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("4w", timedelta(weeks=4)),
    ],
)
def test_an_age_is_a_number_and_its_unit(text: str, age: timedelta) -> None:
    assert times.age(text) == age
    assert times.moment(text, clock=lambda: NOW) == NOW - age


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05+00:00", "2026-01-02T04:04:05+01:00"])
def test_a_moment_is_iso_8601(text: str) -> None:
    assert times.moment(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_moment_without_a_zone_is_of_the_zone_of_this_machine() -> None:
    assert times.moment("2026-01-02") == datetime(2026, 1, 2).astimezone()


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 h", "1.5h", "yesterday", "9999999999d", "٣d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no age, such as 90s, 15m, 2h, 3d or 4w"):
        times.age(text)
    with pytest.raises(click.BadParameter, match="is no time, such as 2026-01-31T12:00, and no age"):
        times.moment(text)


# The list


def test_deliveries_are_listed_by_states_event_subscription_owner_and_time(
    run: Commands, store: SqliteStore
) -> None:
    late = evolve(delivery(at=NOW + MINUTE), event="user.created", owner="acme")
    pending, done = delivery(due=NOW), delivery()
    store.accept([late, pending, done])
    assert ids(run("deliveries", "--json", "--state", "pending")) == [str(pending.id)]
    both = run("deliveries", "--json", "--state", "pending", "--state", "delivered", "--event", "order.*")
    assert sorted(ids(both)) == sorted([str(pending.id), str(done.id)])
    assert ids(run("deliveries", "--json", "--subscription", done.subscription_id)) == [str(done.id)]
    assert ids(run("deliveries", "--json", "--owner", "acme")) == [str(late.id)]
    assert ids(run("deliveries", "--json", "--since", "2026-01-02T03:05:00Z")) == [str(late.id)]
    assert str(late.id) not in ids(run("deliveries", "--json", "--before", "2026-01-02T03:05:00Z"))
    assert ids(run("deliveries", "--json", "--since", "2h")) == []


def test_machines_are_told_the_state_the_owner_and_when_the_attempt_began(
    run: Commands, store: SqliteStore
) -> None:
    store.record(evolve(delivery(), owner="acme"))
    (only,) = run("deliveries", "--json").json
    assert (only["state"], only["owner"], only["started_at"]) == ("delivered", "acme", NOW.isoformat())


def test_what_is_leased_or_was_not_attempted_yet_says_so_in_the_list(
    run: Commands, store: SqliteStore
) -> None:
    new = delivery(due=NOW)
    store.accept([evolve(new, last=evolve(new.last, number=0))])
    assert "no attempt yet" in run("deliveries").out
    store.claim_due(NOW, 1, lambda record: make_taken(record, NOW + MINUTE))
    listed = run("deliveries").out
    assert "leased" in listed
    assert "until 20" in listed
    assert "worker_lost" not in listed


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--since", "soon"], "Invalid value for '--since': 'soon' is no time, such as"),
        (["--event", "a.b*"], "no event can match the pattern 'a.b*'"),
        (["--follow", "--since", "2h"], "--follow and --since exclude each other: it tells what ends from"),
        (["--follow", "--limit", "2"], "--follow and --limit exclude each other"),
        (["--json", "show", str(uuid4())], "the options of `show` stand after it"),
    ],
)
def test_what_cannot_be_listed_is_one_line_and_exit_code_2(run: Commands, args: list[str], told: str) -> None:
    ran = run("deliveries", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}")


# One delivery


def attempt(number: int, **parts: Any) -> Attempt:
    return evolve(delivery(due=NOW + MINUTE).last, number=number, **parts)


def kept(store: SqliteStore, *attempts: Attempt) -> DeliveryRecord:
    record = delivery()
    for one in attempts:
        record = evolve(record, last=one)
        store.record(record)
    return record


def test_a_delivery_is_shown_with_every_attempt_and_what_is_next(run: Commands, store: SqliteStore) -> None:
    timings = Timings(total=0.25, lookup=0.001, connect=0.002, tls=0.003, first_byte=0.2)
    first = attempt(1, status=503, address="192.0.2.1", timings=timings, answer=b"busy", response_bytes=4)
    second = attempt(2, detail="nobody answers", reused=True)
    one = kept(store, first, second)
    out = run("deliveries", "show", one.id).out
    assert f"delivery      {one.id}\n" in out
    assert f"created       {moment(one.created_at)}\n" in out
    assert "state         pending\n" in out
    assert "next          attempt 3 at 2026-" in out
    assert "attempt 1  2026-" in out
    assert "↻ retry  status  503  250 ms\n" in out
    assert "    at 192.0.2.1, look-up 1 ms, connect 2 ms, TLS 3 ms, first byte 200 ms\n" in out
    assert "    answered busy\n" in out
    assert "    connection used again\n    nobody answers\n" in out


def test_machines_get_a_delivery_with_its_attempts_as_one_object(run: Commands, store: SqliteStore) -> None:
    one = kept(store, attempt(1, status=503, address="192.0.2.1", answer=b"\xffbusy"), attempt(2))
    (shown,) = run("deliveries", "show", one.id, "--json").json
    assert (shown["delivery"], shown["state"], shown["bytes"]) == (str(one.id), "pending", 8)
    assert shown["next_attempt_at"] == (NOW + MINUTE).isoformat()
    assert (shown["created_at"], shown["accepted_at"]) == (one.created_at.isoformat(), NOW.isoformat())
    assert [(each["attempt"], each["status"]) for each in shown["attempts"]] == [(1, 503), (2, None)]
    assert (shown["attempts"][0]["answer"], shown["attempts"][0]["address"]) == ("\\xffbusy", "192.0.2.1")


def test_an_attempt_that_is_under_way_is_no_attempt_yet_and_says_who_makes_it(
    run: Commands, store: SqliteStore
) -> None:
    store.record(one := delivery(due=NOW))
    store.claim_due(NOW, 1, lambda record: make_taken(record, NOW + MINUTE, holder="elsewhere"))
    out = run("deliveries", "show", one.id).out
    assert "next          attempt 2 is under way; if nothing is told of it, another at 2026-" in out
    assert "attempt 2  2026" not in out
    (shown,) = run("deliveries", "show", one.id, "--json").json
    assert (shown["leased_to"], len(shown["attempts"])) == ("elsewhere", 1)


def test_what_is_held_back_says_until_when_and_why(run: Commands, store: SqliteStore) -> None:
    store.record(one := evolve(delivery(due=NOW + MINUTE), held=Reason.ORIGIN_PAUSED))
    assert "held until 20" in run("deliveries").out
    out = run("deliveries", "show", one.id).out
    assert "; held back until then: origin_paused\n" in out
    assert [each["held"] for each in run("deliveries", "--json").json] == ["origin_paused"]
    assert [each["held"] for each in run("deliveries", "show", one.id, "--json").json] == ["origin_paused"]


def test_what_is_next_depends_on_the_state(store: SqliteStore) -> None:
    new = delivery(due=NOW)
    accepted = make_taken(evolve(new, last=evolve(new.last, number=-1)), NOW)
    assert "attempt 1 is about to begin" in delivery_view._next(accepted)
    assert delivery_view._next(delivery()) == "nothing: it arrived"
    failed = evolve(
        delivery(), last=evolve(delivery().last, outcome=evolve(attempt(1).outcome, retry_at=None))
    )
    assert "`thornsdk replay` attempts it again" in delivery_view._next(failed)


def test_an_answer_cannot_steer_the_terminal_and_is_cut(run: Commands, store: SqliteStore) -> None:
    one = kept(store, attempt(1, answer=b"\x1b[2J\r\n" + b"x" * 900, response_bytes=5000))
    out = run("deliveries", "show", one.id).out
    assert "\x1b" not in out
    assert "answered \\x1b[2J\\r\\nxxx" in out.replace("\n    ", "")
    assert out.count("x") < 400
    assert out.rstrip().endswith("...")


@pytest.mark.parametrize("columns", ["80", "100"])
def test_a_delivery_fits_on_every_terminal(
    run: Commands, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    one = kept(store, attempt(1, status=503, answer=b"x y " * 200, response_bytes=800))
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, run("deliveries", "show", one.id).out.splitlines())) <= int(columns)


def test_a_delivery_that_is_not_known_is_exit_code_1(run: Commands) -> None:
    ran = run("deliveries", "show", uuid4())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: there is no delivery ")


# Following


def follower(thorn: Thorn, clock: FakeClock, wanted: DeliveryFilter | None = None) -> Follower:
    return Follower(thorn, wanted or DeliveryFilter(), look_back=MINUTE, clock=clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def test_what_ended_before_is_not_told_and_what_ends_later_is_told_once(
    thorn: Thorn, store: SqliteStore, clock: FakeClock
) -> None:
    store.record(old := delivery(due=NOW))
    following = follower(thorn, clock)
    assert following.new() == []
    store.record(new := delivery(at=NOW - SECOND))
    store.record(again := evolve(old, last=attempt(2, started_at=NOW + SECOND)))
    assert [(one.id, one.last) for one in following.new()] == [(new.id, new.last), (again.id, again.last)]
    assert following.new() == []


def test_attempts_between_two_looks_are_all_told(thorn: Thorn, store: SqliteStore, clock: FakeClock) -> None:
    long_ago = delivery(at=NOW - 9 * MINUTE, due=NOW)
    store.record(long_ago)
    following = follower(thorn, clock)
    for number in (2, 3):
        store.record(evolve(long_ago, last=attempt(number, started_at=NOW + number * SECOND)))
    assert [one.last.number for one in following.new()] == [2, 3]


def test_an_attempt_is_told_when_it_has_ended_and_not_while_it_is_under_way(
    thorn: Thorn, store: SqliteStore, clock: FakeClock
) -> None:
    following = follower(thorn, clock)
    new = delivery(due=NOW)
    store.accept([accepted := evolve(new, last=evolve(new.last, number=0))])
    assert following.new() == []
    (taken,) = store.claim_due(NOW, 1, lambda record: make_taken(record, NOW + MINUTE))
    assert following.new() == []
    store.record(evolve(accepted, last=attempt(1, started_at=NOW + SECOND)))
    assert [one.last.number for one in following.new()] == [1]
    assert taken.id == accepted.id


def test_only_those_are_told_that_come_to_a_state_that_is_wanted(
    thorn: Thorn, store: SqliteStore, clock: FakeClock
) -> None:
    following = follower(thorn, clock, DeliveryFilter(states=frozenset({DeliveryState.DELIVERED})))
    one = delivery(due=NOW)
    store.record(one)
    store.record(evolve(one, last=evolve(delivery().last, number=2)))
    assert [found.last.number for found in following.new()] == [2]


class Stopped(Exception):
    """Ends what would go on for ever."""


def follow_while(
    following: Follower, doing: Callable[[], object], tell: Callable[[DeliveryRecord], None]
) -> None:
    """Follows; does something while it sleeps for the first time, and stops it the second time."""
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) > 1:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(20)
        doing()

    follow(following, tell, sleep=sleep)


def test_following_ends_with_sigterm(thorn: Thorn, store: SqliteStore, clock: FakeClock) -> None:
    told: list[DeliveryRecord] = []
    new = delivery()
    follow_while(follower(thorn, clock), lambda: store.record(new), told.append)
    assert [one.id for one in told] == [new.id]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_following_ends_when_nobody_reads_any_more(
    run: Commands, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr(Follower, "new", lambda self: [delivery()])
    with broken_pipe() as out:
        assert run.printing_to(out, Screen(), "deliveries", "--follow", *flags) == 0


def test_people_are_told_when_what_and_which(store: SqliteStore) -> None:
    first, second = delivery_view.followed(one := delivery()).plain.splitlines()
    assert first.endswith("✓ delivered  https://example.com  status  250 ms")
    assert second.strip() == f"{one.id}  order.created"


# Replay


def test_several_deliveries_are_replayed_by_their_ids(run: Commands, endpoint: Endpoint) -> None:
    one = send_one(run, url=endpoint.url)
    (other,) = ids(run("send", "order.created", "--data", "2", "--json"))
    ran = run("replay", one, other, "--json")
    assert (ran.code, ids(ran)) == (0, [str(one), other])


def test_an_id_that_is_not_known_keeps_no_other_from_its_replay(run: Commands, endpoint: Endpoint) -> None:
    one, unknown = send_one(run, url=endpoint.url), uuid4()
    ran = run("replay", unknown, one, "--json")
    assert (ran.code, ids(ran)) == (1, [str(one)])
    assert ran.err == f"error: there is no delivery {unknown} in the store\n"


def test_what_was_not_delivered_is_replayed_and_counted(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(in_turn(answers(302), answers(200), answers(200)))
    failed = send_one(run, url=endpoint.url)
    run("send", "order.created", "--data", "2")
    ran = run("replay", "--undelivered", "--since", "1h")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "1 delivered")
    assert endpoint.seen[-1].header("Hook-Delivery") == str(failed)
    assert run("replay", "--undelivered") == Ran(0, "", "there are no such deliveries\n")


def test_machines_get_a_line_for_each_replay_and_the_tally_in_the_last(
    run: Commands, endpoint: Endpoint
) -> None:
    delivered = send_one(run, url=endpoint.url)
    endpoint.behave(answers(302))
    ran = run("replay", "--state", "delivered", "--event", "order.*", "--json")
    assert ran.code == 1
    first, last = ran.json
    assert (first["delivery"], first["outcome"]) == (str(delivered), "failed")
    assert last == {"delivered": 0, "retry": 0, "failed": 1, "blocked": 0}


@pytest.mark.parametrize("by", ["id", "filter"])
def test_a_replay_can_make_new_deliveries(run: Commands, endpoint: Endpoint, by: str) -> None:
    one = send_one(run, url=endpoint.url)
    ran = run("replay", *([one] if by == "id" else ["--since", "1h"]), "--new-ids", "--json")
    assert ran.json[0]["delivery"] != str(one)
    assert len({seen.header("Hook-Delivery") for seen in endpoint.seen}) == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "give the ids of deliveries, or choose some: --undelivered, --subscription ID, ..."),
        (["--new-ids"], "give the ids of deliveries, or choose some"),
        ([str(uuid4()), "--undelivered"], "ids and options that choose deliveries exclude each other"),
        ([str(uuid4()), "--since", "2h"], "ids and options that choose deliveries exclude each other"),
        (["--undelivered", "--state", "failed"], "--undelivered and --state exclude each other"),
        (["--state", "pending"], "Invalid value for '--state': 'pending' is not one of 'delivered', "),
    ],
)
def test_a_replay_of_nothing_in_particular_is_exit_code_2(run: Commands, args: list[str], told: str) -> None:
    ran = run("replay", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}")


# Retry


def retry_until_sigterm(run: Commands, *flags: str, when: str) -> Ran:
    """Runs `retry --follow` until it has printed something, and stops it as SIGTERM does."""
    screen, ended = Screen(), threading.Event()

    def stop() -> None:
        while when not in screen.text and not ended.wait(0.01):
            pass
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        return run("retry", "--follow", *flags, screen=screen)
    finally:
        ended.set()
        stopper.join()


def test_retry_goes_on_with_what_becomes_due_until_it_is_stopped(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(in_turn(answers(503), answers(503), answers(200)))
    send_one(run, url=endpoint.url)
    ran = retry_until_sigterm(run, when="delivered")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[1] for line in ran.out.splitlines()] == ["retry", "delivered", "delivered"]
    assert ran.out.endswith("1 delivered · 1 retry\n")


def test_machines_get_the_tally_of_all_rounds_in_the_last_line(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(in_turn(answers(503), answers(200)))
    send_one(run, url=endpoint.url)
    ran = retry_until_sigterm(run, "--json", when="}")
    assert [one.get("outcome") for one in ran.json] == ["delivered", None]
    assert ran.json[-1] == {"delivered": 1, "retry": 0, "failed": 0, "blocked": 0}


def test_the_first_signal_asks_to_stop_and_the_second_ends() -> None:
    with asked_to_stop() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


class Rounds:
    """Counts waits, and stops after so many."""

    def __init__(self, most: int) -> None:
        self.flag = StopFlag()
        self.waits: list[float] = []
        self._most = most

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self._most:
            self.flag.ask()


def test_between_rounds_it_waits_until_something_is_due_but_no_longer_than_a_second(
    thorn: Thorn, store: SqliteStore
) -> None:
    one = Rounds(1)
    assert total(rounds(thorn, one.flag, clock=lambda: NOW, wait=one.wait)) == Tally()
    store.record(make_taken(delivery(due=NOW), datetime(2999, 1, 1, tzinfo=UTC)))
    for before, expected in [(9, 1.0), (0.5, 0.5), (0, 0.05)]:
        other = Rounds(1)
        now = datetime(2999, 1, 1, tzinfo=UTC) - timedelta(seconds=before)
        total(rounds(thorn, other.flag, clock=lambda at=now: at, wait=other.wait))  # type: ignore[misc]
        assert other.waits == [expected]
    assert one.waits == [1.0]


def test_who_is_asked_to_stop_while_it_works_does_not_wait(
    thorn: Thorn, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Rounds(9)

    def run_due(self: Thorn, *, stop: StopFlag) -> Tally:
        stop.ask()
        return Tally(delivered=1)

    monkeypatch.setattr(Thorn, "run_due", run_due)
    assert total(rounds(thorn, one.flag, wait=one.wait)).delivered == 1
    assert one.waits == []


def test_a_store_that_fails_once_is_told_and_one_that_fails_twice_ends_it(
    thorn: Thorn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results: list[Tally | StoreBusy] = [StoreBusy("locked"), Tally(), StoreBusy("locked"), StoreBusy("again")]

    def run_due(self: Thorn, *, stop: Callable[[], bool]) -> Tally:
        result = results.pop(0)
        if isinstance(result, StoreBusy):
            raise result
        return result

    monkeypatch.setattr(Thorn, "run_due", run_due)
    with pytest.raises(StoreBusy, match="again"):
        total(rounds(thorn, StopFlag(), wait=lambda seconds: None))
    assert capsys.readouterr().err.count("error: locked") == 2


# Count


def test_deliveries_are_counted_by_event_and_state_those_that_were_pruned_too(
    run: Commands, store: SqliteStore
) -> None:
    store.accept([delivery(), delivery(at=NOW - timedelta(days=1)), delivery(OutcomeKind.FAILED)])
    store.accept([evolve(delivery(), event="user.left")])
    run("prune", "--keep", 0, "--state", "delivered")
    rows = [line.split() for line in run("deliveries", "count").out.splitlines()[3:]]
    assert [row for row in rows if row] == [
        ["order.created", "delivered", "2"],
        ["order.created", "failed", "1"],
        ["user.left", "delivered", "1"],
    ]


def test_machines_get_a_line_for_each_day_subscription_event_and_state(
    run: Commands, store: SqliteStore
) -> None:
    one = delivery()
    store.accept([one, evolve(delivery(), subscription_id=one.subscription_id)])
    assert run("deliveries", "count", "--json").json == [
        {
            "day": "2026-01-02",
            "event": "order.created",
            "subscription": str(one.subscription_id),
            "state": "delivered",
            "deliveries": 2,
        }
    ]


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ([], 3),
        (["--state", "failed"], 1),
        (["--state", "failed", "--state", "delivered"], 3),
        (["--event", "user.*"], 0),
        (["--subscription", str(uuid4())], 0),
        (["--since", "2026-01-02"], 2),
        (["--before", "2026-01-02"], 1),
        (["--since", "1h"], 0),
    ],
)
def test_deliveries_are_counted_by_state_event_subscription_and_day(
    run: Commands, store: SqliteStore, args: list[str], count: int
) -> None:
    store.accept([delivery(), delivery(at=NOW - timedelta(days=1)), delivery(OutcomeKind.FAILED)])
    assert len(run("deliveries", "count", "--json", *args).json) == count


def test_where_there_is_nothing_to_count_it_says_so(run: Commands) -> None:
    assert run("deliveries", "count") == Ran(0, "", "there are no such deliveries\n")


def test_a_day_is_iso_8601_or_an_age() -> None:
    now = datetime(2026, 1, 31, 0, 30, tzinfo=UTC)
    assert times.day("2026-01-02").isoformat() == "2026-01-02"
    assert times.day("1h", clock=lambda: now).isoformat() == "2026-01-30"
    for text in ("yesterday", "2026-01-02T03:04", "9999999w"):
        with pytest.raises(click.BadParameter, match="is no day, such as 2026-01-31, and no age"):
            times.day(text)


# Skipped


def test_what_was_skipped_says_so_and_why_and_how_it_is_sent(run: Commands, thorn: Thorn) -> None:
    one = thorn.subscribe("*", "https://example.com/hooks")
    thorn.disable(one.id, why="they moved")
    thorn.event("order.created").send(1)
    (kept,) = thorn.deliveries()
    listed = run("deliveries", "--state", "cancelled").out
    assert "no attempt" in listed
    assert "yet" not in listed
    assert "○ skipped" in listed
    shown = run("deliveries", "show", kept.id).out
    assert "skipped       the subscription was disabled: they moved\n" in shown
    assert "next          nothing; `thornsdk replay` attempts it again\n" in shown


# Prune


def test_prune_removes_what_is_old_or_too_much_and_says_how_many(run: Commands, store: SqliteStore) -> None:
    store.accept([delivery(), delivery(), pending := delivery(due=NOW)])
    assert run("prune", "--keep", 1).out == "removed 1 delivered\n"
    ran = run("prune", "--older-than", "1d", "--json")
    assert ran.json == [{"delivered": 1, "failed": 0, "blocked": 0, "cancelled": 0}]
    assert run("prune", "--keep", 0) == Ran(0, "", "there was nothing to remove\n")
    assert [one.id for one in store.deliveries()] == [pending.id]


def test_prune_removes_those_in_the_states_that_are_named(run: Commands, store: SqliteStore) -> None:
    kinds = (OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.BLOCKED)
    store.accept(delivery(kind) for kind in kinds)
    ran = run("prune", "--keep", 0, "--state", "delivered", "--state", "blocked")
    assert ran.out == "removed 1 delivered · 1 blocked\n"
    assert [one.state for one in store.deliveries()] == [DeliveryState.FAILED]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "say what to remove: --older-than AGE, such as 30d, or --keep N, or both"),
        (["--older-than", "2026-01-01"], "Invalid value for '--older-than': '2026-01-01' is no age"),
        (["--keep", "0", "--state", "pending"], "Invalid value for '--state': 'pending' is not one of"),
    ],
)
def test_pruning_without_saying_what_is_exit_code_2(run: Commands, args: list[str], told: str) -> None:
    ran = run("prune", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}")


# Cancelling


def test_a_delivery_is_cancelled(run: Commands, store: SqliteStore) -> None:
    one, other = delivery(due=NOW), delivery(OutcomeKind.FAILED)
    store.accept([one, other])
    assert run("deliveries", "cancel", one.id).out == f"cancelled {one.id}\n"
    (told,) = run("deliveries", "cancel", other.id, "--json").json
    assert (told["delivery"], told["state"], told["reason"]) == (str(other.id), "cancelled", "cancelled")
    assert {one.state for one in store.deliveries()} == {DeliveryState.CANCELLED}


def test_one_that_has_arrived_is_not_cancelled(run: Commands, store: SqliteStore) -> None:
    one = delivery()
    store.accept([one])
    ran = run("deliveries", "cancel", one.id)
    assert (ran.code, ran.err) == (
        2,
        f"error: the delivery {one.id} has arrived; there is nothing to cancel\n",
    )
