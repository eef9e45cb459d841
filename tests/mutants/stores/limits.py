from collections.abc import Callable, Mapping
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Breaker, Traffic
from thornsdk.testing.suites.stores.limits import LimitTests


class ForgetsTheProbe(Sound):
    breaks = "test_keeps_breakers"

    def breakers(self) -> Mapping[str, Breaker]:
        return {origin: evolve(one, probe=None) for origin, one in super().breakers().items()}


class HasOneBreakerForAHost(Sound):
    breaks = "test_keeps_breakers"

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        return super().change_breaker(origin.replace("http:", "https:"), change)


class ListsWhatIsWell(Sound):
    breaks = "test_lists_what_is_bad"

    def __init__(self) -> None:
        super().__init__()
        self.well: dict[str, Breaker] = {}

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        self.well[origin] = Breaker()
        return super().change_breaker(origin, change)

    def breakers(self) -> Mapping[str, Breaker]:
        return {**self.well, **super().breakers()}


class ClosesTheBreaker(Sound):
    breaks = "test_leaves_a_breaker_where_a_change_raises"

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        try:
            return super().change_breaker(origin, change)
        except Exception:
            del self._breakers[origin]
            raise


class SortsWhatIsInFlight(Sound):
    breaks = "test_keeps_traffic"
    also = frozenset(
        {"test_leaves_traffic_where_a_change_raises", "test_removes_traffic_with_its_subscription"}
    )

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        return super().change_traffic(
            subscription_id, lambda known: change(evolve(known, in_flight=tuple(sorted(known.in_flight))))
        )


class KnowsTrafficOfItsOwnAlone(Sound):
    """Has no place for the traffic to a subscription that is not in the store, such as a static one."""

    breaks = "test_keeps_traffic"
    also = frozenset({"test_leaves_traffic_where_a_change_raises"})

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        changed = super().change_traffic(subscription_id, change)
        if self.find(subscription_id) is None:
            self._traffic.pop(subscription_id, None)
        return changed


class ForgetsTraffic(Sound):
    breaks = "test_leaves_traffic_where_a_change_raises"

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        try:
            return super().change_traffic(subscription_id, change)
        except Exception as exc:
            raise RuntimeError("rolled back") from exc


class LeavesTraffic(Sound):
    breaks = "test_removes_traffic_with_its_subscription"

    def remove(self, subscription_id: UUID) -> bool:
        before = dict(self._traffic)
        there = super().remove(subscription_id)
        self._traffic = before
        return there


MUTANTS = [
    Sound,
    ForgetsTheProbe,
    HasOneBreakerForAHost,
    ListsWhatIsWell,
    ClosesTheBreaker,
    SortsWhatIsInFlight,
    KnowsTrafficOfItsOwnAlone,
    ForgetsTraffic,
    LeavesTraffic,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, LimitTests):
    pass
