"""The transport that publishes to queues."""

import os
import ssl
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Final

from thornsdk import Exchange, LookUps, Places, Request, Response
from thornsdk.errors import ConfigurationError, MissingPackageError, TransportError
from thornsdk_plugins.queue.brokers import Broker, read_brokers
from thornsdk_plugins.queue.destinations import destination_of
from thornsdk_plugins.queue.jobs import Flight
from thornsdk_plugins.queue.lines import Lines
from thornsdk_plugins.queue.links import make_link

CONNECTIONS: Final = 8
"""How many connections there are to one broker at most: each has one message in flight."""
_LEAVE_SECONDS: Final = 1.0
"""How long `QueueTransport.close` waits for idle connections to take leave of their brokers."""


class QueueTransport:
    """Publishes requests to queues and exchanges of brokers, by way of kombu.

    The host of a URL is the *name* of a broker that is given here, and never an address: a subscription comes
    from a customer, and must not make us talk to whatever host it likes. So a request's guard has nothing to
    judge. ``amqp://events/orders`` is the queue ``orders`` of the broker ``events``, and
    ``amqp://events/?exchange=shop`` its exchange ``shop``, with the event's name as the routing key.
    ``redis://cache/orders`` is the list ``orders`` of the broker ``cache``, ``sqs://jobs/orders`` the queue
    ``orders`` of the broker ``jobs``.

    The message has the request's body, byte for byte, and its headers. Nothing is declared. A broker's yes is
    the status 202: it has the message, and nobody has worked on it yet. Its no is the status that comes
    nearest: 404 where no queue is bound or no exchange has the name, 429 where a queue is full, 403 where it
    refuses us, 503 where it can take nothing. What it said of that is the body of the response.

    Connections stay open and serve the next message. Each has a thread of its own, which ends when no message
    comes for a while. Safe to share between threads, and after a fork. Certificates are verified.

    Args:
        brokers: The URL of each broker, by its name, such as
            ``{"events": "amqp://user:password@rabbit.internal:5672/prod"}``. The schemes are ``amqp``,
            ``amqps``, ``redis``, ``rediss`` and ``sqs``. The path is AMQP's virtual host, or the number of
            Redis' database. With ``sqs``, the host is the region.
        concurrency: How many requests `send_many` keeps in flight.
        concurrency_per_origin: How many of these go to one broker at most; never more than eight.
        idle_timeout: After how many seconds an idle connection is closed.
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's. SQS goes by
            boto3's own settings.

    Raises:
        InvalidValue: If a broker's name or URL cannot be used.
        ConfigurationError: If the CA bundle cannot be used, or the concurrency is less than 1.
        MissingPackageError: If a broker is SQS, and the packages for it are not installed.
    """

    def __init__(
        self,
        brokers: Mapping[str, str],
        *,
        concurrency: int = 128,
        concurrency_per_origin: int = 64,
        idle_timeout: float = 50.0,
        ca_bundle: str | None = None,
    ) -> None:
        for width in (concurrency, concurrency_per_origin):
            if width < 1:
                raise ConfigurationError(f"a concurrency of {width} sends nothing; it must be at least 1")
        if ca_bundle is not None:
            _check(ca_bundle)
        self._brokers = read_brokers(brokers)
        if any(one.is_sqs for one in self._brokers.values()):
            _check_sqs()
        self._concurrency = concurrency
        self._per_broker = min(concurrency_per_origin, CONNECTIONS)
        self._idle_timeout = idle_timeout
        self._ca_bundle = ca_bundle
        self._look_ups = LookUps()
        self._user_agent = f"kombu/{version('kombu')}"
        self._lines = self._make_lines()
        _transports.add(self)

    @property
    def schemes(self) -> frozenset[str]:
        """Those of the brokers."""
        return frozenset(one.scheme for one in self._brokers.values())

    @property
    def user_agent(self) -> str:
        """``kombu`` and its version."""
        return self._user_agent

    def send(self, request: Request) -> Response:
        """Publishes one request, and waits for the broker's answer.

        Raises:
            TransportError: If there was no answer within the deadline, or the URL leads to no broker.
        """
        (result,) = (one.result for one in self.send_many([request]))
        if isinstance(result, TransportError):
            raise result
        return result

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Publishes requests, several at once, and gives each result as soon as it is known.

        A broker that does not answer holds up none of the others.
        """
        places = Places(requests, self._concurrency, self._per_broker)
        flight = Flight()
        while True:
            while len(flight) < self._concurrency and (request := places.take()) is not None:
                self._begin(request, flight)
            if len(flight) == 0:
                return
            for one in flight.ended():
                places.free(one.request.url.origin)
                yield one

    def close(self) -> None:
        """Closes idle connections at once, and those in use when their requests end."""
        threads = [thread for lines in self._lines.values() for thread in lines.close()]
        give_up_at = time.monotonic() + _LEAVE_SECONDS
        for one in threads:
            one.join(max(give_up_at - time.monotonic(), 0.0))

    def forget(self) -> None:
        """Starts afresh in a child process, and leaves the parent's connections alone."""
        _abandoned.append(self._lines)
        self._lines = self._make_lines()

    def _make_lines(self) -> dict[str, Lines]:
        def lines(broker: Broker) -> Lines:
            make = partial(make_link, broker, self._ca_bundle, self._look_ups)
            return Lines(make, self._per_broker, self._idle_timeout)

        return {name: lines(broker) for name, broker in self._brokers.items()}

    def _begin(self, request: Request, flight: Flight) -> None:
        job = flight.begin(request)
        try:
            destination = destination_of(request, self._brokers)
            self._lines[destination.broker.name].put(job, destination)
        except TransportError as exc:
            job.finish(exc)


def _check_sqs() -> None:
    try:
        import_module("thornsdk_plugins.queue.sqs")
    except ImportError as exc:
        raise MissingPackageError("SQS", str(exc), "pip install 'thornsdk[sqs]'") from exc


def _check(ca_bundle: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_bundle)
    except OSError as exc:
        raise ConfigurationError(f"the CA bundle {ca_bundle} cannot be used: {exc}") from exc


_transports: weakref.WeakSet[QueueTransport] = weakref.WeakSet()
# In a child process, what there is of its parent: taking it apart would touch the parent's connections.
_abandoned: list[dict[str, Lines]] = []


def _forget_all() -> None:
    for transport in list(_transports):
        transport.forget()


os.register_at_fork(after_in_child=_forget_all)
