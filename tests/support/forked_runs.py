"""Runs the tests of made plugins in forks of one process, which has imported what all of them need.

No fork sees anything of another: the plugins have one name, and each has another mistake.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NoReturn, Self

import pytest
from attrs import asdict, define, field, frozen

from support.made_plugins import Made
from support.suite_runs import TESTS, Told
from thornsdk import Thorn
from thornsdk.testing.suites import ObserverSuite, TransportSuite

LONGEST = 50
"""After how many seconds a run is ended."""
PATIENCE = 2.0
"""For how many seconds suites wait where it is known that they wait in vain."""
PRINTED = "printed.txt"
"""The file in the project that has what a run prints."""
OPTIONS = ("-q", "--no-header", "--tb=no", "--disable-plugin-autoload", "-p", "no:cacheprovider")


@frozen(kw_only=True)
class Order:
    """What is to be run.

    Attributes:
        folder: The project whose tests are run.
        path: Where its module is found.
        test: Which of its tests; all of them if it is empty.
        hangs: Whether suites wait in vain.
    """

    folder: str
    path: Sequence[str]
    test: str
    hangs: bool


class Forks:
    """The process that forks; it is there while this is open."""

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("THORN_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=TESTS,
            env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, made: Made, test: str = "", *, hangs: bool = False) -> Mapping[str, Told]:
        """Runs the tests of a made plugin, or those of one name; gives what is said of each, by its id."""
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        order = Order(folder=str(made.folder), path=[str(one) for one in made.path], test=test, hangs=hangs)
        print(json.dumps(asdict(order)), file=orders, flush=True)
        told = json.loads(answers.readline())
        assert told, (made.folder / PRINTED).read_text(encoding="utf-8")
        return {name: Told(*said) for name, said in told.items()}


@define(eq=False)
class Heard:
    """Takes the tests of a name alone, and keeps what is said of them: a plugin of pytest."""

    name: str
    told: dict[str, tuple[str, str]] = field(factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        items[:] = [one for one in items if self.name in {"", one.originalname}]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = report.longrepr
        if isinstance(said, tuple):
            self.told[report.nodeid] = ("skipped", said[2])
        elif said is not None:
            # What was said first counts: what is broken may not be closed well.
            self.told.setdefault(report.nodeid, ("failed", said.reprcrash.message))  # type: ignore[union-attr]  # of a crash
        elif report.when == "call":
            self.told[report.nodeid] = ("passed", "")


def serve() -> None:
    """Does what it is told, one order in a line, and tells of each in a line what came of it."""
    _warm_up()
    for line in sys.stdin:
        sys.stdout.write(f"{_in_fork(Order(**json.loads(line)))}\n")
        sys.stdout.flush()


def _warm_up() -> None:
    """Imports what each fork would import anew: all plugins of thornsdk, and all of pytest."""
    Thorn().close()
    with redirect_stdout(StringIO()):
        pytest.main(["--help", "-c", os.devnull, "--noconftest", *OPTIONS])
    # What is there now is not looked at in a fork: to look at it is to copy it.
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, "a fork has no thread but one"


def _in_fork(order: Order) -> str:
    """Gives what a child has told; nothing where it has died."""
    with TemporaryFile("w+", encoding="utf-8") as told:
        if not (child := os.fork()):
            _run(order, told)
        os.waitpid(child, 0)
        told.seek(0)
        return told.read() or "{}"


def _run(order: Order, told: IO[str]) -> NoReturn:
    """Runs tests in a process of their own, which ends whatever threads they leave behind."""
    signal.alarm(LONGEST)
    try:
        with Path(order.folder, PRINTED).open("w", encoding="utf-8") as printed:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
        os.chdir(order.folder)
        sys.path[:0] = order.path
        if order.hangs:
            TransportSuite.patience = ObserverSuite.patience = PATIENCE
        heard = Heard(order.test)
        pytest.main([*OPTIONS], plugins=[heard])
        json.dump(heard.told, told)
        told.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve()
