"""The built-in stores against a plain model of them, whatever is done in whatever order."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from thornsdk import DeliveryRecord, Store
from thornsdk.testing.suites import BrokenPromise
from thornsdk.testing.suites.stores.stateful import StoreMachine
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
