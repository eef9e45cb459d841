from datetime import datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Attempt, DeliveryRecord, DeliveryState, Pruned
from thornsdk.testing.suites.stores.pruning import PruneTests

States = frozenset[DeliveryState] | None


class PrunesAMomentTooMuch(Sound):
    breaks = "test_prunes_what_ended_before"
    also = frozenset({"test_prunes_what_is_too_old_or_too_much"})

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        return super().prune(before and before + timedelta(microseconds=1), keep, states)


class CountsTheCancelledAsFailed(Sound):
    breaks = "test_prunes_what_ended_before"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        told = super().prune(before, keep, states)
        return evolve(told, failed=told.failed + told.cancelled, cancelled=0)


class PrunesTheLeased(Sound):
    breaks = "test_prunes_nothing_that_is_to_be_attempted"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        if before is not None and keep == 0:
            for one in [one for one in self._open.values() if one.lease]:
                self._forget(self._open, one)
        return super().prune(before, keep, states)


class KeepsTheFirst(Sound):
    breaks = "test_keeps_the_latest"
    also = frozenset({"test_prunes_what_is_too_old_or_too_much"})

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        if keep is None or states is not None:
            return super().prune(before, keep, states)
        first = sorted(self._ended.values(), key=lambda one: one.last.started_at)[:keep]
        kept = {one.id: self._ended.pop(one.id) for one in first}
        told = super().prune(before, 0, states)
        self._ended.update(kept)
        return told


class PrunesWhatIsBoth(Sound):
    """Prunes what is too old and too much, and not what is one of both."""

    breaks = "test_prunes_what_is_too_old_or_too_much"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        return super().prune(before, None if before and keep == 1 else keep, states)


class PrunesAnyStateForNone(Sound):
    breaks = "test_prunes_states_that_are_named"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        return super().prune(before, keep, states or None)


class KeepsSoManyOfAll(Sound):
    """Counts those in other states among those that are to be kept."""

    breaks = "test_prunes_states_that_are_named"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        if keep and states is not None:
            others = sum(one.state not in states for one in self._ended.values())
            return super().prune(before, max(0, keep - others), states)
        return super().prune(before, keep, states)


class LeavesAttempts(Sound):
    breaks = "test_prunes_attempts_too"

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[UUID, list[Attempt]] = {}

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        self.left = {one: super(LeavesAttempts, self).attempts(one) for one in self._ended}
        return super().prune(before, keep, states)

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        return super().attempts(delivery_id) or self.left.get(delivery_id, [])


class PrunesBodiesOfOthers(Sound):
    breaks = "test_prunes_attempts_too"

    def prune(self, before: datetime | None = None, keep: int | None = None, states: States = None) -> Pruned:
        gone = {one.message_id for one in self._ended.values()}
        for key, one in list(self._open.items()):
            if one.message_id in gone and keep == 0:
                self._open[key] = evolve(one, body=b"")
        return super().prune(before, keep, states)


class BelievesThatBodiesStay(Sound):
    """Knows which bodies it has written, and does not know that they were pruned."""

    breaks = "test_takes_up_a_message_that_was_pruned"

    def __init__(self) -> None:
        super().__init__()
        self.written: set[UUID] = set()

    def record(self, delivery: DeliveryRecord) -> None:
        there = any(one.message_id == delivery.message_id for one in self.deliveries())
        lost = delivery.message_id in self.written and not there
        self.written.add(delivery.message_id)
        super().record(evolve(delivery, body=b"") if lost else delivery)


class PrunesWhatStopsALine(Sound):
    breaks = "test_keeps_what_stops_a_line"

    def _holds_up(self, delivery: DeliveryRecord) -> bool:
        return False


class PrunesWhatIsBlocked(Sound):
    breaks = "test_keeps_what_stops_a_line"

    def _holds_up(self, delivery: DeliveryRecord) -> bool:
        return delivery.state is not DeliveryState.BLOCKED and super()._holds_up(delivery)


class KeepsWhatIsSkipped(Sound):
    breaks = "test_keeps_nothing_that_stops_no_line"

    def _holds_up(self, delivery: DeliveryRecord) -> bool:
        behind = any(one in self._open for one in self._lines.after(delivery.id))
        return super()._holds_up(delivery) or (delivery.state is DeliveryState.FAILED and behind)


class KeepsAllOfALine(Sound):
    breaks = "test_keeps_nothing_that_stops_no_line"

    def _holds_up(self, delivery: DeliveryRecord) -> bool:
        line = (delivery.subscription_id, delivery.order_key)
        failed = delivery.state is DeliveryState.FAILED
        of_line = [(one.subscription_id, one.order_key) == line for one in self._open.values()]
        return super()._holds_up(delivery) or (failed and delivery.order_key is not None and any(of_line))


MUTANTS = [
    Sound,
    PrunesAMomentTooMuch,
    CountsTheCancelledAsFailed,
    PrunesTheLeased,
    KeepsTheFirst,
    PrunesWhatIsBoth,
    PrunesAnyStateForNone,
    KeepsSoManyOfAll,
    LeavesAttempts,
    PrunesBodiesOfOthers,
    BelievesThatBodiesStay,
    PrunesWhatStopsALine,
    PrunesWhatIsBlocked,
    KeepsWhatIsSkipped,
    KeepsAllOfALine,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, PruneTests):
    pass
