"""A small HTTPS server that offers HTTP/2, and answers each POST with what it knows of its connection."""

import socket
import ssl
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded


def speaks_http2(context: ssl.SSLContext, seen: list[dict[str, str]]) -> Callable[[socket.socket], None]:
    """Serves connections over HTTP/2, and keeps the headers of the requests that came."""
    context.set_alpn_protocols(["h2"])

    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            _serve(wrapped, seen)

    return serve


def _serve(sock: ssl.SSLSocket, seen: list[dict[str, str]]) -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    while data := sock.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                seen.append({str(name): str(value) for name, value in event.headers})
            if isinstance(event, StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "202"), ("x-seen", str(len(seen)))])
                connection.send_data(event.stream_id, b"thanks", end_stream=True)
        sock.sendall(connection.data_to_send())
