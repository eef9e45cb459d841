"""The spans of attempts: begun when they are signed, or all at once when they are told."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from attrs import frozen
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context

from thornsdk import URL, Delivery, DeliveryRecord, Origin, OutcomeKind
from thornsdk_plugins.opentelemetry.conventions import Attributes, convention_of, scheme_of

MOST: Final = 10_000
"""How many spans one thread has begun and not ended, at most: far more than a transport has in flight."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@frozen
class _Begun:
    """What was begun for an attempt.

    Attributes:
        span: Its span; None where none could be begun.
        problem: What tracing raised meanwhile, or None.
    """

    span: Span | None
    problem: Exception | None = None


class _Table(threading.local):
    """What was begun in this thread, by delivery, the oldest first.

    An attempt is signed and told in one thread. So a table for each thread needs no lock, which a fork could
    leave locked, and keeps two attempts apart that two threads make of one delivery.
    """

    def __init__(self) -> None:
        self.begun: dict[UUID, _Begun] = {}


class AttemptSpans:
    """Begins and ends the spans of attempts.

    Args:
        tracer: What makes them.
        most: How many may be begun and not ended in one thread. The oldest above that is ended, without a
            result: nobody has told what came of it.
    """

    def __init__(self, tracer: Tracer, most: int = MOST) -> None:
        self._tracer = tracer
        self._most = most
        self._table = _Table()

    def begin(self, delivery: Delivery, at: datetime) -> Span:
        """Begins the span of an attempt, as a child of the current one.

        Args:
            delivery: What is about to be sent.
            at: When the attempt begins.
        """
        origin = delivery.subscription.url.origin
        named = _names(delivery.id, delivery.message_id, delivery.event, delivery.subscription.id)
        span = self._start(origin, named, at, told=True)
        self._put(delivery.id, _Begun(span))
        return span

    def break_off(self, delivery: Delivery, problem: Exception) -> None:
        """Notes what tracing raised while an attempt was signed: `end` raises it."""
        begun = self._table.begun.pop(delivery.id, None)
        self._put(delivery.id, _Begun(begun.span if begun else None, problem))

    def context(self, record: DeliveryRecord) -> Context | None:
        """Gives the context of the span of an attempt that has ended; None where there is no span.

        Where none was begun, it makes one of the attempt's own times, if a transport has taken it up. What
        was held back, skipped or given up is no request.
        """
        begun = self._table.begun.get(record.id)
        if begun is None and record.last.duration > 0:
            begun = _Begun(self._started(record))
            self._put(record.id, begun)
        return None if begun is None or begun.span is None else set_span_in_context(begun.span)

    def end(self, record: DeliveryRecord) -> None:
        """Ends the span of an attempt, with what came of it.

        Raises:
            Exception: What tracing raised when the attempt was signed.
        """
        begun = self._table.begun.pop(record.id, None)
        if begun is None:
            return
        if begun.span is not None:
            _finish(begun.span, record)
        if begun.problem is not None:
            raise begun.problem

    def _started(self, record: DeliveryRecord) -> Span:
        named = _names(record.id, record.message_id, record.event, record.subscription_id)
        return self._start(URL.parse(record.origin).origin, named, record.last.started_at, told=False)

    def _start(self, origin: Origin, named: Attributes, at: datetime, *, told: bool) -> Span:
        convention = convention_of(origin.scheme)
        return self._tracer.start_span(
            convention.span_name,
            kind=convention.span_kind(told=told),
            attributes={**convention.of_target(origin), **named},
            start_time=_nanoseconds(at),
        )

    def _put(self, delivery_id: UUID, begun: _Begun) -> None:
        table = self._table.begun
        _abandon(table.pop(delivery_id, None))
        if len(table) >= self._most:
            _abandon(table.pop(next(iter(table))))
        table[delivery_id] = begun


def _names(delivery: UUID, message: UUID, event: str, subscription: UUID) -> Attributes:
    return {
        "thornsdk.delivery": str(delivery),
        "thornsdk.message": str(message),
        "thornsdk.event": event,
        "thornsdk.subscription": str(subscription),
    }


def _finish(span: Span, record: DeliveryRecord) -> None:
    last = record.last
    span.set_attributes(
        {
            **convention_of(scheme_of(record)).of_result(record),
            "thornsdk.attempt": last.number,
            "thornsdk.outcome": str(last.outcome.kind),
            "thornsdk.reason": str(last.outcome.reason),
        }
    )
    if last.outcome.kind is not OutcomeKind.DELIVERED:
        # Where there is a status, it says it all.
        span.set_status(StatusCode.ERROR, last.detail or None if last.status is None else None)
    span.end(_nanoseconds(last.started_at) + round(last.duration * 1e9))


def _abandon(begun: _Begun | None) -> None:
    if begun is not None and begun.span is not None:
        begun.span.set_attribute("error.type", "_OTHER")
        begun.span.set_status(StatusCode.ERROR, "nobody has told what came of it")
        begun.span.end()


def _nanoseconds(moment: datetime) -> int:
    """Counts from 1970, as OpenTelemetry does, without the rounding of a float."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
