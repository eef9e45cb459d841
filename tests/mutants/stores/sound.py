"""What every mutant of a store is before it is broken, and how it is tested."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from uuid import UUID, uuid4

import pytest

from mutants import Mutant
from thornsdk import DeliveryRecord, Store
from thornsdk.testing.suites.stores.stage import StoreTests
from thornsdk_plugins.memory import MemoryStore


class Sound(Mutant, MemoryStore):
    """Breaks nothing, and can be opened a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.name = uuid4().hex
        self.inside = False

    @property
    def identity(self) -> str:  # type: ignore[override]  # this one is shared
        return self.name

    def second(self) -> Self:
        """Gives a second connection: another object with the same data."""
        other = type(self)()
        other.__dict__ = self.__dict__
        return other

    def kept(self, delivery_id: UUID) -> dict[UUID, DeliveryRecord]:
        """Gives the place where a delivery is."""
        return self._open if delivery_id in self._open else self._ended

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Marks what a store that is broken must not be asked inside of."""
        self.inside = True
        yield
        self.inside = False

    def check_idle(self) -> None:
        if self.inside:
            raise RuntimeError("it is locked")


class Opened(StoreTests):
    """Opens mutants for the tests that find them."""

    many = 20
    patience = 5.0

    @pytest.fixture
    def store(self, mutant: type[Store]) -> Store:
        return mutant()

    def another(self, store: Store) -> Store:
        other: Store = store.second()  # type: ignore[attr-defined]  # every mutant has it
        return other


def race() -> None:
    """Lets another thread be faster."""
    time.sleep(0.001)
