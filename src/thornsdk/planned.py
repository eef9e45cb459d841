"""From planned deliveries to signed requests."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import evolve, field, frozen

from thornsdk.dispatching import Bodies, Dispatch, Planned, RecipientValidator, Terms
from thornsdk.errors import RecipientRefused, SerializationError, crash
from thornsdk.gates import Hold
from thornsdk.logs import DeliveryLog
from thornsdk.model import (
    URL,
    Attempt,
    Delivery,
    DeliveryRecord,
    Outcome,
    OutcomeKind,
    Request,
    Subscription,
    check_signed,
)
from thornsdk.pipeline import Pipeline
from thornsdk.policy.addresses import AddressRules
from thornsdk.policy.breaker import BreakerPolicy
from thornsdk.policy.signatures import HOOK_DELIVERY, HOOK_EVENT, HOOK_SUBSCRIPTION
from thornsdk.reasons import Reason
from thornsdk.stages import Transport
from thornsdk.typing import Clock, Headers, Random, Sleep

LEAST_TRIES = 10
"""How many attempts may be lost before a delivery is given up, whatever its terms.

An attempt counts as lost too when its process had not begun it yet: brokers do not tell.
"""


class TooManyLost(Exception):
    """The attempts of a delivery were lost with the processes that made them: it may be what kills them."""


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
        disable_after: How long every attempt to a subscription may fail before it is disabled; None for
            ever.
        breaker: When an origin that keeps failing is paused.
        sleep: Waits until a replay may be sent.
    """

    pipeline: Pipeline
    rules: AddressRules
    product: str
    clock: Clock
    random: Random
    log: DeliveryLog
    disable_after: timedelta | None = None
    breaker: BreakerPolicy = field(factory=BreakerPolicy)
    sleep: Sleep = time.sleep


def plan(dispatch: Dispatch, subscription: Subscription) -> Planned:
    """Plans the first attempt to deliver a message to a subscription."""
    message = dispatch.message
    body, problem = _parts(dispatch.bodies, subscription.content_type)
    path = subscription.ordered_by
    delivery = Delivery(
        message_id=message.id,
        event=message.event,
        created_at=message.created_at,
        sender=message.sender,
        subscription=subscription,
        content_type=subscription.content_type,
        body=body,
        order_key=None if path is None else dispatch.bodies.order_key(path),
    )
    return Planned(delivery=delivery, number=1, terms=dispatch.terms, problem=problem)


def plan_again(record: DeliveryRecord, subscription: Subscription, terms: Terms) -> Planned:
    """Plans the next attempt of a delivery."""
    last = record.last.outcome.reason
    # There is no body to send where the payload could not be written.
    unwritten = last is Reason.NOT_SERIALIZABLE
    delivery = Delivery(
        id=record.id,
        message_id=record.message_id,
        event=record.event,
        created_at=record.created_at,
        sender=record.sender,
        subscription=subscription,
        content_type=record.content_type,
        body=record.body,
        order_key=record.order_key,
    )
    return Planned(
        delivery=delivery,
        number=record.last.number + 1,
        terms=terms,
        problem=SerializationError("$", "it could not be written when it was sent") if unwritten else None,
        lost=last is Reason.WORKER_LOST,
        known=record,
    )


def with_problem_of(dispatch: Dispatch, planned: Planned) -> Planned:
    """Gives a plan that was made from the store; where there is no body, it says why, as its message does."""
    if planned.problem is None:
        return planned
    _, problem = _parts(dispatch.bodies, planned.delivery.content_type)
    return evolve(planned, problem=problem)


def held_back(planned: Planned, hold: Hold, now: datetime) -> DeliveryRecord:
    """Gives what is true of a delivery that is held back.

    The number of its latest attempt stays as it is, and so does what came of that.

    Args:
        planned: The delivery.
        hold: Why, and until when.
        now: When it was held back.
    """
    known = planned.known or DeliveryRecord.of(planned.delivery, _before(planned, hold.until, now))
    if known.last.number == 0:
        outcome = Outcome(OutcomeKind.RETRY, hold.reason, hold.until)
        known = evolve(known, last=evolve(known.last, outcome=outcome))
    origin = str(planned.delivery.subscription.url.origin)
    return evolve(known.due_at(hold.until), origin=origin, lease=None, held=hold.reason)


def skipped(planned: Planned, now: datetime) -> DeliveryRecord:
    """Gives what is kept of a delivery whose subscription is disabled: all that a replay needs.

    What cannot be written has failed: no replay would find a body.
    """
    number, reason = planned.number - 1, Reason.SUBSCRIPTION_DISABLED
    detail = planned.delivery.subscription.disabled or ""
    if planned.problem is not None:
        number, reason, detail = planned.number, Reason.NOT_SERIALIZABLE, str(planned.problem)
    outcome = Outcome(OutcomeKind.FAILED, reason)
    attempt = Attempt(number=number, started_at=now, duration=0.0, outcome=outcome, detail=detail)
    return DeliveryRecord.of(planned.delivery, attempt)


def build_request(planned: Planned, transport: Transport, conditions: Conditions) -> Request:
    """Builds the signed request of a delivery.

    Raises:
        TooManyLost: If it is not to be attempted again, since attempts do not come back.
        RecipientRefused: If policy does not allow the recipient.
        SerializationError: If the payload cannot be written for this subscription.
        Exception: What a serializer or signer raised.
    """
    delivery, terms = planned.delivery, planned.terms
    own = delivery.subscription.headers
    if planned.lost and planned.number > max(planned.retry.attempts, LEAST_TRIES):
        raise TooManyLost
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
            *check_signed((*_written(delivery, conditions), *_signed(delivery, conditions), *own)),
        ),
        body=delivery.body,
        timeout=terms.timeout,
        guard=conditions.rules.forbidden,
        client_certificate=delivery.subscription.client_certificate,
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


def _parts(bodies: Bodies, content_type: str) -> tuple[bytes, SerializationError | None]:
    written = bodies.in_type(content_type)
    return (written, None) if isinstance(written, bytes) else (b"", written)


def _before(planned: Planned, until: datetime, now: datetime) -> Attempt:
    """Gives the attempt before the one that is planned, of which the store knows nothing."""
    reason = Reason.WORKER_LOST if planned.lost else Reason.NOT_ATTEMPTED
    outcome = Outcome(OutcomeKind.RETRY, reason, until)
    return Attempt(number=planned.number - 1, started_at=now, duration=0.0, outcome=outcome)


def _written(delivery: Delivery, conditions: Conditions) -> Headers:
    serializer = conditions.pipeline.header_serializers.get(delivery.content_type)
    return () if serializer is None else serializer.headers(delivery)


def _signed(delivery: Delivery, conditions: Conditions) -> list[tuple[str, str]]:
    now = conditions.clock()
    return [header for signer in conditions.pipeline.signers for header in signer.sign(delivery, now)]
