"""Sent twice with the same key, it is one message."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import OpenThorn
from thornsdk import DeliveryState, Thorn
from thornsdk.errors import ConfigurationError, InvalidValue
from thornsdk.testing import Endpoint, answers, in_turn
from thornsdk.testing.fixtures import OpenEndpoint

OpenShop = Callable[..., Thorn]


@pytest.fixture(params=["memory", "sqlite", "sqlite, not durable"])
def open_shop(request: pytest.FixtureRequest, open_thorn: OpenThorn, tmp_path: Path) -> OpenShop:
    """Makes Thorns with a store of each kind, which sends at once or is told first."""
    options = {} if request.param == "memory" else {"store": f"sqlite:///{tmp_path}/thorn.db"}
    durable = {"durable": False} if "not durable" in request.param else {}

    def open_one(*endpoints: Endpoint) -> Thorn:
        thorn = open_thorn(*endpoints, **options, **durable)
        for one in endpoints:
            thorn.subscribe("*", one.url)
        return thorn

    return open_one


def test_it_is_delivered_once_and_has_one_id(endpoint: Endpoint, open_shop: OpenShop) -> None:
    created = open_shop(endpoint).event("order.created")
    first = created.send({"id": 42}, idempotency_key="order 42")
    again = created.send({"id": 42}, idempotency_key="order 42")
    assert (first.outcomes.delivered, again.outcomes.total) == (1, 0)
    assert again.message_id == first.message_id
    assert len(endpoint.seen) == 1


def test_another_key_event_or_sender_is_another_message(endpoint: Endpoint, open_shop: OpenShop) -> None:
    thorn = open_shop(endpoint)
    created, paid = thorn.event("order.created"), thorn.event("order.paid")
    receipts = [
        created.send({}, idempotency_key="42"),
        created.send({}, idempotency_key="43"),
        paid.send({}, idempotency_key="42"),
        created.send({}, idempotency_key="42", sender="a tenant"),
        created.send({}),
    ]
    assert len({one.message_id for one in receipts}) == len(endpoint.seen) == 5


def test_the_first_payload_counts_for_who_subscribes_later(
    endpoint: Endpoint, open_endpoint: OpenEndpoint, open_shop: OpenShop
) -> None:
    later = open_endpoint()
    thorn = open_shop(endpoint, later)
    late = next(one for one in thorn.subscriptions() if str(one.url) == later.url)
    thorn.unsubscribe(late.id)
    created = thorn.event("order.created")
    created.send({"id": 1}, idempotency_key="42")
    thorn.subscribe("*", later.url)
    assert created.send({"id": 1}, idempotency_key="42").outcomes.delivered == 1
    assert [one.body for one in (*endpoint.seen, *later.seen)] == [b'{"id":1}'] * 2


def test_what_failed_is_left_to_its_schedule(open_endpoint: OpenEndpoint, open_shop: OpenShop) -> None:
    endpoint = open_endpoint(in_turn(answers(503), answers(200)))
    thorn = open_shop(endpoint)
    created = thorn.event("order.created")
    assert created.send({}, idempotency_key="42").outcomes.retry == 1
    assert created.send({}, idempotency_key="42").outcomes.total == 0
    assert [one.state for one in thorn.deliveries()] == [DeliveryState.PENDING]
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize(("key", "length"), [("", 0), ("x" * 256, 256)])
def test_a_key_has_a_length_that_can_be_kept(
    key: str, length: int, endpoint: Endpoint, open_shop: OpenShop
) -> None:
    created = open_shop(endpoint).event("order.created")
    with pytest.raises(
        InvalidValue, match=f"an idempotency key has 1 to 255 characters; this one has {length}"
    ):
        created.send({}, idempotency_key=key)
    assert endpoint.seen == []


def test_with_celery_it_needs_a_store_that_the_workers_share(open_thorn: OpenThorn, redis_url: str) -> None:
    created = open_thorn(dispatcher="celery", broker_url=redis_url).event("order.created")
    with pytest.raises(ConfigurationError, match="an idempotency key needs a store that the workers share"):
        created.send({}, idempotency_key="42")
