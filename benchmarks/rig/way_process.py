"""The process of a way: ``python -m rig.way_process MODULE``. Questions and answers are lines of JSON."""

import json
import os
import re
import sys
import time
from importlib import import_module
from pathlib import Path

from attrs import asdict

from rig.way import Cost, Deliver, Opened, Target
from thornsdk.errors import StageUnavailableError, UnknownStageError


def main(module: str) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What a library prints must not be taken for an answer.

    def answer(what: object) -> None:
        print(json.dumps(what), file=answers, flush=True)

    target = Target(**json.loads(sys.stdin.readline()))
    try:
        opened: Opened = import_module(f"rig.peers.{module}").opened
        way = opened(target)
        deliver = way.__enter__()
    except (ModuleNotFoundError, UnknownStageError, StageUnavailableError) as exc:
        answer({"missing": str(exc)})
        return
    answer({"missing": None})
    try:
        for line in sys.stdin:
            answer(asdict(_measured(deliver, int(line))))
    finally:
        way.__exit__(None, None, None)


def _measured(deliver: Deliver, count: int) -> Cost:
    begin, used = time.perf_counter(), time.process_time()
    deliver(count)
    cpu, seconds = time.process_time() - used, time.perf_counter() - begin
    return Cost(seconds=seconds, cpu=cpu, peak_mb=_peak_mb())


def _peak_mb() -> float:
    # What getrusage says counts the process too that this one was forked from.
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1])
