"""The command ``demo``."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import click

from thornsdk import Audience, Settings, Subscription, Thorn
from thornsdk.cli import show
from thornsdk.cli.demo_backends import Backend, CeleryWorker, Embedded
from thornsdk.cli.demo_cast import CAST, TENANT, Desk, InvoiceSent, OrderCreated, OrderPaid, Subscriber
from thornsdk.cli.demo_programs import hanging_up_stops, no_foreign_settings
from thornsdk.cli.demo_view import Ending, JsonView, LinesView, LiveView, View
from thornsdk.cli.options import json_option
from thornsdk.cli.receiver import Receiver
from thornsdk.cli.stopping import stop_if_asked, stoppable
from thornsdk.cli.telling import ObserverPlugin

DEADLINE = 1.0
SCHEDULE = (0.3, 0.6)


@click.command()
@click.option(
    "--dispatcher",
    type=click.Choice(["default", "celery"]),
    default="default",
    show_default=True,
    help="Where deliveries run: here, or in a Celery worker that the demo starts.",
)
@json_option
def demo(*, dispatcher: str, as_json: bool) -> None:
    """See it all at work, in five seconds.

    Typed events go to good and bad subscribers, and a table shows what becomes of each delivery.

    It needs no network, and leaves nothing behind.
    With Celery it starts a Redis and a worker, and stops them.
    """
    view = JsonView() if as_json else LiveView() if show.console().is_terminal else LinesView()
    with stoppable(), hanging_up_stops(), no_foreign_settings(), ExitStack() as stack:
        _play(view, stack, dispatcher)


def _play(view: View, stack: ExitStack, dispatcher: str) -> None:
    begin = time.monotonic()
    desk = Desk()
    receiver = stack.enter_context(Receiver(desk.answer))
    desk.stopping = receiver.stopping
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="thornsdk-demo-")))
    backend: Backend = CeleryWorker(stack, folder) if dispatcher == "celery" else Embedded()
    settings = {**_settings(receiver, folder), **backend.settings}
    thorn = stack.enter_context(_open(settings, view))
    stack.enter_context(view)
    subscribed = {one: _subscribe(thorn, one, receiver, desk) for one in CAST}
    view.subscribed({subscription.id: one for one, subscription in subscribed.items()}, receiver.origin)
    backend.begin(thorn, view, settings)
    _send_all(thorn, view, backend)
    stop_if_asked()
    backend.finish()
    stop_if_asked()
    names = {subscription.id: one.name for one, subscription in subscribed.items()}
    seconds = time.monotonic() - begin
    view.ended(Ending(tuple(view.rows), desk, _disabled(thorn, names), seconds, tuple(view.skipped)))


def _settings(receiver: Receiver, folder: Path) -> Mapping[str, str]:
    return {
        "THORN_STORE": f"sqlite:///{folder / 'demo.db'}",
        "THORN_ALLOW_NETWORKS": "127.0.0.1",
        "THORN_ALLOW_PORTS": f"80,{receiver.port}",
        "THORN_EVENT_TIMEOUT": str(DEADLINE),
        "THORN_RETRY_SCHEDULE": ",".join(map(str, SCHEDULE)),
    }


def _open(settings: Mapping[str, str], view: View) -> Thorn:
    return Thorn(settings=Settings.from_mapping(settings), plugins=[ObserverPlugin(view)])


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


def _send_all(thorn: Thorn, view: View, backend: Backend) -> None:
    created = thorn.event("order.created", payload_type=OrderCreated)
    paid = thorn.event("order.paid", payload_type=OrderPaid)
    sent = thorn.event("invoice.sent", payload_type=InvoiceSent)

    view.sending(created.name, _reached(thorn, created.name))
    created.send(OrderCreated(order=42, total=Decimal("99.90"), items=("kettle", "cup")))
    # Who is gone then gets nothing more.
    backend.first_attempts()
    view.sending(paid.name, _reached(thorn, paid.name))
    paid.send(OrderPaid(order=42, method="card"))
    view.sending(sent.name, _reached(thorn, sent.name, TENANT))
    sent.send(InvoiceSent(invoice="2026-0042", due=date(2026, 2, 1)), sender=TENANT)


def _reached(thorn: Thorn, event: str, sender: str | None = None) -> set[UUID]:
    """Gives the subscriptions that an event will reach."""
    audience = Audience(event=event, sender=sender)
    return {one.id for one in thorn.subscriptions() if audience.admits(one)}


def _disabled(thorn: Thorn, names: dict[UUID, str]) -> dict[str, str]:
    return {names[one.id]: one.disabled for one in thorn.subscriptions() if one.disabled is not None}
