"""How the semantic conventions of OpenTelemetry describe an attempt, over HTTP and over anything else.

Over HTTP they are stable (https://opentelemetry.io/docs/specs/semconv/http/). Over anything else those of
messaging come nearest, which are still in development (https://opentelemetry.io/docs/specs/semconv/messaging/).

Customers choose the URLs, and a path or query may be a secret. So there is no path in any attribute, and no
host among those of a metric, where each value makes a time series that stays.
"""

from typing import Final, Protocol, TypeAlias

from opentelemetry.trace import SpanKind

from thornsdk import DeliveryRecord, Origin, OutcomeKind

SCHEMA: Final = "https://opentelemetry.io/schemas/1.28.0"
"""The first version of the conventions that has all the names that are used here."""

Attributes: TypeAlias = dict[str, str | int]

_METHOD: Final[Attributes] = {"http.request.method": "POST"}


class Convention(Protocol):
    """Describes the attempts over one kind of protocol."""

    @property
    def span_name(self) -> str:
        """The name of each span: one, for a name must not have a customer's URL in it."""
        ...

    @property
    def duration(self) -> str:
        """The name of the metric of how long attempts take, in seconds."""
        ...

    def span_kind(self, *, told: bool) -> SpanKind:
        """Gives the kind of a span.

        Args:
            told: Whether the receiver is told of it.
        """
        ...

    def of_target(self, origin: Origin) -> Attributes:
        """Gives the attributes of a span that are known before the attempt."""
        ...

    def of_result(self, record: DeliveryRecord) -> Attributes:
        """Gives the attributes of a span that are known after the attempt."""
        ...

    def of_metric(self, record: DeliveryRecord) -> Attributes:
        """Gives the attributes of the duration: those alone of which there are few values."""
        ...


class Http:
    """A client's request.

    ``url.full`` is required, and asks for what is sensitive to be scrubbed: so it is the origin, and
    ``REDACTED`` stands for path and query. The metric lacks ``server.address`` and ``server.port``, though it
    should have them: customers make the number of their values as great as they like.
    """

    span_name = "POST"
    duration = "http.client.request.duration"

    def span_kind(self, *, told: bool) -> SpanKind:
        """A client's, in any case."""
        return SpanKind.CLIENT

    def of_target(self, origin: Origin) -> Attributes:
        """Gives the method and where it goes."""
        return {
            **_METHOD,
            "server.address": origin.host,
            "server.port": origin.port,
            "url.full": f"{origin}/REDACTED",
        }

    def of_result(self, record: DeliveryRecord) -> Attributes:
        """Gives the status, the error, which repetition it was, and the address that was connected to."""
        last = record.last
        found = {**_status(record), **_error(record)}
        if last.number > 1:
            found["http.request.resend_count"] = last.number - 1
        if last.address is not None:
            found["network.peer.address"] = last.address
        return found

    def of_metric(self, record: DeliveryRecord) -> Attributes:
        """Gives the method, the scheme, the status and the error."""
        return {**_METHOD, "url.scheme": scheme_of(record), **_status(record), **_error(record)}


class Messaging:
    """A producer's message: to a queue, a subject, or whatever a transport of another kind serves.

    There is no ``messaging.destination.name``: the destination stands in the path.
    """

    span_name = "send"
    duration = "messaging.client.operation.duration"

    def span_kind(self, *, told: bool) -> SpanKind:
        """A producer's, where the message tells its consumers of the span; else a client's."""
        return SpanKind.PRODUCER if told else SpanKind.CLIENT

    def of_target(self, origin: Origin) -> Attributes:
        """Gives the operation, the system and where it goes."""
        port: Attributes = {"server.port": origin.port} if origin.port else {}
        return {**_operation(origin.scheme), "server.address": origin.host, **port}

    def of_result(self, record: DeliveryRecord) -> Attributes:
        """Gives the error."""
        return _error(record)

    def of_metric(self, record: DeliveryRecord) -> Attributes:
        """Gives the operation, the system and the error."""
        return {**_operation(scheme_of(record)), **_error(record)}


HTTP: Final[Convention] = Http()
MESSAGING: Final[Convention] = Messaging()

_SYSTEMS: Final = {"amqp": "rabbitmq", "amqps": "rabbitmq", "rediss": "redis", "sqs": "aws_sqs"}
"""The systems that are called otherwise than the scheme of their URLs."""


def convention_of(scheme: str) -> Convention:
    """Gives the convention for URLs of a scheme."""
    return HTTP if scheme in {"http", "https"} else MESSAGING


def scheme_of(record: DeliveryRecord) -> str:
    """Gives the scheme of the URL that a delivery goes to."""
    return record.origin.partition(":")[0]


def _operation(scheme: str) -> Attributes:
    system = _SYSTEMS.get(scheme, scheme)
    return {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.system": system,
    }


def _status(record: DeliveryRecord) -> Attributes:
    status = record.last.status
    return {} if status is None else {"http.response.status_code": status}


def _error(record: DeliveryRecord) -> Attributes:
    """Gives the status as text, or why there is none; nothing where it arrived."""
    last = record.last
    if last.outcome.kind is OutcomeKind.DELIVERED:
        return {}
    return {"error.type": str(last.outcome.reason if last.status is None else last.status)}
