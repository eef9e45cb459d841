"""What is known of a delivery after an attempt: kept by stores, told by logs, given to observers."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import evolve, field, frozen

from thornsdk.model.message import Delivery
from thornsdk.model.outcome import Attempt, Outcome, OutcomeKind


class DeliveryState(StrEnum):
    """Where a delivery stands in a store."""

    PENDING = "pending"
    """An attempt is due at a known time."""
    DELIVERED = "delivered"
    """It arrived."""
    FAILED = "failed"
    """It was given up."""
    BLOCKED = "blocked"
    """Policy did not allow it."""

    @classmethod
    def after(cls, outcome: Outcome) -> "DeliveryState":
        """Gives the state that an outcome leaves a delivery in."""
        return _STATES[outcome.kind]


_STATES = {
    OutcomeKind.RETRY: DeliveryState.PENDING,
    OutcomeKind.DELIVERED: DeliveryState.DELIVERED,
    OutcomeKind.FAILED: DeliveryState.FAILED,
    OutcomeKind.BLOCKED: DeliveryState.BLOCKED,
}


@frozen(kw_only=True)
class DeliveryRecord:
    """A delivery and its latest attempt. It holds no secret.

    Attributes:
        id: The delivery's id.
        message_id: The message that is delivered.
        event: The name of its event.
        sender: Its sender, or None.
        subscription_id: Who gets it.
        origin: Where it goes: scheme, host and port as text.
        content_type: The content type of the body.
        body: The exact bytes.
        last: The latest attempt.
    """

    id: UUID
    message_id: UUID
    event: str
    sender: str | None
    subscription_id: UUID
    origin: str
    content_type: str
    body: bytes = field(repr=False)
    last: Attempt

    @classmethod
    def of(cls, delivery: Delivery, attempt: Attempt) -> "DeliveryRecord":
        """Gives the record of a delivery after an attempt."""
        return cls(
            id=delivery.id,
            message_id=delivery.message_id,
            event=delivery.event,
            sender=delivery.sender,
            subscription_id=delivery.subscription.id,
            origin=str(delivery.subscription.url.origin),
            content_type=delivery.content_type,
            body=delivery.body,
            last=attempt,
        )

    @property
    def kind(self) -> OutcomeKind:
        """What the latest attempt means."""
        return self.last.outcome.kind

    @property
    def state(self) -> DeliveryState:
        """Where the delivery stands."""
        return DeliveryState.after(self.last.outcome)

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the next attempt is due; None unless it is pending."""
        return self.last.outcome.retry_at

    def due_at(self, moment: datetime) -> "DeliveryRecord":
        """Gives the same pending delivery, due at another time."""
        outcome = evolve(self.last.outcome, retry_at=moment)
        return evolve(self, last=evolve(self.last, outcome=outcome))
