"""A relay between a client and a server, which does on demand what bad networks do."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from support.wire import Listener

_HANDSHAKE = 5.0
"""For how many seconds a client may keep the relay waiting."""


def drips(sock: socket.socket) -> None:
    """Begins to answer the first word, and never ends."""
    sock.recv(1)
    drip(sock)


def drip(sock: socket.socket) -> None:
    """Begins an answer of a million bytes, and never ends it."""
    with suppress(OSError):
        sock.sendall(b"\x01\x00\x00\x00\x0f\x42\x40")
        while True:
            sock.sendall(b"0")
            time.sleep(0.02)


class Relay:
    """Passes on what clients and a server at loopback say to each other, while it is open.

    Args:
        port: The server's port.
        tls: What is needed to speak TLS with clients; None to speak plainly.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._server = port
        self._tls = tls
        self._listener = Listener(self._serve)
        self._open: list[socket.socket] = []
        self._on_answer: Callable[[], bool] = lambda: True
        self._drips = False

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def connections(self) -> int:
        """How many connections there were."""
        return self._listener.connections

    def cut(self) -> None:
        """Ends all connections."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def cut_at_next_answer(self) -> None:
        """Ends all connections in place of passing on what the server says next."""

        def cut() -> bool:
            self._on_answer = lambda: True
            self.cut()
            return False

        self._on_answer = cut

    def swallow_answers(self) -> None:
        """Passes on nothing that the server says, from now on."""
        self._on_answer = lambda: False

    def delay_answers(self, seconds: float) -> None:
        """Passes on what the server says so many seconds later, from now on."""

        def passes() -> bool:
            time.sleep(seconds)
            return True

        self._on_answer = passes

    def drip(self) -> None:
        """Answers who connects from now on itself, and never to an end."""
        self._drips = True

    def pass_on_answers(self) -> None:
        """Passes on again what the server says."""
        self._drips = False
        self._on_answer = lambda: True

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.__exit__()

    def _serve(self, raw: socket.socket) -> None:
        if self._drips:
            drips(raw)
            return
        with self._greeted(raw) as client, socket.create_connection(("127.0.0.1", self._server)) as server:
            self._open += [client, server]
            back = threading.Thread(target=self._pass_on, args=(server, client, self._answered))
            back.start()
            self._pass_on(client, server, lambda: True)
            back.join()

    def _greeted(self, raw: socket.socket) -> socket.socket:
        if self._tls is None:
            return raw
        raw.settimeout(_HANDSHAKE)
        client = self._tls.wrap_socket(raw, server_side=True)
        client.settimeout(None)
        return client

    def _answered(self) -> bool:
        return self._on_answer()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, passes: Callable[[], bool]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if passes():
                    sink.sendall(data)
        for end in (sink, source):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
