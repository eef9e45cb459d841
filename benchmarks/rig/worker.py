"""Celery workers in processes of their own, and what they cost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from celery import Celery

_SECONDS = 40.0
_HERE = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = 0.2
_WRONG = ("delivery.", "task.", "Traceback", "ERROR")


class Worker:
    """A worker. Its processes have ended when the block ends.

    Args:
        name: What it is called.
        folder: Where it writes its log.
        app: What ``celery -A`` is given.
        options: Of ``celery worker``.
        environ: The variables that it has besides those of this process.
    """

    def __init__(
        self, name: str, folder: Path, *, app: str, options: Sequence[str], environ: dict[str, str]
    ) -> None:
        self._host = f"{name}@localhost"
        self._log = folder / f"{name}.log"
        command = [sys.executable, "-m", "celery", "--quiet", "-A", app, "worker", "-n", self._host]
        ours = {key: value for key, value in os.environ.items() if not key.startswith("THORN_")}
        path = os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH"))))
        with self._log.open("wb") as log:
            # In a session of its own, a signal reaches it with all of its pool, and nothing else.
            self._process = subprocess.Popen(
                [*command, "--without-mingle", "--without-gossip", *options],
                env={**ours, "PYTHONPATH": path, **environ},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, broker: str) -> None:
        """Waits until it takes tasks from a broker.

        Raises:
            SystemExit: If it does not.
        """
        give_up_at = time.monotonic() + _SECONDS
        with Celery(broker=broker, set_as_current=False) as app:
            while not app.control.ping(destination=[self._host], timeout=_QUIET):
                self.check()
                if time.monotonic() > give_up_at:
                    raise SystemExit("a worker does not start")

    def cpu(self) -> float:
        """Gives the seconds of CPU that it and its pool have used, as soon as they do nothing any more."""
        while True:
            before = self._cpu()
            time.sleep(_QUIET)
            if self._cpu() <= before + 2 / _TICKS:
                return before

    def check(self, expected: str = "") -> None:
        """Checks that it runs, and has told of nothing wrong: a figure of failures would mean nothing.

        Args:
            expected: What may stand in its log all the same.

        Raises:
            SystemExit: With the end of what it has told, if not.
        """
        log = self._log.read_text(errors="replace")
        if expected:
            log = log.replace(expected, "")
        if self._process.poll() is not None or any(sign in log for sign in _WRONG):
            raise SystemExit(f"a worker failed:\n{log[-2000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _cpu(self) -> float:
        return sum(self._ticks()) / _TICKS

    def _ticks(self) -> Iterator[int]:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # It has ended meanwhile.
                after_name = stat.read_text().rpartition(")")[2].split()
                if int(after_name[3]) == self._process.pid:  # Its session is that of the worker.
                    yield int(after_name[11]) + int(after_name[12])
