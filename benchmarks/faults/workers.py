"""Workers to kill."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

POOL = 2
"""How many processes the pool of a worker has."""

_HERE = Path(__file__).parents[1]


class Worker:
    """A Celery worker that runs while it is open, with a session of its own.

    Args:
        log: Where it writes what it says.
        name: What it is called.
        broker_url: Whom it gets its tasks from.
        settings: Its ``THORN_*`` variables.
    """

    def __init__(self, log: Path, name: str, broker_url: str, settings: dict[str, str]) -> None:
        self._log = log
        self._command = [
            *(sys.executable, "-m", "celery", "--quiet", "-A", "faults.serve", "worker"),
            *(
                "-n",
                f"{name}@localhost",
                "-c",
                str(POOL),
                "-l",
                "INFO",
                "--without-mingle",
                "--without-gossip",
            ),
        ]
        ours = {key: value for key, value in os.environ.items() if not key.startswith("THORN_")}
        path = os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH"))))
        self._environ = {
            **ours,
            "PYTHONPATH": path,
            "TMPDIR": str(log.parent),  # Where it leaves what it has no time to remove.
            "FAULTS_BROKER_URL": broker_url,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pool(self) -> list[int]:
        """The processes of its pool."""
        assert self._process is not None
        return [pid for pid, parent in _parents().items() if parent == self._process.pid]

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kills it with its pool."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def replace(self) -> None:
        """Kills it with its pool, and starts it again."""
        with self._lock:
            self.kill()
            self.start()

    def revive(self) -> bool:
        """Starts it again if it has ended by itself, as whoever runs workers does; tells whether it had."""
        with self._lock:
            ended = self._process is not None and self._process.poll() is not None
            if ended:
                self.kill()
                self.start()
        return ended

    def kill_one_of_its_pool(self) -> None:
        for child in self.pool[:1]:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended meanwhile.
            after_name = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = int(after_name[1])
    return found
