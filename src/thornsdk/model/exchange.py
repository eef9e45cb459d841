"""What a transport takes and gives."""

from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from thornsdk.errors import TransportError
from thornsdk.model.url import URL
from thornsdk.typing import AddressGuard, Headers


@frozen(kw_only=True)
class Request:
    """What a transport sends.

    Attributes:
        id: The delivery's id. Two requests in one `send_many` never share it.
        url: Where to.
        headers: All headers but those that the protocol itself needs (``Host``, ``Content-Length``).
        body: The exact bytes: they are signed.
        timeout: The deadline, in seconds from the moment the transport takes the request up until the answer
            has been read to its end. It covers name look-up, connect, TLS, sending and reading.
        guard: The policy on addresses. A transport asks it about each address before it connects there.
    """

    id: UUID
    url: URL
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    timeout: float
    guard: AddressGuard = field(eq=False, repr=False)


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
    """

    status: int
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    reused: bool | None = None
    address: str | None = None

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
