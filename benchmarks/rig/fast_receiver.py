"""A receiver that costs little, in a process of its own: a loop over sockets that do not block. Linux only.

It answers 200 with no body, with or without TLS, at once or after a delay, and keeps connections open. Every
request is read to its end, by its Content-Length, before it is answered. It counts requests, connections, and
the CPU that it uses, so that who measures can tell whether the receiver held the sender up.
"""

import json
import select
import socket
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from attrs import define, frozen

_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"
_READ: Final = 65536
_BACKLOG: Final = 1024


@frozen
class Counts:
    """What a receiver has counted since it was started.

    Attributes:
        requests: How many requests came in full.
        connections: How many connections were opened.
        cpu: How many seconds of CPU it has used.
    """

    requests: int
    connections: int
    cpu: float


class FastReceiver:
    """Answers every request with 200. Its process has ended when the block ends.

    Args:
        origins: On how many ports it listens.
        delay: After how many seconds it answers.
        certificate: The PEM file with its key and certificates; with None, it speaks HTTP without TLS.
    """

    def __init__(self, origins: int, *, delay: float = 0.0, certificate: Path | None = None) -> None:
        command = [sys.executable, __file__, str(origins), str(delay), str(certificate or "")]
        self._scheme = "http" if certificate is None else "https"
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._process.stdout is not None
        self._control, *self.ports = (int(port) for port in self._process.stdout.readline().split())

    def urls(self, count: int) -> list[str]:
        """Gives so many URLs, each different, evenly spread over the origins."""
        ports, scheme = self.ports, self._scheme
        return [f"{scheme}://127.0.0.1:{ports[number % len(ports)]}/{number}" for number in range(count)]

    def counts(self) -> Counts:
        with socket.create_connection(("127.0.0.1", self._control)) as sock, sock.makefile() as file:
            return Counts(*json.loads(file.read()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


@define
class _Counter:
    requests: int = 0
    connections: int = 0


class _Server:
    """The loop, and what its connections share.

    Args:
        delay: After how many seconds it answers.
        context: What speaks TLS, or None.
    """

    def __init__(self, delay: float, context: ssl.SSLContext | None) -> None:
        self.counter = _Counter()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.waiting: deque[tuple[float, Callable[[bytes], int]]] = deque()
        self.delay = delay
        self._context = context
        self._epoll = select.epoll()

    def run(self, origins: int) -> None:
        control = self._listen(self._tell)
        ports = [self._listen(self._accept) for _ in range(origins)]
        # Who started it may be killed, and cannot end it then.
        self._watch(sys.stdin.fileno(), sys.exit)
        print(control, *ports, flush=True)
        handlers, poll = self.handlers, self._epoll.poll
        while True:
            for number, _ in poll(self._answer_due()):
                handlers[number]()

    def forget(self, number: int) -> None:
        del self.handlers[number]

    def _answer_due(self) -> float | None:
        """Answers what has waited long enough, and gives the seconds until the next."""
        waiting = self.waiting
        while waiting:
            left = waiting[0][0] - time.monotonic()
            if left > 0:
                return left
            try:
                waiting.popleft()[1](_ANSWER)
            except OSError:
                continue  # The sender has gone.
        return None

    def _watch(self, number: int, handler: Callable[[], None]) -> None:
        self.handlers[number] = handler
        self._epoll.register(number, select.EPOLLIN)

    def _listen(self, connected: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._watch(server.fileno(), lambda: connected(server.accept()[0]))
        return int(server.getsockname()[1])

    def _tell(self, sock: socket.socket) -> None:
        counter = self.counter
        with sock:
            told = [counter.requests, counter.connections, time.process_time()]
            sock.sendall(json.dumps(told).encode())

    def _accept(self, sock: socket.socket) -> None:
        self.counter.connections += 1
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            self._watch(sock.fileno(), _Connection(self, sock).readable)
            return
        secure = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._watch(secure.fileno(), lambda: self._shake_hands(secure))

    def _shake_hands(self, sock: ssl.SSLSocket) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError:
            self.forget(sock.fileno())
            sock.close()
        else:
            self.handlers[sock.fileno()] = _Connection(self, sock).readable


class _Connection:
    """One connection: HTTP/1.1 with keep-alive, as little of it as senders need."""

    def __init__(self, server: _Server, sock: socket.socket) -> None:
        self._server = server
        self._counter = server.counter
        self._sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._kept = b""
        self._line = b"\0"  # What stands in no head.
        self._length = 0

    def readable(self) -> None:
        try:
            data = self._recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if not data:
            self._server.forget(self._sock.fileno())
            self._sock.close()
            return
        data = self._kept + data
        while end := data.find(_END) + 1:
            end += 3
            # A sender writes the same line each time. Where it does not, the head is read anew.
            if data.find(self._line, 0, end) < 0:
                self._learn(data[:end])
            if len(data) < end + self._length:
                break
            data = data[end + self._length :]
            self._answer()
        self._kept = data

    def _answer(self) -> None:
        self._counter.requests += 1
        server = self._server
        if server.delay:
            server.waiting.append((time.monotonic() + server.delay, self._send))
        else:
            self._send(_ANSWER)

    def _learn(self, head: bytes) -> None:
        at = head.lower().index(_LENGTH)
        self._line = head[at : head.index(b"\r\n", at + 2) + 2]
        self._length = int(self._line[len(_LENGTH) :])


def _serve(origins: int, delay: float, certificate: str) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    _Server(delay, context).run(origins)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
