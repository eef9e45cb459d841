"""One event to a URL and to queues, side by side."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import OpenThorn
from support.commands import Commands, store_url
from support.queues import Queues
from support.wire import wait_until
from support.workers import Worker
from thornsdk import DeliveryState, OutcomeKind, Reason, Thorn
from thornsdk.receive import Received, Scheme, verify
from thornsdk.testing import Endpoint, capture_log

SECRET = "whsec_c2VjcmV0IG9mIHRoZSBzdWJzY3JpYmVycw=="
TRANSPORTS = ["urllib3", "queue"]


@pytest.fixture
def redis(redis_url: str) -> Iterator[Queues]:
    with Queues(redis_url) as queues:
        yield queues


@pytest.fixture
def silent() -> Iterator[str]:
    """A broker that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"amqp://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def orders(rabbit: Queues) -> Queues:
    rabbit.declare("orders")
    return rabbit


def brokers(**urls: str) -> dict[str, dict[str, object]]:
    return {"queue": {"brokers": urls}}


def verified(headers: Any, body: bytes) -> list[Received]:
    """Verifies a message as a subscriber does, by each signature that it has."""
    schemes = (Scheme.STANDARD_WEBHOOKS, Scheme.HOOK_HMAC)
    return [verify(headers, body, secrets=SECRET, accept=[one]) for one in schemes]


def test_one_event_reaches_a_url_a_rabbitmq_and_a_redis_and_each_verifies_it(
    endpoint: Endpoint, orders: Queues, redis: Queues, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, transport=TRANSPORTS, options=brokers(events=orders.url, cache=redis.url))
    urls = [endpoint.url, "amqp://events/orders", "redis://cache/orders"]
    ids = {str(thorn.subscribe("order.*", url, secret=SECRET).id) for url in urls}
    receipt = thorn.event("order.created").send({"id": 42})
    assert (receipt.outcomes.delivered, receipt.outcomes.problems) == (3, ())
    told = {(str(one.last.status), one.origin.partition(":")[0]) for one in thorn.deliveries()}
    assert told == {("200", "http"), ("202", "amqp"), ("202", "redis")}

    (seen,), (from_rabbit,), (from_redis,) = endpoint.seen, orders.take("orders"), redis.take("orders")
    found = [
        *verified(seen.headers, seen.body),
        *verified(from_rabbit.headers, from_rabbit.body),
        *verified(from_redis.headers, from_redis.body),
    ]
    assert {one.body for one in found} == {b'{"id":42}'}
    assert {one.event for one in found} == {"order.created"}
    assert {one.subscription for one in found} == ids
    assert {str(one.id) for one in thorn.deliveries()} == {one.id for one in found}


def test_what_does_not_arrive_is_told_beside_what_does(
    endpoint: Endpoint, orders: Queues, open_thorn: OpenThorn
) -> None:
    options = brokers(events=orders.url, gone="redis://127.0.0.1:1")
    thorn = open_thorn(endpoint, transport=TRANSPORTS, options=options)
    expected = {
        endpoint.url: (OutcomeKind.DELIVERED, Reason.ACCEPTED),
        "amqp://events/orders": (OutcomeKind.DELIVERED, Reason.ACCEPTED),
        "amqp://events/nowhere": (OutcomeKind.RETRY, Reason.STATUS),
        "redis://gone/orders": (OutcomeKind.RETRY, Reason.CONNECTION_REFUSED),
        "amqp://elsewhere/orders": (OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN),
        "redis://events/orders": (OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN),
    }
    urls = {thorn.subscribe("order.*", url).id: url for url in expected}
    thorn.event("order.created").send({"id": 42})
    told = {urls[one.subscription_id]: one.last.outcome for one in thorn.deliveries()}
    assert {url: (one.kind, one.reason) for url, one in told.items()} == expected


def test_a_broker_that_hangs_holds_up_neither_a_url_nor_another_broker(
    endpoint: Endpoint, redis: Queues, silent: str, open_thorn: OpenThorn
) -> None:
    options = brokers(sick=silent, well=redis.url)
    thorn = open_thorn(endpoint, transport=TRANSPORTS, options=options)
    for url in ("amqp://sick/orders", endpoint.url, "redis://well/orders"):
        thorn.subscribe("order.*", url)
    with capture_log() as log:
        thorn.event("order.created", timeout=1.0).send({"id": 42})
    told = [(one.event, one.fields["reason"]) for one in log.told]
    assert told == [("delivery.delivered", "accepted")] * 2 + [("delivery.retry", "timeout")]


def test_a_replay_has_the_id_of_the_delivery(orders: Queues, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(transport="queue", options=brokers(events=orders.url))
    thorn.subscribe("order.*", "amqp://events/orders")
    thorn.event("order.created").send({"id": 42})
    (delivery,) = thorn.deliveries()
    thorn.replay(delivery.id)
    assert [one.headers["Hook-Delivery"] for one in orders.take("orders")] == [str(delivery.id)] * 2


def test_celery_workers_publish_to_queues(tmp_path: Path, orders: Queues, redis: Queues) -> None:
    settings: dict[str, Any] = {"transport": "queue", "store": store_url(tmp_path)}
    options = brokers(events=orders.url)
    with (
        Thorn(dispatcher="celery", broker_url=redis.url, options=options, **settings) as thorn,
        Worker(tmp_path, broker_url=redis.url, options=json.dumps(options), **settings),
    ):
        thorn.subscribe("order.*", "amqp://events/orders", secret=SECRET)
        thorn.event("order.created").send({"id": 42})
        wait_until(lambda: bool(list(thorn.deliveries(DeliveryState.DELIVERED))))
    (message,) = orders.take("orders")
    assert verified(message.headers, message.body)[0].event == "order.created"


@pytest.fixture
def cli_brokers(orders: Queues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands know two brokers, and have a store in a file."""
    options = brokers(events=orders.url, gone="amqp://thorn:hunter2@127.0.0.1:1")
    monkeypatch.setenv("THORN_STORE", store_url(tmp_path))
    monkeypatch.setenv("THORN_TRANSPORT", "urllib3,queue")
    monkeypatch.setenv("THORN_OPTIONS", json.dumps(options))


def test_the_command_line_subscribes_and_sends_to_queues(
    run: Commands, orders: Queues, cli_brokers: None
) -> None:
    for url in ("amqp://events/orders", "amqp://events/nowhere", "amqp://gone/orders"):
        assert run("subscribe", url, "--event", "order.*").code == 0
    sent = run("send", "order.created", "--data", '{"id": 42}', "--json")
    told = {(one["origin"], one["outcome"], one["reason"], one["status"]) for one in sent.json}
    assert (sent.code, told) == (
        1,
        {
            ("amqp://events", "delivered", "accepted", 202),
            ("amqp://events", "retry", "status", 404),
            ("amqp://gone", "retry", "connection_refused", None),
        },
    )
    assert len(orders.take("orders")) == 1
    assert len(run("deliveries", "--json").json) == 3
    assert "hunter2" not in sent.out + sent.err


def test_the_command_line_shows_what_a_broker_said(run: Commands, cli_brokers: None) -> None:
    run("subscribe", "amqp://events/nowhere", "--event", "order.*")
    (sent,) = run("send", "order.created", "--data", "1", "--json").json
    assert "answered NO_ROUTE" in run("deliveries", "show", sent["delivery"]).out
