import sqlite3

import pytest

from mutants import EVERYTHING, Mutant
from mutants.stores.sound import Opened, Sound
from thornsdk import DeliveryRecord, Store


class NoStore(Mutant):
    breaks = "test_is_a_store"
    also = EVERYTHING

    def second(self) -> "NoStore":
        return self

    def close(self) -> None:
        pass


class Forgetful(Sound):
    """Inherits a method from the protocol, where it does nothing."""

    breaks = "test_is_a_store"
    next_in_line = Store.next_in_line


class NeverCloses(Sound):
    """Inherits what closes it from the protocol, where it does nothing."""

    breaks = "test_is_a_store"
    close = Store.close


class RenamesItself(Sound):
    breaks = "test_has_one_identity"

    @property
    def identity(self) -> str:  # type: ignore[override]  # this one is shared
        return f"{self.name} with {len(self._subscriptions)}"


class HasNoName(RenamesItself):
    @property
    def identity(self) -> str:  # type: ignore[override]  # this one is shared
        return ""


class ClosesOnce(Sound):
    breaks = "test_closes_twice"

    def close(self) -> None:
        if self.name == "closed":
            raise RuntimeError("it was closed already")
        self.name = "closed"


class TellsErrorsOfItsDriver(ClosesOnce):
    breaks = "test_tells_no_errors_of_others"

    def close(self) -> None:
        self.name = "closed"

    def record(self, delivery: DeliveryRecord) -> None:
        if self.name == "closed":
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        super().record(delivery)


MUTANTS = [
    Sound,
    NoStore,
    Forgetful,
    NeverCloses,
    RenamesItself,
    HasNoName,
    ClosesOnce,
    TellsErrorsOfItsDriver,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened):
    pass
