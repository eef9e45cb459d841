"""A small HTTPS server that offers HTTP/2, and answers each POST with what it knows of its connection."""

import socket
import ssl
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded


def speaks_http2(
    context: ssl.SSLContext,
    seen: list[dict[str, str]],
    answers: int = 1000,
    ended: Callable[[], object] = lambda: None,
) -> Callable[[socket.socket], None]:
    """Serves connections over HTTP/2, and keeps the headers of the requests that came.

    Each connection ends after so many answers, without a word, and that is told.
    """
    context.set_alpn_protocols(["h2"])

    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            if wrapped.selected_alpn_protocol() == "h2":
                _serve(wrapped, seen, answers)
                socket.socket.shutdown(wrapped, socket.SHUT_WR)
                ended()
                while socket.socket.recv(wrapped, 65536):
                    pass

    return serve


def _serve(sock: ssl.SSLSocket, seen: list[dict[str, str]], answers: int) -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    while answers and (data := sock.recv(65536)):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                seen.append({str(name): str(value) for name, value in event.headers})
            if isinstance(event, StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "202"), ("x-seen", str(len(seen)))])
                connection.send_data(event.stream_id, b"thanks", end_stream=True)
                answers -= 1
        sock.sendall(connection.data_to_send())
