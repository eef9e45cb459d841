"""What Python can do at best: a loop over sockets that do not block, and ready bytes. Linux only.

It knows no name look-up, no TLS, no deadline, no signature, and nothing of an answer but its status and where
it ends.
"""

import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from rig.peers.common import HEADERS, check, over
from rig.way import Deliver, Target

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    places = {url: _ready_bytes(url, target.body.encode()) for url in target.urls}
    (host, port), *others = {(urlsplit(url).hostname, urlsplit(url).port) for url in target.urls}
    assert not others
    loop = _Loop()
    try:
        for _ in range(int(target.options["in_flight"])):
            loop.add(socket.create_connection((host, port)))
        yield lambda count: loop.deliver(places[url] for url in over(target.urls, count))
    finally:
        loop.close()


def _ready_bytes(url: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    headers = {"Host": parts.netloc, **HEADERS, "Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class _Loop:
    """Connections that stay open, and what watches them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._kept: dict[int, bytes] = {}

    def add(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[sock.fileno()] = sock
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def deliver(self, requests: Iterator[bytes]) -> None:
        sockets, kept = self._sockets, self._kept
        busy = 0
        for sock, request in zip(sockets.values(), requests, strict=False):
            sock.send(request)
            busy += 1
        while busy:
            for number, _ in self._epoll.poll():
                sock = sockets[number]
                data = kept.pop(number, b"") + sock.recv(65536)
                if not is_complete(data):
                    kept[number] = data
                    continue
                check(int(data[9:12]))
                request_or_none = next(requests, None)
                if request_or_none is None:
                    busy -= 1
                else:
                    sock.send(request_or_none)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()


def is_complete(data: bytes) -> bool:
    if not data:
        raise SystemExit("the receiver has closed a connection")
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, end + 2)
    return end >= 0 and length is not None and len(data) >= end + 4 + int(length[1])
