"""One attempt of a delivery: from what is planned to a request, and from its result to an outcome."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias
from uuid import UUID

from thornsdk.dispatching import Planned
from thornsdk.errors import InvalidHeader, RecipientRefused, SerializationError, TransportError, crash
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

InFlight: TypeAlias = dict[UUID, Planned]
"""What a transport was given and has told no result of, by the ids of the requests."""


def hold_nothing(planned: Planned) -> None:
    """Lets every delivery through."""


class Attempts:
    """Begins and ends the attempts of one pass, all in the caller's thread.

    Args:
        conditions: What every attempt has in common.
        settle: Takes each result down: in store, log and observers.
        hold: Is asked about each delivery before it is attempted.
    """

    def __init__(self, conditions: Conditions, settle: Settle, hold: Hold) -> None:
        self._conditions = conditions
        self._hold = hold
        self._settle = settle
        self._unsent: deque[DeliveryRecord] = deque()
        self.broken: Exception | None = None
        """What the store or the log raised; nothing more is to be begun then."""

    def begin(self, planned: Planned, transport: Transport, in_flight: InFlight) -> Request | None:
        """Builds the request of an attempt; None where nothing is sent: see `unsent`."""
        if self._is_held(planned):
            return None
        try:
            request = build_request(planned, transport, self._conditions)
        except Exception as exc:
            self._unsent.append(self._ended_unsent(planned, *self._refusal(planned, exc)))
            return None
        in_flight[request.id] = planned
        return request

    def unsent(self) -> Iterator[DeliveryRecord]:
        """Gives what became of the deliveries that were not sent, once."""
        while self._unsent:
            yield self._unsent.popleft()

    def end(self, exchange: Exchange, transport: Transport, in_flight: InFlight) -> DeliveryRecord | None:
        """Judges and settles what came of a request; None where nobody has asked for it."""
        planned = in_flight.pop(exchange.request.id, None)
        if planned is None:
            self._conditions.log.unknown_exchange(transport)
            return None
        try:
            attempt = self._attempt(planned, exchange)
        except Exception as exc:
            # A result that makes no sense is the trouble of this delivery alone.
            return self.lose_one(planned, f"gave a result that cannot be read ({crash(exc)})")
        return self._told(planned, attempt)

    def lose(self, in_flight: InFlight, cause: str) -> Iterator[DeliveryRecord]:
        """Settles what a transport has told no result of.

        Args:
            in_flight: What it had in flight; there is nothing in it then.
            cause: What the transport did, such as ``lost the request``.
        """
        lost = list(in_flight.values())
        in_flight.clear()
        for planned in lost:
            yield self.lose_one(planned, cause)

    def lose_one(self, planned: Planned, cause: str) -> DeliveryRecord:
        """Settles one that a transport has told no result of."""
        error = TransportError(Reason.STAGE_FAILED, f"the transport {cause}")
        return self._ended_unsent(planned, self._judge(planned, error), error.detail)

    def refuse(self, planned: Planned) -> DeliveryRecord:
        """Settles a delivery whose scheme no transport serves."""
        scheme = planned.delivery.subscription.url.scheme
        outcome = Outcome(OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN)
        return self._ended_unsent(planned, outcome, f"no transport serves the scheme {scheme!r}")

    def _is_held(self, planned: Planned) -> bool:
        try:
            held = self._hold(planned)
        except Exception as exc:
            self.broken = self.broken or exc
            return True
        if held is not None:
            self._unsent.append(held)
        return held is not None

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

    def _judge(self, planned: Planned, result: Response | TransportError) -> Outcome:
        return judge(
            result,
            number=planned.number,
            policy=planned.retry,
            now=self._conditions.clock(),
            random=self._conditions.random,
        )

    def _ended_unsent(self, planned: Planned, outcome: Outcome, detail: str) -> DeliveryRecord:
        now = self._conditions.clock()
        attempt = Attempt(number=planned.number, started_at=now, duration=0.0, outcome=outcome, detail=detail)
        return self._told(planned, attempt)

    def _told(self, planned: Planned, attempt: Attempt) -> DeliveryRecord:
        record = DeliveryRecord.of(planned.delivery, attempt)
        try:
            self._settle(record, planned.delivery.subscription)
        except Exception as exc:
            self.broken = self.broken or exc
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
        told = str(error) if isinstance(error, InvalidHeader) else f"a stage {crash(error)}"
        broken = TransportError(Reason.STAGE_FAILED, told)
        return self._judge(planned, broken), broken.detail
