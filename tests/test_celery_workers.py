"""Real Celery workers: what they deliver, hold, refuse and finish."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from conftest import OpenThorn
from support.brokers import empty_redis, take_all
from support.shop import EVENT, declare
from support.wire import wait_until
from support.workers import SHOP, Worker, site, subscribe
from thornsdk import URL, DeliveryState, RetryPolicy, Thorn
from thornsdk.testing import Endpoint, FakeClock, Handler, Seen, answers, once_then, waits
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.celery.batches import lane_of


def wait_for_deliveries(thorn: Thorn, count: int) -> None:
    """Waits until the store knows so many deliveries, all of which arrived."""
    wait_until(lambda: len(list(thorn.deliveries(DeliveryState.DELIVERED))) == count)
    assert list(thorn.deliveries(DeliveryState.PENDING)) == []


# Without code of an application


def test_a_worker_without_code_delivers_to_every_subscriber_once(
    broker_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    endpoints = [open_endpoint() for _ in range(3)]
    settings = site(broker_url, tmp_path, *endpoints)
    with Thorn(dispatcher="celery", **settings) as thorn, Worker(tmp_path, **settings):
        subscribe(thorn, "order.*", *endpoints, times=80)
        thorn.event("order.created").send({"id": 42})
        wait_for_deliveries(thorn, 240)
    for one in endpoints:
        assert sorted(one.came("order.created").values()) == [1] * 80


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "a worker needs a broker: set THORN_BROKER_URL"),
        ({"broker_url": "redis://127.0.0.1:1/0", "chunksize": "0"}, "THORN_CHUNKSIZE is '0'; it takes"),
        ({"broker_url": "redis://127.0.0.1:1/0", "stor": "memory"}, "THORN_STOR is not a setting"),
        ({"broker_url": "redis://127.0.0.1:1/0", "store": "paper"}, "there is no store 'paper'; there are"),
    ],
)
def test_a_wrong_setting_ends_a_worker_at_its_start(
    tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    worker = Worker(tmp_path, **settings)
    worker.launch()
    assert worker.ended() != 0
    assert problem in "".join(worker.log.splitlines()[-2:])


def test_a_worker_that_is_asked_to_stop_finishes_its_batch(
    broker_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(waits(0.1, answers(200)))
    settings = site(broker_url, tmp_path, endpoint, concurrency=2)
    with Thorn(dispatcher="celery", **settings) as thorn, Worker(tmp_path, **settings) as worker:
        subscribe(thorn, "order.*", endpoint, times=20)
        thorn.event("order.created").send({"id": 42})
        wait_until(lambda: len(endpoint.seen) >= 2)
        assert len(endpoint.seen) < 20
        assert worker.stop() == 0
        wait_for_deliveries(thorn, 20)
    assert take_all(broker_url) == []


# With the code of an application


def test_a_worker_of_an_application_takes_its_tasks_and_ours(
    broker_url: str, tmp_path: Path, endpoint: Endpoint
) -> None:
    settings = site(broker_url, tmp_path, endpoint)
    written = tmp_path / "written"
    with (
        Thorn(dispatcher="celery", **settings) as thorn,
        Celery("shop", broker=broker_url, set_as_current=False) as shop,
        Worker(tmp_path, app=SHOP, **settings),
    ):
        shop.send_task("shop.write", [str(written)], queue="shop")
        subscribe(thorn, "order.*", endpoint)
        thorn.event("order.created").send({"id": 42})
        wait_until(lambda: written.exists() and len(endpoint.seen) == 1)


def test_it_delivers_to_the_static_subscribers_of_its_events(
    redis_url: str, tmp_path: Path, endpoint: Endpoint
) -> None:
    settings = site(redis_url, tmp_path, endpoint)
    with (
        Thorn(dispatcher="celery", **settings) as thorn,
        Worker(tmp_path, app=SHOP, environ={"SHOP_SUBSCRIBER": endpoint.url}, **settings),
    ):
        declare(thorn, endpoint.url).send({"id": 42})
        wait_until(lambda: len(endpoint.seen) == 1)


def test_it_asks_the_recipient_validators_of_its_events(
    redis_url: str, tmp_path: Path, endpoint: Endpoint
) -> None:
    settings = site(redis_url, tmp_path, endpoint)
    with (
        Thorn(dispatcher="celery", **settings) as thorn,
        Worker(tmp_path, app=SHOP, environ={"SHOP_SUBSCRIBER": endpoint.url}, **settings) as worker,
    ):
        thorn.subscribe(EVENT, f"{endpoint.origin}/stranger")
        declare(thorn, endpoint.url).send({"id": 42})
        worker.wait_for("delivery.blocked")
        assert worker.values("delivery.blocked", "reason") == ["recipient_refused"]
    assert "/stranger" not in [one.path for one in endpoint.seen]


def test_a_worker_without_the_code_of_an_event_says_so_and_puts_its_task_back(
    broker_url: str, tmp_path: Path, open_thorn: OpenThorn
) -> None:
    settings = site(broker_url, tmp_path)
    declare(open_thorn(dispatcher="celery", **settings), "https://example.com/").send({"id": 42})
    with Worker(tmp_path, **settings) as worker:
        worker.wait_for("task.held")
        assert worker.stop() == 0
    (line,) = worker.lines("task.held")
    assert "the recipient validator support.shop" in line
    assert "the static subscriber" in line
    # Where the worker ends before the broker hears that the task was held, it is there as it came too.
    held = [one for one in take_all(broker_url) if one.headers["eta"]]
    assert len(held) == 1
    assert datetime.fromisoformat(held[0].headers["eta"]) > datetime.now(UTC) + timedelta(seconds=20)


def test_what_one_worker_held_is_delivered_by_another_that_has_the_code(
    redis_url: str, tmp_path: Path, endpoint: Endpoint
) -> None:
    settings = site(redis_url, tmp_path, endpoint)
    with Thorn(dispatcher="celery", **settings) as thorn:
        declare(thorn, endpoint.url).send({"id": 42})
    with Worker(tmp_path, **settings) as worker:
        worker.wait_for("task.held")
        worker.stop()
    # A task that the worker had no time to acknowledge is there, too, and is due now.
    (held,) = [one for one in take_all(redis_url) if one.headers["eta"]]
    with Celery("shop", broker=redis_url, set_as_current=False) as shop:
        # The minute has passed.
        shop.send_task(held.task, [held.document], queue=held.queue)
    with Worker(tmp_path, app=SHOP, environ={"SHOP_SUBSCRIBER": endpoint.url}, **settings):
        wait_until(lambda: len(endpoint.seen) == 1)


# Retries


@pytest.mark.parametrize(("store", "task"), [("sqlite", "thornsdk.resume"), ("memory", "thornsdk.retry")])
def test_a_long_wait_is_hopped_and_retry_after_is_kept(
    store: str, task: str, redis_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    came: list[datetime] = []

    def asks_for_patience(handler: Handler, _: Seen) -> None:
        came.append(datetime.now(UTC))
        handler.answer(429 if len(came) == 1 else 200, headers={"Retry-After": "4"})

    endpoint = open_endpoint(asks_for_patience)
    settings = site(redis_url, tmp_path, endpoint)
    if store == "memory":
        settings["store"] = "memory"
    environ = {"SHOP_SUBSCRIBER": endpoint.url, "SHOP_VISIBILITY": "3"}
    with (
        Thorn(dispatcher="celery", **settings) as thorn,
        Worker(tmp_path, app=SHOP, environ=environ, **settings) as worker,
    ):
        declare(thorn, endpoint.url).send({"id": 42})
        worker.wait_for("delivery.delivered")
        (due,) = worker.values("delivery.retry", "retry_at")
        assert len(came) == 2
        assert came[1] >= datetime.fromisoformat(due)
        assert len(worker.tasks(task)) >= 3


def test_a_due_time_outlives_the_loss_of_the_broker(
    redis_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(once_then(answers(500), answers(200)))
    settings = site(redis_url, tmp_path, endpoint)
    with Thorn(dispatcher="celery", **settings) as thorn:
        subscribe(thorn, "order.*", endpoint)
        with Worker(tmp_path, **settings) as worker:
            thorn.event("order.created", retry=RetryPolicy((2.0,))).send({"id": 42})
            worker.wait_for("delivery.retry")
        empty_redis(redis_url)
        wait_until(lambda: thorn.run_due().delivered == 1)
    assert [one.header("Hook-Delivery") for one in endpoint.seen] == [
        endpoint.seen[0].header("Hook-Delivery")
    ] * 2


def test_a_worker_finds_in_the_store_what_no_task_is_left_for(
    redis_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(once_then(answers(500), answers(200)))
    settings = site(redis_url, tmp_path, endpoint)
    long_ago = FakeClock(datetime.now(UTC) - timedelta(minutes=5))
    with Thorn(dispatcher="default", clock=long_ago, **settings) as thorn:
        subscribe(thorn, "order.*", endpoint)
        assert thorn.event("order.created").send({"id": 42}).outcomes.retry == 1
        with Worker(tmp_path, **settings), Celery(broker=redis_url, set_as_current=False) as app:
            # It is what each worker asks for every half a minute.
            app.send_task("thornsdk.sweep", [{}], queue="thornsdk")
            wait_for_deliveries(thorn, 1)


# Lanes


def test_with_a_worker_for_each_lane_an_origin_meets_one_worker_only(
    redis_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    lanes: dict[int, list[Endpoint]] = {0: [], 1: []}
    while not all(lanes.values()):
        one = open_endpoint()
        lanes[lane_of(URL.parse(one.url).origin, 2)].append(one)
    endpoints = [*lanes[0], *lanes[1]]
    settings = site(redis_url, tmp_path, *endpoints, lanes=2, chunksize=10)
    with (
        Thorn(dispatcher="celery", **settings) as thorn,
        Worker(tmp_path, "-Q", "thornsdk,thornsdk.1", **settings) as first,
        Worker(tmp_path, "-Q", "thornsdk,thornsdk.2", **settings) as second,
    ):
        subscribe(thorn, "order.*", *endpoints, times=25)
        thorn.event("order.created").send({"id": 42})
        wait_for_deliveries(thorn, 25 * len(endpoints))
        for lane, worker in enumerate((first, second)):
            met = set(worker.values("delivery.delivered", "origin"))
            assert met == {one.origin for one in lanes[lane]}
