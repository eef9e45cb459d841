"""Prints what `import thornsdk` costs, as a ratio to importing attrs, pluggy and structlog together.

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
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(statement: str, cache: str) -> float:
    # An installed package is compiled to bytecode, so both must be; the first run fills the cache.
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", TIMED.format(statement)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    return float(run.stdout)


def main(cache: str) -> None:
    seconds(BASE, cache), seconds("import thornsdk", cache)
    base: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        base.append(seconds(BASE, cache))
        ours.append(seconds("import thornsdk", cache))
    low, high = statistics.median(base), statistics.median(ours)
    print(f"import attrs, pluggy, structlog   {low * 1000:7.1f} ms")
    print(f"import thornsdk                   {high * 1000:7.1f} ms")
    print(f"ratio                             {high / low:7.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
