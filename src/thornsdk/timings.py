"""Where the time of an attempt went."""

from attrs import frozen


@frozen(kw_only=True)
class Timings:
    """Where the time of an attempt went, in seconds.

    A step that was not needed, or not reached, is None: an open connection needs no look-up, no connecting
    and no TLS, and an address in the URL needs no look-up.

    Attributes:
        total: From when the transport took the request up until the answer was read or the error met.
        lookup: How long the look-up of the host name took.
        connect: How long it took to open the connection, over all addresses that were tried.
        tls: How long the TLS handshake took.
        first_byte: From when the first byte of the request was sent until the first byte of the answer came.
    """

    total: float
    lookup: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
