from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from support.records import MINUTE, NOW, delivery
from thornsdk import DeliveryRecord, OutcomeKind, Store
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.sqlite.pruning import PAGE, Pruning


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "thorn.db")) as one:
        yield one


def ids(store: Store) -> set[UUID]:
    return {one.id for one in store.deliveries()}


def count(store: SqliteStore, table: str) -> int:
    ((found,),) = store._database.rows(f"SELECT count(*) FROM {table}")
    return int(str(found))


def ended(number: int) -> DeliveryRecord:
    """A delivery whose latest attempt began so many minutes after the others'."""
    return delivery(at=NOW + number * MINUTE)


def test_a_body_goes_with_the_last_delivery_that_needs_it(sqlite: SqliteStore) -> None:
    one = delivery()
    other = evolve(delivery(due=NOW), message_id=one.message_id)
    for record in (one, other, delivery()):
        sqlite.record(record)
    sqlite.prune(keep=0)
    assert count(sqlite, "bodies") == 1
    sqlite.record(evolve(other, last=evolve(one.last, number=2)))
    sqlite.prune(keep=0)
    assert (count(sqlite, "bodies"), count(sqlite, "attempts")) == (0, 0)


def test_more_than_fit_into_a_transaction_are_removed_a_few_at_a_time(sqlite: SqliteStore) -> None:
    sqlite.accept(delivery() for _ in range(PAGE + 1))
    waits: list[float] = []
    seconds = iter(range(100))
    pruning = Pruning(sqlite._database, sleep=waits.append, timer=lambda: next(seconds))
    assert pruning.prune(None, keep=0).total == PAGE + 1
    assert waits == [1.0]


def test_what_stays_is_passed_over_a_few_at_a_time(sqlite: SqliteStore) -> None:
    stops = [evolve(delivery(OutcomeKind.FAILED), order_key="a") for _ in range(PAGE)]
    behind = [evolve(delivery(due=NOW), order_key="a", subscription_id=one.subscription_id) for one in stops]
    goes = delivery(OutcomeKind.FAILED)
    sqlite.accept([*stops, *behind, goes])
    waits: list[float] = []
    seconds = iter(range(100))
    pruning = Pruning(sqlite._database, sleep=waits.append, timer=lambda: next(seconds))
    assert pruning.prune(None, keep=0).total == 1
    assert waits == [1.0]
    assert sqlite.delivery(goes.id) is None


def test_deliveries_can_be_recorded_while_others_are_pruned(sqlite: SqliteStore) -> None:
    sqlite.accept(delivery() for _ in range(2 * PAGE))
    new = [ended(1) for _ in range(50)]
    with ThreadPoolExecutor(1) as pool:
        pruned = pool.submit(sqlite.prune, NOW + MINUTE)
        for one in new:
            sqlite.record(one)
        assert pruned.result().total == 2 * PAGE
    assert ids(sqlite) == {one.id for one in new}


# Lines


def test_a_store_that_is_full_drops_no_delivery_that_others_wait_for() -> None:
    store = MemoryStore(limit=1)
    first = evolve(delivery(OutcomeKind.FAILED), order_key="a")
    behind = evolve(delivery(due=NOW), order_key="a", subscription_id=first.subscription_id)
    for one in (first, behind, delivery(OutcomeKind.FAILED)):
        store.record(one)
    assert ids(store) == {first.id, behind.id}
    next_one = evolve(behind, id=uuid4())
    store.accept([next_one])
    assert store.ahead_of(next_one.id, stop=False) is None
    assert store.ahead_of(next_one.id, stop=True) == first
