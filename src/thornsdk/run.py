"""One pass of deliveries through the transports: where each comes to its outcome."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from thornsdk.dispatching import Planned
from thornsdk.errors import RecipientRefused, SerializationError, TransportError, crash
from thornsdk.model import (
    KEPT_ANSWER,
    Attempt,
    DeliveryRecord,
    Exchange,
    Outcome,
    OutcomeKind,
    Request,
    Response,
    Subscription,
)
from thornsdk.planned import Conditions, TooManyLost, build_request
from thornsdk.policy.retry import judge
from thornsdk.reasons import Reason
from thornsdk.stages import Transport

Settle: TypeAlias = Callable[[DeliveryRecord, Subscription], None]
"""Takes a result down, and what it was sent to."""

Hold: TypeAlias = Callable[[Planned], DeliveryRecord | None]
"""Holds a delivery back that must not be attempted now, and gives what is then known of it; or None."""

_PAUSE = 1000
"""After how many deliveries in a row that are not sent they are given.

Then nothing more is sent until what is in flight has ended.
"""


def hold_nothing(planned: Planned) -> None:
    """Lets every delivery through."""


class Run:
    """One pass of deliveries. Use it once.

    It never holds more than what the transport has in flight, and a few that could not be sent. When the
    subscriptions or the store break in the middle, it starts nothing new, waits for what is in flight, and
    raises then: no result is lost.

    Args:
        conditions: What every attempt has in common.
        settle: Takes each result down: in store, log and observers.
        hold: Is asked about each delivery before it is attempted.
    """

    def __init__(self, conditions: Conditions, settle: Settle, hold: Hold = hold_nothing) -> None:
        self._conditions = conditions
        self._hold = hold
        self._settle_record = settle
        self._in_flight: dict[UUID, Planned] = {}
        self._never_sent: deque[DeliveryRecord] = deque()
        self._broken: Exception | None = None

    def attempt(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery once, and gives each result when it is known.

        Raises:
            Exception: What the subscriptions, the log or the store raised; every attempt that was begun has
                been given before.
        """
        stream = self._until_broken(planned)
        for transport, group in groupby(stream, self._transport):
            if transport is None:
                yield from self._refuse(group)
            else:
                yield from self._through(transport, group)
        if self._broken is not None:
            raise self._broken

    def _until_broken(self, planned: Iterable[Planned]) -> Iterator[Planned]:
        stream = iter(planned)
        while self._broken is None:
            try:
                one = next(stream)
            except StopIteration:
                return
            except Exception as exc:
                self._broken = exc
                return
            yield one

    def _transport(self, planned: Planned) -> Transport | None:
        scheme = planned.delivery.subscription.url.scheme
        return self._conditions.pipeline.by_scheme.get(scheme)

    def _refuse(self, group: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        for planned in group:
            scheme = planned.delivery.subscription.url.scheme
            outcome = Outcome(OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN)
            yield self._unsent(planned, outcome, f"no transport serves the scheme {scheme!r}")

    def _through(self, transport: Transport, group: Iterator[Planned]) -> Iterator[DeliveryRecord]:
        feed = _Feed(group, lambda planned: self._request(transport, planned))
        while not feed.ended:
            begun, cause = feed.begun, "lost the request"
            try:
                for exchange in transport.send_many(feed):
                    if self._never_sent:
                        yield from self._settle_never_sent()
                    if (record := self._settle(transport, exchange)) is not None:
                        yield record
            except Exception as exc:
                # A transport that breaks costs what it had in flight, not what is still to come.
                cause = crash(exc)
            if feed.begun == begun:
                next(feed, None)  # One that takes nothing would keep us here for ever.
            yield from self._settle_never_sent()
            yield from self._settle_lost(cause)

    def _request(self, transport: Transport, planned: Planned) -> Request | None:
        if self._is_held(planned):
            return None
        try:
            request = build_request(planned, transport, self._conditions)
        except Exception as exc:
            self._never_sent.append(self._unsent(planned, *self._refusal(planned, exc)))
            return None
        self._in_flight[request.id] = planned
        return request

    def _is_held(self, planned: Planned) -> bool:
        try:
            held = self._hold(planned)
        except Exception as exc:
            self._broken = self._broken or exc
            return True
        if held is not None:
            self._never_sent.append(held)
        return held is not None

    def _settle(self, transport: Transport, exchange: Exchange) -> DeliveryRecord | None:
        planned = self._in_flight.pop(exchange.request.id, None)
        if planned is None:
            self._conditions.log.unknown_exchange(transport)
            return None
        try:
            attempt = self._attempt(planned, exchange)
        except Exception as exc:
            # A result that makes no sense is the trouble of this delivery alone.
            return self._lost(planned, f"gave a result that cannot be read ({crash(exc)})")
        return self._told(planned, attempt)

    def _attempt(self, planned: Planned, exchange: Exchange) -> Attempt:
        result = exchange.result
        outcome = self._judge(planned, result)
        answer = result if isinstance(result, Response) else None
        return Attempt(
            number=planned.number,
            started_at=exchange.started_at,
            duration=exchange.duration,
            outcome=outcome,
            status=answer.status if answer else None,
            detail=result.detail if isinstance(result, TransportError) else "",
            request_bytes=0 if outcome.kind is OutcomeKind.BLOCKED else len(exchange.request.body),
            response_bytes=len(answer.body) if answer else 0,
            reused=answer.reused if answer else None,
            timings=result.timings,
            address=answer.address if answer else None,
            answer=answer.body[:KEPT_ANSWER] if answer else b"",
        )

    def _settle_never_sent(self) -> Iterator[DeliveryRecord]:
        while self._never_sent:
            yield self._never_sent.popleft()

    def _settle_lost(self, cause: str) -> Iterator[DeliveryRecord]:
        lost = list(self._in_flight.values())
        self._in_flight.clear()
        for planned in lost:
            yield self._lost(planned, cause)

    def _lost(self, planned: Planned, cause: str) -> DeliveryRecord:
        error = TransportError(Reason.STAGE_FAILED, f"the transport {cause}")
        return self._unsent(planned, self._judge(planned, error), error.detail)

    def _judge(self, planned: Planned, result: Response | TransportError) -> Outcome:
        return judge(
            result,
            number=planned.number,
            policy=planned.retry,
            now=self._conditions.clock(),
            random=self._conditions.random,
        )

    def _unsent(self, planned: Planned, outcome: Outcome, detail: str) -> DeliveryRecord:
        now = self._conditions.clock()
        attempt = Attempt(number=planned.number, started_at=now, duration=0.0, outcome=outcome, detail=detail)
        return self._told(planned, attempt)

    def _told(self, planned: Planned, attempt: Attempt) -> DeliveryRecord:
        record = DeliveryRecord.of(planned.delivery, attempt)
        try:
            self._settle_record(record, planned.delivery.subscription)
        except Exception as exc:
            self._broken = self._broken or exc
        return record

    def _refusal(self, planned: Planned, error: Exception) -> tuple[Outcome, str]:
        """Says what it means that a request could not be built."""
        if isinstance(error, TooManyLost):
            detail = (
                "earlier attempts were lost with the processes that made them; this may be what ends them"
            )
            return Outcome(OutcomeKind.FAILED, Reason.WORKER_LOST), detail
        if isinstance(error, RecipientRefused):
            return Outcome(OutcomeKind.BLOCKED, error.reason), error.detail
        if isinstance(error, SerializationError):
            return Outcome(OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE), str(error)
        broken = TransportError(Reason.STAGE_FAILED, f"a stage {crash(error)}")
        return self._judge(planned, broken), broken.detail


class _Feed:
    """Requests as a transport reads them; knows how many were begun and whether there are more.

    After many in a row that could not be built it pauses, so that they can be settled: a transport takes that
    for the end, and is called again.
    """

    def __init__(self, group: Iterator[Planned], build: Callable[[Planned], Request | None]) -> None:
        self._group = group
        self._build = build
        self.begun = 0
        self.ended = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> Request:
        for _ in range(_PAUSE):
            planned = next(self._group, None)
            if planned is None:
                self.ended = True
                break
            self.begun += 1
            request = self._build(planned)
            if request is not None:
                return request
        raise StopIteration
