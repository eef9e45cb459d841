"""The tests of a made plugin name the promise that its author breaks, for each promise that it keeps."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from made_mutants import Mutant, dispatcher, observer, serializer, signer, store, transport
from support.forked_runs import Forks
from support.made_plugins import NAME, Made
from thornsdk.testing import suites
from thornsdk.testing.suites.promises import told_by
from thornsdk.testing.suites.stores.stage import StoreTests

Make = Callable[[str], Made]

SUITES: Mapping[str, type] = {
    "transport": suites.TransportSuite,
    "signer": suites.SignerSuite,
    "serializer": suites.SerializerSuite,
    "dispatcher": suites.DispatcherSuite,
    "observer": suites.ObserverSuite,
    "store": suites.StoreSuite,
}
MUTANTS: Mapping[str, tuple[Mutant, ...]] = {
    "transport": transport.MUTANTS,
    "signer": signer.MUTANTS,
    "serializer": serializer.MUTANTS,
    "dispatcher": dispatcher.MUTANTS,
    "observer": observer.MUTANTS,
    "store": store.MUTANTS,
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a plugin of a kind, once."""
    folder = tmp_path_factory.mktemp("made")
    return cache(lambda kind: Made.written(kind, folder / kind))


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.mark.parametrize(
    ("kind", "mutant"),
    [
        pytest.param(kind, one, id=f"{kind}-{one.what}")
        for kind, several in MUTANTS.items()
        for one in several
    ],
)
def test_a_promise_that_is_broken_is_named(
    make: Make, forks: Forks, tmp_path: Path, kind: str, mutant: Mutant
) -> None:
    file = f"src/thornsdk_{NAME}/{kind}.py"
    broken = make(kind).changed(file, mutant.made_in, tmp_path / "broken")
    told = forks.run(broken, mutant.breaks, hangs=mutant.hangs)
    said = "\n".join(one.text for one in told.values())
    assert beginning(SUITES[kind], mutant.breaks) in said
    assert mutant.seen in said


def beginning(suite: type, test: str) -> str:
    """Gives how it is told that a test has failed; a plugin has tests besides those of the suite."""
    promise = getattr(suite, test, None)
    return f"broken promise: {told_by(promise)}: " if promise else ""


@pytest.mark.parametrize("kind", [kind for kind in SUITES if kind != "store"])
def test_every_promise_that_a_made_plugin_keeps_is_broken_by_a_mistake(
    make: Make, forks: Forks, kind: str
) -> None:
    told = forks.run(make(kind))
    # A promise may be kept in one class of tests, and be skipped in another.
    kept = {name_of(test) for test, one in told.items() if one.outcome == "passed"}
    assert {one.breaks for one in MUTANTS[kind]} == kept & set(dir(SUITES[kind]))


def name_of(test: str) -> str:
    """Gives the name of a test by its id."""
    return test.rpartition("::")[2].partition("[")[0]


def test_each_part_of_the_suite_of_stores_finds_a_mistake() -> None:
    broken = {one.breaks for one in store.MUTANTS}
    parts = [one for one in suites.StoreSuite.__mro__ if any(name.startswith("test_") for name in vars(one))]
    assert StoreTests in parts
    # Each single promise of a store is broken in tests/mutants/stores.
    assert [part for part in parts if not broken & vars(part).keys()] == []
