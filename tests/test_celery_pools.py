"""Real Celery workers with each kind of pool."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import frozen

from support.wire import wait_until
from support.workers import Worker, site, subscribe
from thornsdk import RetryPolicy, Thorn
from thornsdk.testing import Endpoint, answers, never_answers, once_then

QUICKLY = RetryPolicy((0.1, 0.1), jitter=0)


@frozen
class Pooled:
    """A worker with one kind of pool, and those it delivers to."""

    worker: Worker
    settings: dict[str, Any]
    well: Endpoint
    other: Endpoint
    once_failing: Endpoint
    silent: Endpoint

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return (self.well, self.other, self.once_failing, self.silent)


@pytest.fixture(scope="module", params=["prefork", "threads", "gevent", "eventlet"])
def started(
    request: pytest.FixtureRequest, redis_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pooled]:
    """A worker of each pool in turn, started once for several tests."""
    folder = tmp_path_factory.mktemp("pool")
    with ExitStack() as stack:
        behaviours = (None, None, once_then(answers(500), answers(200)), never_answers)
        endpoints = [stack.enter_context(Endpoint(one)) for one in behaviours]
        settings = site(redis_server_url, folder, *endpoints, concurrency=4, chunksize=50)
        worker = Worker(folder, "--pool", request.param, "--concurrency", "8", **settings)
        stack.enter_context(worker)
        assert f"({request.param.rstrip('s')})" in worker.log  # Celery says "thread"
        yield Pooled(worker, settings, *endpoints)


@pytest.fixture
def pooled(started: Pooled) -> Iterator[Pooled]:
    """That worker; its connections end with the test."""
    yield started
    for one in started.endpoints:
        one.hang_up()


@pytest.fixture
def thorn(pooled: Pooled) -> Iterator[Thorn]:
    """Sends to the worker of the pool."""
    with Thorn(dispatcher="celery", **pooled.settings) as thorn:
        yield thorn


def test_each_pool_delivers_to_several_origins(pooled: Pooled, thorn: Thorn) -> None:
    subscribe(thorn, "parcel.sent", pooled.well, pooled.other, times=30)
    thorn.event("parcel.sent").send({"id": 42})
    for one in (pooled.well, pooled.other):
        wait_until(lambda one=one: one.came("parcel.sent").total() == 30)  # type: ignore[misc]


def test_in_each_pool_an_endpoint_that_hangs_stops_no_other(pooled: Pooled, thorn: Thorn) -> None:
    subscribe(thorn, "parcel.lost", pooled.silent, pooled.well, pooled.other, times=5)
    thorn.event("parcel.lost", timeout=1, retry=RetryPolicy.never()).send({"id": 42})
    wait_until(lambda: len(pooled.worker.values("delivery.failed", "reason")) == 5)
    assert set(pooled.worker.values("delivery.failed", "reason")) == {"timeout"}
    assert pooled.well.came("parcel.lost").total() == pooled.other.came("parcel.lost").total() == 5


def test_in_each_pool_connections_are_used_again(pooled: Pooled, thorn: Thorn) -> None:
    before = pooled.well.connections
    subscribe(thorn, "parcel.found", pooled.well, times=100)
    thorn.event("parcel.found").send({"id": 42})
    wait_until(lambda: pooled.well.came("parcel.found").total() == 100)
    # Two batches at once, each with four requests in flight.
    assert pooled.well.connections - before <= 8


def test_in_each_pool_what_failed_is_attempted_again(pooled: Pooled, thorn: Thorn) -> None:
    subscribe(thorn, "parcel.returned", pooled.once_failing, times=5)
    thorn.event("parcel.returned", retry=QUICKLY).send({"id": 42})
    wait_until(lambda: pooled.once_failing.came("parcel.returned").total() == 10)
    assert set(pooled.once_failing.came("parcel.returned").values()) == {2}
