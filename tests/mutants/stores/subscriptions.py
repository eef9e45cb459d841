from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Audience, Subscription
from thornsdk.errors import StoreError
from thornsdk.testing.suites.stores.subscriptions import SubscriptionTests

Change = Callable[[Subscription], Subscription]


class ForgetsOldSecrets(Sound):
    breaks = "test_gives_subscriptions_back_whole"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        super().put(evolve(one, old_secrets=()) for one in subscriptions)


class TakesNoScheduleForAnEmptyOne(Sound):
    breaks = "test_gives_subscriptions_back_whole"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        super().put(evolve(one, retry_schedule=one.retry_schedule or None) for one in subscriptions)


class FindsAnything(Sound):
    breaks = "test_finds_what_is_there_alone"
    also = frozenset({"test_removes_subscriptions"})

    def find(self, subscription_id: UUID) -> Subscription | None:
        anything = next(iter(self._subscriptions.values()), None)
        return self._subscriptions.get(subscription_id, anything if len(self._subscriptions) == 1 else None)


class FindsByOldPatterns(Sound):
    breaks = "test_replaces_subscriptions"

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[UUID, Subscription] = {}

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        several = list(subscriptions)
        self.before.update((one.id, known) for one in several if (known := self.find(one.id)))
        super().put(several)

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        for one in self.subscriptions():
            before = self.before.get(one.id, one)
            if audience.admits(one) or (one.active and audience.admits(before)):
                yield one


class PutsThemTwice(Sound):
    breaks = "test_replaces_subscriptions"

    def subscriptions(self) -> Iterator[Subscription]:
        for one in super().subscriptions():
            yield from [one] * (1 + (str(one.patterns[0]) == "user.*"))


class PutsOneByOne(Sound):
    breaks = "test_puts_all_or_none"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        for one in subscriptions:
            super().put([one])


class StumblesOverNothing(Sound):
    breaks = "test_puts_all_or_none"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        several = list(subscriptions)
        if not several:
            raise StoreError("nothing to write")
        super().put(several)


class StaysLocked(Sound):
    """Does not let go of its lock where what it reads raises."""

    breaks = "test_puts_all_or_none"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        self._lock.acquire()
        several = list(subscriptions)
        self._lock.release()
        super().put(several)

    def subscriptions(self) -> Iterator[Subscription]:
        yield from sorted(self._subscriptions.values(), key=lambda one: one.url.origin)


class ReadsLocked(Sound):
    breaks = "test_puts_what_it_reads"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        with self.busy():
            several = list(subscriptions)
        super().put(several)

    def subscriptions(self) -> Iterator[Subscription]:
        for one in super().subscriptions():
            self.check_idle()
            yield one


class GivesWhatWas(Sound):
    breaks = "test_changes_subscriptions"
    also = frozenset({"test_changes_a_default", "test_changes_nothing_where_a_change_raises"})

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        known = self.find(subscription_id) or default
        super().change(subscription_id, change, default)
        return known


class ChangesPatternsAlone(Sound):
    """Keeps what is found by patterns as it was."""

    breaks = "test_changes_subscriptions"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        return (one for one in self.subscriptions() if audience.admits(one) or one.disabled == "changed")


class WantsOneThere(Sound):
    breaks = "test_changes_what_is_there_alone"

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        if default is None and self.find(subscription_id) is None:
            raise StoreError("there is none")
        return super().change(subscription_id, change, default)


class IgnoresDefaults(Sound):
    breaks = "test_changes_a_default"
    also = frozenset({"test_keeps_no_default_without_a_change"})

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        return super().change(subscription_id, change)


class KeepsDefaults(Sound):
    breaks = "test_keeps_no_default_without_a_change"

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        if default is not None and self.find(subscription_id) is None:
            self.put([default])
        return super().change(subscription_id, change)


class SwallowsWhatAChangeRaises(Sound):
    breaks = "test_changes_nothing_where_a_change_raises"

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        with suppress(Exception):
            return super().change(subscription_id, change, default)
        return None


class ChangesBeforeItIsTold(Sound):
    breaks = "test_changes_nothing_where_a_change_raises"

    def change(
        self, subscription_id: UUID, change: Change, default: Subscription | None = None
    ) -> Subscription | None:
        try:
            return super().change(subscription_id, change, default)
        except Exception:
            self.remove(subscription_id)
            raise


class SaysYesAlways(Sound):
    breaks = "test_removes_subscriptions"

    def remove(self, subscription_id: UUID) -> bool:
        super().remove(subscription_id)
        return True


class RemovesWithoutItsPatterns(Sound):
    breaks = "test_removes_subscriptions"

    def remove(self, subscription_id: UUID) -> bool:
        before = self._sorted(active=False)
        there = super().remove(subscription_id)
        self._sorted()
        self._disabled_in_order = before
        return there


MUTANTS = [
    Sound,
    ForgetsOldSecrets,
    TakesNoScheduleForAnEmptyOne,
    FindsAnything,
    FindsByOldPatterns,
    PutsThemTwice,
    PutsOneByOne,
    StumblesOverNothing,
    StaysLocked,
    ReadsLocked,
    GivesWhatWas,
    ChangesPatternsAlone,
    WantsOneThere,
    IgnoresDefaults,
    KeepsDefaults,
    SwallowsWhatAChangeRaises,
    ChangesBeforeItIsTold,
    SaysYesAlways,
    RemovesWithoutItsPatterns,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, SubscriptionTests):
    pass
