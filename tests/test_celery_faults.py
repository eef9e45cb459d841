"""Workers that are killed, and brokers that are restarted: nothing is lost, and doubles are few."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.benchmarks import run_benchmark
from support.wire import wait_until
from support.workers import SHOP, Worker, site, subscribe
from thornsdk import DeliveryState, Thorn
from thornsdk.testing import Endpoint, Handler, Seen
from thornsdk.testing.fixtures import OpenEndpoint

BATCH = 30
IN_FLIGHT = 4


class Gate:
    """Answers the first requests, and lets the others wait until it is opened."""

    def __init__(self, first: int) -> None:
        self.opened = threading.Event()
        self._left = [None] * first

    def __call__(self, handler: Handler, _: Seen) -> None:
        try:
            self._left.pop()
        except IndexError:
            self.opened.wait(timeout=30)
        handler.answer(200)


def kill_pool_child(worker: Worker) -> None:
    (child,) = worker.pool
    os.kill(child, signal.SIGKILL)


def delivered(thorn: Thorn) -> int:
    return len(list(thorn.deliveries(DeliveryState.DELIVERED)))


def doubles(endpoint: Endpoint) -> int:
    counts = Counter(one.header("Hook-Delivery") for one in endpoint.seen)
    assert len(counts) == BATCH
    return counts.total() - len(counts)


@pytest.mark.parametrize("kill", [kill_pool_child, Worker.kill], ids=["child", "worker"])
def test_after_a_kill_in_the_middle_of_a_batch_only_what_was_in_flight_comes_twice(
    kill: Callable[[Worker], None], broker_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    gate = Gate(10)
    endpoint = open_endpoint(gate)
    settings = site(broker_url, tmp_path, endpoint, concurrency=IN_FLIGHT)
    options = {"app": SHOP, "environ": {"SHOP_VISIBILITY": "4"}, **settings}
    with Thorn(dispatcher="celery", **settings) as thorn:
        subscribe(thorn, "order.*", endpoint, times=BATCH)
        with Worker(tmp_path, "--concurrency", "1", **options) as worker:
            thorn.event("order.created").send({"id": 42})
            wait_until(lambda: len(endpoint.seen) == 10 + IN_FLIGHT and delivered(thorn) == 10)
            kill(worker)
            gate.opened.set()
            with Worker(tmp_path, "--concurrency", "1", **options) as another:
                wait_until(lambda: delivered(thorn) == BATCH)
                assert "worker.lost" in worker.log + another.log
    assert doubles(endpoint) == IN_FLIGHT


def test_the_fault_runs_lose_nothing_and_say_so_in_80_columns(tmp_path: Path) -> None:
    ran = run_benchmark(
        *("celery_faults.py", "--deliveries", "300", "--faults", "1"),
        *("--broker", "redis", "--scenario", "receivers failing"),
        environ={"FAULTS_VISIBILITY": "3", "TMPDIR": str(tmp_path)},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    head, row = ran.stdout.splitlines()
    assert max(len(head), len(row)) <= 80
    assert head.split()[3:7] == ["deliveries", "requests", "lost", "doubles"]
    assert row.split()[:3] == ["receivers", "failing", "redis"]
    deliveries, requests, lost, doubles = (int(one) for one in row.split()[4:8])
    assert (deliveries, lost, doubles) == (300, 0, 0)
    assert requests > deliveries
    assert list(tmp_path.iterdir()) == []
