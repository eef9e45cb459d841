"""Real Celery workers, in processes of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from support.commands import store_url
from support.wire import wait_until
from thornsdk import Thorn
from thornsdk.testing import Endpoint

STANDALONE = "thornsdk_plugins.celery"
"""The worker without code of an application."""
SHOP = "support.celery_app"
"""An application with tasks, events and settings of its own."""

_TESTS = Path(__file__).parents[1]
# A worker that is alone on its broker has nobody to greet; that saves a second.
_ALONE = ("--without-mingle", "--without-gossip")


class Worker:
    """A Celery worker. Its processes have ended when the block ends.

    It has a session of its own: a signal reaches it with all of its pool, and nothing else.

    Args:
        folder: Where it writes its log.
        options: Of ``celery worker``, such as ``--pool threads``.
        app: The app that it serves.
        settings: Its settings, by their names in lower case, without ``THORN_``.
        environ: More variables of its environment.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        app: str = STANDALONE,
        environ: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.name = f"worker-{uuid4().hex[:8]}"
        self._log = folder / f"{self.name}.log"
        self._command = [
            *(sys.executable, "-m", "celery", "-A", app, "worker", "--hostname", f"{self.name}@localhost"),
            *("--loglevel", "INFO", *_ALONE, *options),
        ]
        # Who is killed leaves its temporary files where they are.
        self._environ = {**_environ(settings), "TMPDIR": str(folder), **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the worker was not started"
        return self._process

    @property
    def pool(self) -> list[int]:
        """The process ids of its pool."""
        return [pid for pid, parent in _processes() if parent == self.process.pid]

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def lines(self, said: str) -> list[str]:
        """Gives the lines of its log that hold this."""
        return [line for line in self.log.splitlines() if said in line]

    def values(self, event: str, field: str) -> list[str]:
        """Gives what a field holds in each event of this name that it has told."""
        return [
            found[1] for line in self.lines(f" {event} ") if (found := re.search(rf"\b{field}=(\S+)", line))
        ]

    def tasks(self, name: str) -> set[str]:
        """The ids of the tasks of this name that it got. One that comes back has the same id."""
        return set(re.findall(rf"Task {re.escape(name)}\[(\S+)\] received", self.log))

    def wait_for(self, said: str, times: int = 1) -> None:
        """Waits until it has said this, so many times."""
        wait_until(lambda: len(self.lines(said)) >= times or self.process.poll() is not None)
        assert len(self.lines(said)) >= times, self.log

    def launch(self) -> None:
        """Starts it, and does not wait."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log, start_new_session=True
            )

    def ended(self) -> int:
        """Waits until it ends by itself, and gives its exit code."""
        return self.process.wait(timeout=40)

    def stop(self) -> int:
        """Asks it to finish what it does and to end; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Kills it and its pool, as a machine that fails does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        self.launch()
        try:
            self.wait_for(f"{self.name}@localhost ready.")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def site(broker_url: str, folder: Path, *endpoints: Endpoint, **more: object) -> dict[str, Any]:
    """Gives the settings that an application and its workers share: they may send to these endpoints."""
    return {
        "broker_url": broker_url,
        "store": store_url(folder),
        "allow_networks": ["127.0.0.0/8"],
        "allow_ports": [80, 443, *(one.port for one in endpoints)],
        **more,
    }


def subscribe(thorn: Thorn, event: str, *endpoints: Endpoint, times: int = 1) -> None:
    """Subscribes each endpoint to an event, so many times."""
    for one in endpoints:
        for number in range(times):
            thorn.subscribe(event, f"{one.url}/{number}")


def _environ(settings: dict[str, object]) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("THORN_")}
    given = {f"THORN_{key.upper()}": _text(value) for key, value in settings.items()}
    path = os.pathsep.join(filter(None, (str(_TESTS), os.environ.get("PYTHONPATH"))))
    return {**ours, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **given}


def _text(value: object) -> str:
    many = isinstance(value, Iterable) and not isinstance(value, str)
    return ",".join(str(one) for one in value) if many else str(value)  # type: ignore[attr-defined]


def _processes() -> Iterator[tuple[int, int]]:
    """Gives each process of this machine with its parent."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended meanwhile.
            after_name = stat.read_text().rpartition(")")[2].split()
            yield int(stat.parent.name), int(after_name[1])
