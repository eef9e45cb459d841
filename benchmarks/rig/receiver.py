"""A fast receiver in a process of its own: several ports are several origins, and it counts what comes."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Self

from attrs import define, frozen

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_POLL = 0.01
_SECONDS = 300.0


@frozen
class Counts:
    """What a receiver has counted since it was started.

    Attributes:
        requests: How many requests it has answered.
        connections: How many connections were opened.
        latest: When it answered last, as `time.monotonic` tells it.
    """

    requests: int
    connections: int
    latest: float


class Receiver:
    """Answers every request with 200. Its process has ended when the block ends.

    Args:
        origins: On how many ports it listens.
        delay: After how many seconds it answers.
        idle: After how many seconds it closes a connection that is not used; never with 0.
    """

    def __init__(self, origins: int, *, delay: float = 0.0, idle: float = 0.0) -> None:
        command = [sys.executable, __file__, str(origins), str(delay), str(idle)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._control, *self.ports = (int(port) for port in self._process.stdout.readline().split())

    def urls(self, count: int) -> list[str]:
        """Gives so many URLs, each different, evenly spread over the origins."""
        ports = self.ports
        return [f"http://127.0.0.1:{ports[number % len(ports)]}/{number}" for number in range(count)]

    def counts(self) -> Counts:
        with socket.create_connection(("127.0.0.1", self._control)) as sock, sock.makefile() as file:
            return Counts(*json.loads(file.read()))

    def wait_for(self, requests: int, check: Callable[[], object]) -> Counts:
        """Waits until so many requests were answered.

        Args:
            requests: How many, since the receiver was started.
            check: Raises if it is of no use to wait any more.

        Raises:
            SystemExit: If they do not come, or more of them.
        """
        give_up_at = time.monotonic() + _SECONDS
        while (counts := self.counts()).requests < requests and time.monotonic() < give_up_at:
            check()
            time.sleep(_POLL)
        if counts.requests != requests:
            raise SystemExit(f"{counts.requests} requests came, and {requests} were to come")
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


@define
class _Counter:
    requests: int = 0
    connections: int = 0
    latest: float = 0.0


class _Answers(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, as little of it as senders need."""

    transport: asyncio.Transport

    def __init__(self, counter: _Counter, delay: float, idle: float) -> None:
        self._counter = counter
        self._delay = delay
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.TimerHandle | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._counter.connections += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found or len(rest) < _length(head):
            return
        self._data = b""
        if self._ending is not None:
            self._ending.cancel()
        if self._delay:
            self._loop.call_later(self._delay, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        self.transport.write(_ANSWER)
        self._counter.requests += 1
        self._counter.latest = time.monotonic()
        if self._idle:
            self._ending = self._loop.call_later(self._idle, self.transport.close)


class _Tells(asyncio.Protocol):
    """Tells who connects what was counted."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        counter = self._counter
        transport.write(json.dumps([counter.requests, counter.connections, counter.latest]).encode())
        transport.close()


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0] or 0)


async def _serve(origins: int, delay: float, idle: float) -> None:
    counter = _Counter()
    control = await _listen(lambda: _Tells(counter))
    ports = [await _listen(lambda: _Answers(counter, delay, idle)) for _ in range(origins)]
    print(control, *ports, flush=True)
    await asyncio.Event().wait()


async def _listen(make: Callable[[], asyncio.Protocol]) -> int:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, backlog=1024)
    return int(server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
