"""Stages that are real but small: they keep what they are given, and do what a test tells them."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeAlias

from thornsdk.dispatching import Deliverer, Dispatch, Dispatcher
from thornsdk.errors import DispatchError
from thornsdk.model import Delivery, DeliveryRecord, Receipt, ReceiptState, Request, Response
from thornsdk.stages import Transport
from thornsdk.typing import Headers

Answer: TypeAlias = Callable[[Request], Response]
"""What a `RecordingTransport` answers to a request: it gives a response, or raises."""


def _accepts(_: Request) -> Response:
    return Response(status=200, body=b"ok")


class RecordingTransport(Transport):
    """Sends nothing: keeps the requests that it is given, and answers as it is told.

    Args:
        answer: Gives the answer to a request; by default status 200. It may raise
            `~thornsdk.errors.TransportError`.
        schemes: The URL schemes that it serves.

    Example:
        >>> from thornsdk import Response
        >>> from thornsdk.testing import RecordingTransport, make_request
        >>> transport = RecordingTransport(lambda request: Response(status=503))
        >>> transport.send(make_request("https://example.com/", b"hello")).status
        503
        >>> transport.requests[0].body
        b'hello'
    """

    def __init__(self, answer: Answer = _accepts, schemes: Iterable[str] = ("https",)) -> None:
        self._schemes = frozenset(schemes)
        self._answer = answer
        self.requests: list[Request] = []
        """The requests that it was given, in their order."""
        self.closed: int = 0
        """How often it was closed."""

    @property
    def schemes(self) -> frozenset[str]:
        """The schemes that it was made with."""
        return self._schemes

    @property
    def user_agent(self) -> str:
        """``recording/1``."""
        return "recording/1"

    def send(self, request: Request) -> Response:
        """Keeps the request, and answers."""
        self.requests.append(request)
        return self._answer(request)

    def close(self) -> None:
        """Counts."""
        self.closed += 1


class RecordingDispatcher(Dispatcher):
    """Keeps the messages that it is given, as a broker does; with room for so many, it takes no more.

    Args:
        room: How many messages it takes.
    """

    def __init__(self, room: float = float("inf")) -> None:
        self.room: float = room
        """How many messages it takes."""
        self.taken: list[Dispatch] = []
        """The messages that it took, in their order."""

    @property
    def name(self) -> str:
        """``recording``."""
        return "recording"

    @property
    def bodies(self) -> list[object]:
        """What the messages say, as JSON."""
        return [one.bodies.in_type("application/json") for one in self.taken]

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Keeps the message.

        Raises:
            DispatchError: If there is no room.
        """
        if self.room <= len(self.taken):
            raise DispatchError(self.name, "there is no room")
        dispatch.bodies.in_all_types()  # The payload may change until they are asked for.
        self.taken.append(dispatch)
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=ReceiptState.QUEUED,
        )


class RecordingSigner:
    """Keeps what it signs, and signs with a header of its own.

    Args:
        headers: The headers that it adds.
    """

    def __init__(self, headers: Headers = (("Test-Signature", "signed"),)) -> None:
        self._headers = headers
        self.signed: list[tuple[Delivery, datetime]] = []
        """What it signed, and when the attempt began."""

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Keeps the delivery, and gives the headers."""
        self.signed.append((delivery, at))
        return self._headers


class RecordingObserver:
    """Keeps what it is told of attempts."""

    def __init__(self) -> None:
        self.records: list[DeliveryRecord] = []
        """What is known after each attempt, in their order."""

    def observe(self, record: DeliveryRecord) -> None:
        """Keeps the record."""
        self.records.append(record)
