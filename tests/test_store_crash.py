"""The crash run of the store: a short form of it runs to its end, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "store_crash.py"


def test_nothing_is_lost_while_processes_are_killed() -> None:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--events", "60", "--seconds", "4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names, figures = ran.stdout.splitlines()
    told = dict(zip(names.split(), figures.split(), strict=True))
    assert (told["lost"], told["missing"], told["database"]) == ("0", "0", "ok")
    assert int(told["killed"]) > 0
    assert int(told["deliveries"].replace(",", "")) >= 300
