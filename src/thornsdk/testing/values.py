"""Values to give to stages: each is whole and plain, and a test says what matters to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.model import (
    JSON,
    URL,
    Attempt,
    Delivery,
    DeliveryRecord,
    Lease,
    Message,
    Outcome,
    OutcomeKind,
    PatternsLike,
    Request,
    SecretsLike,
    Subscription,
)
from thornsdk.policy.addresses import AddressRules
from thornsdk.reasons import Reason
from thornsdk.typing import Headers

EVENT = "order.created"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "whsec_dGhlIHNlY3JldCBvZiBhIHRlc3Q="  # noqa: S105 - it opens nothing
LOOPBACK = AddressRules(allow=["127.0.0.0/8", "::1"])
"""The policy that lets requests go to this machine."""


def make_message(payload: object = 42, *, event: str = EVENT, sender: str | None = None) -> Message[object]:
    """Makes one occurrence of an event."""
    return Message(id=uuid4(), event=event, payload=payload, created_at=NOW, sender=sender)


def make_subscription(
    url: str | URL = "https://example.com/hooks",
    *,
    id: UUID | None = None,  # noqa: A002 - the name of the field
    patterns: PatternsLike = EVENT,
    secrets: SecretsLike = SECRET,
    content_type: str = JSON,
) -> Subscription:
    """Makes a subscription; ``attrs.evolve`` changes what else matters."""
    return Subscription(
        id=id or uuid4(), patterns=patterns, url=url, secrets=secrets, content_type=content_type
    )


def make_delivery(body: bytes = b"{}", *, to: Subscription | None = None, event: str = EVENT) -> Delivery:
    """Makes a delivery of some bytes to a subscription."""
    subscription = to or make_subscription(patterns=event)
    return Delivery(
        message_id=uuid4(),
        event=event,
        created_at=NOW,
        sender=None,
        subscription=subscription,
        content_type=subscription.content_type,
        body=body,
    )


def make_request(
    url: str | URL,
    body: bytes = b"{}",
    *,
    headers: Headers = (("Content-Type", JSON),),
    timeout: float = 20.0,
    rules: AddressRules = LOOPBACK,
) -> Request:
    """Makes a request to a transport, by default one that may go to this machine.

    Args:
        url: Where to.
        body: The exact bytes.
        headers: The headers.
        timeout: The deadline, in seconds.
        rules: Where it may go.
    """
    return Request(
        id=uuid4(),
        url=URL.parse(url),
        headers=headers,
        body=body,
        timeout=timeout,
        guard=rules.forbidden,
    )


def make_record(
    kind: OutcomeKind = OutcomeKind.DELIVERED,
    reason: Reason = Reason.ACCEPTED,
    *,
    of: Delivery | None = None,
    number: int = 1,
    at: datetime = NOW,
    retry_at: datetime | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery after an attempt.

    Args:
        kind: What the attempt means.
        reason: Why.
        of: The delivery.
        number: The number of the attempt.
        at: When it began.
        retry_at: When the next attempt is due; given where the kind is ``retry``.
    """
    attempt = Attempt(number=number, started_at=at, duration=0.25, outcome=Outcome(kind, reason, retry_at))
    return DeliveryRecord.of(of or make_delivery(), attempt)


def make_accepted(*, of: Delivery | None = None, due_at: datetime = NOW) -> DeliveryRecord:
    """Makes what a store is told of a delivery when its message is accepted: no attempt was begun.

    Args:
        of: The delivery.
        due_at: Until when nobody but its sender attempts it.
    """
    pending = make_record(OutcomeKind.RETRY, Reason.NOT_ATTEMPTED, of=of, number=0, retry_at=due_at)
    return evolve(pending, accepted_at=NOW, lease=Lease("sender"))


def make_taken(record: DeliveryRecord, until: datetime, *, holder: str = "here") -> DeliveryRecord:
    """Makes what is true of a delivery from when somebody has taken it, to attempt it.

    Args:
        record: What was known of it before.
        until: Until when nobody else takes it.
        holder: Who has taken it.
    """
    outcome = Outcome(OutcomeKind.RETRY, Reason.WORKER_LOST, until)
    last = Attempt(number=record.last.number + 1, started_at=NOW, duration=0.0, outcome=outcome)
    return evolve(record, last=last, lease=Lease(holder), held=None)


def make_claim(until: datetime, *, holder: str = "here") -> Callable[[DeliveryRecord], DeliveryRecord]:
    """Makes what a store is given to claim deliveries with.

    Args:
        until: Until when nobody else takes them.
        holder: Who takes them.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> from thornsdk.testing import make_accepted, make_claim
        >>> from thornsdk_plugins.memory import MemoryStore
        >>> store, now = MemoryStore(), datetime(2026, 1, 2, tzinfo=UTC)
        >>> store.accept([make_accepted(due_at=now)])
        >>> len(store.claim_due(now, 10, make_claim(now + timedelta(minutes=1))))
        1
        >>> len(store.claim_due(now, 10, make_claim(now + timedelta(minutes=1))))
        0
    """
    return lambda record: make_taken(record, until, holder=holder)
