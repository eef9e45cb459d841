"""A receiver in a process of its own that counts by ``Hook-Delivery``: several ports are several origins."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from itertools import cycle
from typing import Self, cast
from uuid import UUID

from attrs import Factory, define, frozen

PAUSE = 0.05
"""After how many seconds it answers."""
AWAY, THERE = 2.0, 4.0
"""For how many seconds a port that refuses is closed, and open, in turn."""

TROUBLES = ("none", "refuses", "hangs", "fails")
"""What the ports of a receiver in trouble do, in turn."""


@frozen
class Counted:
    """What came.

    Attributes:
        requests: How many requests.
        accepted: How often each delivery was answered with 200.
    """

    requests: int
    accepted: Counter[str]


class Receiver:
    """Receives while it is open.

    Args:
        origins: On how many ports.
        trouble: Whether some of them refuse connections now and again, some leave every tenth delivery
            without an answer at first, and some answer the first attempt of each with 500.
    """

    def __init__(self, origins: int, *, trouble: bool) -> None:
        command = [sys.executable, __file__, str(origins), "trouble" if trouble else "well"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.ports = cast("list[int]", self._read())

    def accepted(self) -> int:
        """Gives how many deliveries were accepted so far."""
        return cast("int", self._ask("accepted"))

    def counted(self) -> Counted:
        requests, accepted = cast("tuple[int, dict[str, int]]", self._ask("counted"))
        return Counted(requests, Counter(accepted))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, what: str) -> object:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> object:
        assert self._process.stdout is not None
        answer: object = json.loads(self._process.stdout.readline())
        return answer


@define
class _State:
    requests: int = 0
    seen: set[str] = Factory(set)
    accepted: Counter[str] = Factory(Counter)


@define(eq=False)
class _Port:
    """One origin."""

    state: _State
    trouble: str
    number: int = 0
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = Factory(set)
    coming_and_going: "asyncio.Task[None] | None" = None

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.number, backlog=1024)
        self.number = self.server.sockets[0].getsockname()[1]

    async def come_and_go(self) -> None:
        while True:
            await asyncio.sleep(THERE)
            cast("asyncio.Server", self.server).close()
            for writer in self.writers:
                writer.transport.abort()
            await asyncio.sleep(AWAY)
            await self.open()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # The sender was killed, or gave up.
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(_header(head, b"content-length")))
        self.state.requests += 1
        return await self._judge(_header(head, b"hook-delivery").decode(), reader, writer)

    async def _judge(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(PAUSE)
        first = key not in self.state.seen
        self.state.seen.add(key)
        if first and self.trouble == "hangs" and UUID(key).int % 10 == 0:
            await reader.read(1)  # Until the sender gives up.
            return False
        if first and self.trouble == "fails":
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            return True
        if not writer.is_closing():
            self.state.accepted[key] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0].strip()


async def _main(origins: int, *, trouble: bool) -> None:
    state = _State()
    troubles = cycle(TROUBLES if trouble else TROUBLES[:1])
    ports = [_Port(state, next(troubles)) for _ in range(origins)]
    for port in ports:
        await port.open()
        if port.trouble == "refuses":
            port.coming_and_going = asyncio.create_task(port.come_and_go())
    print(json.dumps([one.number for one in ports]), flush=True)
    while question := await asyncio.to_thread(sys.stdin.readline):
        whole = question == "counted\n"
        print(json.dumps((state.requests, state.accepted) if whole else len(state.accepted)), flush=True)
    # Whoever started it has gone, and nobody wants to hear of the connections that are left.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), trouble=sys.argv[2] == "trouble"))
