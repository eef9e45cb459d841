"""Deliveries that are about to be attempted, and their signed requests."""

from collections.abc import Iterable, Iterator

from attrs import frozen

from thornsdk.errors import RecipientRefused, SerializationError, crash
from thornsdk.logs import DeliveryLog
from thornsdk.model import URL, Delivery, Request, check_signed
from thornsdk.pipeline import Pipeline
from thornsdk.policy.addresses import AddressRules
from thornsdk.policy.signatures import HOOK_DELIVERY, HOOK_EVENT, HOOK_SUBSCRIPTION
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


def build_request(planned: Planned, transport: Transport, conditions: Conditions) -> Request:
    """Builds the signed request of a delivery.

    Raises:
        RecipientRefused: If policy does not allow the recipient.
        SerializationError: If the payload cannot be written for this subscription.
        Exception: What a signer raised.
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
            *check_signed((*_signed(delivery, conditions), *delivery.subscription.headers)),
        ),
        body=delivery.body,
        timeout=terms.timeout,
        guard=conditions.rules.forbidden,
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
        yield from signer.sign(delivery, now)
