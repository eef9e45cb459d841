"""What a transport takes and gives."""

from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from thornsdk.errors import TransportError
from thornsdk.model.headers import check_sendable
from thornsdk.model.url import URL
from thornsdk.timings import Timings
from thornsdk.typing import AddressGuard, Headers


def _can_be_sent(_: object, __: object, headers: Headers) -> None:
    check_sendable(headers)


@frozen(kw_only=True)
class Request:
    """What a transport sends.

    Attributes:
        id: The delivery's id. Two requests in one `send_many` never share it.
        url: Where to.
        headers: All headers but those that the protocol itself needs (``Host``, ``Content-Length``). Nothing
            in them ends a line: a transport can write them as they are.
        body: The exact bytes: they are signed.
        timeout: The deadline, in seconds from the moment the transport takes the request up until the answer
            has been read to its end. It covers name look-up, connect, TLS, sending and reading.
        guard: The policy on addresses. A transport asks it about each address before it connects there.
        client_certificate: The name of the certificate to show to a receiver that asks for one (mutual TLS);
            None for none. The transport knows the file of each name.

    Raises:
        InvalidHeader: If a header cannot be sent (RFC 9110, sections 5.1 and 5.5), or is one that the
            transport sets.
        TypeError: If a header is no text.
    """

    id: UUID
    url: URL
    headers: Headers = field(repr=False, validator=_can_be_sent)
    body: bytes = field(repr=False)
    timeout: float
    guard: AddressGuard = field(eq=False, repr=False)
    client_certificate: str | None = None


@frozen(kw_only=True)
class Response:
    """What a subscriber answered.

    Attributes:
        status: The HTTP status, or what comes nearest to it in another protocol.
        headers: As they came.
        body: The answer after decoding, cut at the transport's cap.
        truncated: Whether the body was cut.
        reused: Whether an open connection was used again; None where that means nothing.
        address: The address connected to, as ``127.0.0.1``; None where that means nothing.
        timings: Where the time went; None where the transport does not tell.
    """

    status: int
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    reused: bool | None = None
    address: str | None = None
    timings: Timings | None = None

    def header(self, name: str) -> str | None:
        """Returns the first value of a header, or None. Case does not matter in the name."""
        lower = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower), None)


@frozen(kw_only=True, eq=False)
class Exchange:
    """One request and what came of it.

    Attributes:
        request: The request, the very object that the transport was given.
        result: The answer, or the error that stood in its place.
        started_at: When the transport took the request up.
        duration: Seconds from then until the answer was read or the error met.
    """

    request: Request
    result: Response | TransportError
    started_at: datetime
    duration: float
