"""Prints what it takes to claim what is due, with a thousand and with a million pending deliveries.

A tenth of them is due. Each size has a process of its own, which claims batches of 100 as `run_due` does;
the CPU for a batch is the median of them, the peak is what the operating system says of the process. In the
end, it prints how SQLite looks for what is due. Takes about two minutes for a million.

    python benchmarks/claims.py [DELIVERIES]
"""

import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen
from rig.backlog import waiting

from thornsdk import Attempt, DeliveryRecord, Lease, Outcome, OutcomeKind, Reason
from thornsdk_plugins.sqlite import SqliteStore

SMALL = 1_000
LARGE = 1_000_000
BATCH = 100
LIMIT = 4.0
"""How many times the CPU of a small table a claim from one with a thousand times as many rows may take.

What is due is found by an index. But each row lies in a page of its own, which SQLite's cache of 8 MB does
not hold.
"""
LIMIT_MB = 15
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PER_MESSAGE = 100


@frozen
class Cost:
    """What it takes to claim.

    Attributes:
        cpu: Microseconds of CPU for a batch.
        peak: The peak of the process in MB.
    """

    cpu: float
    peak: float


def deliveries(count: int) -> Iterator[DeliveryRecord]:
    """Gives pending deliveries, of which a tenth is due."""
    for number in range(count):
        due = NOW + timedelta(seconds=number % 10 - 0.5)
        yield waiting(
            number + 1,
            message=number // _PER_MESSAGE + 1,
            subscription=number % _PER_MESSAGE + 1,
            origin=f"https://customer-{number % _PER_MESSAGE}.example.com",
            due=due,
        )


def claimed(record: DeliveryRecord) -> DeliveryRecord:
    """Gives what is true of a delivery that was claimed."""
    outcome = Outcome(OutcomeKind.RETRY, Reason.WORKER_LOST, NOW + timedelta(hours=1))
    attempt = Attempt(number=record.last.number + 1, started_at=NOW, duration=0.0, outcome=outcome)
    return evolve(record, last=attempt, lease=Lease("this one"))


def fill(path: Path, count: int) -> None:
    with closing(SqliteStore(path)) as store:
        store.accept(deliveries(count))


def claim(path: Path) -> None:
    costs: list[float] = []
    with closing(SqliteStore(path)) as store:
        while True:
            used = time.process_time()
            found = store.claim_due(NOW, BATCH, claimed)
            costs.append((time.process_time() - used) * 1e6)
            if len(found) < BATCH or len(costs) == BATCH:
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(costs), peak]))


def cost_of(path: Path) -> Cost:
    command = [sys.executable, __file__, "claim", str(path)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(*json.loads(run.stdout))


def plan_of(path: Path) -> list[str]:
    """Gives how SQLite looks for what is due."""
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT seq FROM deliveries WHERE due_at <= ? ORDER BY due_at, origin, seq LIMIT 100"
        return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", ("2026",))]


def main(large: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found: list[Cost] = []
        for count in (SMALL, large):
            path = Path(folder, f"{count}.db")
            subprocess.run([sys.executable, __file__, "fill", str(path), str(count)], check=True)
            found.append(cost_of(path))
            cpu, peak = found[-1].cpu, found[-1].peak
            print(f"{count:>9,} pending: {cpu:7,.0f} µs CPU for {BATCH}, peak {peak:5.1f} MB")
        small, big = found
        print(f"ratio {big.cpu / small.cpu:.2f}; at most {LIMIT:g} is the aim")
        print(f"growth {big.peak - small.peak:.1f} MB; at most {LIMIT_MB} MB is the aim")
        print(*plan_of(Path(folder, f"{large}.db")), sep="\n")
    if big.peak - small.peak > LIMIT_MB:
        raise SystemExit(1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", path, count]:
            fill(Path(path), int(count))
        case ["claim", path]:
            claim(Path(path))
        case [count]:
            main(int(count.replace("_", "")))
        case _:
            main(LARGE)
