import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from celery import Celery
from redis import Redis

from conftest import OpenThorn
from support.brokers import RedisServer, take_all
from support.forks import fork_and_publish
from support.stages import NOW, make_pipeline
from support.wire import Listener, wait_until
from thornsdk import Audience, Bodies, DeliveryState, Dispatch, Message, Pipeline, Reason, ReceiptState, Thorn
from thornsdk.errors import ConfigurationError, DispatchError, SerializationError
from thornsdk.testing import Endpoint, RecordingTransport
from thornsdk_plugins.celery import CeleryDispatcher
from thornsdk_plugins.celery.apps import own_app
from thornsdk_plugins.celery.publisher import MAX_BYTES, Publisher

SECRET = "the secret of the subscriber"


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/thorn.db"


@pytest.fixture
def sender(open_thorn: OpenThorn, broker_url: str, store_url: str) -> Thorn:
    """Sends over a real broker; workers could open its store."""
    return open_thorn(dispatcher="celery", broker_url=broker_url, store=store_url, chunksize=10)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# What the broker gets


def test_a_message_is_one_task_whoever_gets_it(sender: Thorn, broker_url: str) -> None:
    for number in range(20):
        sender.subscribe("order.*", f"https://host-{number}.example/", secret=SECRET)
    receipt = sender.event("order.created").send({"id": 42})
    (queued,) = take_all(broker_url)
    assert (queued.queue, queued.task) == ("thornsdk", "thornsdk.fan_out")
    assert (receipt.state, receipt.dispatcher) == (ReceiptState.QUEUED, "celery")
    assert receipt.task_id == queued.id
    (message,) = queued.document["messages"]
    assert message["id"] == str(receipt.message_id)
    assert json.loads(message["bodies"]["application/json"]["text"]) == {"id": 42}


def test_a_message_may_be_handed_over_by_itself(open_thorn: OpenThorn, redis_url: str) -> None:
    thorn = open_thorn(broker_url=redis_url)
    message = Message[object](id=uuid4(), event="order.created", payload=42, created_at=NOW, sender="acme")
    dispatch = Dispatch(
        message=message,
        audience=Audience(event="order.created", sender="acme", broadcast=False),
        bodies=Bodies(thorn.pipeline.by_content_type, message),
        terms=thorn.deliverer.terms("order.created"),
    )
    with closing(CeleryDispatcher(broker_url=redis_url)) as dispatcher:
        receipt = dispatcher.dispatch(dispatch, thorn.deliverer)
    (queued,) = take_all(redis_url)
    assert (receipt.message_id, receipt.task_id) == (message.id, queued.id)
    assert queued.document["messages"][0]["sender"] == "acme"


@pytest.mark.parametrize("key", [None, "order 42"])
def test_what_may_have_been_sent_before_is_published_with_a_look_into_the_store(
    key: str | None, sender: Thorn, broker_url: str
) -> None:
    receipt = sender.event("order.created").send({"id": 42}, idempotency_key=key)
    (queued,) = take_all(broker_url)
    (message,) = queued.document["messages"]
    assert (message["id"], message["again"]) == (str(receipt.message_id), key is not None)


def test_a_task_shows_neither_bodies_nor_secrets_where_it_is_shown(sender: Thorn, broker_url: str) -> None:
    sender.subscribe("order.*", "https://host.example/", secret=SECRET)
    sender.event("order.created").send({"card": "4111-1111"})
    (queued,) = take_all(broker_url)
    assert queued.headers["argsrepr"] == "(order.created,)"
    assert "4111-1111" not in json.dumps(queued.headers)
    assert SECRET.encode() not in queued.raw


def test_a_hundred_buffered_messages_are_ten_tasks_in_their_order(sender: Thorn, broker_url: str) -> None:
    created = sender.event("order.created")
    with sender.buffer() as buffer:
        sent = [created.send({"id": number}) for number in range(100)]
        receipts = buffer.flush()
    queued = take_all(broker_url)
    assert [len(one.document["messages"]) for one in queued] == [10] * 10
    ids = [message["id"] for one in queued for message in one.document["messages"]]
    assert ids == [str(one.message_id) for one in sent]
    assert [one.task_id for one in receipts] == [one.id for one in queued for _ in range(10)]
    assert queued[0].headers["argsrepr"] == "(10 messages of order.created,)"


def test_buffered_messages_are_split_by_their_length_too(sender: Thorn, broker_url: str) -> None:
    created = sender.event("order.created")
    with sender.buffer():
        for _ in range(5):
            # In two content types: three of them are too long for one task.
            created.send({"text": "x" * (MAX_BYTES // 5)})
    chunks = [len(one.document["messages"]) for one in take_all(broker_url)]
    assert chunks == [2, 2, 1]


def test_what_is_too_long_for_a_task_is_an_error_that_names_the_lengths(
    sender: Thorn, broker_url: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        sender.event("order.created").send({"text": "x" * (MAX_BYTES // 2)})
    size = int(caught.value.problem.split()[3])
    assert size > MAX_BYTES
    assert f"{size} bytes long together, and a task takes {MAX_BYTES}" in str(caught.value)
    assert take_all(broker_url) == []


def test_what_is_too_long_for_a_task_keeps_back_no_other_message(sender: Thorn, broker_url: str) -> None:
    created = sender.event("order.created")
    sent: list[UUID] = []

    def send_all() -> None:
        with sender.buffer():
            sent.append(created.send({"id": 1}).message_id)
            created.send({"text": "x" * (MAX_BYTES // 2)})
            sent.append(created.send({"id": 2}).message_id)

    with pytest.raises(SerializationError):
        send_all()
    taken = [message["id"] for one in take_all(broker_url) for message in one.document["messages"]]
    assert taken == [str(one) for one in sent]


def test_a_payload_that_cannot_be_written_is_an_error_of_send(sender: Thorn, broker_url: str) -> None:
    with pytest.raises(SerializationError, match=r"at \$\.price: "):
        sender.event("order.created").send({"price": object()})
    assert take_all(broker_url) == []


# Where there is no broker


def no_broker(kind: str) -> str:
    """The URL of a broker at a port where nobody listens."""
    return f"{kind}://somebody:hunter2@127.0.0.1:{closed_port()}/"


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_without_a_broker_send_is_an_error_that_names_it_without_its_password(
    open_thorn: OpenThorn, kind: str
) -> None:
    url = no_broker(kind)
    thorn = open_thorn(dispatcher="celery", broker_url=url)
    with pytest.raises(DispatchError) as caught:
        thorn.event("order.created").send({"id": 42})
    assert url.replace("hunter2", "**") in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.timeout(20)
def test_a_rabbitmq_that_never_answers_keeps_send_for_a_few_seconds(open_thorn: OpenThorn) -> None:
    with Listener(lambda _: silent.stopping.wait()) as silent:
        thorn = open_thorn(dispatcher="celery", broker_url=f"amqp://127.0.0.1:{silent.port}/")
        with pytest.raises(DispatchError, match=rf"the broker amqp://.*127\.0\.0\.1:{silent.port}/"):
            thorn.event("order.created").send({"id": 42})


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_what_the_broker_cannot_take_can_go_to_the_store(
    open_thorn: OpenThorn, endpoint: Endpoint, store_url: str, kind: str
) -> None:
    thorn = open_thorn(
        endpoint, dispatcher="celery", broker_url=no_broker(kind), broker_fallback=True, store=store_url
    )
    thorn.subscribe("order.*", endpoint.url)
    receipt = thorn.event("order.created").send({"id": 42})
    assert (receipt.state, receipt.task_id) == (ReceiptState.STORED, None)
    (problem,) = receipt.outcomes.problems
    assert (problem.last.number, problem.last.outcome.reason) == (0, Reason.NOT_QUEUED)
    assert "hunter2" not in problem.last.detail
    assert thorn.run_due().delivered == 1
    (record,) = thorn.deliveries(DeliveryState.DELIVERED)
    assert (record.id, record.last.number) == (problem.id, 1)
    assert [json.loads(one.body) for one in endpoint.seen] == [{"id": 42}]


def test_a_store_that_no_worker_sees_is_no_way_out(open_thorn: OpenThorn, endpoint: Endpoint) -> None:
    subscribers = {"*": {"url": endpoint.url, "secret": "s"}}
    broker = no_broker("redis")
    thorn = open_thorn(
        endpoint, dispatcher="celery", broker_url=broker, broker_fallback=True, subscribers=subscribers
    )
    with pytest.raises(DispatchError):
        thorn.event("order.created").send({})


def test_a_broker_that_does_not_answer_in_time_gets_a_message_once_and_may_have_it(
    open_thorn: OpenThorn,
) -> None:
    with Listener(lambda _: silent.stopping.wait()) as silent:
        thorn = open_thorn(dispatcher="celery", broker_url=f"redis://127.0.0.1:{silent.port}/")
        with pytest.raises(DispatchError, match="it may have the message all the same"):
            thorn.event("order.created").send({})
        assert silent.connections == 1


def test_a_connection_that_broke_while_it_was_idle_costs_no_message(
    open_thorn: OpenThorn, store_url: str
) -> None:
    with RedisServer() as broker:
        thorn = open_thorn(dispatcher="celery", broker_url=broker.url, store=store_url)
        event = thorn.event("order.created")
        event.send(1)
        broker.stop()
        broker.start()
        event.send(2)
        assert len(take_all(broker.url)) == 2


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("amqp://h/", "confirm_publish"),
        ("pyamqp://h/", "confirm_publish"),
        ("amqps://h/", "confirm_publish"),
        ("redis://h/", "socket_timeout"),
        ("rediss://h/", "socket_timeout"),
        ("sentinel://h/", "socket_timeout"),
    ],
)
def test_every_kind_of_broker_is_asked_to_confirm_or_to_answer_in_time(url: str, options: str) -> None:
    connection = Publisher(lambda: own_app(url))._connection()
    assert options in (connection.transport_options or {})


def test_buffered_messages_that_the_broker_cannot_take_go_to_the_store_one_by_one(
    open_thorn: OpenThorn, store_url: str
) -> None:
    thorn = open_thorn(
        dispatcher="celery", broker_url=no_broker("redis"), broker_fallback=True, store=store_url, chunksize=2
    )
    thorn.subscribe("order.*", "https://host.example/")
    created = thorn.event("order.created")
    with thorn.buffer() as buffer:
        sent = [created.send({"id": number}) for number in range(3)]
        receipts = buffer.flush()
    assert [one.message_id for one in receipts] == [one.message_id for one in sent]
    assert {one.state for one in receipts} == {ReceiptState.STORED}
    assert {one.message_id for one in thorn.deliveries()} == {one.message_id for one in sent}


# Where workers would find no subscribers


def test_subscriptions_in_a_store_of_this_process_alone_are_an_error(
    open_thorn: OpenThorn, redis_url: str
) -> None:
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, store="memory")
    thorn.subscribe("order.*", "https://host.example/")
    with pytest.raises(ConfigurationError, match="set THORN_STORE to one that both can open"):
        thorn.event("order.created").send({"id": 42})
    assert take_all(redis_url) == []


def test_static_subscribers_need_no_store(open_thorn: OpenThorn, redis_url: str) -> None:
    subscriber = {"url": "https://host.example/", "secret": SECRET}
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, subscribers={"order.*": subscriber})
    thorn.event("order.created").send({"id": 42})
    (queued,) = take_all(redis_url)
    needs = queued.document["messages"][0]["needs"]
    (subscription,) = thorn.subscriptions()
    assert needs["store"] is None
    assert needs["requirements"] == [f"the static subscriber {subscription.id}"]
    assert SECRET.encode() not in queued.raw


# Whose Celery app is used


def apart(act: Callable[[], object]) -> None:
    """Does it in a thread that has no current Celery app, whatever tests made before."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(act).result()


def pipeline_with(dispatcher: CeleryDispatcher) -> Pipeline:
    return make_pipeline([RecordingTransport()], dispatcher=dispatcher)


def send_with(open_thorn: OpenThorn, dispatcher: CeleryDispatcher) -> None:
    open_thorn(pipeline=pipeline_with(dispatcher)).event("order.created").send({"id": 42})


def test_the_app_that_is_given_counts_most(open_thorn: OpenThorn, redis_url: str) -> None:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    send_with(open_thorn, CeleryDispatcher(app, broker_url=no_broker("redis")))
    assert len(take_all(redis_url)) == 1


def test_a_broker_that_is_given_counts_more_than_the_current_app(
    open_thorn: OpenThorn, redis_url: str
) -> None:
    def act() -> None:
        Celery("shop", broker=no_broker("redis"))
        send_with(open_thorn, CeleryDispatcher(broker_url=redis_url))

    apart(act)
    assert len(take_all(redis_url)) == 1


def test_without_either_the_current_app_is_used_from_whatever_thread_sends(
    open_thorn: OpenThorn, redis_url: str
) -> None:
    made: list[Thorn] = []

    def act() -> None:
        Celery("shop", broker=redis_url)
        made.append(open_thorn(pipeline=pipeline_with(CeleryDispatcher())))

    apart(act)
    apart(lambda: made[0].event("order.created").send({"id": 42}))
    assert len(take_all(redis_url)) == 1


def test_a_current_app_may_be_made_later_than_the_dispatcher(open_thorn: OpenThorn, redis_url: str) -> None:
    def act() -> None:
        dispatcher = CeleryDispatcher()
        Celery("shop", broker=redis_url)
        send_with(open_thorn, dispatcher)

    apart(act)
    assert len(take_all(redis_url)) == 1


def test_without_any_app_or_broker_send_is_an_error_that_says_what_to_set(open_thorn: OpenThorn) -> None:
    def act() -> None:
        with pytest.raises(ConfigurationError, match="no broker: set THORN_BROKER_URL, or make your Celery"):
            send_with(open_thorn, CeleryDispatcher())

    apart(act)


def test_options_of_the_app_for_its_broker_are_kept(open_thorn: OpenThorn, redis_url: str) -> None:
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    send_with(open_thorn, CeleryDispatcher(app))
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("shop:thornsdk") == 1


# Its connections


def clients(url: str) -> int:
    """How many connections the Redis has, besides the one that asks."""
    with Redis.from_url(url) as redis:
        return len(redis.client_list()) - 1


def test_closing_closes_its_connections_and_closing_twice_does_no_harm(
    open_thorn: OpenThorn, redis_url: str
) -> None:
    before = clients(redis_url)
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url)
    thorn.event("order.created").send({"id": 42})
    assert clients(redis_url) > before
    thorn.close()
    wait_until(lambda: clients(redis_url) == before)
    thorn.close()


def test_closing_what_was_never_used_does_no_harm() -> None:
    CeleryDispatcher(broker_url=no_broker("redis")).close()


def test_a_process_that_was_forked_opens_and_closes_connections_of_its_own(broker_url: str) -> None:
    assert fork_and_publish(broker_url) == ["child True", "child True", "parent True", "parent True"]
    bodies = [one.document["messages"][0]["bodies"] for one in take_all(broker_url)]
    assert [json.loads(one["application/json"]["text"]) for one in bodies] == ["parent", "child", "parent"]


def test_threads_that_send_first_at_the_same_time_share_their_connections(redis_url: str) -> None:
    dispatcher = Publisher(lambda: own_app(redis_url))
    before = clients(redis_url)
    start = threading.Barrier(16)

    def publish(_: int) -> None:
        start.wait()
        dispatcher.publish("nothing", {}, queue="thornsdk", about="")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(publish, range(16)))
    dispatcher.close()
    wait_until(lambda: clients(redis_url) == before)


@pytest.mark.parametrize("url", ["redis://:hunt/er2@127.0.0.1:6379/0", "pigeon://:hunter2@127.0.0.1/"])
def test_a_broker_url_that_makes_no_sense_is_an_error_that_does_not_quote_it(
    open_thorn: OpenThorn, store_url: str, url: str
) -> None:
    thorn = open_thorn(dispatcher="celery", broker_url=url, store=store_url)
    with pytest.raises(
        ConfigurationError, match="its URL is wrong, or a package for it is missing"
    ) as caught:
        thorn.event("order.created").send({})
    assert "hunt" not in str(caught.value)


def test_the_length_of_a_body_is_that_which_travels(sender: Thorn, broker_url: str) -> None:
    with pytest.raises(SerializationError, match="bytes long"):
        sender.event("order.created").send({"text": '"' * (MAX_BYTES // 5)})
    assert take_all(broker_url) == []


def test_a_task_has_the_id_of_no_other(sender: Thorn, broker_url: str) -> None:
    created = sender.event("order.created")
    receipts = [created.send({"id": number}) for number in range(3)]
    assert [one.id for one in take_all(broker_url)] == [one.task_id for one in receipts]
    assert len({UUID(one.task_id) for one in receipts if one.task_id}) == 3


# Ordered subscriptions


def test_the_store_knows_the_order_in_which_messages_were_sent(sender: Thorn, broker_url: str) -> None:
    ordered = sender.subscribe("order.*", "https://host.example/", ordered_by="order")
    sender.subscribe("order.*", "https://host.example/")
    created = sender.event("order.created")
    receipts = [created.send({"order": "a", "n": n}) for n in range(3)]
    kept = {one.message_id: one for one in sender.deliveries()}
    assert kept.keys() == {one.message_id for one in receipts}
    assert {(one.subscription_id, one.state) for one in kept.values()} == {(ordered.id, DeliveryState.LEASED)}
    store = sender.deliverer.store
    following = store.next_in_line(kept[receipts[0].message_id].id)
    assert following is not None
    assert following.message_id == receipts[1].message_id
    assert len(take_all(broker_url)) == 3


def test_messages_without_the_field_are_left_to_the_workers(sender: Thorn, broker_url: str) -> None:
    sender.subscribe("order.*", "https://host.example/", ordered_by="order")
    sender.event("order.created").send({"id": 42})
    assert list(sender.deliveries()) == []
    assert len(take_all(broker_url)) == 1


def test_what_the_broker_does_not_take_leaves_its_line_and_may_be_sent_again(
    open_thorn: OpenThorn, store_url: str
) -> None:
    with RedisServer() as broker:
        thorn = open_thorn(dispatcher="celery", broker_url=broker.url, store=store_url)
        thorn.subscribe("order.*", "https://host.example/", ordered_by="order")
        created = thorn.event("order.created")
        broker.stop()
        with pytest.raises(DispatchError):
            created.send({"order": "a"}, idempotency_key="one")
        assert list(thorn.deliveries()) == []
        broker.start()
        created.send({"order": "a"}, idempotency_key="one")
        assert len(list(thorn.deliveries())) == 1
        assert len(take_all(broker.url)) == 1


def test_what_is_sent_again_with_its_key_keeps_its_place_though_the_broker_does_not_take_it(
    open_thorn: OpenThorn, store_url: str
) -> None:
    with RedisServer() as broker:
        thorn = open_thorn(dispatcher="celery", broker_url=broker.url, store=store_url)
        thorn.subscribe("order.*", "https://host.example/", ordered_by="order")
        created = thorn.event("order.created")
        created.send({"order": "a"}, idempotency_key="one")
        broker.stop()
        with pytest.raises(DispatchError):
            created.send({"order": "a"}, idempotency_key="one")
    assert len(list(thorn.deliveries())) == 1


def test_buffered_messages_that_only_the_store_takes_are_due_there_in_their_order(
    open_thorn: OpenThorn, endpoint: Endpoint, store_url: str
) -> None:
    thorn = open_thorn(
        endpoint, dispatcher="celery", broker_url=no_broker("redis"), broker_fallback=True, store=store_url
    )
    thorn.subscribe("order.*", endpoint.url, ordered_by="order")
    created = thorn.event("order.created")
    with thorn.buffer():
        for number in range(3):
            created.send({"order": "a", "n": number})
    assert {one.last.outcome.reason for one in thorn.deliveries()} == {Reason.NOT_QUEUED}
    assert thorn.run_due().delivered == 3
    assert [json.loads(one.body)["n"] for one in endpoint.seen] == [0, 1, 2]


def test_an_ordered_subscriber_needs_a_store_that_workers_share(
    open_thorn: OpenThorn, redis_url: str
) -> None:
    ordered = {"*": {"url": "https://host.example/", "secret": "s", "ordered_by": "order"}}
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, store="memory", subscribers=ordered)
    with pytest.raises(ConfigurationError, match="an ordered subscription needs a store"):
        thorn.event("order.created").send({"order": "a"})
    assert take_all(redis_url) == []


def test_a_static_subscriber_is_ordered_as_configuration_or_else_the_store_says(
    open_thorn: OpenThorn, redis_url: str, store_url: str
) -> None:
    ordered = {"order.*": {"url": "https://host.example/", "secret": "s", "ordered_by": "order"}}
    thorn = open_thorn(dispatcher="celery", broker_url=redis_url, store=store_url, subscribers=ordered)
    (one,) = thorn.subscriptions()
    created = thorn.event("order.created", subscribers=one)
    other = thorn.event("user.created")
    created.send({"order": "a"})
    other.send({"order": "a"})
    assert len(list(thorn.deliveries())) == 1
    thorn.disable(one.id)
    created.send({"order": "a"})
    assert len(list(thorn.deliveries())) == 1
