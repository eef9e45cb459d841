import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from conftest import OpenThorn
from support.brokers import Queued, RedisServer
from support.celery_tasks import EVENT, Worker
from support.stages import BrokenSigner, make_pipeline, make_record, make_subscription
from thornsdk import (
    URL,
    DeliveryRecord,
    DeliveryState,
    OutcomeKind,
    Reason,
    RetryPolicy,
    Subscription,
    Terms,
)
from thornsdk.errors import DispatchError, RecipientRefused
from thornsdk.testing import (
    Behaviour,
    Endpoint,
    FakeClock,
    Handler,
    Seen,
    answers,
    hangs,
    in_turn,
)
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.celery import CeleryDispatcher
from thornsdk_plugins.celery.codec import write_retry
from thornsdk_plugins.celery.documents import Needs, Retry
from thornsdk_plugins.celery.outgoing import HOLD, HOP
from thornsdk_plugins.celery.work import GRACE, RESERVE, SPREAD, Arrival
from thornsdk_plugins.urllib3 import PooledTransport

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EVENTS = "application/cloudevents+json"
SHOP_EVENTS = {"cloudevents": {"source": "/shop"}}
TERMS = Terms(timeout=5.0, retry=RetryPolicy([5.0]))


OpenWorker = Callable[..., Worker]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/thorn.db"


@pytest.fixture
def open_worker(
    open_thorn: OpenThorn, redis_url: str, store_url: str, clock: FakeClock
) -> Iterator[OpenWorker]:
    """Makes workers over a Redis and a store that they share."""
    made: list[Worker] = []

    def open_one(*endpoints: Endpoint, url: str = redis_url, **options: Any) -> Worker:
        ours: dict[str, Any] = {
            "clock": clock,
            "random": lambda: 0.0,
            "dispatcher": "celery",
            "broker_url": url,
            "store": store_url,
            "retry_schedule": [5, 1000],
        }
        made.append(Worker(open_thorn(*endpoints, **{**ours, **options}), url))
        return made[-1]

    yield open_one
    for one in made:
        one.publisher.close()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict[str, Any]]]:
    """Gives what the delivery log was told under a name."""
    caplog.set_level(logging.INFO, "thornsdk")

    def named(event: str) -> list[dict[str, Any]]:
        fields = [vars(one)["thornsdk"] for one in caplog.records if one.name == "thornsdk"]
        return [one for one in fields if one["event"] == event]

    return named


Told = Callable[[str], list[dict[str, Any]]]


def eta(queued: Queued) -> datetime:
    return datetime.fromisoformat(str(queued.headers["eta"])).astimezone(UTC)


def later(clock: FakeClock, seconds: float) -> datetime:
    return clock.now + timedelta(seconds=seconds)


def changed(queued: Queued, **parts: object) -> Queued:
    return evolve(queued, document={**queued.document, **parts})


def ids(*subscriptions: Subscription) -> list[str]:
    return [str(one.id) for one in subscriptions]


def put(worker: Worker, *subscriptions: Subscription) -> None:
    worker.thorn.deliverer.store.put(subscriptions)


# From a message to batches


def test_a_batch_holds_the_subscriptions_of_one_origin(open_worker: OpenWorker) -> None:
    worker = open_worker(chunksize=100)
    put(worker, *(make_subscription(n, url=f"https://host-{n % 10}.example/{n}") for n in range(1000)))
    batches = worker.fanned_out()
    assert [len(one.document["subscriptions"]) for one in batches] == [100] * 10
    for batch in batches:
        assert len({UUID(one).int % 10 for one in batch.document["subscriptions"]}) == 1
    assert {(one.task, one.queue) for one in batches} == {("thornsdk.deliver", "thornsdk")}


def test_a_batch_holds_no_more_bodies_than_its_subscribers_need(open_worker: OpenWorker) -> None:
    worker = open_worker(chunksize=1)
    put(worker, make_subscription(1), make_subscription(2, content_type=FORM))
    by_subscription = {
        one.document["subscriptions"][0]: set(one.document["message"]["bodies"])
        for one in worker.fanned_out({"id": 42})
    }
    assert by_subscription == {str(UUID(int=1)): {JSON}, str(UUID(int=2)): {FORM}}


def test_batches_are_shown_by_their_event_and_size(open_worker: OpenWorker) -> None:
    worker = open_worker()
    put(worker, *(make_subscription(n, url="https://host.example/") for n in range(3)))
    (batch,) = worker.fanned_out("the body")
    assert batch.headers["argsrepr"] == "(order.created, 3 deliveries,)"


def test_no_secret_of_a_subscriber_is_ever_in_the_broker(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker
) -> None:
    endpoint = open_endpoint(answers(500))
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", f"{endpoint.url}?token=abc", secret="not for brokers")
    (batch,) = worker.fanned_out()
    (resume,) = worker.do(batch)
    assert resume.task == "thornsdk.resume"
    for queued in (batch, resume):
        assert b"not for brokers" not in queued.raw
        assert b"token=abc" not in queued.raw


def test_with_lanes_an_origin_keeps_to_its_queue_also_when_it_is_tried_again(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker
) -> None:
    endpoints = [open_endpoint(answers(500)) for _ in range(4)]
    worker = open_worker(*endpoints, lanes=3, chunksize=1)
    for endpoint in endpoints:
        worker.thorn.subscribe("order.*", endpoint.url)
    batches = worker.fanned_out()
    assert {one.queue for one in batches} <= {"thornsdk.1", "thornsdk.2", "thornsdk.3"}
    for batch in batches:
        assert [one.queue for one in worker.do(batch)] == [batch.queue]


def test_messages_of_one_task_stand_alone(open_worker: OpenWorker, told: Told) -> None:
    worker = open_worker()
    put(worker, make_subscription(1))
    created = worker.thorn.event(EVENT)
    with worker.thorn.buffer():
        created.send("first")
        created.send("second")
    (queued,) = worker.published()
    first, second = queued.document["messages"]
    first["needs"]["store"] = "another one"
    held, batch = sorted(worker.do(queued), key=lambda one: one.task, reverse=True)
    assert batch.document["message"]["id"] == second["id"]
    assert [one["id"] for one in held.document["messages"]] == [first["id"]]
    assert held.document["messages"][0]["again"] is True


def test_a_redelivered_message_is_fanned_out_with_a_look_into_the_store(open_worker: OpenWorker) -> None:
    worker = open_worker()
    put(worker, make_subscription(1))
    worker.thorn.event(EVENT).send(42)
    (queued,) = worker.published()
    (batch,) = worker.do(queued, redelivered=True)
    assert batch.document["message"]["again"] is True
    assert batch.document["again"] is True


# Batches


def test_a_batch_is_delivered_and_nothing_follows(endpoint: Endpoint, open_worker: OpenWorker) -> None:
    worker = open_worker(endpoint)
    for number in range(5):
        worker.thorn.subscribe("order.*", f"{endpoint.url}/{number}")
    (batch,) = worker.fanned_out({"id": 42})
    assert worker.do(batch) == []
    assert sorted(one.path for one in endpoint.seen) == [f"/hooks/{n}" for n in range(5)]
    assert {one.state for one in worker.records().values()} == {DeliveryState.DELIVERED}


def test_only_those_to_retry_are_published_again_each_at_its_own_time(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    well, ill = open_endpoint(), open_endpoint(answers(500))
    busy = open_endpoint(answers(503, headers={"Retry-After": "120"}))
    worker = open_worker(well, ill, busy)
    worker.thorn.subscribe("order.*", well.url)
    failing = worker.thorn.subscribe("order.*", ill.url)
    asking = worker.thorn.subscribe("order.*", busy.url)
    (batch,) = worker.fanned_out()
    records = dict[str, datetime]()
    for queued in worker.do(batch):
        assert queued.task == "thornsdk.resume"
        ((delivery, _),) = queued.document["deliveries"]
        records[delivery] = eta(queued)
    known = worker.records()
    assert records == {
        str(known[failing.id].id): later(clock, 5),
        str(known[asking.id].id): later(clock, 120),
    }


def test_one_that_raises_hangs_or_is_blocked_leaves_its_neighbours_untouched(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, redis_url: str
) -> None:
    well, hanging = open_endpoint(), open_endpoint(hangs)
    raising = make_subscription(1, url=well.url)
    blocked = make_subscription(2, url="http://127.0.0.1:9/")
    slow = make_subscription(3, url=hanging.url)
    fine = [make_subscription(n, url=f"{well.url}/{n}") for n in range(4, 8)]
    pipeline = make_pipeline(
        [PooledTransport()],
        signers=[BrokenSigner({raising.id})],
        dispatcher=CeleryDispatcher(broker_url=redis_url),
    )
    worker = open_worker(well, hanging, pipeline=evolve(pipeline, store=None), event_timeout=0.5)
    put(worker, raising, blocked, slow, *fine)
    (batch,) = worker.fanned_out()
    assert len(worker.do(batch)) == 2
    reasons = {one: record.last.outcome.reason for one, record in worker.records().items()}
    assert reasons == {
        raising.id: Reason.STAGE_FAILED,
        blocked.id: Reason.PORT_FORBIDDEN,
        slow.id: Reason.TIMEOUT,
        **{one.id: Reason.ACCEPTED for one in fine},
    }


def test_what_cannot_be_written_for_a_subscriber_fails_there_alone(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    written = worker.thorn.subscribe("order.*", endpoint.url)
    unwritten = worker.thorn.subscribe("order.*", endpoint.url, content_type=FORM)
    (batch,) = worker.fanned_out([1, 2])  # A form has names.
    assert worker.do(batch) == []
    reasons = {one: record.last.outcome.reason for one, record in worker.records().items()}
    assert reasons == {written.id: Reason.ACCEPTED, unwritten.id: Reason.NOT_SERIALIZABLE}


def test_a_subscription_that_was_removed_meanwhile_gets_nothing(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    subscription = worker.thorn.subscribe("order.*", endpoint.url)
    (batch,) = worker.fanned_out()
    worker.thorn.unsubscribe(subscription.id)
    assert worker.do(batch) == []
    assert endpoint.seen == []


@pytest.mark.parametrize(("store", "task"), [(None, "resume"), ("memory", "retry")])
def test_what_is_held_back_for_a_paused_origin_is_published_for_the_end_of_the_pause(
    store: str | None,
    task: str,
    open_endpoint: OpenEndpoint,
    open_worker: OpenWorker,
    clock: FakeClock,
) -> None:
    endpoint = open_endpoint(in_turn(answers(500), answers(200)))
    options: dict[str, Any] = {} if store is None else {"store": store}
    subscribers = {EVENT: [f"{endpoint.url}/{n}" for n in range(3)]}
    options |= {"subscribers": subscribers, "secret": "s"}
    worker = open_worker(endpoint, breaker_failures=1, concurrency=1, **options)
    (batch,) = worker.fanned_out()
    _, *held = sorted(worker.do(batch), key=eta)
    assert len(endpoint.seen) == 1
    assert [(one.task, eta(one)) for one in held] == [(f"thornsdk.{task}", later(clock, 60))] * 2
    clock.advance(60)
    assert [worker.do(one) for one in held] == [[], []]
    numbers = sorted(one.last.number for one in worker.records().values() if one.last.status == 200)
    assert numbers == [1, 1]


@pytest.mark.parametrize(("store", "task"), [(None, "resume"), ("memory", "retry")])
def test_what_a_rate_limit_holds_back_is_published_for_its_slot_and_keeps_its_turn(
    store: str | None, task: str, endpoint: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    subscriber = {"url": endpoint.url, "rate_limit": {"per_second": 1, "burst": 1}}
    options: dict[str, Any] = {"subscribers": {EVENT: [subscriber]}, "secret": "s"}
    worker = open_worker(endpoint, **options, **({} if store is None else {"store": store}))
    event = worker.thorn.event(EVENT)
    for _ in range(4):
        event.send({})
    batches = [batch for one in worker.published() for batch in worker.do(one)]
    held = [one for batch in batches for one in worker.do(batch)]
    assert [(one.task, eta(one)) for one in held] == [
        (f"thornsdk.{task}", later(clock, seconds)) for seconds in (1, 2, 3)
    ]
    for one in held:
        clock.advance(1)
        # Those that wait behind it do not send it to the end.
        assert worker.do(one) == []
    assert len(endpoint.seen) == 4


# Batches whose worker died


def test_a_redelivered_batch_is_tried_again_one_by_one(
    endpoint: Endpoint, open_worker: OpenWorker, told: Told
) -> None:
    worker = open_worker(endpoint)
    subscriptions = [worker.thorn.subscribe("order.*", f"{endpoint.url}/{n}") for n in range(3)]
    (batch,) = worker.fanned_out()
    singles = worker.do(batch, redelivered=True)
    assert endpoint.seen == []
    assert sorted(one.document["subscriptions"][0] for one in singles) == sorted(ids(*subscriptions))
    assert {len(one.document["subscriptions"]) for one in singles} == {1}
    assert {(one.document["number"], one.document["again"]) for one in singles} == {(2, True)}
    assert {one.headers["eta"] for one in singles} == {None}
    (lost,) = told("worker.lost")
    assert (lost["message_id"], lost["event_name"]) == (batch.document["message"]["id"], EVENT)
    assert (lost["attempt"], lost["deliveries"]) == (1, 3)


def test_deliveries_whose_worker_died_again_are_spread_over_time(
    endpoint: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url)
    (batch,) = worker.fanned_out()
    (second,) = worker.do(batch, redelivered=True)
    (third,) = worker.do(second, redelivered=True)
    assert eta(third) == later(clock, 0.5 * SPREAD)


def test_a_worker_that_is_unfit_does_not_count_what_comes_back(
    open_worker: OpenWorker, endpoint: Endpoint
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url)
    (batch,) = worker.fanned_out()
    batch.document["message"]["needs"]["requirements"] = ["what nobody knows"]
    (held,) = worker.do(batch, redelivered=True)
    assert (held.document["number"], held.document["again"]) == (1, True)


def test_an_attempt_that_is_not_to_be_made_any_more_does_not_wait_on(
    flaky: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(flaky)
    subscription = worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    (resume,) = worker.do(batch)
    worker.thorn.unsubscribe(subscription.id)
    assert worker.do(resume) == []


def test_an_attempt_that_a_sweep_has_published_too_is_made_by_the_first_that_comes(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    (resume,) = worker.do(batch)
    clock.advance(5 + GRACE)
    (anew,) = worker.sweep()
    assert worker.do(resume) == worker.do(anew) == []
    assert len(flaky.seen) == 2


def test_what_may_have_been_done_is_looked_up_in_the_store(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker
) -> None:
    well, ill = open_endpoint(), open_endpoint(answers(500))
    worker = open_worker(well, ill)
    done = worker.thorn.subscribe("order.*", f"{well.url}/done")
    pending = worker.thorn.subscribe("order.*", ill.url)
    new = worker.thorn.subscribe("order.*", f"{well.url}/new")
    (batch,) = worker.fanned_out()
    worker.do(changed(batch, subscriptions=ids(done, pending)))
    assert worker.do(changed(batch, subscriptions=ids(done, pending, new), again=True)) == []
    assert [one.path for one in well.seen] == ["/hooks/done", "/hooks/new"]
    assert len(ill.seen) == 1


def test_a_delivery_whose_workers_keep_dying_is_given_up(endpoint: Endpoint, open_worker: OpenWorker) -> None:
    worker = open_worker(endpoint, retry_schedule=[1])
    subscription = worker.thorn.subscribe("order.*", endpoint.url)
    (batch,) = worker.fanned_out()
    for _ in range(10):
        (batch,) = worker.do(batch, redelivered=True)
    assert worker.do(batch) == []
    last = worker.records()[subscription.id].last
    assert (last.number, last.outcome.reason) == (11, Reason.WORKER_LOST)
    assert worker.records()[subscription.id].state is DeliveryState.FAILED
    assert endpoint.seen == []


# What goes wrong in the middle of a batch


@contextmanager
def broken_store(url: str) -> Iterator[None]:
    """A store whose file lacks a table for a while."""
    path = url.removeprefix("sqlite:///")

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("deliveries", "away")
    yield
    rename("away", "deliveries")


def goes_with(broker: RedisServer) -> Behaviour:
    """Answers 500 when the broker is gone."""

    def behave(handler: Handler, _: Seen) -> None:
        broker.stop()
        handler.answer(500)

    return behave


def static(url: str) -> dict[str, str]:
    return {"url": url, "secret": "a secret"}


def test_where_the_store_breaks_what_came_to_no_end_is_tried_again_one_by_one(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, store_url: str, told: Told, clock: FakeClock
) -> None:
    broken = ExitStack()

    def breaks_the_store(handler: Handler, _: Seen) -> None:
        broken.enter_context(broken_store(store_url))
        handler.answer(200)

    endpoint = open_endpoint(in_turn(answers(200), breaks_the_store, answers(200)))
    worker = open_worker(endpoint, concurrency=1)
    subscriptions = [make_subscription(n, url=f"{endpoint.url}/{n}") for n in range(4)]
    put(worker, *subscriptions)
    (batch,) = worker.fanned_out()
    with broken:
        singles = worker.do(batch)
    # The second one arrived, though the store could not keep that.
    assert [one.document["subscriptions"] for one in singles] == [[one] for one in ids(*subscriptions[2:])]
    assert {(one.document["number"], one.document["again"]) for one in singles} == {(1, True)}
    assert {eta(one) for one in singles} == {later(clock, HOLD)}
    assert [one["task"] for one in told("task.held")] == ["thornsdk.deliver"]
    for single in singles:
        assert worker.do(single) == []
    assert [one.path for one in endpoint.seen] == [f"/hooks/{number}" for number in range(4)]


def test_where_the_broker_goes_a_sweep_finds_what_is_to_be_tried_again(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, told: Told, clock: FakeClock
) -> None:
    with RedisServer() as broker:
        ill = open_endpoint(in_turn(goes_with(broker), answers(200)))
        worker = open_worker(ill, url=broker.url)
        subscription = worker.thorn.subscribe("order.*", ill.url)
        (batch,) = worker.fanned_out()
        worker.work.deliver(batch.document, Arrival(queue=batch.queue, redelivered=False))
        assert [one["task"] for one in told("task.held")] == ["thornsdk.resume"]
        broker.start()
        clock.advance(5 + GRACE)
        (resume,) = worker.sweep()
        assert worker.do(resume) == []
    assert worker.records()[subscription.id].state is DeliveryState.DELIVERED


def test_where_the_broker_goes_and_no_store_is_shared_the_task_is_given_back(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker
) -> None:
    with RedisServer() as broker:
        ill = open_endpoint(goes_with(broker))
        worker = open_worker(ill, url=broker.url, store="memory", subscribers={"*": static(ill.url)})
        (batch,) = worker.fanned_out()
        with pytest.raises(DispatchError):
            worker.do(batch)


def test_where_the_broker_goes_and_no_store_is_shared_every_result_is_read_and_told(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, told: Told
) -> None:
    with RedisServer() as broker:
        ill = open_endpoint(goes_with(broker))
        urls = [f"{ill.url}/{number}" for number in range(5)]
        subscribers = {"*": [static(url) for url in urls]}
        worker = open_worker(ill, url=broker.url, store="memory", subscribers=subscribers)
        (batch,) = worker.fanned_out()
        with pytest.raises(DispatchError):
            worker.do(batch)
    assert len(told("delivery.retry")) == len(ill.seen) == 5


def test_a_message_is_given_back_where_its_batches_cannot_be_published(open_worker: OpenWorker) -> None:
    with RedisServer() as broker:
        worker = open_worker(url=broker.url)
        put(worker, make_subscription(1))
        worker.thorn.event(EVENT).send(42)
        (queued,) = worker.published()
        broker.stop()
        with pytest.raises(DispatchError):
            worker.do(queued)


# Further attempts, with a store that workers share


@pytest.fixture
def flaky(open_endpoint: OpenEndpoint) -> Endpoint:
    """Answers 500 first, and 200 then."""
    return open_endpoint(in_turn(answers(500), answers(200)))


def test_of_workers_that_get_the_same_attempt_one_makes_it(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    first, second = open_worker(flaky), open_worker(flaky)
    subscription = first.thorn.subscribe("order.*", flaky.url)
    (batch,) = first.fanned_out()
    (resume,) = first.do(batch)
    clock.advance(5)
    assert first.do(resume) == second.do(resume, redelivered=True) == []
    assert len(flaky.seen) == 2
    last = first.records()[subscription.id].last
    assert (last.number, last.outcome.reason) == (2, Reason.ACCEPTED)


def test_an_attempt_before_its_time_waits_on(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    (resume,) = worker.do(batch)
    clock.advance(4)
    (again,) = worker.do(resume)
    assert (again.document, eta(again)) == (resume.document, later(clock, 1))
    assert len(flaky.seen) == 1


def test_a_long_wait_is_made_of_several(flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock) -> None:
    worker = open_worker(flaky, retry_schedule=[1000])
    worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    queue, waits = worker.do(batch), []
    while queue:
        (resume,) = queue
        waits.append((eta(resume) - clock.now).total_seconds())
        clock.advance(waits[-1])
        queue = worker.do(resume)
    assert waits == [HOP, HOP, HOP, 100.0]
    assert len(flaky.seen) == 2


def test_an_attempt_goes_on_as_its_sender_wanted(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    sender = open_worker(flaky, retry_schedule=[7, 8])
    sender.thorn.subscribe("order.*", flaky.url)
    worker = open_worker(flaky, retry_schedule=[])
    (batch,) = sender.fanned_out()
    (resume,) = worker.do(batch)
    assert eta(resume) == later(clock, 7)


def test_a_delivery_whose_subscriber_is_of_another_process_stays_pending(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock, told: Told
) -> None:
    sender, stranger = open_worker(flaky), open_worker(flaky)
    subscription = sender.thorn.subscribe("order.*", flaky.url)
    (batch,) = sender.fanned_out()
    (resume,) = sender.do(batch)
    clock.advance(5)
    sender.thorn.deliverer.store.remove(subscription.id)
    (again,) = stranger.do(resume)
    assert len(told("delivery.left")) == 1
    (record,) = sender.thorn.deliveries(DeliveryState.PENDING)
    assert (record.last.number, record.next_attempt_at) == (1, later(clock, HOLD))
    assert eta(again) == later(clock, HOLD)


# Further attempts, without a store that workers share


@pytest.fixture
def storeless(open_worker: OpenWorker) -> OpenWorker:
    """Makes workers whose subscriber is in their settings, and whose store is in their memory."""

    def open_one(subscriber: Endpoint, **options: Any) -> Worker:
        return open_worker(subscriber, store="memory", subscribers={"*": static(subscriber.url)}, **options)

    return open_one


def test_without_a_shared_store_the_whole_delivery_travels(
    flaky: Endpoint, storeless: OpenWorker, clock: FakeClock
) -> None:
    (batch,) = storeless(flaky).fanned_out({"id": 42})
    (retry,) = storeless(flaky).do(batch)
    assert (retry.task, eta(retry)) == ("thornsdk.retry", later(clock, 5))
    clock.advance(5)
    assert storeless(flaky).do(retry) == []
    first, second = flaky.seen
    assert first.body == second.body == b'{"id":42}'
    assert first.header("Hook-Delivery") == second.header("Hook-Delivery")


def test_without_a_shared_store_what_was_done_in_this_process_is_followed_up(
    flaky: Endpoint, storeless: OpenWorker
) -> None:
    worker = storeless(flaky)
    (batch,) = worker.fanned_out()
    (retry,) = worker.do(batch)
    (again,) = worker.do(changed(batch, again=True))
    assert again.document == retry.document
    assert len(flaky.seen) == 1


def test_without_a_shared_store_attempts_wait_for_their_time_and_end(
    open_endpoint: OpenEndpoint, storeless: OpenWorker, clock: FakeClock
) -> None:
    ill = open_endpoint(answers(500))
    worker = storeless(ill)
    (batch,) = worker.fanned_out()
    queue, waits = worker.do(batch), []
    while queue:
        (retry,) = queue
        waits.append((eta(retry) - clock.now).total_seconds())
        clock.advance(waits[-1])
        queue = worker.do(retry)
    assert waits == [5.0, HOP, HOP, HOP, 100.0]
    assert len(ill.seen) == 3


def test_without_a_shared_store_an_attempt_that_was_lost_counts(
    flaky: Endpoint, storeless: OpenWorker, clock: FakeClock, told: Told
) -> None:
    worker = storeless(flaky)
    (batch,) = worker.fanned_out()
    (retry,) = worker.do(batch)
    clock.advance(5)
    (again,) = worker.do(retry, redelivered=True)
    assert len(flaky.seen) == 1
    assert worker.do(again) == []
    attempts = [(one["attempt"], one["reason"]) for one in told("delivery.retry")]
    assert attempts == [(1, "status"), (2, "worker_lost")]
    assert [one["attempt"] for one in told("delivery.delivered")] == [3]


def test_without_a_shared_store_a_delivery_whose_workers_keep_dying_is_given_up(
    flaky: Endpoint, storeless: OpenWorker, clock: FakeClock, told: Told
) -> None:
    worker = storeless(flaky)
    (batch,) = worker.fanned_out()
    (retry,) = worker.do(batch)
    clock.advance(5)
    for _ in range(10):
        (retry,) = worker.do(retry, redelivered=True)
    assert worker.do(retry) == []
    assert [one["reason"] for one in told("delivery.failed")] == ["worker_lost"]
    assert len(flaky.seen) == 1


def test_without_a_shared_store_what_cannot_be_attempted_is_tried_again_in_a_while(
    flaky: Endpoint, storeless: OpenWorker, open_worker: OpenWorker, clock: FakeClock, told: Told
) -> None:
    (batch,) = storeless(flaky).fanned_out()
    (retry,) = storeless(flaky).do(batch)
    retry.document["needs"]["requirements"] = []
    clock.advance(5)
    (again,) = open_worker(flaky, store="memory").do(retry)
    assert eta(again) == later(clock, HOLD)
    assert again.document["delivery"]["number"] == 1
    assert len(told("delivery.left")) == 1


# Sweeps


def overdue(worker: Worker, clock: FakeClock, *seconds: float) -> list[DeliveryRecord]:
    """Puts deliveries into the store that are overdue for so long."""
    made = make_record(OutcomeKind.RETRY)
    records = [
        evolve(made, id=uuid4(), message_id=uuid4(), origin=f"https://host-{number}.example").due_at(
            later(clock, -late)
        )
        for number, late in enumerate(seconds)
    ]
    for one in records:
        worker.thorn.deliverer.store.record(one)
    return records


def test_a_sweep_publishes_each_overdue_delivery_once(open_worker: OpenWorker, clock: FakeClock) -> None:
    worker = open_worker(chunksize=2)
    late = overdue(worker, clock, GRACE, GRACE + 1, GRACE + 9999)
    overdue(worker, clock, GRACE - 1, 0, -60)
    published = worker.sweep()
    found = [key for one in published for key, _ in one.document["deliveries"]]
    assert sorted(found) == sorted(str(one.id) for one in late)
    assert {(one.task, one.headers["eta"]) for one in published} == {("thornsdk.resume", None)}
    assert worker.sweep() == []


def test_a_sweep_finds_what_a_worker_had_taken_and_did_not_end(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    (resume,) = worker.do(batch)
    clock.advance(5)
    ((key, number),) = [(UUID(key), number) for key, number in resume.document["deliveries"]]
    assert worker.thorn.deliverer.take(key, number, timeout=5.0) is not None
    clock.advance(5 + 60 + GRACE)
    (anew,) = worker.sweep()
    assert anew.document["deliveries"] == [[str(key), number + 1]]
    (pending,) = worker.thorn.deliveries(DeliveryState.PENDING)
    assert pending.lease is None
    worker.do(anew)
    assert [one.number for one in worker.thorn.attempts(key)] == [1, 2, 3]
    assert worker.thorn.attempts(key)[-1].outcome.kind is OutcomeKind.DELIVERED


def test_what_a_sweep_found_is_found_again_if_that_task_is_lost_too(
    open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker()
    overdue(worker, clock, GRACE)
    assert len(worker.sweep()) == 1
    clock.advance(RESERVE + GRACE - 1)
    assert worker.sweep() == []
    clock.advance(1)
    assert len(worker.sweep()) == 1


def test_what_a_sweep_found_is_delivered_once_though_its_first_task_comes_late(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url)
    (batch,) = worker.fanned_out()
    (late,) = worker.do(batch)
    clock.advance(5 + GRACE)
    (found,) = worker.sweep()
    assert worker.do(found) == worker.do(late) == []
    assert len(flaky.seen) == 2


def test_a_sweep_sorts_what_it_finds_into_lanes(open_worker: OpenWorker, clock: FakeClock) -> None:
    worker = open_worker(lanes=3)
    overdue(worker, clock, *[GRACE] * 12)
    published = worker.sweep()
    assert [one.queue for one in published] == ["thornsdk.1", "thornsdk.2", "thornsdk.3"]
    assert sum(len(one.document["deliveries"]) for one in published) == 12


# Tasks that this worker cannot do


def one_of_each(worker: Worker, flaky: Endpoint, clock: FakeClock) -> list[Queued]:
    """A task of each kind that travels."""
    worker.thorn.subscribe("order.*", flaky.url)
    worker.thorn.event(EVENT).send(42)
    (message,) = worker.published()
    (batch,) = worker.do(message)
    (resume,) = worker.do(batch)
    needs = Needs(event=EVENT, store=worker.thorn.deliverer.store.identity)
    (record,) = overdue(worker, clock, 1)
    document = write_retry(Retry(record=record, terms=TERMS, needs=needs))
    retry = evolve(resume, headers={"task": "thornsdk.retry"}, document=document)
    clock.advance(5)
    return [message, batch, resume, retry]


def test_tasks_of_a_version_that_is_not_known_are_left_to_another_worker(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock, told: Told
) -> None:
    worker = open_worker(flaky)
    for task in one_of_each(worker, flaky, clock):
        newer = changed(task, version=2)
        (held,) = worker.do(newer)
        assert (held.task, held.document, held.queue) == (task.task, newer.document, task.queue)
        assert (eta(held), held.headers["argsrepr"]) == (later(clock, HOLD), "(held,)")
    assert {one["detail"] for one in told("task.held")} == {"it is of version 2; this worker knows version 1"}
    assert len(flaky.seen) == 1


def test_tasks_of_a_sender_with_another_store_are_left_to_another_worker(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock, told: Told, tmp_path: Path
) -> None:
    tasks = one_of_each(open_worker(flaky), flaky, clock)
    other = open_worker(flaky, store=f"sqlite:///{tmp_path}/other.db")
    for task in tasks:
        (held,) = other.do(task)
        assert held.task == task.task
    details = {one["detail"] for one in told("task.held")}
    assert details == {"it was sent with another store than this worker's: THORN_STORE differs"}
    assert len(flaky.seen) == 1


def allows_all(url: URL) -> None:
    """A validator that only one side has."""


def test_what_a_worker_does_not_know_of_an_event_is_named(
    flaky: Endpoint, open_worker: OpenWorker, told: Told
) -> None:
    sender = open_worker(
        flaky, store="memory", subscribers={"*": static(flaky.url)}, recipient_validators=[allows_all]
    )
    (subscriber,) = sender.thorn.subscriptions()
    sender.thorn.event(EVENT).send(42)
    (message,) = sender.published()
    (held,) = open_worker(flaky, store="memory").do(message)
    assert held.task == message.task
    (fields,) = told("task.held")
    assert fields["detail"] == (
        f"this worker does not know the recipient validator {__name__}:allows_all, the static subscriber "
        f"{subscriber.id} of order.created: start it with the code and the settings of the application"
    )


def test_validators_of_the_worker_are_asked_before_each_attempt(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    def refuses(url: URL) -> None:
        raise RecipientRefused("not there")

    sender = open_worker(endpoint)
    subscription = sender.thorn.subscribe("order.*", endpoint.url)
    (batch,) = sender.fanned_out()
    worker = open_worker(endpoint, recipient_validators=[refuses])
    assert worker.do(batch) == []
    assert worker.records()[subscription.id].state is DeliveryState.BLOCKED
    assert endpoint.seen == []


def test_a_subscriber_that_is_asked_for_and_raises_holds_its_message(
    open_worker: OpenWorker, told: Told
) -> None:
    def raises(event: str, sender: str | None) -> str:
        raise LookupError("the text of this error is told nowhere")

    worker = open_worker(store="memory", subscribers={"*": raises})
    (held,) = worker.fanned_out()
    assert held.task == "thornsdk.fan_out"
    (fields,) = told("task.held")
    assert "raised LookupError" in fields["detail"]
    assert "told nowhere" not in fields["detail"]


# Disabled subscriptions


def test_what_disabled_subscriptions_would_have_got_is_kept_when_a_message_is_fanned_out(
    open_worker: OpenWorker, told: Told
) -> None:
    worker = open_worker()
    put(worker, make_subscription(1), make_subscription(2, content_type=FORM, disabled="enough"))
    (batch,) = worker.fanned_out({"id": 42})
    assert batch.document["subscriptions"] == [str(UUID(int=1))]
    (kept,) = worker.records().values()
    assert (kept.subscription_id.int, kept.state, kept.body) == (2, DeliveryState.CANCELLED, b"id=42")
    assert (kept.last.number, kept.last.outcome.reason) == (0, Reason.SUBSCRIPTION_DISABLED)
    assert [one["detail"] for one in told("delivery.skipped")] == ["enough"]


def test_a_message_that_comes_again_does_not_double_what_was_skipped(
    open_worker: OpenWorker, told: Told
) -> None:
    worker = open_worker()
    put(worker, make_subscription(2, disabled="enough"))
    worker.thorn.event(EVENT).send(42)
    (queued,) = worker.published()
    assert worker.do(queued) == []
    assert worker.do(queued, redelivered=True) == []
    assert len(worker.records()) == len(told("delivery.skipped")) == 1


def test_one_that_is_disabled_while_its_batch_waits_is_skipped_and_can_be_replayed(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker
) -> None:
    endpoint = open_endpoint()
    worker = open_worker(endpoint)
    one, other = (worker.thorn.subscribe("order.*", endpoint.url) for _ in range(2))
    (batch,) = worker.fanned_out()
    worker.thorn.disable(one.id, why="they moved")
    assert worker.do(batch) == []
    states = {key: record.state for key, record in worker.records().items()}
    assert states == {one.id: DeliveryState.CANCELLED, other.id: DeliveryState.DELIVERED}
    worker.thorn.enable(one.id)
    replayed = worker.thorn.replay(worker.records()[one.id].id)
    assert (replayed.kind, replayed.last.number) == (OutcomeKind.DELIVERED, 1)
    assert len(endpoint.seen) == 2


# Ordered subscriptions


def sent(worker: Worker, *payloads: object) -> list[Queued]:
    """Sends messages; gives the task of each."""
    event = worker.thorn.event(EVENT)
    for one in payloads:
        event.send(one)
    return worker.published()


def came(endpoint: Endpoint) -> list[object]:
    return [json.loads(one.body)["n"] for one in endpoint.seen]


A1, A2, A3, B1 = ({"order": key, "n": n} for key, n in (("a", 1), ("a", 2), ("a", 3), ("b", 4)))


def test_ordered_deliveries_are_attempted_from_the_store_and_the_others_in_batches(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    ordered = worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    plain = worker.thorn.subscribe("order.*", endpoint.url)
    first, second = sent(worker, A1, {"n": 2})
    batch, resume = sorted(worker.do(first), key=lambda one: one.task)
    assert (batch.task, batch.document["subscriptions"]) == ("thornsdk.deliver", ids(plain))
    assert resume.document["deliveries"] == [[str(worker.records()[ordered.id].id), 1]]
    assert worker.do(resume) == []
    (both,) = worker.do(second)
    assert set(both.document["subscriptions"]) == set(ids(ordered, plain))


def test_ordered_deliveries_travel_together_as_many_as_a_batch_holds(open_worker: OpenWorker) -> None:
    worker = open_worker(chunksize=2)
    put(worker, *(make_subscription(n, url="https://host.example/", ordered_by="order") for n in range(5)))
    (message,) = sent(worker, A1)
    resumes = worker.do(message)
    assert [one.task for one in resumes] == ["thornsdk.resume"] * 3
    assert [len(one.document["deliveries"]) for one in resumes] == [2, 2, 1]


def test_messages_arrive_in_the_order_in_which_they_were_sent_whichever_a_worker_takes_up_first(
    endpoint: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    resumes = [one for message in reversed(sent(worker, A1, A2, A3, B1)) for one in worker.do(message)]
    other, third, second, first = resumes
    waiting = [*worker.do(third), *worker.do(other), *worker.do(second)]
    assert came(endpoint) == [4]
    assert all(eta(one) > clock.now for one in waiting)
    (called,) = worker.do(first)
    assert called.headers["eta"] is None
    (last,) = worker.do(called)
    assert worker.do(last) == []
    assert came(endpoint) == [4, 1, 2, 3]
    clock.advance(1000)
    assert [worker.do(one) for one in waiting] == [[], []]
    assert len(endpoint.seen) == 4


def test_the_next_in_line_is_called_on_the_terms_on_which_it_was_sent(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    first, second = [one for message in sent(worker, A1, A2) for one in worker.do(message)]
    worker.do(second)
    (called,) = worker.do(first)
    assert called.document["terms"] == second.document["terms"]
    assert called.document["terms"] is not None
    assert called.document["needs"] == second.document["needs"]


def test_the_next_in_line_of_another_event_is_called_on_the_terms_of_the_worker(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    (one,) = sent(worker, A1)
    worker.thorn.event("order.changed").send(A2)
    (other,) = worker.published()
    (first,), (second,) = worker.do(one), worker.do(other)
    worker.do(second)
    (called,) = worker.do(first)
    assert called.document["terms"] is None
    assert called.document["needs"]["event"] == ""


def test_the_next_in_line_is_not_called_while_the_one_before_is_tried_again(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url, ordered_by="order")
    first, second = [one for message in sent(worker, A1, A2) for one in worker.do(message)]
    (again,) = worker.do(first)
    (waits,) = worker.do(second)
    assert eta(again) == eta(waits) == later(clock, 5)
    clock.advance(5)
    (called,) = worker.do(again)
    assert worker.do(called) == worker.do(waits) == []
    assert came(flaky) == [1, 1, 2]


def test_the_next_in_line_is_not_called_before_its_own_time(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url, ordered_by="order")
    first, second = [one for message in sent(worker, A1, A2) for one in worker.do(message)]
    (key, _), *_ = second.document["deliveries"]
    assert worker.thorn.replay(UUID(key)).next_attempt_at == later(clock, 5)
    assert worker.do(first) == []
    assert came(flaky) == [2, 1]


def test_behind_one_that_failed_a_line_stops_until_a_replay_and_a_sweep_goes_on_with_it(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    endpoint = open_endpoint(in_turn(answers(500), answers(200)))
    worker = open_worker(endpoint, retry_schedule=[])
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    first, second = [one for message in sent(worker, A1, A2) for one in worker.do(message)]
    worker.do(second)
    (called,) = worker.do(first)
    (waits,) = worker.do(called)
    assert came(endpoint) == [1]
    assert eta(waits) == later(clock, HOP)
    (failed,) = worker.thorn.deliveries(DeliveryState.FAILED)
    clock.advance(GRACE)
    assert worker.thorn.replay(failed.id).kind is OutcomeKind.DELIVERED
    (found,) = worker.sweep()
    worker.do(found)
    assert came(endpoint) == [1, 1, 2]


def test_what_has_begun_is_not_published_when_its_message_comes_again(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    (message,) = sent(worker, A1)
    (resume,) = worker.do(message)
    worker.do(resume)
    assert worker.do(message, redelivered=True) == []


def test_one_that_is_ordered_since_its_message_was_sent_gets_a_place_in_line_from_the_worker(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    worker = open_worker(endpoint)
    one = worker.thorn.subscribe("order.*", endpoint.url)
    first, second = sent(worker, A1, {"n": 2})
    put(worker, evolve(one, ordered_by="order"))
    (resume,) = worker.do(first)
    assert worker.do(resume) == []
    assert worker.records()[one.id].order_key == '"a"'
    (batch,) = worker.do(second)
    assert batch.task == "thornsdk.deliver"


def test_a_subscriber_that_a_callable_gives_is_ordered_too(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    def gives(event: str, sender: str | None) -> dict[str, str]:
        return {"url": endpoint.url, "secret": "s", "ordered_by": "order"}

    worker = open_worker(endpoint, subscribers={"*": gives})
    (message,) = sent(worker, A1)
    assert worker.records() == {}
    (resume,) = worker.do(message)
    assert worker.do(resume) == []
    assert [one.order_key for one in worker.records().values()] == ['"a"']


def test_the_order_of_cloud_events_is_that_of_a_field_of_the_payload_wherever_they_get_their_place(
    endpoint: Endpoint, open_worker: OpenWorker
) -> None:
    def gives(event: str, sender: str | None) -> dict[str, str]:
        return {"url": endpoint.url, "secret": "s", "content_type": EVENTS, "ordered_by": "order"}

    worker = open_worker(
        endpoint, codecs={EVENTS: "cloudevents"}, options=SHOP_EVENTS, subscribers={"*": gives}
    )
    worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    (message,) = sent(worker, A1)
    assert [one.order_key for one in worker.records().values()] == ['"a"']
    worker.do(message)
    assert [one.order_key for one in worker.records().values()] == ['"a"', '"a"']


def test_where_the_broker_goes_a_sweep_finds_the_next_in_line(
    open_endpoint: OpenEndpoint, open_worker: OpenWorker, clock: FakeClock, told: Told
) -> None:
    with RedisServer() as broker:

        def behave(handler: Handler, _: Seen) -> None:
            if len(endpoint.seen) == 1:
                broker.stop()
            handler.answer(200)

        endpoint = open_endpoint(behave)
        worker = open_worker(endpoint, url=broker.url)
        worker.thorn.subscribe("order.*", endpoint.url, ordered_by="order")
        first, second = [one for message in sent(worker, A1, A2) for one in worker.do(message)]
        worker.do(second)
        with closing(worker.publisher):
            worker.work.resume(first.document, Arrival(queue=first.queue, redelivered=False))
    assert [one["task"] for one in told("task.held")] == ["thornsdk.resume"]
    assert worker.thorn.next_due() == clock.now
    assert worker.thorn.run_due().delivered == 1
    assert came(endpoint) == [1, 2]


# When a message was sent


def test_every_attempt_knows_when_its_message_was_sent(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky)
    worker.thorn.subscribe("order.*", flaky.url)
    sent_at = clock()
    (message,) = sent(worker, A1)
    clock.advance(60)
    (batch,) = worker.do(message)
    clock.advance(60)
    (resume,) = worker.do(batch)
    clock.advance(60)
    worker.do(resume)
    (known,) = worker.records().values()
    assert (known.created_at, known.last.number) == (sent_at, 2)


def test_a_delivery_that_is_in_no_store_knows_when_its_message_was_sent(
    flaky: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(flaky, store="memory", subscribers={"*": {"url": flaky.url, "secret": "s"}})
    (message,) = sent(worker, A1)
    clock.advance(60)
    (batch,) = worker.do(message)
    (retry,) = worker.do(batch)
    assert retry.document["delivery"]["created_at"] == later(clock, -60).isoformat()


def test_a_place_in_line_that_a_worker_gives_says_when_the_message_was_sent(
    endpoint: Endpoint, open_worker: OpenWorker, clock: FakeClock
) -> None:
    worker = open_worker(endpoint)
    one = worker.thorn.subscribe("order.*", endpoint.url)
    (message,) = sent(worker, A1)
    put(worker, evolve(one, ordered_by="order"))
    clock.advance(60)
    worker.do(message)
    (known,) = worker.records().values()
    assert (known.created_at, known.accepted_at) == (later(clock, -60), clock())


# Headers that serializers write


def test_a_worker_writes_the_headers_of_a_serializer(endpoint: Endpoint, open_worker: OpenWorker) -> None:
    worker = open_worker(endpoint, codecs={JSON: "cloudevents"}, options=SHOP_EVENTS)
    worker.thorn.subscribe("order.*", endpoint.url)
    (batch,) = worker.fanned_out()
    worker.do(batch)
    message_id = batch.document["message"]["id"]
    assert [one.header("ce-id") for one in endpoint.seen] == [message_id]


def test_a_worker_that_does_not_know_the_headers_of_a_serializer_holds_its_messages(
    endpoint: Endpoint, open_worker: OpenWorker, told: Told
) -> None:
    sender = open_worker(endpoint, codecs={JSON: "cloudevents"}, options=SHOP_EVENTS)
    (message,) = sent(sender, A1)
    (held,) = open_worker(endpoint).do(message)
    assert held.task == "thornsdk.fan_out"
    (problem,) = told("task.held")
    assert problem["detail"] == (
        "this worker does not know the headers that "
        "thornsdk_plugins.cloudevents:BinaryCloudEventsSerializer adds to application/json of "
        "order.created: start it with the code and the settings of the application"
    )
