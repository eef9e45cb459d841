"""The far side of queues: what a consumer finds there."""

import json
from typing import Any, Self
from urllib.parse import urlsplit

from amqp import Connection as PlainConnection
from amqp.basic_message import Message as PlainMessage
from kombu import Connection
from redis import Redis

from support.brokers import messages


class Queues:
    """Queues of a real broker. What was declared through it is removed when it is left.

    Args:
        url: The URL of the broker.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.scheme = urlsplit(url).scheme
        self.port = urlsplit(url).port or 0
        self._connection = Connection(url)
        self._declared: list[str] = []

    def declare(self, queue: str, **arguments: Any) -> None:
        """Declares a queue; its arguments are those of RabbitMQ, with ``_`` for ``-``."""
        if self.scheme == "amqp":
            named = {name.replace("_", "-"): value for name, value in arguments.items()}
            self._channel.queue_declare(queue, durable=True, auto_delete=False, arguments=named)
            self._declared.append(queue)

    def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Binds a queue to an exchange."""
        self._channel.queue_bind(queue, exchange, routing_key)

    def take(self, queue: str) -> list[Any]:
        """Takes what is in a queue, as kombu gives it to consumers."""
        return list(messages(self._channel, queue))

    def through(self, port: int, scheme: str | None = None) -> str:
        """Gives the URL of the broker as it is reached through another port."""
        url = self.url.replace(f":{self.port}/", f":{port}/")
        return url if scheme is None else url.replace(f"{self.scheme}://", f"{scheme}://")

    def __enter__(self) -> Self:
        self._channel: Any = self._connection.channel()
        return self

    def __exit__(self, *_: object) -> None:
        for queue in self._declared:
            self._channel.queue_delete(queue)
        self._connection.release()


def take_plain_amqp(url: str, queue: str) -> PlainMessage:
    """Takes a message out of a RabbitMQ without kombu."""
    parts = urlsplit(url)
    with PlainConnection(f"{parts.hostname}:{parts.port}", virtual_host=parts.path[1:] or "/") as connection:
        message = connection.channel().basic_get(queue, no_ack=True)
    assert isinstance(message, PlainMessage)
    return message


def take_plain_redis(url: str, queue: str) -> dict[str, Any]:
    """Takes a message out of a Redis without kombu."""
    with Redis.from_url(url) as client:
        document: dict[str, Any] = json.loads(str(client.rpop(queue), "utf-8"))
    return document
