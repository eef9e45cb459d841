from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Self
from uuid import UUID

import pytest

from mutants.stores.sound import Opened, Sound, race
from thornsdk import (
    Breaker,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Pruned,
    Subscription,
    Traffic,
)
from thornsdk.testing.suites.stores.concurrency import ConcurrencyTests

Claim = Callable[[DeliveryRecord], DeliveryRecord]


class ChangesInTwoSteps(Sound):
    breaks = "test_loses_no_change_of_a_subscription"

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
    ) -> Subscription | None:
        known = self.find(subscription_id) or default
        if known is None:
            return None
        changed = change(known)
        race()
        if changed != known:
            self.put([changed])
        return changed


class ChangesBreakersInTwoSteps(Sound):
    breaks = "test_loses_no_change_of_a_breaker"

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        changed = change(self._breakers.get(origin, Breaker()))
        race()
        return super().change_breaker(origin, lambda _: changed)


class ChangesTrafficInTwoSteps(Sound):
    breaks = "test_loses_no_change_of_traffic"

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        changed = change(self._traffic.get(subscription_id, Traffic()))
        race()
        return super().change_traffic(subscription_id, lambda _: changed)


class ClaimsInTwoSteps(Sound):
    breaks = "test_lets_one_claim_what_is_due"

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        due = [one for one in list(self._open.values()) if one.next_attempt_at and one.next_attempt_at <= now]
        first = sorted(due, key=lambda one: (one.next_attempt_at, one.origin))[:limit]
        race()
        return self._claim(first, claim)


class ClaimsNewInTwoSteps(Sound):
    breaks = "test_lets_one_claim_what_is_new"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        of_message = [one for one in list(self._open.values()) if one.message_id == message_id]
        new = [one for one in of_message if one.last.number == 0 and one.lease]
        race()
        return self._claim(sorted(new, key=lambda one: one.origin)[:limit], claim)


class TakesInTwoSteps(Sound):
    breaks = "test_lets_one_take"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        if known is None or known.next_attempt_at != due_at:
            return False
        race()
        self._replace(known, taken)
        return True


class TellsInTwoSteps(Sound):
    breaks = "test_lets_one_tell"

    def tell_failing(self, subscription_id: UUID) -> bool:
        new = subscription_id in self._failing and subscription_id not in self._told
        race()
        self._told.update([subscription_id] if new else [])
        return new


class FailsOnWhatIsKnown(Sound):
    """Looks whether a delivery is known, and fails where another thread has written it since."""

    breaks = "test_accepts_once_what_several_tell"
    also = frozenset({"test_shows_all_that_was_accepted_or_none"})

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        new = [one for one in deliveries if self.delivery(one.id) is None]
        race()
        with self._lock:
            if any(self._known(one.id) for one in new):
                raise KeyError("duplicate key value violates unique constraint")
            for one in new:
                self._keep(one)


class ShowsTheFirstBefore(Sound):
    breaks = "test_shows_all_that_was_accepted_or_none"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        for one in list(deliveries):
            super().accept([one])
            race()


class ReadsWithoutALock(Sound):
    breaks = "test_can_be_read_while_it_is_written"

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        for one in super().deliveries(wanted):
            before = len(self._open)
            if one.last.number and not one.lease and before:
                race()
            if len(self._open) != before:
                raise RuntimeError("dictionary changed size during iteration")
            yield one


class RecordsInTwoSteps(Sound):
    breaks = "test_loses_no_attempt"

    def record(self, delivery: DeliveryRecord) -> None:
        history = dict(self._history.get(delivery.id, {}))
        race()
        super().record(delivery)
        if delivery.id in self._history and delivery.last.number > 4:
            self._history[delivery.id] = {delivery.last.number: delivery.last, **history}


class PrunesInTwoSteps(Sound):
    breaks = "test_counts_once_what_several_prune"

    def prune(
        self,
        before: datetime | None = None,
        keep: int | None = None,
        states: frozenset[DeliveryState] | None = None,
    ) -> Pruned:
        gone = len(self._ended)
        race()
        told = super().prune(before, keep, states)
        return Pruned(delivered=gone) if gone > told.total == 0 and keep == 0 and states is None else told


class SeesItsOwnAlone(Sound):
    """Keeps what it has read, and does not look whether another process has written since."""

    breaks = "test_shows_others_what_was_written"
    also = frozenset(
        {
            "test_can_be_read_while_it_is_written",
            "test_keeps_what_was_written",
            "test_loses_no_change_of_a_subscription",
            "test_shows_the_same_to_all",
        }
    )

    def second(self) -> Self:
        other = super().second()
        other.__dict__ = dict(self.__dict__)
        other._subscriptions = dict(self._subscriptions)
        return other


class StumblesOverNothing(Sound):
    """Does not see what is written after a claim that has found nothing."""

    breaks = "test_shows_the_same_to_all"
    stopped = False

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        claimed = super().claim_due(now, limit, claim)
        self.stopped = not claimed
        return claimed

    def record(self, delivery: DeliveryRecord) -> None:
        if not self.stopped:
            super().record(delivery)


class WritesWhenItIsLeft(Sound):
    """Loses what it has not written when it is closed."""

    breaks = "test_keeps_what_was_written"

    def close(self) -> None:
        self._subscriptions.clear()
        self._in_order = None


class NamesItselfAnew(Sound):
    breaks = "test_has_one_identity_everywhere"

    @property
    def identity(self) -> str:  # type: ignore[override]  # this one is shared
        return str(id(self))


class NamesItselfNot(Sound):
    """Shares its data, and says that nobody else sees them."""

    breaks = "test_has_one_identity_everywhere"

    @property
    def identity(self) -> None:  # type: ignore[override]  # on purpose
        return None


MUTANTS = [
    Sound,
    ChangesInTwoSteps,
    ChangesBreakersInTwoSteps,
    ChangesTrafficInTwoSteps,
    ClaimsInTwoSteps,
    ClaimsNewInTwoSteps,
    TakesInTwoSteps,
    TellsInTwoSteps,
    FailsOnWhatIsKnown,
    ShowsTheFirstBefore,
    ReadsWithoutALock,
    RecordsInTwoSteps,
    PrunesInTwoSteps,
    SeesItsOwnAlone,
    StumblesOverNothing,
    WritesWhenItIsLeft,
    NamesItselfAnew,
    NamesItselfNot,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, ConcurrencyTests):
    pass
