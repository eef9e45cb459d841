"""The delivery log: one structured event per attempt.

Where the application has configured structlog, events go there. Where it has not, they go to the standard
logger ``thornsdk``, which prints nothing by itself. Either way there is no secret, signature, body, query
string or userinfo in them, and no path either, for a path may be a secret too: of a URL, the origin alone.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeAlias

import structlog

from thornsdk.errors import crash
from thornsdk.model import DeliveryRecord, OutcomeKind, Receipt, ReceiptState, Subscription

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


def _identity(record: DeliveryRecord) -> dict[str, object]:
    return {
        "delivery": str(record.id),
        "message_id": str(record.message_id),
        "event_name": record.event,
        "subscription": str(record.subscription_id),
        "origin": record.origin,
    }


def attempt_fields(record: DeliveryRecord) -> dict[str, object]:
    """Gives the fields that tell an attempt, in the order of the reference."""
    attempt = record.last
    retry_at = attempt.outcome.retry_at
    fields: dict[str, object] = {
        **_identity(record),
        "attempt": attempt.number,
        "outcome": attempt.outcome.kind.value,
        "reason": attempt.outcome.reason.value,
        "status": attempt.status,
        "duration_ms": round(attempt.duration * 1000, 3),
        "request_bytes": attempt.request_bytes,
        "response_bytes": attempt.response_bytes,
        "reused": attempt.reused,
    }
    if retry_at is not None:
        fields["retry_at"] = retry_at.isoformat()
    if attempt.detail:
        fields["detail"] = attempt.detail
    return fields


class DeliveryLog:
    """Tells what happens, each thing once."""

    def attempted(self, record: DeliveryRecord) -> None:
        """Tells an attempt: ``delivery.delivered``, ``.retry``, ``.failed`` or ``.blocked``."""
        self.tell(_LEVELS[record.kind], f"delivery.{record.kind}", attempt_fields(record))

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

    def subscription_disabled(self, subscription: Subscription, why: str) -> None:
        """Tells that nothing more is sent to a subscription."""
        fields = {
            "subscription": str(subscription.id),
            "origin": str(subscription.url.origin),
            "owner": subscription.owner,
            "reason": why,
        }
        self.tell(logging.WARNING, "subscription.disabled", fields)

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
        self.tell(logging.WARNING, "delivery.left", {**_identity(record), "detail": why})

    def tell(self, level: int, event: str, fields: Fields) -> None:
        """Tells something: the name of what happened, and the rest of it."""
        try:
            self._pass_on(level, event, fields)
        except Exception as exc:
            # The application's own logging broke. No delivery may suffer for it, and somebody should know.
            with suppress(Exception):
                logging.getLogger(LOGGER).log(
                    logging.ERROR, "log.failed event=%s problem=%s", event, crash(exc)
                )

    def _pass_on(self, level: int, event: str, fields: Fields) -> None:
        if structlog.is_configured():
            # Whatever structlog wraps has a method for each level; `log` with a level not all have.
            tell = getattr(structlog.get_logger(LOGGER), logging.getLevelName(level).lower())
            tell(event, **fields)
            return
        logger = logging.getLogger(LOGGER)
        if logger.isEnabledFor(level):
            text = " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
            logger.log(level, "%s %s", event, text, extra={LOGGER: {"event": event, **fields}})
