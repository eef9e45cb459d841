"""Programs to kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_HERE = Path(__file__).parents[1]


class Program:
    """A Python program that can be killed and started again; what it writes is kept.

    Args:
        folder: Where what it writes is kept.
        name: What it is called there.
        words: What follows the interpreter on its command line.
        environ: Its ``THORN_*`` variables.
    """

    def __init__(self, folder: Path, name: str, words: Sequence[str], environ: Mapping[str, str]) -> None:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("THORN_")}
        path = os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH"))))
        self._environ = {**ours, **environ, "PYTHONPATH": path}
        self._words = words
        self._out = folder / f"{name}.out"
        self._heard = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Starts it; more words may follow its own."""
        with self._out.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *self._words, *more],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def heard(self) -> list[str]:
        """Gives the whole lines that it has written since it was asked last."""
        if not self._out.exists():
            return []
        with self._out.open("rb") as out:
            out.seek(self._heard)
            whole, _, _ = out.read().rpartition(b"\n")
        self._heard += len(whole) + 1 if whole else 0
        return whole.decode().splitlines()
