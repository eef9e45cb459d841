"""What every store promises of how many deliveries there were."""

from datetime import date, datetime, timedelta, timezone
from typing import Final, TypeAlias
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.model import Count, CountFilter, DeliveryRecord, DeliveryState, OutcomeKind
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.samples import DAY, NOW, delivery, pending, subscription, then
from thornsdk.testing.suites.stores.stage import StoreTests, promised

_TODAY: Final = NOW.date()
_ONE, _OTHER = UUID(int=1), UUID(int=2)
_Row: TypeAlias = tuple[UUID, date, str, DeliveryState, int]


class CountTests(StoreTests):
    """What every store promises of how many deliveries there were."""

    @promised
    def test_counts_deliveries(self, store: Store) -> None:
        """A store counts deliveries by subscription, day, event and state, in this order, each group once."""
        keeps(list(store.counts()) == [], "without deliveries, it counts some")
        made = [
            *(delivery(to=_OTHER), pending(to=_ONE), delivery(to=_ONE), delivery(to=_ONE)),
            *(
                delivery(to=_ONE, at=NOW - DAY),
                _of("a.b", delivery(to=_ONE)),
                delivery(to=_OTHER, at=NOW - 2 * DAY),
            ),
        ]
        store.accept(made)
        delivered, pend = DeliveryState.DELIVERED, DeliveryState.PENDING
        _check(
            store,
            [
                (_ONE, _TODAY - DAY, "order.created", delivered, 1),
                (_ONE, _TODAY, "a.b", delivered, 1),
                (_ONE, _TODAY, "order.created", delivered, 2),
                (_ONE, _TODAY, "order.created", pend, 1),
                (_OTHER, _TODAY - 2 * DAY, "order.created", delivered, 1),
                (_OTHER, _TODAY, "order.created", delivered, 1),
            ],
        )

    @promised
    def test_counts_by_what_a_delivery_is_now(self, store: Store) -> None:
        """A store counts a delivery once, by its state and the day of its latest attempt."""
        one = pending(to=_ONE)
        store.record(one)
        store.record(then(one, 2, at=NOW + DAY))
        _check(store, [(_ONE, _TODAY + DAY, "order.created", DeliveryState.DELIVERED, 1)])

    @promised
    def test_counts_by_days_in_utc(self, store: Store) -> None:
        """A store counts by days in UTC, in whatever time zone an attempt was told."""
        east = timezone(timedelta(hours=10))
        store.accept([delivery(to=_ONE, at=datetime(2026, 1, 2, 9, 0, tzinfo=east))])
        _check(store, [(_ONE, date(2026, 1, 1), "order.created", DeliveryState.DELIVERED, 1)])

    @promised
    def test_counts_what_was_pruned(self, store: Store) -> None:
        """A store counts what was pruned as before, in whatever cuts, and with what comes later."""
        store.accept(delivery(to=_ONE, kind=kind) for kind in (*_ENDED, OutcomeKind.DELIVERED))
        before = _rows(store)
        failed = frozenset({DeliveryState.FAILED})
        for keep, states in ((3, None), (0, failed), (0, None)):
            store.prune(keep=keep, states=states)
            _check(store, before)
        store.accept([delivery(to=_ONE)])
        more = [(*row[:4], row[4] + (row[3] is DeliveryState.DELIVERED)) for row in before]
        _check(store, more)
        store.prune(keep=0)
        _check(store, more)

    @promised
    def test_counts_what_was_removed(self, store: Store) -> None:
        """A store counts the deliveries of a subscription that was removed as before, pruned or not."""
        one = subscription()
        store.put([one])
        store.accept(delivery(to=one.id) for _ in range(2))
        store.prune(keep=1)
        store.remove(one.id)
        _check(store, [(one.id, _TODAY, "order.created", DeliveryState.DELIVERED, 2)])

    @promised
    def test_gives_the_counts_that_are_wanted(self, store: Store) -> None:
        """A store gives exactly those counts that a filter admits, pruned or not."""
        several = [delivery(to=to, at=NOW - when * DAY) for when in range(3) for to in (_ONE, _OTHER)]
        store.accept([*several, *(_of("user.left", evolve(one, id=uuid4())) for one in several)])
        groups = 2 * len(several)
        for _ in range(2):
            everything = list(store.counts())
            keeps(len(everything) == groups, f"of {groups} groups, it gave {len(everything)}")
            for wanted in _filters():
                admitted = [_row(one) for one in everything if wanted.admits(one)]
                found = list(map(_row, store.counts(wanted)))
                keeps(
                    found == admitted,
                    f"for {wanted!r}, it gave {len(found)} counts, not these {len(admitted)}",
                )
            store.prune(before=NOW - DAY / 2)


_ENDED: Final = (OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.BLOCKED)


def _filters() -> list[CountFilter]:
    return [
        CountFilter(),
        CountFilter(event="order.*"),
        CountFilter(subscription_id=_OTHER),
        CountFilter(subscription_id=UUID(int=99)),
        CountFilter(since=_TODAY),
        CountFilter(before=_TODAY),
        CountFilter(event="*", subscription_id=_ONE, since=_TODAY - DAY, before=_TODAY),
    ]


def _of(event: str, one: DeliveryRecord) -> DeliveryRecord:
    return evolve(one, event=event)


def _row(one: Count) -> _Row:
    return one.subscription_id, one.day, one.event, one.state, one.deliveries


def _rows(store: Store) -> list[_Row]:
    return list(map(_row, store.counts()))


def _check(store: Store, wanted: list[_Row]) -> None:
    found = _rows(store)
    keeps(found == wanted, f"it gave {_told(found)}, not {_told(wanted)}")


def _told(rows: list[_Row]) -> str:
    told = (
        f"{count} {state} of {event} on {day} to …{str(to)[-4:]}" for to, day, event, state, count in rows
    )
    return "; ".join(told) or "none"
