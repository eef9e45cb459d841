"""Runs scripts of tests in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

Process: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def running(script: str, *args: object) -> Iterator[Process]:
    """Runs a script that sees what this process can import; it is killed in the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()
