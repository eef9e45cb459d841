"""The delivery log: one structured event per attempt.

Where the application has configured structlog, events go there. Where it has not, they go to the standard
logger ``thornsdk``, which prints nothing by itself. Either way there is no secret, signature, body, query
string or userinfo in them, and no path either, for a path may be a secret too: of a URL, the origin alone.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias

import structlog

from thornsdk.errors import ThornError, crash
from thornsdk.model import (
    Attempt,
    DeliveryRecord,
    Message,
    OutcomeKind,
    Receipt,
    ReceiptState,
    Subscription,
    SubscriptionNotice,
)
from thornsdk.policy.breaker import Breaker
from thornsdk.timings import Timings

LOGGER: Final = "thornsdk"

Fields: TypeAlias = Mapping[str, object]

_LEVELS = {
    OutcomeKind.DELIVERED: logging.INFO,
    OutcomeKind.RETRY: logging.WARNING,
    OutcomeKind.FAILED: logging.ERROR,
    OutcomeKind.BLOCKED: logging.ERROR,
}

# A library's logger has a handler that does nothing, so that Python's handler of last resort prints nothing.
logging.getLogger(LOGGER).addHandler(logging.NullHandler())


def identity_fields(record: DeliveryRecord) -> dict[str, object]:
    """Gives the fields that tell a delivery."""
    return {
        "delivery": str(record.id),
        "message_id": str(record.message_id),
        "event_name": record.event,
        "subscription": str(record.subscription_id),
        "origin": record.origin,
    }


def _timings(timings: Timings) -> dict[str, object]:
    """Gives the steps that there were, in milliseconds. The total is the attempt's duration."""
    steps = {
        "lookup_ms": timings.lookup,
        "connect_ms": timings.connect,
        "tls_ms": timings.tls,
        "first_byte_ms": timings.first_byte,
    }
    return {name: _milliseconds(seconds) for name, seconds in steps.items() if seconds is not None}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def result_fields(attempt: Attempt) -> dict[str, object]:
    """Gives the fields that tell what came of an attempt, in the order of the reference."""
    outcome = attempt.outcome
    retry_at = outcome.retry_at
    fields: dict[str, object] = {
        "attempt": attempt.number,
        "outcome": str(outcome.kind),
        "reason": str(outcome.reason),
        "status": attempt.status,
        "duration_ms": _milliseconds(attempt.duration),
    }
    if attempt.timings is not None:
        fields.update(_timings(attempt.timings))
    fields["request_bytes"] = attempt.request_bytes
    fields["response_bytes"] = attempt.response_bytes
    fields["reused"] = attempt.reused
    if retry_at is not None:
        fields["retry_at"] = retry_at.isoformat()
    if attempt.detail:
        fields["detail"] = attempt.detail
    return fields


def attempt_fields(record: DeliveryRecord) -> dict[str, object]:
    """Gives the fields that tell a delivery and its latest attempt, in the order of the reference."""
    return {**identity_fields(record), **result_fields(record.last)}


class DeliveryLog:
    """Tells what happens, each thing once."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def attempted(self, record: DeliveryRecord) -> None:
        """Tells an attempt: ``delivery.delivered``, ``.retry``, ``.failed`` or ``.blocked``.

        Where none was made, for the subscription is disabled, it is ``delivery.skipped``: that is no alarm.
        """
        level = logging.INFO if record.skipped else _LEVELS[record.kind]
        if not self._is_heard(level):
            return
        if record.skipped:
            self.tell(level, "delivery.skipped", attempt_fields(record))
        else:
            self.tell(level, f"delivery.{record.kind}", attempt_fields(record))

    def message_taken(self, receipt: Receipt) -> None:
        """Tells what a dispatcher has done with a message that it did not deliver here and now."""
        fields = {
            "message_id": str(receipt.message_id),
            "event_name": receipt.event,
            "dispatcher": receipt.dispatcher,
        }
        if receipt.task_id is not None:
            fields["task"] = receipt.task_id
        level = logging.WARNING if receipt.state is ReceiptState.STORED else logging.INFO
        self.tell(level, f"message.{receipt.state}", fields)

    def subscription_switched(self, subscription: Subscription) -> None:
        """Tells that nothing more is sent to a subscription, or that it is sent to again."""
        fields = {
            "subscription": str(subscription.id),
            "origin": str(subscription.url.origin),
            "owner": subscription.owner,
        }
        if subscription.active:
            self.tell(logging.INFO, "subscription.enabled", fields)
        else:
            self.tell(logging.WARNING, "subscription.disabled", {**fields, "reason": subscription.disabled})

    def subscription_failing(self, notice: SubscriptionNotice) -> None:
        """Tells that all attempts to a subscription have failed for long."""
        fields = {
            "subscription": str(notice.subscription_id),
            "origin": notice.origin,
            "owner": notice.owner,
            "since": _text(notice.failing_since),
            "disable_at": _text(notice.disable_at),
        }
        self.tell(logging.WARNING, "subscription.failing", fields)

    def origin_paused(self, record: DeliveryRecord, breaker: Breaker) -> None:
        """Tells that nothing more is sent to an origin for a while; the record is of the last straw."""
        fields = {
            "origin": record.origin,
            "failures": breaker.failures,
            "reason": str(record.last.outcome.reason),
            "until": _text(breaker.until),
        }
        self.tell(logging.WARNING, "origin.paused", fields)

    def origin_resumed(self, origin: str) -> None:
        """Tells that an origin that was paused is sent to again."""
        self.tell(logging.INFO, "origin.resumed", {"origin": origin})

    def observer_failed(self, observer: object, problem: Exception) -> None:
        """Tells that an observer raised."""
        kind = type(observer)
        fields = {
            "observer": f"{kind.__module__}.{kind.__qualname__}",
            "problem": crash(problem),
        }
        self.tell(logging.ERROR, "observer.failed", fields)

    def unknown_exchange(self, transport: object) -> None:
        """Tells that a transport gave a result for a request that it was not given, or gave one twice."""
        kind = type(transport)
        fields = {"transport": f"{kind.__module__}.{kind.__qualname__}"}
        self.tell(logging.ERROR, "transport.unknown_exchange", fields)

    def delivery_left(self, record: DeliveryRecord, why: str) -> None:
        """Tells that a delivery was due and could not be attempted here: it stays pending."""
        self.tell(logging.WARNING, "delivery.left", {**identity_fields(record), "detail": why})

    def outbox_left(self, row: str, problem: ThornError, message: Message[object] | None) -> None:
        """Tells that a row of the outbox could not be handed over: it stays there. None: it was not read."""
        fields: dict[str, object] = {"row": row, "detail": str(problem)}
        if message is not None:
            fields.update(message_id=str(message.id), event_name=message.event)
        self.tell(logging.ERROR, "outbox.left", fields)

    def tell(self, level: int, event: str, fields: Fields) -> None:
        """Tells something: the name of what happened, and the rest of it."""
        try:
            self._pass_on(level, event, fields)
        except Exception as exc:
            # The application's own logging broke. No delivery may suffer for it, and somebody should know.
            with suppress(Exception):
                self._logger.log(logging.ERROR, "log.failed event=%s problem=%s", event, crash(exc))

    def _is_heard(self, level: int) -> bool:
        """Tells whether it is worth while to gather what there is to tell: attempts are many."""
        return structlog.is_configured() or self._logger.isEnabledFor(level)

    def _pass_on(self, level: int, event: str, fields: Fields) -> None:
        if structlog.is_configured():
            # Whatever structlog wraps has a method for each level; `log` with a level not all have.
            tell = getattr(structlog.get_logger(LOGGER), logging.getLevelName(level).lower())
            tell(event, **fields)
            return
        if self._logger.isEnabledFor(level):
            text = " ".join([f"{key}={value}" for key, value in fields.items() if value is not None])
            self._logger.handle(self._record(level, event, text, {LOGGER: {"event": event, **fields}}))

    def _record(self, level: int, event: str, text: str, extra: Fields) -> logging.LogRecord:
        # `Logger.log` would look for who called, and always find this line.
        return self._logger.makeRecord(
            LOGGER, level, __file__, 0, "%s %s", (event, text), exc_info=None, extra=extra
        )
