"""The benchmarks of sending: a short form runs to its end, and what they are made of tells the truth."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from rig.chart import chart
from rig.fast_receiver import FastReceiver
from rig.figures import Found, Result, Verdict, verdicts
from rig.peers import socket_loop
from rig.report import markdown, name_of, text
from rig.scenarios import AIMS, CURL, LOOP, NAIVE, PIPELINE, URLLIB3, Aim, Entry, Scenario, scenarios
from rig.way import Cost, Target, Way, WayMissing
from send_speed import BODY_SIZE, payload

from support.benchmarks import run_benchmark
from support.stages import make_message
from thornsdk_plugins.json import JsonSerializer

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "explanation" / "speed-figures.inc"
SVG = "{http://www.w3.org/2000/svg}"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def printed_by(*options: str) -> str:
    """Runs the benchmark with few subscribers, and gives what it prints."""
    ran = run_benchmark("send_speed.py", "--rounds", "1", "--subscribers", "20", "--origins", "2", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def result(rate: float, *, cpu: float = 0.0, receiver_cpu: float = 0.0) -> Result:
    """Makes what a round has shown that took one second."""
    cost = Cost(seconds=1.0, cpu=cpu, peak_mb=1.0)
    return Result(deliveries=round(rate), cost=cost, receiver_cpu=receiver_cpu, connections=0)


def found(key: str, **results: Sequence[Result]) -> Found:
    """Makes what was found in a scenario; a way's name is given with _ for what is no letter."""
    (scenario,) = [one for one in scenarios(100, 2) if one.key == key]
    names = {_letters(entry.name): entry.name for entry in scenario.entries}
    by_name = {names[name]: some for name, some in results.items()}
    return Found(scenario=scenario, subscribers=100, results=by_name)


def _letters(name: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in name)


def connected(receiver: FastReceiver) -> socket.socket:
    return socket.create_connection(("127.0.0.1", receiver.ports[0]), timeout=10)


def target(urls: list[str], **options: object) -> Target:
    return Target(urls=urls, payload={"id": "42"}, body='{"id":"42"}', options=options)


def test_each_scenario_measures_ours_and_tells_what_is_missing() -> None:
    printed = printed_by("--only", "turn", "slow", "https")
    rows = [line for line in printed.splitlines() if line.startswith(URLLIB3)]
    assert len(rows) == 3
    assert all(float(row.removeprefix(URLLIB3).split()[0].replace(",", "")) > 0 for row in rows)
    assert printed.count(f"\n{CURL}") == 3  # With figures, or with what it lacks.
    assert "50 ms: thornsdk, urllib3 / ideal" in printed


def test_a_run_writes_all_rounds_to_a_file(tmp_path: Path) -> None:
    printed = printed_by("--only", "many", "pipeline", "--json", str(tmp_path / "raw.json"))
    raw = json.loads((tmp_path / "raw.json").read_text())
    many, pipeline = (one["results"] for one in raw["scenarios"])
    assert [one["deliveries"] for one in many[LOOP]] == [400]
    assert pipeline[PIPELINE][0]["cost"]["cpu"] > 0
    assert {one["aim"]["scenario"] for one in raw["aims"]} == {"many", "pipeline"}
    assert "At the fastest way (socket loop, 64 in flight), the sender used" in printed


def test_the_payload_is_one_kibibyte_as_the_library_writes_it() -> None:
    assert len(JsonSerializer().serialize(make_message(payload()))) == BODY_SIZE == 1024


def test_the_docs_tell_every_aim() -> None:
    told = FIGURES.read_text(encoding="utf-8")
    assert [aim for aim in AIMS if f"| {name_of(aim)} |" not in told] == []


def test_a_way_that_cannot_be_built_is_missing() -> None:
    with pytest.raises(WayMissing, match="there is no transport 'carrier-pigeon'"):
        Way("ours", target(["http://127.0.0.1:1/"], transport="carrier-pigeon"))


def test_a_way_whose_delivery_does_not_arrive_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with Way("ours", target(["http://127.0.0.1:1/"])) as way, pytest.raises(SystemExit, match="ours failed"):
        way.deliver(1)
    assert "a delivery did not arrive" in capfd.readouterr().err


def test_the_receiver_answers_a_request_when_its_last_byte_has_come() -> None:
    with FastReceiver(1) as receiver, connected(receiver) as sock:
        for part in (REQUEST[:10], REQUEST[10:-1]):
            sock.sendall(part)
            assert receiver.counts().requests == 0
        sock.sendall(REQUEST[-1:])
        assert sock.recv(1000) == ANSWER


def test_the_receiver_reads_each_request_by_its_own_length() -> None:
    longer = b"POST / HTTP/1.1\r\ncontent-length:5\r\n\r\nhello"
    with FastReceiver(1) as receiver, connected(receiver) as sock:
        sock.sendall(REQUEST + longer[:-1])
        received = sock.recv(1000)
        assert receiver.counts().requests == 1
        sock.sendall(longer[-1:] + REQUEST)
        while len(received) < 3 * len(ANSWER):
            received += sock.recv(1000)
        assert received == 3 * ANSWER


def test_the_receiver_ends_with_who_started_it() -> None:
    with FastReceiver(1) as receiver:
        process = receiver._process
        process.communicate(timeout=20)
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
    ],
)
def test_the_socket_loop_knows_where_an_answer_ends(data: bytes, *, complete: bool) -> None:
    assert socket_loop.is_complete(data) is complete


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    rounds = found(
        "turn", urllib3_by_hand=[result(100), result(100), result(400)], thornsdk__urllib3=[result(50)] * 3
    )
    assert rounds.ratio(URLLIB3, "urllib3 by hand") == 0.5
    assert rounds.ratio(CURL, "urllib3 by hand") is None


def test_the_ideal_is_made_of_whole_turns() -> None:
    slow = found("slow", thornsdk__urllib3=[result(500)])
    assert slow.ideal == 100 / (2 * 0.05)  # 100 requests, 64 at once, are two turns.
    assert slow.ratio(URLLIB3, "ideal") == 0.5


@pytest.mark.parametrize(("rate", "reached"), [(300, True), (299, False)])
def test_an_aim_is_reached_at_its_ratio(rate: float, *, reached: bool) -> None:
    aim = Aim(scenario="many", way=URLLIB3, against=NAIVE, limit=3.0)
    many = found("many", requests__new_session=[result(100)], thornsdk__urllib3=[result(rate)])
    assert [one.reached for one in verdicts([many], [aim])] == [reached]


@pytest.mark.parametrize(("cpu", "reached"), [(40e-6, True), (41e-6, False)])
def test_an_aim_of_cpu_is_reached_below_its_limit(cpu: float, *, reached: bool) -> None:
    aim = Aim(scenario="pipeline", way=PIPELINE, against="", limit=40.0)
    alone = found("pipeline", thornsdk__no_transport=[result(100, cpu=cpu * 100)])
    assert [one.reached for one in verdicts([alone], [aim])] == [reached]


def test_an_aim_whose_way_is_missing_is_not_reached() -> None:
    aim = Aim(scenario="many", way=CURL, against=NAIVE, limit=15.0)
    many = found("many", requests__new_session=[result(100)])
    assert verdicts([many], [aim]) == [Verdict(aim=aim, measured=None)]
    assert "- | not measured |" in markdown([many], verdicts([many], [aim]))


def test_a_ratio_to_what_was_not_measured_is_left_open() -> None:
    (row,) = found("many", thornsdk__urllib3=[result(100)]).rows()
    assert row.ratio is None
    assert f"{URLLIB3:<29}     100       -" in text([found("many", thornsdk__urllib3=[result(100)])], [])


@pytest.mark.parametrize(("cpu", "told"), [(0.94, "waited for it"), (0.95, "may have held it up")])
def test_a_receiver_that_is_busy_all_the_time_is_told(cpu: float, told: str) -> None:
    many = found("many", socket_loop__64_in_flight=[result(100, receiver_cpu=cpu)])
    assert f"the receiver {told}" in text([many], [])


def test_the_picture_has_a_bar_for_each_way_and_for_the_ideal() -> None:
    slow = found("slow", aiohttp__64_in_flight=[result(900)], thornsdk__urllib3=[result(987.654)])
    root = ET.fromstring(chart([slow]))
    bars = [one.get("class") for one in root.iter(f"{SVG}rect") if one.get("class") != "page"]
    assert bars == ["other", "own", "ideal"]  # The fastest last.
    assert "988" in [one.text for one in root.iter(f"{SVG}text")]


def test_the_picture_is_sound_whatever_a_way_is_called() -> None:
    odd = Scenario(key="odd", title="<&>", entries=(Entry("a < b & c", "ours"),))
    drawn = chart([Found(scenario=odd, subscribers=1, results={"a < b & c": [result(10)]})])
    assert "a < b & c" in [one.text for one in ET.fromstring(drawn).iter(f"{SVG}text")]


def test_nothing_that_was_not_measured_is_drawn() -> None:
    assert 'class="own"' not in chart([evolve(found("many"), results={})])
