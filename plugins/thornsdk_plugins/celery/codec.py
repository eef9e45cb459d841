"""Tasks as JSON: what stands in the broker."""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar, cast
from uuid import UUID

from thornsdk import (
    Attempt,
    Audience,
    Body,
    DeliveryRecord,
    Outcome,
    OutcomeKind,
    Plain,
    Reason,
    RetryPolicy,
    Terms,
)
from thornsdk.errors import SerializationError, ThornError
from thornsdk_plugins.celery.documents import Batch, Envelope, Needs, Resume, Retry, due_at

VERSION = 1
"""The version of what is written here. A worker that does not know it leaves the task to one that does."""

Document: TypeAlias = dict[str, Plain]

T = TypeVar("T")


class Unreadable(Exception):
    """A task cannot be read: it is of another version, or not one of ours."""


def travelling_size(envelope: Envelope) -> int:
    """Gives how long the bodies of a message are together in a task, in bytes."""
    return sum(len(json.dumps(_write_body(one))) for one in envelope.bodies.values())


def write_envelopes(envelopes: Sequence[Envelope]) -> Document:
    """Writes the messages of a task that finds their subscribers."""
    return _versioned({"messages": [_write_envelope(one) for one in envelopes]})


def read_envelopes(document: object) -> tuple[Envelope, ...]:
    """Reads what `write_envelopes` wrote.

    Raises:
        Unreadable: If it cannot be read.
    """
    return _read(document, lambda found: tuple(_read_envelope(one) for one in _list(found["messages"])))


def write_batch(batch: Batch) -> Document:
    """Writes a batch."""
    return _versioned(
        {
            "message": _write_envelope(batch.envelope),
            "subscriptions": [str(one) for one in batch.subscriptions],
            "number": batch.number,
            "again": batch.again,
        }
    )


def read_batch(document: object) -> Batch:
    """Reads what `write_batch` wrote.

    Raises:
        Unreadable: If it cannot be read.
    """
    return _read(
        document,
        lambda found: Batch(
            envelope=_read_envelope(found["message"]),
            subscriptions=tuple(UUID(_text(one)) for one in _list(found["subscriptions"])),
            number=_count(found["number"]),
            again=_switch(found["again"]),
        ),
    )


def write_resume(resume: Resume) -> Document:
    """Writes which deliveries of the store are attempted again."""
    return _versioned(
        {
            "at": resume.at.isoformat(),
            "deliveries": [[str(key), number] for key, number in resume.deliveries],
            "terms": None if resume.terms is None else _write_terms(resume.terms),
            "needs": _write_needs(resume.needs),
        }
    )


def read_resume(document: object) -> Resume:
    """Reads what `write_resume` wrote.

    Raises:
        Unreadable: If it cannot be read.
    """
    return _read(
        document,
        lambda found: Resume(
            at=_moment(found["at"]),
            deliveries=tuple(_read_delivery(one) for one in _list(found["deliveries"])),
            terms=None if found["terms"] is None else _read_terms(found["terms"]),
            needs=_read_needs(found["needs"]),
        ),
    )


def write_retry(retry: Retry) -> Document:
    """Writes a delivery that is attempted again."""
    return _versioned(
        {
            "delivery": _write_record(retry.record),
            "terms": _write_terms(retry.terms),
            "needs": _write_needs(retry.needs),
        }
    )


def read_retry(document: object) -> Retry:
    """Reads what `write_retry` wrote.

    Raises:
        Unreadable: If it cannot be read.
    """
    return _read(
        document,
        lambda found: Retry(
            record=_read_record(found["delivery"]),
            terms=_read_terms(found["terms"]),
            needs=_read_needs(found["needs"]),
        ),
    )


def _versioned(document: Document) -> Document:
    return {"version": VERSION, **document}


def _read(document: object, read: Callable[[Document], T]) -> T:
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION:
        # A document of a stranger may have anything there, a body too.
        shown = version if isinstance(version, int) else None
        raise Unreadable(f"it is of version {shown}; this worker knows version {VERSION}")
    try:
        return read(cast("Document", document))
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, ThornError) as exc:
        # The text of the cause may hold a part of a body.
        raise Unreadable(f"a part of it is missing or wrong ({type(exc).__name__})") from exc


def _write_envelope(envelope: Envelope) -> Document:
    return {
        "id": str(envelope.message_id),
        "created_at": envelope.created_at.isoformat(),
        "sender": envelope.audience.sender,
        "broadcast": envelope.audience.broadcast,
        "bodies": {key: _write_body(one) for key, one in envelope.bodies.items()},
        "terms": _write_terms(envelope.terms),
        "needs": _write_needs(envelope.needs),
        "again": envelope.again,
    }


def _read_envelope(document: Plain) -> Envelope:
    found = _mapping(document)
    needs = _read_needs(found["needs"])
    return Envelope(
        message_id=UUID(_text(found["id"])),
        created_at=_moment(found["created_at"]),
        audience=Audience(
            event=needs.event, sender=_optional_text(found["sender"]), broadcast=_switch(found["broadcast"])
        ),
        bodies={key: _read_body(one) for key, one in _mapping(found["bodies"]).items()},
        terms=_read_terms(found["terms"]),
        needs=needs,
        again=_switch(found["again"]),
    )


def _write_body(body: Body) -> Document:
    if isinstance(body, SerializationError):
        return {"path": body.path, "problem": body.problem}
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _read_body(document: Plain) -> Body:
    found = _mapping(document)
    if "problem" in found:
        return SerializationError(_text(found["path"]), _text(found["problem"]))
    if "text" in found:
        return _text(found["text"]).encode()
    return base64.b64decode(_text(found["base64"]), validate=True)


def _write_needs(needs: Needs) -> Document:
    return {"event": needs.event, "store": needs.store, "requirements": list(needs.requirements)}


def _read_needs(document: Plain) -> Needs:
    found = _mapping(document)
    return Needs(
        event=_text(found["event"]),
        store=_optional_text(found["store"]),
        requirements=tuple(_text(one) for one in _list(found["requirements"])),
    )


def _write_terms(terms: Terms) -> Document:
    retry = terms.retry
    return {
        "timeout": terms.timeout,
        "schedule": list(retry.schedule),
        "jitter": retry.jitter,
        "max_retry_after": retry.max_retry_after,
        "permanent": [*sorted(retry.permanent)],
    }


def _read_terms(document: Plain) -> Terms:
    found = _mapping(document)
    retry = RetryPolicy(
        [_number(one) for one in _list(found["schedule"])],
        jitter=_number(found["jitter"]),
        max_retry_after=_number(found["max_retry_after"]),
        permanent=[_whole(one) for one in _list(found["permanent"])],
    )
    return Terms(timeout=_number(found["timeout"]), retry=retry)


def _read_delivery(document: Plain) -> tuple[UUID, int]:
    key, number = _list(document)
    return UUID(_text(key)), _count(number)


def _write_record(record: DeliveryRecord) -> Document:
    last = record.last
    return {
        "id": str(record.id),
        "message_id": str(record.message_id),
        "event": record.event,
        "created_at": record.created_at.isoformat(),
        "sender": record.sender,
        "owner": record.owner,
        "subscription_id": str(record.subscription_id),
        "origin": record.origin,
        "content_type": record.content_type,
        "body": _write_body(record.body),
        "number": last.number,
        "started_at": last.started_at.isoformat(),
        "reason": last.outcome.reason.value,
        "due_at": due_at(record).isoformat(),
        "held": record.held.value if record.held else None,
    }


def _read_record(document: Plain) -> DeliveryRecord:
    found = _mapping(document)
    # The rest of the last attempt was told when it ended; it is not needed to make the next one.
    last = Attempt(
        number=_attempts(found["number"]),
        started_at=_moment(found["started_at"]),
        duration=0.0,
        outcome=Outcome(OutcomeKind.RETRY, Reason(_text(found["reason"])), _moment(found["due_at"])),
    )
    return DeliveryRecord(
        id=UUID(_text(found["id"])),
        message_id=UUID(_text(found["message_id"])),
        event=_text(found["event"]),
        created_at=_moment(found["created_at"]),
        sender=_optional_text(found["sender"]),
        owner=_optional_text(found["owner"]),
        subscription_id=UUID(_text(found["subscription_id"])),
        origin=_text(found["origin"]),
        content_type=_text(found["content_type"]),
        body=_bytes(_read_body(found["body"])),
        last=last,
        held=None if found["held"] is None else Reason(_text(found["held"])),
    )


def _mapping(value: Plain) -> Mapping[str, Plain]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list(value: Plain) -> list[Plain]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: Plain) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional_text(value: Plain) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Plain) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _number(value: Plain) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _count(value: Plain) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError
    return number


def _attempts(value: Plain) -> int:
    number = _whole(value)
    if number < 0:
        raise ValueError
    return number


def _switch(value: Plain) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _bytes(body: Body) -> bytes:
    if not isinstance(body, bytes):
        raise TypeError
    return body


def _moment(value: Plain) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment
