from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from support.records import MINUTE, NOW, delivery, lost
from thornsdk import DeliveryRecord, OutcomeKind, Pruned, Store
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


def test_what_ended_before_a_moment_is_removed_and_counted_by_its_state(store: Store) -> None:
    for kind in (OutcomeKind.DELIVERED, OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.BLOCKED):
        store.record(delivery(kind))
    late = ended(1)
    store.record(late)
    assert store.prune(before=NOW) == Pruned()
    assert store.prune(before=NOW + MINUTE) == Pruned(delivered=2, failed=1, blocked=1)
    assert ids(store) == {late.id}


def test_what_is_pending_or_leased_is_never_removed(store: Store) -> None:
    pending, leased = delivery(due=NOW), delivery(due=NOW)
    store.record(pending)
    store.record(lost(leased, NOW + MINUTE))
    assert store.prune(before=NOW + 9 * MINUTE, keep=0).total == 0
    assert ids(store) == {pending.id, leased.id}


def test_of_those_that_have_ended_only_the_latest_are_kept(store: Store) -> None:
    known = [ended(number) for number in range(5)]
    for one in known:
        store.record(one)
    assert store.prune(keep=5).total == 0
    assert store.prune(keep=2).total == 3
    assert ids(store) == {one.id for one in known[3:]}
    assert store.prune(keep=0).total == 2


def test_what_is_too_old_goes_even_where_it_is_not_too_many(store: Store) -> None:
    for number in range(4):
        store.record(ended(number))
    assert store.prune(before=NOW + MINUTE, keep=3).total == 1
    assert store.prune(before=NOW + MINUTE, keep=1).total == 2


def test_the_attempts_of_what_is_removed_go_with_it(store: Store) -> None:
    first = delivery(due=NOW)
    store.record(first)
    second = evolve(first, last=evolve(delivery().last, number=2))
    store.record(second)
    assert store.prune(keep=0) == Pruned(delivered=1)
    assert store.attempts(first.id) == []


def test_a_store_says_when_the_next_delivery_is_due(store: Store) -> None:
    assert store.next_due() is None
    store.record(delivery())
    assert store.next_due() is None
    store.record(delivery(due=NOW + 2 * MINUTE))
    store.record(delivery(due=NOW + MINUTE))
    assert store.next_due() == NOW + MINUTE


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


def test_a_body_that_was_pruned_is_kept_again_with_the_next_delivery_of_its_message(store: Store) -> None:
    one = delivery()
    store.record(one)
    store.prune(keep=0)
    next_one = evolve(delivery(), message_id=one.message_id)
    store.record(next_one)
    assert store.delivery(next_one.id) == next_one


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


@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.BLOCKED])
def test_what_others_of_its_line_wait_for_is_kept_until_they_have_ended(
    kind: OutcomeKind, store: Store
) -> None:
    first = evolve(delivery(kind), order_key="a")
    behind = evolve(delivery(due=NOW), order_key="a", subscription_id=first.subscription_id)
    for one in (first, behind):
        store.record(one)
    assert store.prune(keep=0).total == 0
    store.record(evolve(behind, last=evolve(delivery().last, number=2)))
    assert store.prune(keep=0).total == 2


@pytest.mark.parametrize("parts", [{"order_key": "b"}, {"subscription_id": uuid4()}, {"order_key": None}])
def test_those_of_other_lines_keep_nothing(parts: dict[str, Any], store: Store) -> None:
    first = evolve(delivery(OutcomeKind.FAILED), order_key="a")
    other = evolve(delivery(due=NOW), order_key="a", subscription_id=first.subscription_id)
    for one in (first, evolve(other, **parts)):
        store.record(one)
    assert store.prune(keep=0).failed == 1


def test_those_before_it_keep_nothing(store: Store) -> None:
    last = evolve(delivery(OutcomeKind.FAILED), order_key="a")
    for one in (evolve(delivery(due=NOW), order_key="a", subscription_id=last.subscription_id), last):
        store.record(one)
    assert store.prune(keep=0).failed == 1


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
