from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import pytest

from mutants.stores.sound import Opened, Sound
from thornsdk import DeliveryRecord, OutcomeKind, Subscription
from thornsdk.testing.suites.stores.failing import FailingTests


class SinceTheLatest(Sound):
    breaks = "test_knows_since_when_a_subscription_fails"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        if delivery.subscription_id in self._failing and delivery.last.receiver_failed:
            self._failing[delivery.subscription_id] = delivery.last.started_at


class EndsItAgain(Sound):
    """Ends a failing only by the delivery that has failed."""

    breaks = "test_ends_the_failing_when_one_arrives"
    also = frozenset({"test_has_a_failing_told_once", "test_hears_of_each_failure_once"})

    def record(self, delivery: DeliveryRecord) -> None:
        since = self.failing_since(delivery.subscription_id)
        known = self.delivery(delivery.id)
        super().record(delivery)
        if since and known is None:
            self._failing[delivery.subscription_id] = since


class BlamesReceiversForAll(Sound):
    breaks = "test_blames_no_receiver_for_others"
    also = frozenset({"test_hears_of_each_failure_once"})

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        if delivery.kind is not OutcomeKind.DELIVERED:
            self._failing.setdefault(delivery.subscription_id, delivery.last.started_at)


class HearsOfLateOnes(Sound):
    """Takes an attempt for a failure that is told when a later one has arrived."""

    breaks = "test_hears_of_each_failure_once"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        known = self.delivery(delivery.id)
        if known and known.last.number > delivery.last.number and delivery.kind is OutcomeKind.RETRY:
            self._failing.setdefault(delivery.subscription_id, delivery.last.started_at)


class HearsOfItTwice(Sound):
    breaks = "test_hears_of_each_failure_once"

    def record(self, delivery: DeliveryRecord) -> None:
        super().record(delivery)
        if delivery.last.receiver_failed and self.delivery(delivery.id) == delivery:
            self._failing.setdefault(delivery.subscription_id, delivery.last.started_at)


class HearsOfItWhenItIsTakenBack(Sound):
    breaks = "test_hears_of_each_failure_once"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        if taken.last.receiver_failed:
            self._failing.setdefault(taken.subscription_id, taken.last.started_at)
        return super().take(delivery_id, due_at, taken)


class FailsOnWhenEnabled(Sound):
    breaks = "test_ends_the_failing_of_what_is_enabled"

    def _note_enabled(self, known: Subscription | None, now: Subscription) -> None:
        pass


class EndsWithAnyChange(Sound):
    breaks = "test_ends_the_failing_of_what_is_enabled"

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        several = list(subscriptions)
        super().put(several)
        for one in several:
            self._recovered(one.id)


class FailsOnWhenRemoved(Sound):
    breaks = "test_ends_the_failing_of_what_is_removed"

    def remove(self, subscription_id: UUID) -> bool:
        since = self.failing_since(subscription_id)
        there = super().remove(subscription_id)
        self._failing.update({subscription_id: since} if since else {})
        return there


class TellsItAlways(Sound):
    breaks = "test_has_a_failing_told_once"

    def tell_failing(self, subscription_id: UUID) -> bool:
        return subscription_id in self._failing


class TellsItNeverAgain(Sound):
    breaks = "test_has_a_failing_told_once"

    def _recovered(self, subscription_id: UUID) -> None:
        self._failing.pop(subscription_id, None)


MUTANTS = [
    Sound,
    SinceTheLatest,
    EndsItAgain,
    BlamesReceiversForAll,
    HearsOfLateOnes,
    HearsOfItTwice,
    HearsOfItWhenItIsTakenBack,
    FailsOnWhenEnabled,
    EndsWithAnyChange,
    FailsOnWhenRemoved,
    TellsItAlways,
    TellsItNeverAgain,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, FailingTests):
    pass
