"""The built-in stores keep what every store promises."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from thornsdk import Store
from thornsdk.testing.suites import StoreSuite
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore


class TestMemory(StoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqlite(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        self.path = tmp_path / "thorn.db"
        with closing(SqliteStore(self.path)) as store:
            yield store

    def another(self, store: Store) -> Store:
        return SqliteStore(self.path)
