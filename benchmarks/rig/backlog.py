"""Deliveries that wait in a store."""

from datetime import datetime, timedelta
from uuid import UUID

from thornsdk import Attempt, DeliveryRecord, Outcome, OutcomeKind, Reason


def waiting(number: int, *, message: int, subscription: int, origin: str, due: datetime) -> DeliveryRecord:
    """Gives a delivery whose first attempt, an hour before it is due, was answered with 503."""
    return DeliveryRecord(
        id=UUID(int=number),
        message_id=UUID(int=message),
        event="order.created",
        created_at=due - timedelta(hours=1),
        sender=None,
        subscription_id=UUID(int=subscription),
        origin=origin,
        content_type="application/json",
        body=b'{"id":42}',
        last=Attempt(
            number=1,
            started_at=due - timedelta(hours=1),
            duration=0.1,
            outcome=Outcome(OutcomeKind.RETRY, Reason.STATUS, due),
            status=503,
        ),
    )
