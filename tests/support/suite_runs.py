"""Runs the tests of suites on stages, without settings and fixtures of ours: as a stranger's run is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from attrs import define, field, frozen

TESTS = Path(__file__).parents[1]


@frozen
class Told:
    """What was said of a test that has not passed.

    Attributes:
        outcome: ``failed`` or ``skipped``.
        text: What was said.
    """

    outcome: str
    text: str


@define(eq=False)
class Collector:
    """Keeps what is said of tests by their ids: a plugin of pytest."""

    told: dict[str, Told] = field(factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = report.longrepr
        if isinstance(said, tuple):
            self.told[report.nodeid] = Told("skipped", said[2])
        elif said is not None:
            self.told[report.nodeid] = Told("failed", said.reprcrash.message)  # type: ignore[union-attr]  # of a crash


def run(folder: Path, modules: Sequence[ModuleType]) -> Mapping[str, Told]:
    """Runs the tests of modules, and gives what is said of those that have not passed, by their ids."""
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-c", str(settings), "--rootdir", str(TESTS), "--noconftest", "-p", "no:cacheprovider"]
    options += ["-p", "no:timeout", "-p", "no:faulthandler", "-q", "--no-header", "--no-summary"]
    collector = Collector()
    pytest.main([*options, *(str(one.__file__) for one in modules)], plugins=[collector])
    return collector.told


def failures(told: Mapping[str, Told], module: ModuleType, mutant: type) -> dict[str, str]:
    """Gives what is said of the tests of a module that have failed for a mutant, by their names."""
    begin, name = f"{module.__name__.replace('.', '/')}.py::TestMutants::", mutant.__name__
    return {
        test.removeprefix(begin).partition("[")[0]: one.text
        for test, one in told.items()
        if one.outcome == "failed"
        and test.startswith(begin)
        and name in test.partition("[")[2][:-1].split("-")
    }
