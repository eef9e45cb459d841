"""The transport ``queue`` over real brokers: what a consumer finds, and what the broker's word is told as."""

import base64
import sys
import threading
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from conftest import OpenQueue
from support.queues import Queues, take_plain_amqp, take_plain_redis
from support.relay import Relay
from support.wire import reason, request_to, told
from thornsdk import Reason, Request, Response, Thorn, Transport
from thornsdk.errors import ConfigurationError, StageUnavailableError
from thornsdk_plugins import queue as plugin
from thornsdk_plugins.queue import QueueTransport

EVERY_BYTE = bytes(range(256))
JSON = (("Content-Type", "application/json"),)


@pytest.fixture
def transport(queues: Queues, open_queue: OpenQueue) -> QueueTransport:
    return open_queue(queues.url)


def to(queues: Queues, queue: str = "orders", **options: Any) -> Request:
    return request_to(f"{queues.scheme}://events/{queue}", **options)


# What a consumer finds


def test_a_consumer_finds_body_and_headers_as_they_were_signed(
    queues: Queues, transport: QueueTransport
) -> None:
    request = to(queues, body=b'{"id": 42}', headers=(*JSON, ("Hook-Event", "order.created")))
    assert transport.send(request).status == 202
    (message,) = queues.take("orders")
    assert message.body == b'{"id": 42}'
    assert message.payload == {"id": 42}
    assert message.headers == {"Content-Type": "application/json", "Hook-Event": "order.created"}
    assert message.content_type == "application/json"
    assert message.properties["message_id"] == str(request.id)
    assert message.properties["delivery_mode"] == 2


def test_no_byte_of_a_body_changes(queues: Queues, transport: QueueTransport) -> None:
    transport.send(to(queues, body=EVERY_BYTE * 2000))
    (message,) = queues.take("orders")
    assert message.body == EVERY_BYTE * 2000
    assert message.content_type == "application/octet-stream"


def test_a_client_of_amqp_without_kombu_sees_the_same(rabbit: Queues, open_queue: OpenQueue) -> None:
    rabbit.declare("orders")
    request = to(rabbit, body=EVERY_BYTE, headers=(*JSON, ("Hook-HMAC", "x")))
    open_queue(rabbit.url).send(request)
    message = take_plain_amqp(rabbit.url, "orders")
    assert message.body == EVERY_BYTE
    assert message.properties == {
        "content_type": "application/json",
        "content_encoding": "binary",
        "application_headers": {"Content-Type": "application/json", "Hook-HMAC": "x"},
        "delivery_mode": 2,
        "priority": 0,
        "message_id": str(request.id),
    }


def test_a_client_of_redis_without_kombu_finds_the_body_in_base64(
    redis_url: str, open_queue: OpenQueue
) -> None:
    open_queue(redis_url).send(request_to("redis://events/orders", body=EVERY_BYTE, headers=JSON))
    document = take_plain_redis(redis_url, "orders")
    assert base64.b64decode(document["body"]) == EVERY_BYTE
    assert document["properties"]["body_encoding"] == "base64"
    assert (document["headers"], document["content-type"]) == (dict(JSON), "application/json")


def test_messages_are_found_in_the_order_in_which_they_were_sent(
    queues: Queues, transport: QueueTransport
) -> None:
    for number in range(5):
        transport.send(to(queues, body=b"%d" % number))
    assert [one.body for one in queues.take("orders")] == [b"0", b"1", b"2", b"3", b"4"]


def test_an_exchange_routes_by_the_name_of_the_event(rabbit: Queues, open_queue: OpenQueue) -> None:
    rabbit.declare("created")
    rabbit.bind("created", "amq.topic", "order.created")
    transport = open_queue(rabbit.url)
    url = "amqp://events/?exchange=amq.topic"
    assert transport.send(request_to(url, headers=(("Hook-Event", "order.created"),))).status == 202
    assert transport.send(request_to(url, headers=(("Hook-Event", "order.paid"),))).status == 404
    assert transport.send(request_to("amqp://events/order.created?exchange=amq.topic")).status == 202
    assert len(rabbit.take("created")) == 2


# What the broker says


def test_a_connection_is_used_again(queues: Queues, transport: QueueTransport) -> None:
    assert [transport.send(to(queues)).reused for _ in range(3)] == [False, True, True]


def test_one_message_at_a_time_needs_one_connection(queues: Queues, open_queue: OpenQueue) -> None:
    with Relay(queues.port) as relay:
        transport = open_queue(queues.through(relay.port))
        assert [transport.send(to(queues)).status for _ in range(3)] == [202] * 3
        assert relay.connections == 1


def test_a_message_that_no_queue_is_bound_for_has_not_arrived(rabbit: Queues, open_queue: OpenQueue) -> None:
    transport = open_queue(rabbit.url)
    response = transport.send(to(rabbit, "nowhere"))
    assert (response.status, response.body) == (404, b"NO_ROUTE")
    rabbit.declare("nowhere")
    assert (transport.send(to(rabbit, "nowhere")).status, len(rabbit.take("nowhere"))) == (202, 1)


def test_an_exchange_that_is_not_there_is_told_and_costs_no_connection(
    rabbit: Queues, open_queue: OpenQueue
) -> None:
    rabbit.declare("orders")
    transport = open_queue(rabbit.url)
    response = transport.send(request_to("amqp://events/?exchange=shop"))
    assert response.status == 404
    assert response.body.startswith(b"NOT_FOUND - no exchange 'shop'")
    assert transport.send(to(rabbit)) == Response(status=202, reused=True)


def test_a_full_queue_says_no(rabbit: Queues, open_queue: OpenQueue) -> None:
    rabbit.declare("full", x_max_length=1, x_overflow="reject-publish")
    transport = open_queue(rabbit.url)
    assert [told(one) for one in transport.send_many(to(rabbit, "full") for _ in range(3))].count(429) == 2
    assert len(rabbit.take("full")) == 1
    assert transport.send(to(rabbit, "full")).status == 202


@pytest.mark.parametrize("name", ["compression", "CC"])
def test_a_header_that_would_change_what_becomes_of_a_message_is_refused(
    name: str, rabbit: Queues, open_queue: OpenQueue
) -> None:
    rabbit.declare("orders")
    # Consumers with kombu would fail to unpack the body; RabbitMQ would end the channel over a text for CC.
    refused = to(rabbit, headers=((name, "application/x-gzip"),))
    assert reason(open_queue(rabbit.url), refused) is Reason.RECIPIENT_REFUSED
    assert rabbit.take("orders") == []


@pytest.mark.parametrize(
    ("user", "space", "said"),
    [
        ("guest:wrong", None, b"ACCESS_REFUSED - Login was refused"),
        (None, "/nowhere", b"NOT_ALLOWED - vhost"),
    ],
)
def test_a_rabbitmq_that_lets_us_not_in_refuses(
    user: str | None, space: str | None, said: bytes, rabbit: Queues, open_queue: OpenQueue
) -> None:
    scheme, _, rest = rabbit.url.partition("://")
    given, _, place = rest.partition("@")
    host, _, _ = place.partition("/")
    url = f"{scheme}://{user or given}@{host}{space or '/'}"
    response = open_queue(url).send(to(rabbit))
    assert response.status == 403
    assert response.body.startswith(said)


def test_a_redis_with_another_password_refuses(redis_url: str, open_queue: OpenQueue) -> None:
    transport = open_queue(redis_url.replace("hunter2", "wrong"))
    assert transport.send(request_to("redis://events/orders")).status == 403


def test_a_key_of_redis_that_is_no_list_is_told(redis_url: str, open_queue: OpenQueue) -> None:
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        client.set("orders", "text")
    response = open_queue(redis_url).send(request_to("redis://events/orders"))
    assert (response.status, response.body[:9]) == (409, b"WRONGTYPE")


# Many


def test_many_are_published_side_by_side_over_few_connections(
    queues: Queues, transport: QueueTransport
) -> None:
    results = list(transport.send_many(to(queues, body=b"%d" % number) for number in range(300)))
    assert {told(one) for one in results} == {202}
    assert {one.body for one in queues.take("orders")} == {b"%d" % number for number in range(300)}
    fresh = sum(isinstance(one.result, Response) and one.result.reused is False for one in results)
    assert 1 <= fresh <= 8


def test_what_cannot_be_published_is_told_beside_what_can(queues: Queues, transport: QueueTransport) -> None:
    good, bad = to(queues), request_to(f"{queues.scheme}://elsewhere/orders")
    results = {one.request.id: told(one) for one in transport.send_many([bad, good, evolve(bad, id=uuid4())])}
    assert results.pop(good.id) == 202
    assert set(results.values()) == {Reason.ADDRESS_FORBIDDEN}


def test_each_result_comes_with_its_time_and_duration(queues: Queues, transport: QueueTransport) -> None:
    begin = datetime.now(UTC)
    (one,) = transport.send_many([to(queues)])
    assert begin <= one.started_at <= datetime.now(UTC)
    assert 0 < one.duration < 20


def test_results_may_be_left_early(queues: Queues, transport: QueueTransport) -> None:
    stream = transport.send_many(to(queues) for _ in range(50))
    assert told(next(stream)) == 202
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert told(next(iter(transport.send_many([to(queues)])))) == 202


def test_threads_share_it(queues: Queues, transport: QueueTransport) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.extend(transport.send(to(queues)).status for _ in range(20))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert statuses == [202] * 120
    assert len(queues.take("orders")) == 120


# The transport as a stage


def test_it_is_a_transport_for_the_schemes_of_its_brokers() -> None:
    transport = QueueTransport({"events": "amqp://rabbit.internal", "cache": "rediss://redis.internal"})
    assert isinstance(transport, Transport)
    assert transport.schemes == {"amqp", "rediss"}
    assert transport.user_agent == f"kombu/{version('kombu')}"
    transport.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": 0}, "a concurrency of 0 sends nothing"),
        ({"concurrency_per_origin": 0}, "a concurrency of 0 sends nothing"),
        ({"ca_bundle": "/nowhere.pem"}, "the CA bundle /nowhere.pem cannot be used: "),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        QueueTransport({"events": "amqp://rabbit.internal"}, **options)


def test_closing_it_twice_does_no_harm_and_it_can_be_used_again(
    queues: Queues, transport: QueueTransport
) -> None:
    transport.send(to(queues))
    transport.close()
    transport.close()
    assert transport.send(to(queues)) == Response(status=202, reused=False)


def test_where_kombu_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kombu", None)
    for name in [one for one in sys.modules if one.startswith("thornsdk_plugins.queue.")]:
        monkeypatch.delitem(sys.modules, name)
    options = {"queue": {"brokers": {"events": "amqp://rabbit.internal"}}}
    with pytest.raises(
        StageUnavailableError, match=r"the transport 'queue' is unavailable .*thornsdk\[queue"
    ):
        Thorn(transport="queue", options=options)


def test_the_plugin_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'QueuTransport'"):
        plugin.QueuTransport  # type: ignore[attr-defined]  # noqa: B018 - on purpose
