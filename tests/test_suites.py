"""The suites of `thornsdk.testing` find what they are for: stages that are broken in one way each."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from attrs import define, field

import mutants.dispatchers
import mutants.observers
import mutants.serializers
import mutants.signers
import mutants.transports
from mutants import EVERYTHING, Mutant
from thornsdk.testing import suites
from thornsdk.testing.suites.promises import told_by

TESTS = Path(__file__).parent

KINDS: Mapping[type, ModuleType] = {
    suites.SerializerSuite: mutants.serializers,
    suites.SignerSuite: mutants.signers,
    suites.TransportSuite: mutants.transports,
    suites.DispatcherSuite: mutants.dispatchers,
    suites.ObserverSuite: mutants.observers,
}
"""The module with the mutants of each kind of stage, by the suite that finds them."""

MUTANTS = [
    pytest.param(suite, mutant, id=f"{suite.__name__}-{mutant.__name__}")
    for suite, module in KINDS.items()
    for mutant in module.MUTANTS
]

Findings = Mapping[tuple[str, str], Mapping[str, str]]
"""What was said of each mutant, by module and name: the text of each promise that it breaks, by its test."""


@define
class Collector:
    """Keeps the outcomes of tests: a plugin of pytest."""

    failed: dict[tuple[str, str], dict[str, str]] = field(factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = re.fullmatch(r"mutants/(\w+)\.py::\w+::(\w+)\[(\w+)\]", report.nodeid)
        assert found is not None, report.nodeid
        module, test, mutant = found.groups()
        findings = self.failed.setdefault((module, mutant), {})
        if report.failed:
            findings[test] = report.longrepr.reprcrash.message  # type: ignore[union-attr]  # of a failure


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What the suites say of all mutants, in one run."""
    settings = tmp_path_factory.mktemp("run") / "pytest.ini"
    settings.write_text("[pytest]\nfilterwarnings = error\n")
    collector = Collector()
    # On its own: without the settings and fixtures of these tests, as a stranger's run is.
    options = ["-c", str(settings), "--rootdir", str(TESTS), "--noconftest", "-p", "no:cacheprovider"]
    options += ["-p", "no:timeout", "-p", "no:faulthandler", "-q", "--no-header", "--no-summary"]
    files = [str(module.__file__) for module in KINDS.values()]
    pytest.main([*options, *files], plugins=[collector])
    return collector.failed


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("suite", "mutant"), MUTANTS)
def test_a_mutant_is_found_by_the_promise_that_it_breaks(
    suite: type, mutant: type[Mutant], findings: Findings
) -> None:
    found = findings[mutant.__module__.removeprefix("mutants."), mutant.__name__]
    expected = {mutant.breaks, *mutant.also} - {""}
    if mutant.also != EVERYTHING:
        assert found.keys() == expected
    for test, text in found.items():
        assert f"broken promise: {told_by(getattr(suite, test))}: " in text


@pytest.mark.parametrize("suite", KINDS)
def test_every_promise_has_a_mutant_that_breaks_it(suite: type) -> None:
    promises = {name for name in dir(suite) if name.startswith("test_")}
    assert {mutant.breaks for mutant in KINDS[suite].MUTANTS} - {""} == promises
