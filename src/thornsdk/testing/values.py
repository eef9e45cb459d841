"""Values to give to stages: each is whole and plain, and a test says what matters to it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from thornsdk.model import (
    JSON,
    URL,
    Attempt,
    Delivery,
    DeliveryRecord,
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
    retry_at: datetime | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery after an attempt.

    Args:
        kind: What the attempt means.
        reason: Why.
        of: The delivery.
        number: The number of the attempt.
        retry_at: When the next attempt is due; given where the kind is ``retry``.
    """
    attempt = Attempt(number=number, started_at=NOW, duration=0.25, outcome=Outcome(kind, reason, retry_at))
    return DeliveryRecord.of(of or make_delivery(), attempt)
