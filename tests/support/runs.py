"""Passes of deliveries without a store: what comes of what is planned."""

from collections.abc import Callable, Iterable, Iterator
from typing import cast
from uuid import UUID

from support.stages import NOW, TERMS, make_pipeline, make_subscription
from thornsdk import (
    AddressRules,
    Delivery,
    DeliveryRecord,
    OutcomeKind,
    Pipeline,
    Planned,
    Reason,
    Subscription,
    Terms,
    Transport,
)
from thornsdk.logs import DeliveryLog
from thornsdk.planned import Conditions
from thornsdk.run import Run
from thornsdk.testing import FakeClock

DELIVERED = (OutcomeKind.DELIVERED, Reason.ACCEPTED)
STAGE_RETRY = (OutcomeKind.RETRY, Reason.STAGE_FAILED)


def plan(subscription: Subscription, terms: Terms = TERMS, number: int = 1) -> Planned:
    delivery = Delivery(
        message_id=UUID(int=99),
        event="order.created",
        created_at=NOW,
        sender=None,
        subscription=subscription,
        content_type="application/json",
        body=b'{"id":42}',
    )
    return Planned(delivery=delivery, number=number, terms=terms)


def plans(count: int) -> list[Planned]:
    return [plan(make_subscription(number)) for number in range(1, count + 1)]


def run(
    transports: Transport | Pipeline,
    planned: Iterable[Planned],
    settle: Callable[[DeliveryRecord], object] = lambda record: None,
) -> Iterator[DeliveryRecord]:
    pipeline = transports if isinstance(transports, Pipeline) else make_pipeline([transports])
    conditions = Conditions(
        pipeline=pipeline,
        rules=AddressRules(),
        product="Thorn/test",
        clock=FakeClock(),
        random=lambda: 0.0,
        log=DeliveryLog(),
    )
    return Run(conditions, lambda record, _: cast("None", settle(record))).attempt(planned)


def results(
    transports: Transport | Pipeline, planned: Iterable[Planned]
) -> list[tuple[int, OutcomeKind, Reason]]:
    """Gives number of subscription, outcome and reason of each result, sorted."""
    found = [(one.subscription_id.int, one.kind, one.last.outcome.reason) for one in run(transports, planned)]
    return sorted(found)
