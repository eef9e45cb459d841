"""Subscriptions and deliveries to put into stores; the name of a host tells them apart."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.model import URL, Attempt, DeliveryRecord, Outcome, OutcomeKind, PatternsLike, Subscription
from thornsdk.reasons import Reason
from thornsdk.testing import values
from thornsdk.testing.values import make_accepted, make_record, make_subscription

TICK: Final = timedelta(microseconds=1)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
NOW: Final = values.NOW + timedelta(microseconds=678901)
"""Not a whole second: a store that rounds is found out."""
EVENT: Final = values.EVENT


def subscription(
    host: str = "a",
    patterns: PatternsLike = "order.*",
    *,
    owner: str | None = None,
    ordered_by: str | None = None,
    disabled: str | None = None,
) -> Subscription:
    """Makes a subscription of a host of this name."""
    made = make_subscription(_origin(host), patterns=patterns)
    return evolve(made, owner=owner, ordered_by=ordered_by, disabled=disabled)


def delivery(
    host: str = "a",
    kind: OutcomeKind = OutcomeKind.DELIVERED,
    *,
    at: datetime = NOW,
    number: int = 1,
    to: UUID | None = None,
    key: str | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery that has ended.

    Args:
        host: The name of the host that it goes to.
        kind: How it ended.
        at: When its last attempt began.
        number: The number of that attempt.
        to: The subscription's id.
        key: Its order key.
    """
    reason = Reason.ACCEPTED if kind is OutcomeKind.DELIVERED else Reason.STATUS
    return _sent_to(host, make_record(kind, reason, at=at, number=number), to, key)


def pending(
    host: str = "a",
    *,
    due: datetime = NOW,
    at: datetime = NOW,
    number: int = 1,
    to: UUID | None = None,
    key: str | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery that is to be attempted again.

    Args:
        host: The name of the host that it goes to.
        due: When the next attempt is due.
        at: When its last attempt began.
        number: The number of that attempt.
        to: The subscription's id.
        key: Its order key.
    """
    made = make_record(OutcomeKind.RETRY, Reason.STATUS, at=at, number=number, retry_at=due)
    return _sent_to(host, made, to, key)


def accepted(
    host: str = "a",
    *,
    due: datetime = NOW,
    message: UUID | None = None,
    to: UUID | None = None,
    key: str | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery of which no attempt was begun.

    Args:
        host: The name of the host that it goes to.
        due: When the lease of its sender is over.
        message: The message's id.
        to: The subscription's id.
        key: Its order key.
    """
    made = _sent_to(host, make_accepted(due_at=due), to, key)
    return evolve(made, message_id=message or made.message_id)


def then(
    known: DeliveryRecord,
    number: int,
    kind: OutcomeKind = OutcomeKind.DELIVERED,
    *,
    at: datetime = NOW,
    due: datetime = NOW,
    reason: Reason | None = None,
) -> DeliveryRecord:
    """Makes what is known of a delivery after a further attempt.

    Args:
        known: What was known of it before.
        number: The number of the attempt.
        kind: What it means.
        at: When it began.
        due: When the next one is due, where there is to be one.
        reason: Why; by default the answer was a 2xx or none.
    """
    why = reason or (Reason.ACCEPTED if kind is OutcomeKind.DELIVERED else Reason.STATUS)
    outcome = Outcome(kind, why, due if kind is OutcomeKind.RETRY else None)
    return evolve(
        known, last=Attempt(number=number, started_at=at, duration=0.5, outcome=outcome), lease=None
    )


def in_each_state(at: datetime = NOW) -> list[DeliveryRecord]:
    """Makes a delivery in each state, attempted at that time, to a host that is called like the state."""
    unsubscribed = then(delivery("cancelled"), 1, OutcomeKind.FAILED, at=at, reason=Reason.UNSUBSCRIBED)
    leased = accepted("leased")
    return [
        pending("pending", at=at),
        evolve(leased, last=evolve(leased.last, started_at=at)),
        delivery("delivered", at=at),
        delivery("failed", OutcomeKind.FAILED, at=at),
        delivery("blocked", OutcomeKind.BLOCKED, at=at),
        unsubscribed,
    ]


def line(*hosts: str) -> Sequence[DeliveryRecord]:
    """Makes pending deliveries of one line, in its order."""
    to = uuid4()
    return [pending(host, to=to, key="42") for host in hosts]


def names(found: Iterable[Subscription | DeliveryRecord]) -> list[str]:
    """Gives the names of hosts."""
    return list(map(name, found))


def name(one: Subscription | DeliveryRecord | None) -> str:
    """Gives the name of the host that something goes to."""
    if one is None:
        return "nothing"
    url = one.url if isinstance(one, Subscription) else URL.parse(f"{one.origin}/")
    return url.host.partition(".")[0]


def _sent_to(host: str, made: DeliveryRecord, to: UUID | None, key: str | None) -> DeliveryRecord:
    return evolve(
        made,
        origin=_origin(host),
        subscription_id=to or made.subscription_id,
        order_key=key,
        accepted_at=NOW,
    )


def _origin(host: str) -> str:
    return f"https://{host}.example"
