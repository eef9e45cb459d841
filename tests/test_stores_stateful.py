"""The built-in stores against a plain model of them, whatever is done in whatever order."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from thornsdk import DeliveryRecord, DeliveryState, Lease, OutcomeKind, Store
from thornsdk.testing.suites import BrokenPromise
from thornsdk.testing.suites.stores.stateful import _ACCEPTED, StoreMachine
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

STEPS = settings(max_examples=60, stateful_step_count=30, deadline=None)


class MemoryMachine(StoreMachine):
    def open_store(self) -> Store:
        return MemoryStore()


class SqliteMachine(StoreMachine):
    def open_store(self) -> Store:
        self.folder = TemporaryDirectory()
        return SqliteStore(Path(self.folder.name) / "thorn.db")

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestMemory = MemoryMachine.TestCase
TestMemory.settings = STEPS
TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = STEPS


def test_each_rule_does_to_the_model_what_it_does_to_the_store() -> None:
    # What is made up is another thing each time; this is the same, and leaves nothing out.
    one, other, without_key, *_ = _ACCEPTED
    machine = MemoryMachine()
    steps = [
        partial(machine.take_back, one, None),
        partial(machine.accept, [one, one, other, without_key]),
        partial(machine.take, other, 5, 1),
        partial(machine.take, one, 0, 1),
        partial(machine.take_back, one, Lease("sender")),
        partial(machine.withdraw, one),
        partial(machine.withdraw, one),
        partial(machine.claim_new, 3, 1, other.message_id),
        partial(machine.time_passes, 2),
        partial(machine.claim_due, 3, 1),
        partial(machine.record, other, 3, OutcomeKind.RETRY, 0),
        partial(machine.record, other, 3, OutcomeKind.RETRY, 0),
        partial(machine.take, other, 0, 1),
        partial(machine.take_back, other, None),
        partial(machine.record, other, 4, OutcomeKind.DELIVERED, 0),
        partial(machine.record, other, 4, OutcomeKind.FAILED, 0),
        partial(machine.record, other, 1, OutcomeKind.FAILED, 0),
        partial(machine.time_passes, 1),
        partial(machine.prune, 0, frozenset({DeliveryState.FAILED})),
        partial(machine.prune, 0, None),
    ]
    for step in steps:
        step()
        machine.knows_each_delivery()
        machine.knows_them_together()
    assert list(machine.model.known) == [without_key.id]
    machine.teardown()


class ForgetsHistory(MemoryStore):
    def record(self, delivery: DeliveryRecord) -> None:
        if self.delivery(delivery.id) is None:
            super().record(delivery)


class ForgetfulMachine(StoreMachine):
    def open_store(self) -> Store:
        return ForgetsHistory()


def test_a_store_that_says_something_else_is_found() -> None:
    with pytest.raises(BrokenPromise, match="a store says what its model says: "):
        ForgetfulMachine.TestCase("runTest").runTest()


def test_a_machine_without_a_store_says_what_it_needs() -> None:
    with pytest.raises(NotImplementedError, match="StoreMachine needs a method 'open_store'"):
        StoreMachine()
