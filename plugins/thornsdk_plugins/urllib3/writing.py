"""Writes requests: head and body in one write."""

import ssl
from contextlib import suppress
from typing import Final

from thornsdk import Request
from thornsdk_plugins.urllib3.watch import WatchedSocket, WatchedSSLSocket

_HUNG_UP: Final = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)


def written(request: Request, host: str) -> bytes:
    """Gives a request as it goes over the wire.

    Args:
        request: What to send.
        host: The value of ``Host``.
    """
    lines = [
        f"POST {request.url.target} HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {len(request.body)}",
        *[f"{name}: {value}" for name, value in request.headers],
        # Compression would save nothing on answers of which so little is read.
        "Accept-Encoding: identity",
        "\r\n",
    ]
    return "\r\n".join(lines).encode("ascii") + request.body


def send(sock: WatchedSocket | WatchedSSLSocket, data: bytes) -> bool:
    """Sends a request over a connection.

    A server may refuse a long body before it has read it. That it hangs up then is no error here: what it
    answered can be there to read.

    Returns:
        Whether anything has left: not so where the far side had closed the connection before.

    Raises:
        OSError: If it broke otherwise.
        TimeoutError: If the deadline passed.
    """
    sock.watch.sending()
    try:
        sent = sock.send(data)
    except _HUNG_UP:
        return False
    if sent < len(data):
        with suppress(*_HUNG_UP):
            sock.sendall(memoryview(data)[sent:])
    return True
