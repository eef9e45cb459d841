"""The suite of stores finds what it is for: stores that are broken in one way each."""

import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType

import pytest

import mutants.stores.claims
import mutants.stores.concurrency
import mutants.stores.counts
import mutants.stores.deliveries
import mutants.stores.failing
import mutants.stores.limits
import mutants.stores.lines
import mutants.stores.pruning
import mutants.stores.stages
import mutants.stores.streams
import mutants.stores.subscriptions
from mutants import EVERYTHING, Mutant
from support.suite_runs import Told, failures, run
from thornsdk.testing.suites import StoreSuite
from thornsdk.testing.suites.promises import told_by

PARTS = (
    mutants.stores.stages,
    mutants.stores.subscriptions,
    mutants.stores.streams,
    mutants.stores.deliveries,
    mutants.stores.claims,
    mutants.stores.lines,
    mutants.stores.failing,
    mutants.stores.limits,
    mutants.stores.pruning,
    mutants.stores.counts,
    mutants.stores.concurrency,
)
MUTANTS = [
    pytest.param(part, mutant, id=f"{part.__name__.rpartition('.')[2]}-{mutant.__name__}")
    for part in PARTS
    for mutant in part.MUTANTS
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Told]:
    """What the suite says of all mutants."""
    return run(tmp_path_factory.mktemp("run"), PARTS)


# All are run together, before the first of them is looked at.
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("part", "mutant"), MUTANTS)
def test_a_mutant_is_found_by_the_promise_that_it_breaks(
    part: ModuleType, mutant: type[Mutant], told: Mapping[str, Told]
) -> None:
    found = failures(told, part, mutant)
    if mutant.also != EVERYTHING:
        assert found.keys() == {mutant.breaks, *mutant.also} - {""}
    for test, text in found.items():
        assert f"broken promise: {told_by(getattr(StoreSuite, test))}: " in text


def test_every_promise_has_a_mutant_that_breaks_it() -> None:
    promises = {name for name in dir(StoreSuite) if name.startswith("test_")}
    assert {mutant.breaks for part in PARTS for mutant in part.MUTANTS} - {""} == promises


def test_the_suite_needs_no_hypothesis() -> None:
    script = "import sys; sys.modules['hypothesis'] = None; import thornsdk.testing.suites"
    subprocess.run([sys.executable, "-c", script], check=True)
