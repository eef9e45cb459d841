"""What is known of a delivery after an attempt: kept by stores, told by logs, given to observers."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import evolve, field, frozen, validators

from thornsdk.model.message import Delivery, check_zone
from thornsdk.model.outcome import Attempt, Outcome, OutcomeKind
from thornsdk.model.patterns import EventPattern, as_pattern
from thornsdk.reasons import Reason


class DeliveryState(StrEnum):
    """Where a delivery stands in a store."""

    PENDING = "pending"
    """An attempt is due at a known time."""
    LEASED = "leased"
    """A process has it in hand and attempts it; until a known time, nobody else takes it."""
    DELIVERED = "delivered"
    """It arrived."""
    FAILED = "failed"
    """It was given up."""
    BLOCKED = "blocked"
    """Policy did not allow it."""
    CANCELLED = "cancelled"
    """Its subscription was removed or disabled, or was so when it was sent; or somebody has cancelled it."""

    @classmethod
    def after(cls, outcome: Outcome) -> "DeliveryState":
        """Gives the state that an outcome leaves a delivery in."""
        return cls.CANCELLED if outcome.reason in CANCELLING else _STATES[outcome.kind]

    @property
    def has_ended(self) -> bool:
        """Whether it is neither pending nor leased."""
        return self not in {DeliveryState.PENDING, DeliveryState.LEASED}


_STATES = {
    OutcomeKind.RETRY: DeliveryState.PENDING,
    OutcomeKind.DELIVERED: DeliveryState.DELIVERED,
    OutcomeKind.FAILED: DeliveryState.FAILED,
    OutcomeKind.BLOCKED: DeliveryState.BLOCKED,
}
CANCELLING: frozenset[Reason] = frozenset(
    {Reason.UNSUBSCRIBED, Reason.SUBSCRIPTION_DISABLED, Reason.CANCELLED}
)
"""The reasons that leave a delivery cancelled."""


@frozen
class Lease:
    """The right of one process to attempt a delivery.

    It is over when the delivery is due again: who took it has died, or will find that it comes too late.

    Attributes:
        holder: Names the process: its host, its number and a random part.
    """

    holder: str


@frozen(kw_only=True)
class DeliveryFilter:
    """Which deliveries are wanted. What is None does not matter.

    Attributes:
        states: Those in one of these states.
        event: Those of events that this pattern matches.
        subscription_id: Those to this subscription.
        owner: Those to subscriptions of this tenant.
        since: Those whose latest attempt began at this moment or later. One that was not attempted counts
            from when it was accepted.
        before: Those whose latest attempt began before this moment.

    Raises:
        InvalidValue: If no event can match the pattern, or a moment has no time zone.
    """

    states: frozenset[DeliveryState] | None = None
    event: EventPattern | None = field(default=None, converter=as_pattern)
    subscription_id: UUID | None = None
    owner: str | None = None
    since: datetime | None = field(default=None, validator=validators.optional(check_zone))
    before: datetime | None = field(default=None, validator=validators.optional(check_zone))

    def admits(self, record: "DeliveryRecord") -> bool:
        """Tells whether a delivery is wanted."""
        at = record.last.started_at
        return (
            (self.states is None or record.state in self.states)
            and (self.event is None or self.event.matches(record.event))
            and self.subscription_id in {None, record.subscription_id}
            and self.owner in {None, record.owner}
            and (self.since is None or at >= self.since)
            and (self.before is None or at < self.before)
        )


@frozen(kw_only=True)
class DeliveryRecord:
    """A delivery and its latest attempt. It holds no secret.

    Attributes:
        id: The delivery's id.
        message_id: The message that is delivered.
        event: The name of its event.
        created_at: When the application sent it, with a time zone.
        sender: Its sender, or None.
        subscription_id: Who gets it.
        origin: Where it goes: scheme, host and port as text.
        content_type: The content type of the body.
        body: The exact bytes.
        last: The latest attempt; its number is 0 while none was begun.
        owner: The tenant that the subscription belonged to when the delivery was made, or None.
        accepted_at: When the store was first told of it; None where that was not read from a store.
        lease: Who attempts it now, and until when nobody else does; None while nobody does.
        held: Why it is held back until it is due, without an attempt, such as `Reason.ORIGIN_PAUSED`. None
            where it is not, but waits for the time of its next attempt.
        order_key: Where its subscription is ordered, what it shares with those that it waits for and that
            wait for it; None where it waits for none.
    """

    id: UUID
    message_id: UUID
    event: str
    created_at: datetime = field(validator=check_zone)
    sender: str | None
    subscription_id: UUID
    origin: str
    content_type: str
    body: bytes = field(repr=False)
    last: Attempt
    owner: str | None = None
    accepted_at: datetime | None = None
    lease: Lease | None = None
    held: Reason | None = None
    order_key: str | None = None

    @classmethod
    def of(cls, delivery: Delivery, attempt: Attempt) -> "DeliveryRecord":
        """Gives the record of a delivery after an attempt."""
        return cls(
            id=delivery.id,
            message_id=delivery.message_id,
            event=delivery.event,
            created_at=delivery.created_at,
            sender=delivery.sender,
            subscription_id=delivery.subscription.id,
            origin=str(delivery.subscription.url.origin),
            content_type=delivery.content_type,
            body=delivery.body,
            last=attempt,
            owner=delivery.subscription.owner,
            order_key=delivery.order_key,
        )

    @property
    def kind(self) -> OutcomeKind:
        """What the latest attempt means."""
        return self.last.outcome.kind

    @property
    def state(self) -> DeliveryState:
        """Where the delivery stands."""
        return DeliveryState.LEASED if self.lease is not None else DeliveryState.after(self.last.outcome)

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the next attempt is due, or the lease is over; None once it has ended."""
        return self.last.outcome.retry_at

    @property
    def skipped(self) -> bool:
        """Whether no attempt was made, for the subscription was disabled when the message was sent."""
        return self.last.outcome.reason is Reason.SUBSCRIPTION_DISABLED

    def due_at(self, moment: datetime) -> "DeliveryRecord":
        """Gives the same pending delivery, due at another time."""
        outcome = evolve(self.last.outcome, retry_at=moment)
        return evolve(self, last=evolve(self.last, outcome=outcome))


@frozen(kw_only=True)
class Pruned:
    """How many deliveries were removed from a store, by the state in which they had ended.

    Attributes:
        delivered: How many had arrived.
        failed: How many had been given up.
        blocked: How many policy had not allowed.
        cancelled: How many had lost their subscription, or were skipped since it was disabled.
    """

    delivered: int = 0
    failed: int = 0
    blocked: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """How many deliveries were removed."""
        return self.delivered + self.failed + self.blocked + self.cancelled

    @classmethod
    def of(cls, counts: Mapping[DeliveryState, int]) -> "Pruned":
        """Gives the counts by state; a state that is not there counts for none."""
        return cls(
            delivered=counts.get(DeliveryState.DELIVERED, 0),
            failed=counts.get(DeliveryState.FAILED, 0),
            blocked=counts.get(DeliveryState.BLOCKED, 0),
            cancelled=counts.get(DeliveryState.CANCELLED, 0),
        )
