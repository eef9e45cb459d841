"""What a proxy does that opens tunnels with CONNECT (RFC 9110, section 9.3.6)."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def tunnels_to(port: int, asked: list[str]) -> Callable[[socket.socket], None]:
    """Opens each tunnel to this port on loopback, whatever it is asked for, and keeps what that was."""

    def serve(client: socket.socket) -> None:
        asked.append(_read_head(client))
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join()

    return serve


def refuses(answer: bytes) -> Callable[[socket.socket], None]:
    """Opens no tunnel, and says this."""

    def serve(client: socket.socket) -> None:
        _read_head(client)
        client.sendall(answer)

    return serve


def _read_head(client: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head and (more := client.recv(1)):
        head += more
    return head.split(b"\r\n")[0].decode()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
