"""Prints what importing thornsdk costs, as a ratio to importing attrs, pluggy and structlog together.

Each import runs in a fresh interpreter, from bytecode; both are measured in turn, and the medians are
compared.

    python benchmarks/import_time.py
"""

import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 15
BASE = "import attrs, pluggy, structlog"
OURS = ("import thornsdk", "import thornsdk.receive", "from thornsdk import Thorn")
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(statement: str, cache: str) -> float:
    # An installed package is compiled to bytecode, so both must be; the first run fills the cache.
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", TIMED.format(statement)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    return float(run.stdout)


def main(cache: str) -> None:
    taken: dict[str, list[float]] = {statement: [] for statement in (BASE, *OURS)}
    for measured in [False] + [True] * ROUNDS:
        for statement, times in taken.items():
            took = seconds(statement, cache)
            if measured:
                times.append(took)
    base = statistics.median(taken[BASE])
    for statement, times in taken.items():
        median = statistics.median(times)
        print(f"{statement:<34} {median * 1000:7.1f} ms   ratio {median / base:5.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
