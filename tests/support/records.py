"""Subscriptions and deliveries to put into stores."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from thornsdk import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Outcome,
    OutcomeKind,
    Reason,
    Subscription,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def subscription(url: str = "https://example.com/hooks", **parts: object) -> Subscription:
    return Subscription(**{"id": uuid4(), "patterns": "order.*", "url": url, "secrets": "s", **parts})  # type: ignore[arg-type]


def delivery(
    kind: OutcomeKind = OutcomeKind.DELIVERED, at: datetime = NOW, due: datetime | None = None
) -> DeliveryRecord:
    outcome = Outcome(OutcomeKind.RETRY if due else kind, Reason.STATUS, due)
    return DeliveryRecord(
        id=uuid4(),
        message_id=uuid4(),
        event="order.created",
        created_at=NOW - MINUTE,
        sender=None,
        subscription_id=uuid4(),
        origin="https://example.com",
        content_type="application/json",
        body=b'{"id":1}',
        last=Attempt(number=1, started_at=at, duration=0.25, outcome=outcome),
        accepted_at=NOW,
    )


def in_state(*states: DeliveryState) -> DeliveryFilter:
    return DeliveryFilter(states=frozenset(states))
