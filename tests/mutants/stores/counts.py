from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Count, CountFilter, DeliveryRecord, DeliveryState, Pruned
from thornsdk.testing.suites.stores.counts import CountTests


class SortsByDay(Sound):
    breaks = "test_counts_deliveries"

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        return iter(sorted(super().counts(wanted), key=lambda one: one.day))


class GivesAGroupTwice(Sound):
    """Gives what is there and what was pruned apart, though they are of one group."""

    breaks = "test_counts_what_was_pruned"
    also = frozenset({"test_counts_what_was_removed"})

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        pruned, self._pruned = self._pruned, Counter()
        there = list(super().counts(wanted))
        self._pruned, ended, self._ended = pruned, self._ended, type(self._ended)()
        opened, self._open = self._open, type(self._open)()
        gone = list(super().counts(wanted))
        self._ended, self._open = ended, opened
        return iter(
            sorted(there + gone, key=lambda one: (str(one.subscription_id), one.day, one.event, one.state))
        )


class CountsEachAttempt(Sound):
    breaks = "test_counts_by_what_a_delivery_is_now"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        super().record(delivery)
        if known and known.last.started_at < delivery.last.started_at:
            self._pruned[
                str(known.subscription_id), known.last.started_at.date(), known.event, known.state
            ] += 1


class CountsByLocalDays(Sound):
    breaks = "test_counts_by_days_in_utc"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        super().accept(map(_locally, deliveries))


def _place(one: Count) -> tuple[str, date, str, str]:
    return str(one.subscription_id), one.day, one.event, one.state


def _locally(one: DeliveryRecord) -> DeliveryRecord:
    return evolve(one, last=evolve(one.last, started_at=one.last.started_at.replace(tzinfo=UTC)))


class ForgetsWhatWasPruned(Sound):
    breaks = "test_counts_what_was_pruned"
    also = frozenset(
        {
            "test_counts_what_was_removed",
            "test_gives_the_counts_that_are_wanted",
        }
    )

    def prune(
        self,
        before: datetime | None = None,
        keep: int | None = None,
        states: frozenset[DeliveryState] | None = None,
    ) -> Pruned:
        told = super().prune(before, keep, states)
        self._pruned.clear()
        return told


class ForgetsWithTheSubscription(Sound):
    breaks = "test_counts_what_was_removed"

    def remove(self, subscription_id: UUID) -> bool:
        for group in [group for group in self._pruned if group[0] == str(subscription_id)]:
            del self._pruned[group]
        return super().remove(subscription_id)


class CountsTheDayBefore(Sound):
    """Takes ``before`` for a day that is wanted, too."""

    breaks = "test_gives_the_counts_that_are_wanted"

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        known = super().counts(wanted and evolve(wanted, before=None))
        before = wanted.before if wanted else None
        return (one for one in known if before is None or one.day <= before)


MUTANTS = [
    Sound,
    SortsByDay,
    GivesAGroupTwice,
    CountsEachAttempt,
    CountsByLocalDays,
    ForgetsWhatWasPruned,
    ForgetsWithTheSubscription,
    CountsTheDayBefore,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, CountTests):
    pass
