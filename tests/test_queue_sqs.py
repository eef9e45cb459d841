"""The transport ``queue`` over SQS: a server that speaks it stands for Amazon's."""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kombu import Connection

from conftest import OpenQueue
from support.brokers import messages
from support.sqs import REGION, SqsServer, environment
from support.wire import reason, request_to, told
from thornsdk import Reason, Response, Thorn
from thornsdk.errors import StageUnavailableError
from thornsdk.receive import verify
from thornsdk.testing import Endpoint, answers, never_answers
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.queue import QueueTransport
from thornsdk_plugins.queue.brokers import read_brokers
from thornsdk_plugins.queue.sqs import SqsLink

BROKER = f"sqs://{REGION}"
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBzdWJzY3JpYmVycw=="


@pytest.fixture(scope="module")
def server() -> Iterator[SqsServer]:
    with SqsServer() as server:
        yield server


@pytest.fixture
def sqs(server: SqsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a server that has a queue called ``orders``."""
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    with closing(server.client()) as client:
        url = client.create_queue(QueueName="orders")["QueueUrl"]
        yield client
        client.delete_queue(QueueUrl=url)


@pytest.fixture
def transport(sqs: Any, open_queue: OpenQueue) -> QueueTransport:
    return open_queue(BROKER)


def at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Has boto3 take this for SQS."""
    for name, value in environment(url).items():
        monkeypatch.setenv(name, value)


def take(queue: str = "orders") -> list[Any]:
    """Takes what is in a queue, as kombu gives it to consumers."""
    with Connection(
        transport="sqs", transport_options={"region": REGION, "wait_time_seconds": 0}
    ) as connection:
        connection.hostname = None
        channel: Any = connection.channel()
        with closing(channel.sqs()):
            return list(messages(channel, queue))


def test_a_consumer_verifies_what_it_finds(sqs: Any) -> None:
    options = {"queue": {"brokers": {"events": BROKER}}}
    with Thorn(transport="queue", options=options) as thorn:
        thorn.subscribe("order.*", "sqs://events/orders", secret=SECRET)
        assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    (message,) = take()
    received = verify(message.headers, message.body, secrets=SECRET)
    assert (received.event, received.body) == ("order.created", b'{"id":42}')
    assert message.properties["message_id"] == received.id


def test_a_client_without_kombu_finds_all_in_base64(sqs: Any, transport: QueueTransport) -> None:
    headers = (("Content-Type", "text/plain"),)
    transport.send(request_to("sqs://events/orders", body=b"\x00\xff", headers=headers))
    (found,) = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="orders")["QueueUrl"])["Messages"]
    document = json.loads(base64.b64decode(found["Body"]))
    assert base64.b64decode(document["body"]) == b"\x00\xff"
    assert (document["headers"], document["content-type"]) == (dict(headers), "text/plain")


def test_many_are_published(sqs: Any, transport: QueueTransport) -> None:
    requests = [request_to("sqs://events/orders", body=b"%d" % number) for number in range(20)]
    assert [told(one) for one in transport.send_many(requests)] == [202] * 20
    assert {one.body for one in take()} == {b"%d" % number for number in range(20)}


def test_a_client_is_used_again_by_requests_that_may_take_as_long(
    sqs: Any, transport: QueueTransport
) -> None:
    sent = [transport.send(request_to("sqs://events/orders", timeout=timeout)) for timeout in (8, 8, 7, 9)]
    assert [one.reused for one in sent] == [False, True, True, False]


def test_a_delivery_that_is_sent_twice_lies_once_in_a_queue_that_is_first_in_first_out(
    sqs: Any, transport: QueueTransport
) -> None:
    url = sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    again, other = (request_to("sqs://events/orders.fifo") for _ in range(2))
    assert [transport.send(one).status for one in (again, again, other)] == [202] * 3
    name = "ApproximateNumberOfMessages"
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.delete_queue(QueueUrl=url)
    assert found == "2"


def test_a_queue_that_is_not_there_is_told_and_not_made(sqs: Any, transport: QueueTransport) -> None:
    response = transport.send(request_to("sqs://events/nowhere"))
    assert response.status == 404
    assert b"NonExistentQueue" in response.body
    assert [url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]] == ["orders"]


def test_what_sqs_refuses_has_its_own_status(
    endpoint: Endpoint, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, f"http://127.0.0.1:{endpoint.port}")
    denied = json.dumps({"__type": "com.amazonaws.sqs#AccessDenied", "message": "you may not"})
    endpoint.behave(answers(403, body=denied.encode()))
    response = open_queue(BROKER).send(request_to("sqs://events/orders"))
    assert (response.status, response.body) == (403, b"AccessDenied: you may not")


def test_without_credentials_it_is_refused(
    sqs: Any, transport: QueueTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    response = transport.send(request_to("sqs://events/orders"))
    assert (response.status, response.body) == (401, b"Unable to locate credentials")


def test_credentials_may_stand_with_the_broker(
    sqs: Any, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    transport = open_queue(f"sqs://key:secret@{REGION}")
    assert transport.send(request_to("sqs://events/orders")) == Response(status=202, reused=False)


def test_where_nothing_listens_it_is_refused(open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "http://127.0.0.1:1")
    assert reason(open_queue(BROKER), request_to("sqs://events/orders")) is Reason.CONNECTION_REFUSED


def test_a_server_that_never_answers_ends_at_the_deadline(
    open_endpoint: OpenEndpoint, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = open_endpoint(never_answers)
    at(monkeypatch, f"http://127.0.0.1:{endpoint.port}")
    assert reason(open_queue(BROKER), request_to("sqs://events/orders", timeout=0.5)) is Reason.TIMEOUT


def test_a_client_that_could_not_be_made_is_dropped_without_a_word() -> None:
    SqsLink(read_brokers({"events": BROKER})["events"]).drop()


def test_where_boto3_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    monkeypatch.delitem(sys.modules, "thornsdk_plugins.queue.sqs", raising=False)
    with pytest.raises(
        StageUnavailableError, match=r"the transport 'queue' is unavailable .*pip install 'thornsdk\[sqs\]'"
    ):
        Thorn(transport="queue", options={"queue": {"brokers": {"events": BROKER}}})
