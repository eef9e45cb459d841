"""Where a request goes: all that its URL means is here."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from attrs import field, frozen

from thornsdk import Reason, Request
from thornsdk.errors import TransportError
from thornsdk_plugins.queue.brokers import Broker

_MOST_BYTES: Final = 255
"""How long names may be in AMQP 0.9.1 (section 4.2.5.3, short strings)."""

# Consumers with kombu would unpack a body that has `compression`, and RabbitMQ would copy a message to the
# queues that CC and BCC name.
_RESERVED: Final = frozenset({"compression"})
_RESERVED_BY_AMQP: Final = frozenset({"compression", "cc", "bcc"})


@frozen(kw_only=True)
class Destination:
    """Where a message is published.

    Attributes:
        broker: Which broker.
        exchange: The AMQP exchange; empty for the one that takes routing keys for the names of queues.
        routing_key: What the exchange routes by; with the empty exchange, and without AMQP, a queue.
    """

    broker: Broker
    exchange: str = field(repr=False)
    routing_key: str = field(repr=False)


def destination_of(request: Request, brokers: Mapping[str, Broker]) -> Destination:
    """Reads where a request goes. Nothing but the brokers' own URLs says which hosts are talked to.

    Raises:
        TransportError: With a reason that blocks the delivery, if the URL leads to none of the brokers. Its
            detail quotes no path and no query.
    """
    broker = _broker(request, brokers)
    path, _, query = request.url.target.partition("?")
    routing_key = _unquoted(path[1:])
    exchange = _exchange(query, broker)
    if not routing_key and not exchange:
        raise _refused("the URL names no queue, as in amqp://events/orders")
    if exchange and not routing_key:
        routing_key = _event(request)
    _check_names(request, broker, routing_key, exchange)
    if request.client_certificate is not None:
        raise _refused("the subscription wants a client certificate to be shown, and a queue is shown none")
    return Destination(broker=broker, exchange=exchange, routing_key=routing_key)


def _broker(request: Request, brokers: Mapping[str, Broker]) -> Broker:
    name, scheme = request.url.host, request.url.scheme
    broker = brokers.get(name)
    if broker is None:
        raise TransportError(
            Reason.ADDRESS_FORBIDDEN,
            f"no broker is called {name!r}: the host of such a URL is a name that "
            f"THORN_OPTIONS['queue']['brokers'] gives, and never an address",
        )
    if broker.scheme != scheme:
        raise TransportError(
            Reason.SCHEME_FORBIDDEN, f"the broker {name!r} takes {broker.scheme}:// URLs, not {scheme}://"
        )
    if request.url.port:
        raise TransportError(
            Reason.PORT_FORBIDDEN, f"the URL has a port, where the broker {name!r} has its own"
        )
    return broker


def _exchange(query: str, broker: Broker) -> str:
    given = dict(parse_qsl(query, keep_blank_values=True))
    exchange = given.pop("exchange", "")
    if given:
        raise _refused("the URL has a query; it takes ?exchange= and nothing else")
    if exchange and not broker.speaks_amqp:
        raise _refused("the URL names an exchange, and only AMQP has exchanges")
    return exchange


def _check_names(request: Request, broker: Broker, *names: str) -> None:
    headers = [name for name, _ in request.headers]
    if broker.speaks_amqp and any(len(one.encode()) > _MOST_BYTES for one in (*names, *headers)):
        raise _refused(f"a name in URL or headers has more than {_MOST_BYTES} bytes, which AMQP cannot carry")
    reserved = _RESERVED_BY_AMQP if broker.speaks_amqp else _RESERVED
    for name in headers:
        if name.lower() in reserved:
            raise _refused(f"the header {name!r} would tell broker or consumers what to do with the message")


def _unquoted(path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _refused("the URL names a queue that is not UTF-8") from None


def _event(request: Request) -> str:
    return next((value for name, value in request.headers if name.lower() == "hook-event"), "")


def _refused(detail: str) -> TransportError:
    return TransportError(Reason.RECIPIENT_REFUSED, detail)
