"""One pass of deliveries through signers and transports: where each comes to its outcome."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from uuid import UUID

from attrs import frozen

from thornsdk.errors import RecipientRefused, SerializationError, TransportError, crash
from thornsdk.logs import DeliveryLog
from thornsdk.model import (
    URL,
    Attempt,
    Delivery,
    DeliveryRecord,
    Exchange,
    Outcome,
    OutcomeKind,
    Request,
    Response,
    check_header,
)
from thornsdk.pipeline import Pipeline
from thornsdk.policy.addresses import AddressRules
from thornsdk.policy.retry import judge
from thornsdk.policy.signatures import HOOK_DELIVERY, HOOK_EVENT, HOOK_SUBSCRIPTION
from thornsdk.reasons import Reason
from thornsdk.stages import RecipientValidator, Terms, Transport
from thornsdk.typing import Clock, Random


@frozen
class Planned:
    """A delivery that is about to be attempted.

    Attributes:
        delivery: What is to be delivered.
        number: The number of the attempt; the first is 1.
        terms: The terms on which it is attempted.
        problem: Why its payload cannot be written, or None.
    """

    delivery: Delivery
    number: int
    terms: Terms
    problem: SerializationError | None = None


@frozen(kw_only=True, eq=False)
class Conditions:
    """What every attempt of an application has in common.

    Attributes:
        pipeline: The stages.
        rules: Where requests may go.
        product: What stands first in ``User-Agent``.
        clock: Tells the time.
        random: Gives the jitter.
        log: Tells what happens.
    """

    pipeline: Pipeline
    rules: AddressRules
    product: str
    clock: Clock
    random: Random
    log: DeliveryLog


class Run:
    """One pass of deliveries. Use it once.

    It never holds more than what the transport has in flight. When the subscriptions or the store break in
    the middle, it starts nothing new, waits for what is in flight, and raises then: no result is lost.

    Args:
        conditions: What every attempt has in common.
        settle: Takes each result down: in log, observers and store.
    """

    def __init__(self, conditions: Conditions, settle: Callable[[DeliveryRecord], None]) -> None:
        self._conditions = conditions
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
        feed = _Feed(self._requests(transport, group))
        while not feed.ended:
            taken, cause = feed.taken, "lost the request"
            try:
                for exchange in transport.send_many(feed):
                    yield from self._settle_never_sent()
                    yield from self._settle(transport, exchange)
            except Exception as exc:
                # A transport that breaks costs what it had in flight, not what is still to come.
                cause = crash(exc)
            if feed.taken == taken:
                next(feed, None)  # One that takes nothing would keep us here for ever.
            yield from self._settle_never_sent()
            yield from self._settle_lost(cause)

    def _requests(self, transport: Transport, group: Iterator[Planned]) -> Iterator[Request]:
        for planned in group:
            try:
                request = build_request(planned, transport, self._conditions)
            except Exception as exc:
                self._never_sent.append(self._unsent(planned, *_refusal(exc)))
                continue
            self._in_flight[request.id] = planned
            yield request

    def _settle(self, transport: Transport, exchange: Exchange) -> Iterator[DeliveryRecord]:
        planned = self._in_flight.pop(exchange.request.id, None)
        if planned is None:
            self._conditions.log.unknown_exchange(transport)
            return
        try:
            attempt = self._attempt(planned, exchange)
        except Exception as exc:
            # A result that makes no sense is the trouble of this delivery alone.
            yield self._lost(planned, f"gave a result that cannot be read ({crash(exc)})")
            return
        yield self._told(DeliveryRecord.of(planned.delivery, attempt))

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
            policy=planned.terms.retry,
            now=self._conditions.clock(),
            random=self._conditions.random,
        )

    def _unsent(self, planned: Planned, outcome: Outcome, detail: str) -> DeliveryRecord:
        now = self._conditions.clock()
        attempt = Attempt(number=planned.number, started_at=now, duration=0.0, outcome=outcome, detail=detail)
        return self._told(DeliveryRecord.of(planned.delivery, attempt))

    def _told(self, record: DeliveryRecord) -> DeliveryRecord:
        try:
            self._settle_record(record)
        except Exception as exc:
            self._broken = self._broken or exc
        return record


class _Feed:
    """Requests as a transport reads them; knows how many were taken and whether there are more."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self.taken = 0
        self.ended = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> Request:
        try:
            request = next(self._requests)
        except StopIteration:
            self.ended = True
            raise
        self.taken += 1
        return request


def build_request(planned: Planned, transport: Transport, conditions: Conditions) -> Request:
    """Builds the signed request of a delivery.

    Raises:
        RecipientRefused: If policy does not allow the recipient.
        SerializationError: If the payload cannot be written for this subscription.
    """
    delivery, terms = planned.delivery, planned.terms
    if planned.problem is not None:
        raise planned.problem
    check_recipient(delivery.subscription.url, conditions.rules, terms.recipient_validators)
    return Request(
        id=delivery.id,
        url=delivery.subscription.url,
        headers=(
            ("User-Agent", f"{conditions.product} {transport.user_agent}"),
            ("Content-Type", delivery.content_type),
            (HOOK_EVENT, delivery.event),
            (HOOK_DELIVERY, str(delivery.id)),
            (HOOK_SUBSCRIPTION, str(delivery.subscription.id)),
            *_signed(delivery, conditions),
            *delivery.subscription.headers,
        ),
        body=delivery.body,
        timeout=terms.timeout,
    )


def check_recipient(
    url: URL, rules: AddressRules, recipient_validators: Iterable[RecipientValidator]
) -> None:
    """Refuses a URL that the rules or a recipient validator refuse.

    Raises:
        RecipientRefused: With the reason. A validator that raises another error refuses the URL too.
    """
    rules.check_url(url)
    for validator in recipient_validators:
        try:
            validator(url)
        except RecipientRefused:
            raise
        except Exception as exc:
            raise RecipientRefused(f"a recipient validator {crash(exc)}") from exc


def _signed(delivery: Delivery, conditions: Conditions) -> Iterator[tuple[str, str]]:
    now = conditions.clock()
    for signer in conditions.pipeline.signers:
        for name, value in signer.sign(delivery, now):
            check_header(name, value)
            yield name, value


def _refusal(error: Exception) -> tuple[Outcome, str]:
    """Says what it means that a request could not be built."""
    if isinstance(error, RecipientRefused):
        return Outcome(OutcomeKind.BLOCKED, error.reason), error.detail
    if isinstance(error, SerializationError):
        return Outcome(OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE), str(error)
    return Outcome(OutcomeKind.FAILED, Reason.STAGE_FAILED), f"a stage {crash(error)}"
