"""The commands ``deliveries``, ``replay`` and ``retry``."""

from itertools import islice
from uuid import UUID

import click
from rich.text import Text

from thornsdk import DeliveryRecord, DeliveryState, OutcomeKind
from thornsdk.cli import show
from thornsdk.cli.options import json_option, open_durable, settings_with, store_option, with_store
from thornsdk.cli.problems import FAILED
from thornsdk.cli.telling import OBSERVER, ObserverPlugin, Teller, summary
from thornsdk.logs import attempt_fields

_COLUMNS = ("delivery", "event", "outcome")


@click.command()
@click.option(
    "--state", type=click.Choice([one.value for one in DeliveryState]), help="Only those in this state."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@store_option
@json_option
def deliveries(*, state: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """List deliveries, the latest attempt first."""
    with open_durable(with_store(store)) as thorn:
        found = thorn.deliveries(None if state is None else DeliveryState(state))
        show.print_items(
            _COLUMNS,
            islice(found, limit),
            row=_row,
            fields=attempt_fields,
            as_json=as_json,
            nothing="there are no such deliveries",
        )


@click.command()
@click.argument("delivery_id", type=click.UUID)
@store_option
@json_option
def replay(delivery_id: UUID, *, store: str | None, as_json: bool) -> None:
    """Attempt a delivery now, whatever became of it.

    It keeps its id and its body. Exit code 0: it was delivered; 1: it was not.
    """
    with open_durable(with_store(store)) as thorn:
        record = thorn.replay(delivery_id)
    if as_json:
        show.print_json(attempt_fields(record))
    else:
        show.console().print(show.attempt(record), soft_wrap=True)
    if record.kind is not OutcomeKind.DELIVERED:
        raise click.exceptions.Exit(FAILED)


@click.command()
@store_option
@json_option
def retry(*, store: str | None, as_json: bool) -> None:
    """Attempt every delivery that is due now, once.

    Run it often, from cron or a timer; several may run side by side. Exit code 0: all that was due was
    delivered; 1: something was not.
    """
    teller = Teller(as_json=as_json)
    options = with_store(store)
    options["observers"] = (*settings_with(options).observers, OBSERVER)
    with open_durable(options, plugins=[ObserverPlugin(teller)]) as thorn, teller.watching():
        outcomes = thorn.run_due()
    if as_json:
        show.print_json({kind.value: getattr(outcomes, kind.value) for kind in OutcomeKind})
    elif outcomes.total:
        show.console().print(summary(outcomes))
    else:
        show.note("nothing is due")
    if outcomes.delivered != outcomes.total:
        raise click.exceptions.Exit(FAILED)


def _row(record: DeliveryRecord) -> list[show.Cell]:
    last, next_at = record.last, record.next_attempt_at
    when = f"\n{show.moment(last.started_at)}, attempt {last.number}"
    again = f"\nagain at {show.moment(next_at)}" if next_at else ""
    # Lines in a cell, so that an id stays whole on a narrow terminal.
    return [
        Text.assemble(str(record.id), (when + again, "dim")),
        Text.assemble(show.printable(record.event), (f"\n{show.printable(record.origin)}", "dim")),
        Text.assemble(show.outcome(record.kind), (f"\n{show.answer(record)}", "dim")),
    ]
