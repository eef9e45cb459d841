"""What is pruned stays counted, whatever happens meanwhile."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import NOW, delivery
from support.scripts import running
from thornsdk import Count, CountFilter, DeliveryRecord, DeliveryState, OutcomeKind, Store
from thornsdk.errors import InvalidPattern, InvalidValue, StoreError
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.sqlite.pruning import PAGE, Pruning

DAY = timedelta(days=1)
TODAY = NOW.date()
SUBSCRIPTIONS = [UUID(int=number) for number in (1, 2, 3)]

Key: TypeAlias = tuple[date, str, UUID, DeliveryState]


def totals(store: Store) -> dict[Key, int]:
    return {(one.day, one.event, one.subscription_id, one.state): one.deliveries for one in store.counts()}


def counted(records: Iterable[DeliveryRecord]) -> dict[Key, int]:
    """What is to be counted, in the plainest words."""
    return dict(
        Counter(
            (one.last.started_at.astimezone(UTC).date(), one.event, one.subscription_id, one.state)
            for one in records
        )
    )


def made(
    kind: OutcomeKind = OutcomeKind.DELIVERED,
    *,
    at: datetime = NOW,
    due: datetime | None = None,
    event: str = "order.created",
    to: UUID = SUBSCRIPTIONS[0],
) -> DeliveryRecord:
    return evolve(delivery(kind, at, due), event=event, subscription_id=to)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "thorn.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as one:
        yield one


def test_a_filter_takes_days_and_patterns_that_can_match() -> None:
    with pytest.raises(InvalidValue, match="'since' is a moment; it takes a day"):
        CountFilter(since=NOW)
    with pytest.raises(InvalidPattern):
        CountFilter(event="order.")


_records = st.lists(
    st.builds(
        made,
        st.sampled_from([OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.BLOCKED]),
        at=st.integers(0, 50).map(lambda hours: NOW - timedelta(hours=hours)),
        due=st.sampled_from([None, None, NOW]),
        event=st.sampled_from(["order.created", "user.left"]),
        to=st.sampled_from(SUBSCRIPTIONS),
    ),
    max_size=15,
)
_prunes = st.lists(
    st.tuples(
        st.none() | st.integers(0, 50).map(lambda hours: NOW - timedelta(hours=hours)),
        st.none() | st.integers(0, 10),
        st.none() | st.frozensets(st.sampled_from(DeliveryState)),
    ),
    max_size=5,
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None)
@given(first=_records, second=_records, prunes=_prunes)
def test_no_prune_changes_a_count_in_whatever_order_and_with_whatever_cut(
    kind: str,
    first: list[DeliveryRecord],
    second: list[DeliveryRecord],
    prunes: list[tuple[datetime | None, int | None, frozenset[DeliveryState] | None]],
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(MemoryStore() if kind == "memory" else SqliteStore(Path(folder, "thorn.db"))) as store,
    ):
        store.accept(first)
        for before, keep, states in prunes:
            store.prune(before, keep, states)
            assert totals(store) == counted(first)
        store.accept(second)
        for before, keep, states in prunes:
            store.prune(before, keep, states)
            assert totals(store) == counted([*first, *second])


def test_prunes_side_by_side_count_each_delivery_once(sqlite: SqliteStore, path: Path) -> None:
    sqlite.accept(made() for _ in range(3 * PAGE))
    with closing(SqliteStore(path)) as other, ThreadPoolExecutor(2) as pool:
        pruned = list(pool.map(lambda store: store.prune(keep=0).total, [sqlite, other]))
    assert sum(pruned) == 3 * PAGE
    assert [one.deliveries for one in sqlite.counts()] == [3 * PAGE]


@pytest.mark.parametrize("event", ["INSERT ON counts", "DELETE ON deliveries", "DELETE ON bodies"])
def test_where_a_removal_breaks_off_nothing_is_removed_and_nothing_counted(
    sqlite: SqliteStore, path: Path, event: str
) -> None:
    sqlite.accept(made() for _ in range(3))
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"CREATE TRIGGER broken AFTER {event} BEGIN SELECT RAISE(ABORT, 'broken'); END")
    with pytest.raises(StoreError, match="broken"):
        sqlite.prune(keep=0)
    assert len(list(sqlite.deliveries())) == 3
    assert [one.deliveries for one in sqlite.counts()] == [3]


_PRUNES = """
import sys
from datetime import datetime
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.sqlite.pruning import Pruning

def waits(_):
    print("paused", flush=True)
    sys.stdin.read()

Pruning(SqliteStore(sys.argv[1])._database, sleep=waits).prune(None, 0)
"""


def test_a_process_that_is_killed_while_it_prunes_changes_no_count(sqlite: SqliteStore, path: Path) -> None:
    sqlite.accept(made() for _ in range(2 * PAGE))
    with running(_PRUNES, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        process.kill()
        assert process.wait() == -9
    assert len(list(sqlite.deliveries())) == PAGE
    assert [one.deliveries for one in sqlite.counts()] == [2 * PAGE]


def test_counts_that_are_read_while_others_prune_are_right(sqlite: SqliteStore) -> None:
    sqlite.accept(made(to=to) for to in SUBSCRIPTIONS for _ in range(5))
    stream = sqlite.counts()
    found: list[Count] = [next(stream)]
    Pruning(sqlite._database).prune(None, 0)
    found.extend(stream)
    assert [one.deliveries for one in found] == [5, 5, 5]


def test_what_is_counted_of_a_subscription_is_found_by_its_index(sqlite: SqliteStore, path: Path) -> None:
    from thornsdk_plugins.sqlite.counting import _NEXT_SUBSCRIPTION, _OF_SUBSCRIPTION

    values = dict.fromkeys(("id", "since", "before", "event", "after"), "")
    with closing(sqlite3.connect(path)) as raw:
        for sql in (_NEXT_SUBSCRIPTION, _OF_SUBSCRIPTION):
            plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            reads = [one for one in plan if "deliveries" in one or " counts" in one]
            assert len(reads) == 2
            assert all(one.startswith("SEARCH") for one in reads)
