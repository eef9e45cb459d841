"""Subscriptions that fail for long: told at half the time, and disabled at the end of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from thornsdk.model import DeliveryRecord, Subscription, SubscriptionNotice
from thornsdk.planned import Conditions
from thornsdk.stages import Store, SubscriptionObserver

Disable: TypeAlias = Callable[[DeliveryRecord, Subscription, str, datetime | None], None]
"""Disables the subscription of a delivery: for a reason, and since when it is failing."""


class Failing:
    """Looks after subscriptions whose attempts fail.

    Args:
        store: Knows since when they do.
        conditions: How long they may, and who is told.
        disable: Disables one.
    """

    def __init__(self, store: Store, conditions: Conditions, disable: Disable) -> None:
        self._store = store
        self._conditions = conditions
        self._disable = disable

    def check(self, record: DeliveryRecord, subscription: Subscription) -> None:
        """Disables the subscription of a delivery that did not arrive, or warns of that, when it is time."""
        after = self._conditions.disable_after
        since = None if after is None else self._store.failing_since(subscription.id)
        if after is None or since is None:
            return
        elapsed = self._conditions.clock() - since
        if elapsed >= after:
            self._disable(record, subscription, _why(record, since), since)
        elif elapsed >= after / 2 and self._store.tell_failing(subscription.id):
            self._warn(subscription, since, after)

    def _warn(self, subscription: Subscription, since: datetime, after: timedelta) -> None:
        notice = SubscriptionNotice(
            subscription_id=subscription.id,
            origin=str(subscription.url.origin),
            owner=subscription.owner,
            failing_since=since,
            disable_at=since + after,
        )
        self._conditions.log.subscription_failing(notice)
        tell_observers(notice, self._conditions)


def tell_observers(notice: SubscriptionNotice, conditions: Conditions) -> None:
    """Tells those observers of a subscription that want to know."""
    for observer in conditions.pipeline.observers:
        if isinstance(observer, SubscriptionObserver):
            try:
                observer.observe_subscription(notice)
            except Exception as exc:
                # An observer is a guest: its trouble is told and harms no delivery.
                conditions.log.observer_failed(observer, exc)


def _why(record: DeliveryRecord, since: datetime) -> str:
    reason = record.last.outcome.reason
    return (
        f"every attempt has failed since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, the last with: {reason}"
    )
