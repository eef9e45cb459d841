"""Open connections to brokers, by way of kombu: one message at a time, and the broker's word on each.

Nothing is declared: exchanges, queues and bindings are the operator's.
"""

import ssl
from typing import Any, Final, Protocol

from amqp.exceptions import MessageNacked
from kombu import Connection, Producer

from thornsdk import LookUps, Request, Response
from thornsdk_plugins.queue.brokers import Broker
from thornsdk_plugins.queue.clients import WIRE, AmqpClient, RedisClient
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import LATE, refused
from thornsdk_plugins.queue.messages import ACCEPTED, message_of
from thornsdk_plugins.queue.wires import Wire

_NO_ROUTE: Final = 404
"""What is returned has not arrived, whatever the reason."""
_NO_ROOM: Final = 429
"""A broker's no: mostly, the queue is full. A status of 500 or more would count against the whole broker."""
_BLOCKED: Final = (
    "the deadline passed, and the broker takes no messages at present: it has told so (connection.blocked), "
    "mostly for it is short of memory or disk"
)


class Link(Protocol):
    """A connection to a broker, for one thread at a time, from its beginning to its end."""

    @property
    def why_late(self) -> str:
        """What is known of why the broker does not answer. Any thread may ask."""
        ...

    def open(self, timeout: float) -> None:
        """Opens it, once. It raises what the libraries raise.

        Args:
            timeout: For how many seconds the broker is waited for, each time that it is.
        """
        ...

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

    def shut(self) -> None:
        """Has the thread that waits for the broker wait no longer. Any thread may do so."""
        ...

    def close(self) -> None:
        """Takes leave of the broker, and closes the connection."""
        ...

    def drop(self) -> None:
        """Closes the connection without a word: the broker may not listen, or it may never have opened."""
        ...


class AmqpLink:
    """A connection to an AMQP broker, with one channel that has its messages confirmed.

    The broker returns what no queue is bound for, for each message is mandatory; it confirms what it has
    taken, for good if the queue is durable; and it says no to what a queue has no room for.

    Args:
        broker: The broker.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        look_ups: Looks up names.
    """

    def __init__(self, broker: Broker, ca_bundle: str | None, look_ups: LookUps) -> None:
        self._broker = broker
        self._ca_bundle = ca_bundle
        self._wire = Wire(broker.host, broker.port, look_ups)
        self._returned: list[Exception] = []
        self._is_blocked = False

    @property
    def why_late(self) -> str:
        """Whether the broker has told that it takes nothing."""
        return _BLOCKED if self._is_blocked else LATE

    def open(self, timeout: float) -> None:
        """Connects, logs in, and opens the channel."""
        tls = {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": self._ca_bundle,
            "server_hostname": self._broker.host,  # With it, the name is checked too.
        }
        options = {
            "confirm_publish": True,
            "on_blocked": lambda _: self._note_blocked(is_blocked=True),
            "on_unblocked": lambda: self._note_blocked(is_blocked=False),
            WIRE: self._wire,
        }
        self._connection = _opened(self._broker, AmqpClient, timeout, tls, options)
        self._wire.wait_at_most(timeout)
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
        # Not all waiting has a limit of its own: not that for a channel in place of one that was closed.
        self._wire.wait_at_most(timeout)
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

    def shut(self) -> None:
        """Shuts the socket down."""
        self._wire.shut()

    def close(self) -> None:
        """Ends the connection as AMQP has it: with a word, and an answer that is not waited for long."""
        self._connection.release()

    def drop(self) -> None:
        """Closes the socket."""
        self._wire.close()

    def _note_blocked(self, *, is_blocked: bool) -> None:
        self._is_blocked = is_blocked

    def _take_back(self, error: Exception, *_: object) -> None:
        self._returned.append(error)


class RedisLink:
    """A connection to a Redis, where a queue is a list: a message is pushed, and Redis acknowledges that.

    Args:
        broker: The broker.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        look_ups: Looks up names.
    """

    why_late = LATE

    def __init__(self, broker: Broker, ca_bundle: str | None, look_ups: LookUps) -> None:
        self._broker = broker
        self._ca_bundle = ca_bundle
        self._wire = Wire(broker.host, broker.port, look_ups)
        self._timeout = 0.0

    def open(self, timeout: float) -> None:
        """Connects and logs in."""
        tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": self._ca_bundle}
        options = {"socket_connect_timeout": timeout, "socket_timeout": timeout, WIRE: self._wire}
        self._timeout = timeout
        self._connection = _opened(self._broker, RedisClient, timeout, tls, options)
        self._producer = Producer(self._connection.channel())

    def serves(self, request: Request) -> bool:
        """Tells whether it waits for as long as the request allows, or longer: redis-py is told so once.

        What Redis has closed, redis-py finds out before each command, and opens it anew.
        """
        return request.timeout <= self._timeout

    def publish(self, request: Request, destination: Destination, timeout: float) -> Response:
        """Publishes, and waits until it is acknowledged."""
        self._producer.publish(**message_of(request), routing_key=destination.routing_key)
        return Response(status=ACCEPTED)

    def shut(self) -> None:
        """Shuts the sockets down."""
        self._wire.shut()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.release()

    def drop(self) -> None:
        """Closes the sockets."""
        self._wire.close()


def make_link(broker: Broker, ca_bundle: str | None, look_ups: LookUps) -> Link:
    """Makes a connection to a broker, which is not open yet.

    Args:
        broker: The broker.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        look_ups: Looks up names.
    """
    if broker.is_sqs:
        from thornsdk_plugins.queue.sqs import SqsLink  # It needs boto3, and few have such a broker.

        return SqsLink(broker)
    kind = AmqpLink if broker.speaks_amqp else RedisLink
    return kind(broker, ca_bundle, look_ups)


def _opened(
    broker: Broker,
    kind: type[AmqpClient | RedisClient],
    timeout: float,
    tls: dict[str, Any],
    options: dict[str, Any],
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
