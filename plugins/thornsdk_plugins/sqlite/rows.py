"""Turns values into rows and rows into values."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeAlias, cast
from uuid import UUID

from attrs import asdict, astuple, fields

from thornsdk import (
    Attempt,
    Breaker,
    DeliveryRecord,
    Lease,
    OldSecret,
    Origin,
    Outcome,
    OutcomeKind,
    Reason,
    Subscription,
    Timings,
    Traffic,
)
from thornsdk.errors import InvalidValue, StoreDamaged

Value: TypeAlias = str | bytes | int | float | None
Row: TypeAlias = Sequence[Value]

_TIMINGS = tuple(one.name for one in fields(Timings))

SUBSCRIPTION = (
    "id, owner, patterns, url, secrets, old_secrets, content_type, digest, headers, client_certificate, "
    "rate_limit, max_in_flight, ordered_by, when_failed, retry_schedule, disabled"
)
"""The columns that make a subscription, in the order that `subscription` takes."""

DELIVERY = (
    "deliveries.id, deliveries.message_id, event, created_at, sender, owner, subscription_id, origin, "
    "deliveries.content_type, body, accepted_at, order_key, due_at, holder, held, attempt"
)
"""The columns that make a delivery, in the order that `delivery` takes."""
_BODY = 9

STANDING = ("origin", "state", "attempted_at", "due_at", "holder", "number", "attempt", "failed_at", "held")
"""The columns of a delivery that change with each attempt, in the order that `standing` gives."""

DELIVERY_COLUMNS = (
    "id",
    "message_id",
    "event",
    "created_at",
    "sender",
    "owner",
    "subscription_id",
    "content_type",
    "accepted_at",
    "order_key",
    *STANDING,
)
"""The columns of a delivery, in the order that `delivery_row` gives."""


def place(origin: Origin) -> str:
    """Gives a text that sorts as origins do."""
    return f"{origin.scheme} {origin.host} {origin.port:05}"


def moment(when: datetime) -> str:
    """Gives a text that sorts as time does."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def subscription_row(subscription: Subscription) -> Row:
    """Gives the row of a subscription, in the order of `SUBSCRIPTION`, and its place."""
    return (
        str(subscription.id),
        subscription.owner,
        json.dumps([pattern.text for pattern in subscription.patterns]),
        str(subscription.url),
        json.dumps([secret.reveal() for secret in subscription.secrets]),
        json.dumps([[old.secret.reveal(), moment(old.until)] for old in subscription.old_secrets]),
        subscription.content_type,
        subscription.digest.value,
        json.dumps(subscription.headers),
        subscription.client_certificate,
        json.dumps(asdict(limit)) if (limit := subscription.rate_limit) else None,
        subscription.max_in_flight,
        subscription.ordered_by,
        subscription.when_failed.value,
        None if subscription.retry_schedule is None else json.dumps(subscription.retry_schedule),
        subscription.disabled,
        place(subscription.url.origin),
    )


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turns what goes wrong with a row into an error that names it, without what stands in it."""
    try:
        yield
    except (InvalidValue, ValueError, TypeError, KeyError):
        # The cause may quote a secret.
        raise StoreDamaged(f"the {what} in the store cannot be read; mend or remove its row") from None


def subscription(row: Row) -> Subscription:
    """Gives the subscription of a row of `SUBSCRIPTION`.

    Raises:
        StoreDamaged: If it cannot be read.
    """
    with _readable(f"subscription {row[0]!s}"):
        text = cast("list[str]", row)
        identity, owner, patterns, url, secrets, old, content_type, digest, headers, *rest = text
        certificate, rate_limit, max_in_flight, ordered_by, when_failed, schedule, disabled = rest
        return Subscription(
            id=UUID(identity),
            owner=owner,
            patterns=json.loads(patterns),
            url=url,
            secrets=json.loads(secrets),
            old_secrets=[_old_secret(*one) for one in json.loads(old)],
            content_type=content_type,
            digest=digest,
            headers=[(name, value) for name, value in json.loads(headers)],
            client_certificate=certificate,
            rate_limit=json.loads(rate_limit) if rate_limit else None,
            max_in_flight=cast("int | None", max_in_flight),
            ordered_by=ordered_by,
            when_failed=when_failed,
            retry_schedule=json.loads(schedule) if schedule else None,
            disabled=disabled,
        )


def _old_secret(secret: str, until: str) -> OldSecret:
    return OldSecret(secret, datetime.fromisoformat(until))


def sharing_bodies(found: Iterable[Row]) -> list[Row]:
    """Gives rows of `DELIVERY`; those with the same body hold it once, however many there are."""
    bodies: dict[tuple[Value, Value], Value] = {}
    return [
        (*row[:_BODY], bodies.setdefault((row[1], row[_BODY - 1]), row[_BODY]), *row[_BODY + 1 :])
        for row in found
    ]


def delivery(row: Row) -> DeliveryRecord:
    """Gives the delivery of a row of `DELIVERY`.

    Raises:
        StoreDamaged: If it cannot be read.
    """
    with _readable(f"delivery {row[0]!s}"):
        text = cast("list[str]", row)
        identity, message_id, event, created_at, sender, owner, subscription_id, *where = text[:_BODY]
        origin, content_type = where
        accepted_at, order_key, due_at, holder, held, last = text[_BODY + 1 :]
        record = DeliveryRecord(
            id=UUID(identity),
            message_id=UUID(message_id),
            event=event,
            created_at=datetime.fromisoformat(created_at),
            sender=sender,
            owner=owner,
            subscription_id=UUID(subscription_id),
            origin=origin,
            content_type=content_type,
            body=cast("bytes", row[_BODY]),
            last=_attempt(last),
            accepted_at=datetime.fromisoformat(accepted_at),
            lease=Lease(holder) if holder else None,
            held=Reason(held) if held else None,
            order_key=order_key,
        )
        due = datetime.fromisoformat(due_at) if due_at else None
        return record if due is None or due == record.next_attempt_at else record.due_at(due)


def delivery_row(delivery: DeliveryRecord) -> Row:
    """Gives the row of a delivery, in the order of `DELIVERY_COLUMNS`."""
    return (
        str(delivery.id),
        str(delivery.message_id),
        delivery.event,
        moment(delivery.created_at),
        delivery.sender,
        delivery.owner,
        str(delivery.subscription_id),
        delivery.content_type,
        moment(delivery.accepted_at or delivery.last.started_at),
        delivery.order_key,
        *standing(delivery),
    )


def standing(delivery: DeliveryRecord) -> Row:
    """Gives what changes of a delivery with each attempt, in the order of `STANDING`."""
    due_at, lease = delivery.next_attempt_at, delivery.lease
    started_at = moment(delivery.last.started_at)
    return (
        delivery.origin,
        delivery.state.value,
        started_at,
        moment(due_at) if due_at else None,
        lease.holder if lease else None,
        delivery.last.number,
        attempt_text(delivery.last),
        started_at if delivery.last.receiver_failed else None,
        delivery.held.value if delivery.held else None,
    )


BREAKER = "origin, failures, pause, until, probe"
"""The columns that make a circuit breaker, in the order that `breaker` takes."""


def breaker_row(origin: str, breaker: Breaker) -> Row:
    """Gives the row of a circuit breaker, in the order of `BREAKER`."""
    return (
        origin,
        breaker.failures,
        breaker.pause,
        moment(breaker.until) if breaker.until else None,
        str(breaker.probe) if breaker.probe else None,
    )


def breaker(row: Row) -> Breaker:
    """Gives the circuit breaker of a row of `BREAKER`; one that cannot be read counts as new."""
    _, failures, pause, until, probe = row
    try:
        return Breaker(
            failures=int(cast("int", failures)),
            pause=float(cast("float", pause)),
            until=datetime.fromisoformat(str(until)) if until else None,
            probe=UUID(str(probe)) if probe else None,
        )
    except ValueError:
        # No delivery should wait for somebody to mend that: it comes to be known again.
        return Breaker()


TRAFFIC = "subscription_id, full_at, queue_until, late_until, duration, in_flight"
"""The columns that make the traffic of a subscription, in the order that `traffic` takes."""


def traffic_row(subscription_id: UUID, traffic: Traffic) -> Row:
    """Gives the row of the traffic of a subscription, in the order of `TRAFFIC`."""
    moments = (traffic.full_at, traffic.queue_until, traffic.late_until)
    return (
        str(subscription_id),
        *(moment(one) if one else None for one in moments),
        traffic.duration,
        json.dumps([[str(key), moment(until)] for key, until in traffic.in_flight]),
    )


def traffic(row: Row) -> Traffic:
    """Gives the traffic of a row of `TRAFFIC`; one that cannot be read counts as new."""
    _, *moments, duration, in_flight = row
    try:
        full_at, queue_until, late_until = (_optional_moment(one) for one in moments)
        return Traffic(
            full_at=full_at,
            queue_until=queue_until,
            late_until=late_until,
            duration=None if duration is None else float(duration),
            in_flight=tuple((UUID(key), _moment(until)) for key, until in json.loads(str(in_flight))),
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        # No delivery should wait for somebody to mend that: it comes to be known again.
        return Traffic()


def _optional_moment(value: Value) -> datetime | None:
    return None if value is None else _moment(str(value))


def _moment(text: str) -> datetime:
    # One without a zone cannot be compared with the others.
    return datetime.fromisoformat(text).astimezone(UTC)


def attempt_text(attempt: Attempt) -> str:
    """Gives the text of an attempt."""
    outcome = attempt.outcome
    return json.dumps(
        {
            "number": attempt.number,
            "started_at": moment(attempt.started_at),
            "duration": attempt.duration,
            "outcome": outcome.kind.value,
            "reason": outcome.reason.value,
            "retry_at": moment(outcome.retry_at) if outcome.retry_at else None,
            "status": attempt.status,
            "detail": attempt.detail,
            "request_bytes": attempt.request_bytes,
            "response_bytes": attempt.response_bytes,
            "reused": attempt.reused,
            "timings": astuple(attempt.timings) if attempt.timings else None,
            "address": attempt.address,
            "answer": base64.b64encode(attempt.answer).decode(),
        }
    )


def attempt(delivery_id: UUID, text: str) -> Attempt:
    """Gives an attempt of a delivery from its text.

    Raises:
        StoreDamaged: If it cannot be read.
    """
    with _readable(f"history of the delivery {delivery_id}"):
        return _attempt(text)


def _attempt(text: str) -> Attempt:
    kept = json.loads(text)
    retry_at, timings = kept.pop("retry_at"), kept.pop("timings")
    return Attempt(
        started_at=datetime.fromisoformat(kept.pop("started_at")),
        outcome=Outcome(
            OutcomeKind(kept.pop("outcome")),
            Reason(kept.pop("reason")),
            datetime.fromisoformat(retry_at) if retry_at else None,
        ),
        timings=Timings(**dict(zip(_TIMINGS, timings, strict=True))) if timings else None,
        answer=base64.b64decode(kept.pop("answer")),
        **kept,
    )
