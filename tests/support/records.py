"""Subscriptions and deliveries to put into stores."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from attrs import evolve

from thornsdk import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Lease,
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


def owed(**parts: Any) -> DeliveryRecord:
    """A delivery that was accepted, and whose lease is over."""
    known = evolve(delivery(due=NOW), lease=Lease("sender"))
    return evolve(known, last=evolve(known.last, number=0), **parts)


def lost(record: DeliveryRecord, due: datetime, holder: str = "here") -> DeliveryRecord:
    """What is known of a delivery that somebody takes and never tells of again."""
    outcome = Outcome(OutcomeKind.RETRY, Reason.WORKER_LOST, due)
    last = Attempt(number=record.last.number + 1, started_at=NOW + MINUTE, duration=0.0, outcome=outcome)
    return evolve(record, last=last, lease=Lease(holder))


def until(due: datetime, holder: str = "here") -> Callable[[DeliveryRecord], DeliveryRecord]:
    """Claims for as long as that."""
    return lambda record: lost(record, due, holder)


def in_state(*states: DeliveryState) -> DeliveryFilter:
    return DeliveryFilter(states=frozenset(states))
