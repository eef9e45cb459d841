"""Open connections to brokers, by way of kombu: one message at a time, and the broker's word on each.

Nothing is declared: exchanges, queues and bindings are the operator's.
"""

import ssl
from typing import Any, Final, Protocol

from amqp.exceptions import MessageNacked
from kombu import Connection, Producer

from thornsdk import Request, Response
from thornsdk_plugins.queue.brokers import Broker
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import refused
from thornsdk_plugins.queue.messages import ACCEPTED, message_of

_NO_ROUTE: Final = 404
"""What is returned has not arrived, whatever the reason."""
_NO_ROOM: Final = 429
"""A broker's no: mostly, the queue is full. A status of 500 or more would count against the whole broker."""


class Link(Protocol):
    """An open connection to a broker, for one thread at a time."""

    def serves(self, request: Request) -> bool:
        """Tells whether it can be used for a request, as far as that is known without sending anything."""
        ...

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        """Publishes a message, and waits until the broker says what became of it.

        Args:
            request: What to publish.
            destination: Where to.
            timeout: For how many seconds the broker is waited for, each time that it is.
        """
        ...

    def close(self) -> None:
        """Takes leave of the broker, and closes the connection."""
        ...

    def drop(self) -> None:
        """Closes the connection without a word: the broker may not listen."""
        ...


class AmqpLink:
    """A connection to an AMQP broker, with one channel that has its messages confirmed.

    The broker returns what no queue is bound for, for each message is mandatory; it confirms what it has
    taken, for good if the queue is durable; and it says no to what a queue has no room for.

    Args:
        broker: The broker.
        timeout: For how many seconds it is waited for, each time that it is.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
    """

    def __init__(self, broker: Broker, timeout: float, ca_bundle: str | None) -> None:
        tls = {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": ca_bundle,
            "server_hostname": broker.host,  # With it, the name is checked too.
        }
        options = {"confirm_publish": True, "read_timeout": timeout, "write_timeout": timeout}
        self._connection = _opened(broker, "pyamqp", timeout, tls, options)
        self._returned: list[Exception] = []
        self._producer = Producer(self._connection.channel(), on_return=self._take_back)

    def serves(self, request: Request) -> bool:
        """Reads what the broker has sent meanwhile: it may have taken its leave."""
        try:
            while True:
                self._connection.drain_events(timeout=0)
        except TimeoutError:
            return True
        except Exception:  # Whatever it is: the connection is of no use.
            return False

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        """Publishes, and waits for the confirmation."""
        self._returned.clear()
        try:
            self._producer.publish(
                **message_of(request),
                exchange=destination.exchange,
                routing_key=destination.routing_key,
                mandatory=True,
                timeout=timeout,
                confirm_timeout=timeout,
            )
        except MessageNacked:
            return Response(status=_NO_ROOM, body=b"the broker did not take it (basic.nack)")
        # What is returned is confirmed too, and afterwards.
        for why in self._returned:
            return refused(why) or Response(status=_NO_ROUTE, body=str(why).encode())
        return Response(status=ACCEPTED)

    def close(self) -> None:
        """Ends the connection as AMQP has it: with a word, and an answer that is not waited for long."""
        self._connection.release()

    def drop(self) -> None:
        """Closes the socket."""
        self._connection.collect()

    def _take_back(self, error: Exception, *_: object) -> None:
        self._returned.append(error)


class RedisLink:
    """A connection to a Redis, where a queue is a list: a message is pushed, and Redis acknowledges that.

    Args:
        broker: The broker.
        timeout: For how many seconds it is waited for, each time that it is.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
    """

    def __init__(self, broker: Broker, timeout: float, ca_bundle: str | None) -> None:
        tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": ca_bundle}
        options = {"socket_connect_timeout": timeout, "socket_timeout": timeout}
        self._timeout = timeout
        self._connection = _opened(broker, "redis", timeout, tls, options)
        self._producer = Producer(self._connection.channel())

    def serves(self, request: Request) -> bool:
        """Tells whether it waits for as long as the request allows: redis-py is told so once.

        What Redis has closed, redis-py finds out before each command, and opens it anew.
        """
        return request.timeout == self._timeout

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        """Publishes, and waits until it is acknowledged."""
        self._producer.publish(**message_of(request), routing_key=destination.routing_key)
        return Response(status=ACCEPTED)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.release()

    def drop(self) -> None:
        """Closes the connection."""
        self._connection.release()


def open_link(broker: Broker, timeout: float, ca_bundle: str | None = None) -> Link:
    """Opens a connection to a broker. It raises what the libraries raise.

    Args:
        broker: The broker.
        timeout: For how many seconds it is waited for, each time that it is.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
    """
    if broker.is_sqs:
        from thornsdk_plugins.queue.sqs import SqsLink  # It needs boto3, and few have such a broker.

        return SqsLink(broker, timeout)
    kind = AmqpLink if broker.speaks_amqp else RedisLink
    return kind(broker, timeout, ca_bundle)


def _opened(
    broker: Broker, kind: str, timeout: float, tls: dict[str, Any], options: dict[str, Any]
) -> Connection:
    # Not by its URL: kombu would take options out of that.
    connection = Connection(
        hostname=broker.host,
        port=broker.port,
        userid=broker.user,
        password=broker.password,
        virtual_host=broker.space,
        transport=kind,
        connect_timeout=timeout,
        ssl=tls if broker.uses_tls else False,
        transport_options=options,
    )
    connection.ensure_connection(max_retries=0)
    return connection
