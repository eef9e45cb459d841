"""Connections to Amazon SQS, by way of kombu and boto3: imported only where a broker is one."""

from typing import Any, Final

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    NoCredentialsError,
)
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from kombu.transport.SQS import Channel, Transport

from thornsdk import Request, Response
from thornsdk_plugins.queue.brokers import Broker
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import LATE
from thornsdk_plugins.queue.messages import ACCEPTED, message_of

_NO_SUCH_QUEUE: Final = 404
_NO_CREDENTIALS: Final = 401


class _Channel(Channel):
    """Asks SQS for the URL of a queue, where kombu's own would list all, and make what is not there."""

    def __init__(self, *args: object, **options: object) -> None:
        self._urls: dict[str, str] = {}
        super().__init__(*args, **options)

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """Lists nothing."""

    def _new_queue(self, queue: str, **options: object) -> str:  # type: ignore[override]  # as kombu's own does
        if queue not in self._urls:
            self._urls[queue] = self.sqs().get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]


class _Transport(Transport):
    Channel = _Channel


class SqsLink:
    """A client of SQS in one region, which answers to each message when it has stored it.

    Without a user in the broker's URL, boto3 finds the credentials, as in ``AWS_PROFILE`` or the role of the
    machine. Nothing is tried twice.

    Args:
        broker: The broker; its host is the region.
    """

    why_late = LATE

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channel: Any = None
        self._timeout = 0.0

    def open(self, timeout: float) -> None:
        """Makes the client, which connects when it publishes."""
        client = {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"total_max_attempts": 1}}
        self._timeout = timeout
        self._connection = Connection(
            userid=self._broker.user,
            password=self._broker.password,
            transport=_Transport,
            transport_options={"region": self._broker.host, "client-config": client},
        )
        # Otherwise, it would be where SQS is.
        self._connection.hostname = None
        self._channel = self._connection.channel()
        self._producer = Producer(self._channel)

    def serves(self, request: Request) -> bool:
        """Tells whether it waits for as long as the request allows, or longer: boto3 is told so once."""
        return request.timeout <= self._timeout

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        """Publishes, and waits until SQS has stored the message."""
        try:
            self._producer.publish(
                **message_of(request),
                routing_key=destination.routing_key,
                # By it, a queue that is first-in-first-out drops a delivery that it has; others go without.
                MessageDeduplicationId=str(request.id),
            )
        except ClientError as exc:
            return _refusal(exc)
        except NoCredentialsError as exc:
            return Response(status=_NO_CREDENTIALS, body=str(exc).encode())
        except BotoCoreError as exc:
            raise OperationalError(type(exc).__name__) from exc
        return Response(status=ACCEPTED)

    def shut(self) -> None:
        """Does nothing: boto3 keeps its connections to itself. It waits no longer than it was told."""

    def close(self) -> None:
        """Closes the connections of the client."""
        self._channel.sqs().close()
        self._connection.release()

    def drop(self) -> None:
        """Closes the connections of the client, if there is one."""
        if self._channel is not None:
            self.close()


def _refusal(error: ClientError) -> Response:
    code = error.response["Error"]["Code"]
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    missing = "NonExistentQueue" in code or "QueueDoesNotExist" in code
    body = f"{code}: {error.response['Error']['Message']}".encode()
    return Response(status=_NO_SUCH_QUEUE if missing else status, body=body)
