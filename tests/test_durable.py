"""Processes that send, and are killed over it: what they accepted arrives all the same."""

import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

import pytest

from conftest import OpenThorn
from support.scripts import Process, running
from support.stages import make_dispatch
from support.wire import wait_until
from thornsdk import DeliveryState, Thorn
from thornsdk.testing import Endpoint, Handler, Seen
from thornsdk.testing.fixtures import OpenEndpoint

Start: TypeAlias = Callable[..., Process]

_BEGIN = """
import sys
from datetime import UTC, datetime, timedelta
from thornsdk import Thorn

store, port, later = sys.argv[1], int(sys.argv[2]), timedelta(seconds=float(sys.argv[3]))
thorn = Thorn(
    store=store,
    concurrency=8,
    allow_networks=["127.0.0.0/8"],
    allow_ports=[port],
    clock=lambda: datetime.now(UTC) + later,
)
order_created = thorn.event("order.created")
"""
SENDS = """
order_created.send({"id": 42})
"""
RUNS_WHAT_IS_DUE = """
print("ready", flush=True)
sys.stdin.readline()
print(thorn.run_due().delivered)
thorn.close()
"""


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/thorn.db"


@pytest.fixture
def start(store_url: str) -> Iterator[Start]:
    """Starts processes that have a Thorn over the store; none outlives the test."""
    with ExitStack() as stack:

        def start_one(script: str, endpoint: Endpoint, later: float = 0) -> Process:
            return stack.enter_context(running(_BEGIN + script, store_url, endpoint.port, later))

        yield start_one


def all_go(*processes: Process) -> list[int]:
    """Lets processes do what is due, all at once; gives how many deliveries of each arrived."""
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate(timeout=50)[0] for one in processes]
    assert [one.returncode for one in processes] == [0] * len(processes)
    return [int(one) for one in told]


def subscribe(thorn: Thorn, endpoint: Endpoint, count: int) -> set[str]:
    """Subscribes so many paths of a receiver, and gives them."""
    subscriptions = [thorn.subscribe("order.*", f"{endpoint.url}/{number}") for number in range(count)]
    return {one.url.target for one in subscriptions}


def ids_by_path(endpoint: Endpoint) -> dict[str, set[str]]:
    ids: dict[str, set[str]] = defaultdict(set)
    for one in endpoint.seen:
        ids[one.path].add(one.header("Hook-Delivery"))
    return ids


def test_what_a_sender_was_killed_over_is_delivered_by_another_process_and_nothing_is_lost(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, start: Start, store_url: str, tmp_path: Path
) -> None:
    killed = threading.Event()

    def behave(handler: Handler, seen: Seen) -> None:
        if len(endpoint.seen) > 60:
            killed.wait(40)
        handler.answer(200)

    endpoint = open_endpoint(behave)
    thorn = open_thorn(endpoint, store=store_url)
    paths = subscribe(thorn, endpoint, 200)
    sender = start(SENDS, endpoint)
    wait_until(lambda: len(endpoint.seen) > 60)
    sender.kill()
    assert sender.wait() == -9
    before = len(list(thorn.deliveries(DeliveryState.DELIVERED)))
    killed.set()
    assert 0 < before < 200
    assert all_go(start(RUNS_WHAT_IS_DUE, endpoint, later=3600)) == [200 - before]
    assert {path: len(ids) for path, ids in ids_by_path(endpoint).items()} == dict.fromkeys(paths, 1)
    assert len(list(thorn.deliveries(DeliveryState.DELIVERED))) == 200
    with closing(sqlite3.connect(tmp_path / "thorn.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_a_killed_sender_leaves_is_due_when_its_lease_is_over_and_not_before(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, start: Start, store_url: str
) -> None:
    killed = threading.Event()

    def behave(handler: Handler, _: Seen) -> None:
        killed.wait(40)
        handler.answer(200)

    endpoint = open_endpoint(behave)
    thorn = open_thorn(endpoint, store=store_url)
    subscribe(thorn, endpoint, 200)
    sender = start(SENDS, endpoint)
    wait_until(lambda: bool(endpoint.seen))
    sender.kill()
    sender.wait()
    killed.set()
    leased = list(thorn.deliveries(DeliveryState.LEASED))
    assert len(leased) == 200
    assert {one.lease.holder.split(":")[1] for one in leased if one.lease} == {str(sender.pid)}
    assert thorn.run_due().total == 0
    assert all_go(start(RUNS_WHAT_IS_DUE, endpoint, later=7 * 10 + 10)) == [200]


def test_processes_that_do_what_is_due_at_once_deliver_each_once(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, start: Start, store_url: str
) -> None:
    def behave(handler: Handler, _: Seen) -> None:
        handler.wait(0.01)
        handler.answer(200)

    endpoint = open_endpoint(behave)
    thorn = open_thorn(endpoint, store=store_url)
    subscribe(thorn, endpoint, 500)
    assert len(list(thorn.deliverer.keep(make_dispatch(), "no broker"))) == 500
    assert sum(all_go(*(start(RUNS_WHAT_IS_DUE, endpoint, later=3600) for _ in range(2)))) == 500
    assert sorted(endpoint.came("order.created").values()) == [1] * 500


def test_processes_that_do_what_is_due_at_once_keep_the_order_of_each_key(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, start: Start, store_url: str
) -> None:
    endpoint = open_endpoint()
    thorn = open_thorn(endpoint, store=store_url)
    thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    sent = [{"order": number % 3, "number": number} for number in range(45)]
    for payload in sent:
        assert len(list(thorn.deliverer.keep(make_dispatch(payload), "no broker"))) == 1
    assert sum(all_go(*(start(RUNS_WHAT_IS_DUE, endpoint, later=3600) for _ in range(2)))) == 45
    came = [json.loads(one.body) for one in endpoint.seen]
    for key in range(3):
        assert [one for one in came if one["order"] == key] == [one for one in sent if one["order"] == key]
