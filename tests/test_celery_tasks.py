import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from celery import Celery, _state
from celery.app.trace import reset_worker_optimizations
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Reject
from celery.states import SUCCESS
from kombu.asynchronous.timer import Timer

from conftest import OpenThorn
from support.brokers import Queued, RedisServer, take_all
from support.stages import make_pipeline
from support.wire import wait_until
from thornsdk import DeliveryRecord, DeliveryState, Settings, Thorn
from thornsdk.errors import ConfigurationError, SettingError
from thornsdk.testing import Endpoint, FakeClock, RecordingTransport, answers, in_turn
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.celery.apps import own_app
from thornsdk_plugins.celery.outgoing import HOP
from thornsdk_plugins.celery.tasks import SWEEP_EVERY, add_tasks, register_tasks
from thornsdk_plugins.memory import MemoryStore

NAMES = {f"thornsdk.{name}" for name in ("fan_out", "deliver", "resume", "retry", "sweep")}


@pytest.fixture(autouse=True)
def no_trace_of_a_worker() -> Iterator[None]:
    """A worker makes its app the current one of the whole process, and the log its own."""
    app, root = _state.get_current_app(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    reset_worker_optimizations()
    app.set_current()
    app.set_default()


@pytest.fixture
def open_site(open_thorn: OpenThorn, tmp_path: Path) -> Callable[..., Thorn]:
    """Makes Thorns that send to workers, and share a store with them."""

    def open_one(broker_url: str, *endpoints: Endpoint, **options: Any) -> Thorn:
        store = f"sqlite:///{tmp_path}/thorn.db"
        ours: dict[str, Any] = {"dispatcher": "celery", "broker_url": broker_url, "store": store}
        return open_thorn(*endpoints, **{**ours, **options})

    return open_one


OpenSite = Callable[..., Thorn]


def app_of(broker_url: str, thorn: Thorn) -> Celery:
    """An app whose workers deliver."""
    app = own_app(broker_url)
    register_tasks(app, thorn)
    return app


def late_app(broker_url: str, make: Callable[[], Thorn]) -> Celery:
    """An app whose Thorn is made when a worker starts."""
    app = own_app(broker_url)
    add_tasks(app, make, lanes=1)
    return app


def state_after(app: Celery, task: Queued) -> str:
    """Does a task as Celery does it, and gives the state it ends in."""
    return str(app.tasks[task.task].apply(args=(task.document,)).state)


def given_back(app: Celery, task: Queued) -> bool:
    """Does a task, and says whether it was given back to the broker, for another worker."""
    with pytest.raises(Reject) as caught:
        app.tasks[task.task](task.document)
    return bool(caught.value.requeue)  # type: ignore[attr-defined]  # missing in the stubs


# A worker


def test_a_worker_delivers_what_was_sent_and_tries_again_what_failed(
    open_endpoint: OpenEndpoint, open_site: OpenSite, redis_url: str
) -> None:
    endpoint = open_endpoint(in_turn(answers(500), answers(200)))
    thorn = open_site(redis_url, endpoint, retry_schedule=[0])
    subscription = thorn.subscribe("order.*", endpoint.url)
    with start_worker(app_of(redis_url, thorn), pool="solo", perform_ping_check=False):
        thorn.event("order.created").send({"id": 42})
        wait_until(lambda: any(thorn.deliveries(DeliveryState.DELIVERED)))
    (record,) = thorn.deliveries()
    assert (record.subscription_id, record.last.number) == (subscription.id, 2)
    assert take_all(redis_url) == []


def test_its_thorn_may_be_made_when_the_worker_starts(open_site: OpenSite, redis_url: str) -> None:
    made: list[Thorn] = []

    def make() -> Thorn:
        made.append(open_site(redis_url))
        return made[-1]

    app = late_app(redis_url, make)
    assert made == []
    make_ready(app)
    assert len(made) == 1


def test_wrong_settings_end_a_worker_before_it_takes_anything(redis_url: str) -> None:
    def make() -> Thorn:
        return Thorn(store="nowhere")

    with pytest.raises(SystemExit, match=r"^thornsdk: there is no store 'nowhere'; there are: "):
        make_ready(late_app(redis_url, make))


def make_ready(app: Celery) -> None:
    """Makes all that is made before a worker takes its first task."""
    app.finalize()
    app.WorkController(pool="solo")


# Its tasks


def test_tasks_are_acknowledged_when_they_are_done_and_come_back_if_their_worker_dies(
    open_site: OpenSite, redis_url: str
) -> None:
    app = app_of(redis_url, open_site(redis_url))
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert set(ours) == NAMES
    for task in ours.values():
        assert task.acks_late
        assert task.reject_on_worker_lost
        assert not task.acks_on_failure_or_timeout
        assert task.ignore_result
        assert task.serializer == "json"


def test_apps_of_one_process_deliver_each_with_its_own(
    open_endpoint: OpenEndpoint, open_site: OpenSite, redis_url: str, tmp_path: Path
) -> None:
    one, other = open_endpoint(), open_endpoint()
    first = open_site(redis_url, one, store=f"sqlite:///{tmp_path}/first.db")
    second = open_site(redis_url, other, store=f"sqlite:///{tmp_path}/second.db")
    app_of(redis_url, first).finalize()
    app = app_of(redis_url, second)
    second.subscribe("order.*", other.url)
    second.event("order.created").send(42)
    for _ in range(2):
        (task,) = take_all(redis_url)
        assert state_after(app, task) == SUCCESS
    assert len(other.seen) == 1


def test_an_app_of_the_same_process_that_does_not_deliver_has_no_tasks_of_ours(
    open_site: OpenSite, redis_url: str
) -> None:
    app_of(redis_url, open_site(redis_url)).finalize()
    assert not NAMES & set(own_app(redis_url).tasks)


def test_every_kind_of_task_is_done(open_endpoint: OpenEndpoint, open_site: OpenSite, redis_url: str) -> None:
    ill = open_endpoint(answers(500))
    options: dict[str, Any] = {
        "subscribers": {"*": {"url": ill.url, "secret": "a secret"}},
        "retry_schedule": [0, 0],
    }
    with_store = open_site(redis_url, ill, **options)
    without = open_site(redis_url, ill, **{**options, "store": "memory"})
    for thorn in (with_store, without):
        app = app_of(redis_url, thorn)
        thorn.event("order.created").send(42)
        kinds = []
        while tasks := take_all(redis_url):
            kinds.append(tasks[0].task.removeprefix("thornsdk."))
            assert state_after(app, tasks[0]) == SUCCESS
        again = "resume" if thorn is with_store else "retry"
        assert kinds == ["fan_out", "deliver", again, again]


def test_what_cannot_be_done_is_given_back_and_told(
    open_site: OpenSite, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    thorn = open_site(redis_url)
    thorn.event("order.created").send(42)
    (task,) = take_all(redis_url)
    task.document["version"] = 2
    with RedisServer() as broker:
        app = app_of(broker.url, thorn)
    assert given_back(app, task)
    (returned,) = [one for one in caplog.records if one.getMessage().startswith("task.returned")]
    assert "did not take it" in returned.getMessage()
    assert "hunter2" not in caplog.text


def test_what_breaks_is_told_without_the_text_of_the_error(
    open_site: OpenSite, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenStore(MemoryStore):
        identity = "a store"  # type: ignore[assignment]  # that of memory has none

        def claim_due(self, *_: object, **__: object) -> list[DeliveryRecord]:
            raise LookupError("the text of this error is told nowhere")

    pipeline = make_pipeline([RecordingTransport()], store=BrokenStore())
    app = app_of(redis_url, open_site(redis_url, pipeline=pipeline))
    assert given_back(app, Queued("thornsdk", {"task": "thornsdk.sweep"}, {}, b""))
    assert "task.returned detail=raised LookupError at " in caplog.text
    assert "told nowhere" not in "".join(one.getMessage() for one in caplog.records)


def test_a_task_waits_for_half_as_long_as_the_broker_lets_it(
    open_endpoint: OpenEndpoint, open_site: OpenSite, redis_url: str, clock: FakeClock
) -> None:
    ill = open_endpoint(answers(500))
    thorn = open_site(redis_url, ill, retry_schedule=[1000], clock=clock)
    thorn.subscribe("order.*", ill.url)
    thorn.event("order.created").send(42)
    app = app_of(redis_url, thorn)
    app.conf.broker_transport_options = {"visibility_timeout": 100}
    for _ in range(2):
        (task,) = take_all(redis_url)
        assert state_after(app, task) == SUCCESS
    (resume,) = take_all(redis_url)
    assert datetime.fromisoformat(resume.headers["eta"]) == clock.now + timedelta(seconds=50)


# Its queues


def queues(app: Celery, *chosen: str) -> set[str]:
    """Which queues a worker takes."""
    app.finalize()
    app.WorkController(pool="solo", queues=",".join(chosen) or None)
    return set(app.amqp.queues.consume_from)


def test_a_worker_takes_our_queue_besides_those_of_the_app(open_site: OpenSite, redis_url: str) -> None:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.task_default_queue = "shop"
    register_tasks(app, open_site(redis_url))
    assert queues(app) == {"shop", "thornsdk"}


def test_a_task_that_came_another_way_goes_on_in_our_queue(open_site: OpenSite, redis_url: str) -> None:
    thorn = open_site(redis_url)
    thorn.event("order.created").send(42)
    app = app_of(redis_url, thorn)
    (queued,) = take_all(redis_url)
    queued.document["version"] = 99
    app.tasks[queued.task].apply(args=(queued.document,), routing_key="thornsdk.tasks.topic")
    (held,) = take_all(redis_url)
    assert held.queue == "thornsdk"


def test_an_app_that_accepts_no_json_ends_a_worker_with_a_word(open_site: OpenSite, redis_url: str) -> None:
    app = app_of(redis_url, open_site(redis_url))
    app.conf.accept_content = ["pickle"]
    with pytest.raises(SystemExit, match=r"^thornsdk: tasks are written in JSON"):
        make_ready(app)


def test_the_worker_without_code_keeps_apart_from_other_apps_on_its_redis(redis_url: str) -> None:
    options = own_app(redis_url, visibility=600).conf.broker_transport_options
    assert {value for key, value in options.items() if key.startswith("unacked")} == {
        "thornsdk.unacked",
        "thornsdk.unacked_index",
        "thornsdk.unacked_mutex",
    }


def test_an_app_that_was_used_before_takes_our_queue_too(open_site: OpenSite, redis_url: str) -> None:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.finalize()
    register_tasks(app, open_site(redis_url))
    assert queues(app) == {"celery", "thornsdk"}


def test_with_lanes_a_worker_takes_each_of_them(open_site: OpenSite, redis_url: str) -> None:
    app = app_of(redis_url, open_site(redis_url, lanes=3))
    assert queues(app) == {"thornsdk", "thornsdk.1", "thornsdk.2", "thornsdk.3"}


def test_a_worker_that_is_told_its_queues_takes_no_others(open_site: OpenSite, redis_url: str) -> None:
    app = app_of(redis_url, open_site(redis_url, lanes=3))
    assert queues(app, "thornsdk", "thornsdk.2") == {"thornsdk", "thornsdk.2"}


# Its sweeps


def tick(app: Celery) -> None:
    """Lets the time pass after which a worker looks for lost deliveries."""
    timer = Timer()
    consumer = SimpleNamespace(timer=timer)
    for step in app.steps["consumer"]:
        step(consumer).start(consumer)
    (waiting,) = timer.queue
    waiting.entry()


def test_a_worker_asks_for_a_sweep_now_and_again(open_site: OpenSite, redis_url: str) -> None:
    app = app_of(redis_url, open_site(redis_url))
    tick(app)
    (task,) = take_all(redis_url)
    assert (task.task, task.queue) == ("thornsdk.sweep", "thornsdk")
    expires = datetime.fromisoformat(task.headers["expires"])
    assert expires - datetime.now(UTC) <= timedelta(seconds=SWEEP_EVERY)
    assert state_after(app, task) == SUCCESS


def test_without_a_shared_store_there_is_nothing_to_sweep(open_site: OpenSite, redis_url: str) -> None:
    tick(app_of(redis_url, open_site(redis_url, store="memory")))
    assert take_all(redis_url) == []


def test_a_sweep_that_the_broker_does_not_take_is_left_out(open_site: OpenSite) -> None:
    with RedisServer() as broker:
        app = app_of(broker.url, open_site(broker.url))
    tick(app)


# The worker without any code of an application


@pytest.fixture
def plugin() -> Iterator[ModuleType]:
    """The module that ``celery -A`` names; it keeps the app that it made."""
    import thornsdk_plugins.celery as module

    yield module
    vars(module).pop("app", None)


def test_the_app_of_the_standalone_worker_is_made_from_the_environment(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, redis_url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("THORN_BROKER_URL", redis_url)
    monkeypatch.setenv("THORN_STORE", f"sqlite:///{tmp_path}/thorn.db")
    monkeypatch.setenv("THORN_EVENT_TIMEOUT", "30")
    app = plugin.app
    assert plugin.app is app
    assert queues(app) == {"thornsdk"}
    # Longer than the longest wait and the longest batch together.
    assert app.conf.broker_transport_options["visibility_timeout"] > HOP + 30 * 100 / Settings().concurrency


def test_rabbitmq_needs_no_visibility_timeout(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORN_BROKER_URL", "amqp://127.0.0.1:1//")
    assert plugin.app.conf.broker_transport_options == {}


def test_the_standalone_worker_needs_a_broker(plugin: ModuleType) -> None:
    with pytest.raises(ConfigurationError, match="set THORN_BROKER_URL, such as redis://localhost/0"):
        plugin.app  # noqa: B018 - it is made when it is asked for


def test_the_standalone_worker_refuses_settings_that_it_does_not_know(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORN_BROKER", "redis://localhost/0")
    with pytest.raises(SettingError, match="THORN_BROKER_URL"):
        plugin.app  # noqa: B018 - it is made when it is asked for


def test_the_plugin_has_no_other_names(plugin: ModuleType) -> None:
    assert plugin.register_tasks is register_tasks
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        plugin.nothing  # noqa: B018 - that is what is asked for
