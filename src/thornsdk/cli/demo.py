"""The command ``demo``."""

import time
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import attrs
import click

from thornsdk import Audience, DeliveryState, Settings, Subscription, Thorn
from thornsdk.cli import show
from thornsdk.cli.demo_cast import CAST, TENANT, Desk, InvoiceSent, OrderCreated, OrderPaid, Subscriber
from thornsdk.cli.demo_view import Ending, JsonView, LinesView, LiveView, View
from thornsdk.cli.options import json_option
from thornsdk.cli.receiver import Receiver
from thornsdk.cli.stopping import stoppable
from thornsdk.cli.telling import OBSERVER, ObserverPlugin
from thornsdk.settings import setting_fields

DEADLINE = 1.0
SCHEDULE = (0.3, 0.6)
PATIENCE = 30.0
"""Seconds after which the demo gives up what is still pending; it takes far less."""


@click.command()
@json_option
def demo(*, as_json: bool) -> None:
    """See it all at work, in five seconds.

    Typed events go to good and bad subscribers, and a table shows what becomes of each delivery.

    It needs no network, and leaves nothing behind.
    """
    view = JsonView() if as_json else LiveView() if show.console().is_terminal else LinesView()
    with stoppable(), ExitStack() as stack:
        _play(view, stack)


def _play(view: View, stack: ExitStack) -> None:
    begin = time.monotonic()
    desk = Desk()
    receiver = stack.enter_context(Receiver(desk.answer))
    desk.stopping = receiver.stopping
    folder = stack.enter_context(TemporaryDirectory(prefix="thornsdk-demo-"))
    settings = _settings(receiver, Path(folder))
    thorn = stack.enter_context(Thorn(settings=settings, plugins=[ObserverPlugin(view)]))
    stack.enter_context(view)
    subscribed = {one: _subscribe(thorn, one, receiver, desk) for one in CAST}
    view.subscribed({subscription.id: one for one, subscription in subscribed.items()}, receiver.origin)
    _send_all(thorn, view)
    _finish(thorn)
    names = {subscription.id: one.name for one, subscription in subscribed.items()}
    seconds = time.monotonic() - begin
    view.ended(Ending(tuple(view.rows), desk, _disabled(thorn, names), seconds))


def _settings(receiver: Receiver, folder: Path) -> Settings:
    made = Settings.from_mapping(
        {
            "THORN_STORE": f"sqlite:///{folder / 'demo.db'}",
            "THORN_OBSERVERS": [OBSERVER],
            "THORN_ALLOW_NETWORKS": ["127.0.0.1"],
            "THORN_ALLOW_PORTS": [80, receiver.port],
            "THORN_EVENT_TIMEOUT": DEADLINE,
            "THORN_RETRY_SCHEDULE": SCHEDULE,
        }
    )
    # All of them count as given, so that the environment changes nothing.
    return attrs.evolve(made, given=frozenset(one.name for one in setting_fields()))


def _subscribe(thorn: Thorn, one: Subscriber, receiver: Receiver, desk: Desk) -> Subscription:
    subscription = thorn.subscribe(
        one.patterns,
        one.url or f"{receiver.origin}/{one.name}",
        owner=one.owner,
        content_type=one.content_type,
        digest=one.digest,
    )
    desk.secrets[one.name] = subscription.secrets[0].reveal()
    return subscription


def _send_all(thorn: Thorn, view: View) -> None:
    created = thorn.event("order.created", payload_type=OrderCreated)
    paid = thorn.event("order.paid", payload_type=OrderPaid)
    sent = thorn.event("invoice.sent", payload_type=InvoiceSent)

    view.sending(created.name, _reached(thorn, created.name))
    created.send(OrderCreated(order=42, total=Decimal("99.90"), items=("kettle", "cup")))
    view.sending(paid.name, _reached(thorn, paid.name))
    paid.send(OrderPaid(order=42, method="card"))
    view.sending(sent.name, _reached(thorn, sent.name, TENANT))
    sent.send(InvoiceSent(invoice="2026-0042", due=date(2026, 2, 1)), sender=TENANT)


def _reached(thorn: Thorn, event: str, sender: str | None = None) -> set[UUID]:
    """Gives the subscriptions that an event will reach."""
    audience = Audience(event=event, sender=sender)
    return {one.id for one in thorn.subscriptions() if audience.admits(one)}


def _finish(thorn: Thorn) -> None:
    """Attempts what is due, until nothing is pending."""
    give_up_at = datetime.now(UTC) + timedelta(seconds=PATIENCE)
    while (due_at := _next_due(thorn)) is not None and due_at < give_up_at:
        time.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))
        thorn.run_due()


def _next_due(thorn: Thorn) -> datetime | None:
    pending = thorn.deliveries(DeliveryState.PENDING)
    return min((one.next_attempt_at for one in pending if one.next_attempt_at), default=None)


def _disabled(thorn: Thorn, names: dict[UUID, str]) -> dict[str, str]:
    return {names[one.id]: one.disabled for one in thorn.subscriptions() if one.disabled is not None}
