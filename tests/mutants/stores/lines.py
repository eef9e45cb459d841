from collections.abc import Iterable
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import DeliveryRecord, DeliveryState
from thornsdk.testing.suites.stores.lines import LineTests


class WaitsForTheLast(Sound):
    """Gives the last one that is in the way, and not the first."""

    breaks = "test_gives_the_first_that_is_in_the_way"
    also = frozenset({"test_leaves_a_delivery_in_its_line"})

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        found = [self._known(one) for one in self._lines.before(delivery_id)]
        ways = [one for one in found if one and (stop or not one.state.has_ended)]
        return ways[-1] if ways else None


class GoesByAttempts(Sound):
    """Takes the line to be in the order of attempts, which is not that of acceptance."""

    breaks = "test_gives_the_first_that_is_in_the_way"

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        known = self._known(delivery_id)
        found = super().ahead_of(delivery_id, stop=stop)
        late = known and found and known.last.number > 1 and found.last.started_at > known.last.started_at
        return None if late else found


class StopsAlways(Sound):
    breaks = "test_says_what_is_in_the_way"

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        return super().ahead_of(delivery_id, stop=True)


class StopsNever(Sound):
    breaks = "test_says_what_is_in_the_way"

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        return super().ahead_of(delivery_id, stop=False)


class PassesTheLeased(Sound):
    breaks = "test_lets_others_wait_for_what_is_leased"
    also = frozenset({"test_takes_the_withdrawn_out_of_the_line"})

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        found = super().ahead_of(delivery_id, stop=stop)
        return None if found and found.state is DeliveryState.LEASED else found


class HasOneLineForAKey(Sound):
    """Takes deliveries of one key for a line, whoever gets them."""

    breaks = "test_keeps_lines_apart"
    also = frozenset({"test_says_what_is_in_the_way"})

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        if found := super().ahead_of(delivery_id, stop=stop):
            return found
        known = self._known(delivery_id)
        others = (
            one for one in self._open.values() if known and one.order_key == known.order_key is not None
        )
        first = next(others, None)
        own = first is not None and known is not None and first.subscription_id == known.subscription_id
        return None if own else first


class HasALineWithoutAKey(Sound):
    breaks = "test_gives_nothing_without_a_line"

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        known = self._known(delivery_id)
        if known is None or known.order_key is not None:
            return super().next_in_line(delivery_id)
        others = [one for one in self._open.values() if one.subscription_id == known.subscription_id]
        return next((one for one in others if one.order_key is None and one.id != delivery_id), None)


class GivesWhatHasEnded(Sound):
    breaks = "test_gives_the_next_in_line"

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        return next(map(self._known, self._lines.after(delivery_id)), None)


class GivesTheLast(Sound):
    breaks = "test_gives_the_next_in_line"
    also = frozenset({"test_leaves_a_delivery_in_its_line"})

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        after = map(self._open.get, self._lines.after(delivery_id, last_first=True))
        return next(filter(None, after), None)


class GoesToTheEnd(Sound):
    """Puts a delivery that is taken up again behind the others."""

    breaks = "test_leaves_a_delivery_in_its_line"

    def record(self, delivery: DeliveryRecord) -> None:
        known = self._ended.get(delivery.id)
        if known and not delivery.state.has_ended:
            self._lines.forget(known)
        super().record(delivery)


class TakesTheKeyThatIsTold(Sound):
    breaks = "test_leaves_a_delivery_in_its_line"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        kept = self.kept(delivery.id)
        kept[delivery.id] = evolve(kept[delivery.id], order_key=delivery.order_key)


class KeepsThePlace(Sound):
    """Keeps the place in the line of what was withdrawn."""

    breaks = "test_takes_the_withdrawn_out_of_the_line"

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        several = list(delivery_ids)
        places = {one: self._lines._places[one] for one in several if one in self._lines._places}
        super().withdraw(several)
        self._lines._places.update((one, place) for one, place in places.items() if one not in self._open)


MUTANTS = [
    Sound,
    WaitsForTheLast,
    GoesByAttempts,
    StopsAlways,
    StopsNever,
    PassesTheLeased,
    HasOneLineForAKey,
    HasALineWithoutAKey,
    GivesWhatHasEnded,
    GivesTheLast,
    GoesToTheEnd,
    TakesTheKeyThatIsTold,
    KeepsThePlace,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, LineTests):
    pass
