from collections.abc import Iterable, Iterator
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Attempt, DeliveryFilter, DeliveryRecord, DeliveryState
from thornsdk.testing.suites.stores.deliveries import DeliveryTests


class ForgetsTimings(Sound):
    breaks = "test_gives_deliveries_back_whole"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        super().accept(evolve(one, last=evolve(one.last, timings=None)) for one in deliveries)


class TakesNoKeyForAnEmptyOne(Sound):
    breaks = "test_gives_deliveries_back_whole"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(evolve(delivery, order_key=delivery.order_key or None))


class WantsOneThere(Sound):
    breaks = "test_finds_deliveries_that_are_there_alone"

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        if self.delivery(delivery_id) is None:
            raise KeyError(delivery_id)
        return super().attempts(delivery_id)


class ComparesMomentsAsText(Sound):
    breaks = "test_keeps_moments"

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        for one in super().deliveries(wanted):
            since = wanted.since if wanted else None
            if since is None or one.last.started_at.isoformat() >= since.isoformat():
                yield one

    def record(self, delivery: DeliveryRecord) -> None:
        at = delivery.last.started_at.astimezone(delivery.created_at.tzinfo)
        super().record(evolve(delivery, last=evolve(delivery.last, started_at=at)))


class KeepsOneBodyForAMessage(Sound):
    breaks = "test_keeps_bodies"

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[UUID, bytes] = {}

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        one = super().delivery(delivery_id)
        return one and evolve(one, body=self.bodies.setdefault(one.message_id, one.body))


class GivesThemAsTheyWereTold(Sound):
    breaks = "test_gives_the_latest_attempts_first"

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        given = super().deliveries(wanted)
        return given if wanted else iter([*self._open.values(), *self._ended.values()])


class SkipsWhatIsOfOneMoment(Sound):
    """Reads on from the moment of the last one, though others may be of the same moment."""

    breaks = "test_gives_the_latest_attempts_first"
    also = frozenset(
        {"test_accepts_what_is_made_from_what_it_gives", "test_gives_the_deliveries_that_are_wanted"}
    )

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        given = list(super().deliveries(wanted))
        for number, one in enumerate(given):
            if number % 5 or number == 0 or one.last.started_at < given[number - 1].last.started_at:
                yield one


class IgnoresOwners(Sound):
    breaks = "test_gives_the_deliveries_that_are_wanted"

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        return super().deliveries(wanted and evolve(wanted, owner=None))


class TakesNoStatesForAny(Sound):
    breaks = "test_gives_the_deliveries_that_are_wanted"

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        return super().deliveries(wanted and evolve(wanted, states=wanted.states or None))


class AcceptsOneByOne(Sound):
    breaks = "test_accepts_all_or_none"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        for one in deliveries:
            super().accept([one])


class HidesWhatIsRaised(Sound):
    breaks = "test_accepts_all_or_none"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        try:
            several = list(deliveries)
        except Exception as exc:
            raise RuntimeError("the transaction was rolled back") from exc
        super().accept(several)


class AcceptsAnew(Sound):
    breaks = "test_accepts_what_is_new_alone"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        several = list(deliveries)
        for one in several:
            self.kept(one.id).pop(one.id, None)
        super().accept(several)


class AcceptsLocked(Sound):
    breaks = "test_accepts_what_is_made_from_what_it_gives"

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        with self.busy():
            several = list(deliveries)
        super().accept(several)

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        self.check_idle()
        return super().delivery(delivery_id)


class KeepsWhatWasToldLast(Sound):
    breaks = "test_keeps_what_was_told_first"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        kept = self.kept(delivery.id)
        kept[delivery.id] = evolve(kept[delivery.id], created_at=delivery.created_at)


class ForgetsWhenItAccepted(Sound):
    breaks = "test_keeps_what_was_told_first"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        kept = self.kept(delivery.id)
        at = delivery.accepted_at or delivery.last.started_at
        kept[delivery.id] = evolve(kept[delivery.id], accepted_at=at)


class StaysWhereItWent(Sound):
    breaks = "test_replaces_an_attempt_by_a_later_one"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        super().record(evolve(delivery, origin=known.origin) if known else delivery)


class EndsOnce(Sound):
    """Leaves what has ended as it is."""

    breaks = "test_takes_up_what_had_failed"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        if known is None or not known.state.has_ended or delivery.state.has_ended:
            super().record(delivery)


class LastOneWins(Sound):
    """Goes by the number alone, also after one that arrived."""

    breaks = "test_keeps_what_arrived"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        if known and known.last.number < delivery.last.number:
            self._keep(delivery)
        super().record(delivery)


class ArrivesInOrderAlone(Sound):
    """Does not believe that one arrived while another attempt was made."""

    breaks = "test_keeps_what_arrived"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        if known and known.last.number > delivery.last.number:
            self._add_to_history(delivery)
        else:
            super().record(delivery)


class LastToldWins(Sound):
    breaks = "test_counts_the_latest_attempt"
    also = frozenset({"test_keeps_each_attempt"})

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        if known and known.state is not DeliveryState.DELIVERED:
            self._keep(delivery)
            self._add_to_history(known)
        else:
            super().record(delivery)


class ForgetsWhatIsLate(Sound):
    breaks = "test_keeps_each_attempt"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self.delivery(delivery.id)
        late = known is not None and known.last.number > delivery.last.number
        if not late or delivery.state is DeliveryState.DELIVERED:
            super().record(delivery)


class GivesAttemptsAsTheyWereTold(Sound):
    breaks = "test_keeps_each_attempt"

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        return sorted(super().attempts(delivery_id), key=lambda one: one.started_at, reverse=True)


class WithdrawsWhatWasBegun(Sound):
    breaks = "test_withdraws_what_was_not_begun"

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        for one in delivery_ids:
            if one in self._open:
                self._forget(self._open, self._open[one])


class WithdrawsNothing(Sound):
    breaks = "test_withdraws_what_was_not_begun"

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        pass


MUTANTS = [
    Sound,
    ForgetsTimings,
    TakesNoKeyForAnEmptyOne,
    WantsOneThere,
    ComparesMomentsAsText,
    KeepsOneBodyForAMessage,
    GivesThemAsTheyWereTold,
    SkipsWhatIsOfOneMoment,
    IgnoresOwners,
    TakesNoStatesForAny,
    AcceptsOneByOne,
    HidesWhatIsRaised,
    AcceptsAnew,
    AcceptsLocked,
    KeepsWhatWasToldLast,
    ForgetsWhenItAccepted,
    StaysWhereItWent,
    EndsOnce,
    LastOneWins,
    ArrivesInOrderAlone,
    LastToldWins,
    ForgetsWhatIsLate,
    GivesAttemptsAsTheyWereTold,
    WithdrawsWhatWasBegun,
    WithdrawsNothing,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, DeliveryTests):
    pass
