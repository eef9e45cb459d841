"""The command ``deliveries count``."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TypedDict, Unpack
from uuid import UUID

import click

from thornsdk import Count, DeliveryState
from thornsdk.cli import show
from thornsdk.cli.options import json_option, open_durable, store_option, with_store
from thornsdk.cli.times import day

_COLUMNS = ("event", "state", "deliveries")


class _Given(TypedDict):
    states: tuple[str, ...]
    event: str | None
    subscription: UUID | None
    since: date | None
    before: date | None
    store: str | None
    as_json: bool


@click.command()
@click.option(
    "--state",
    "states",
    type=click.Choice([one.value for one in DeliveryState]),
    multiple=True,
    help="Those in this state.",
)
@click.option("--event", metavar="PATTERN", help="Those of such events, as in order.*")
@click.option("--subscription", type=click.UUID, metavar="ID", help="Those to this subscription.")
@click.option("--since", type=day, metavar="DAY", help="Those of this day or later, as in 30d.")
@click.option("--before", type=day, metavar="DAY", help="Those of days before this one.")
@store_option
@json_option
def count(**given: Unpack[_Given]) -> None:
    """Count deliveries, those that were pruned too.

    A delivery counts on the day, in UTC, on which its latest attempt began.

    A DAY is a day, such as 2026-01-31, or an age, such as 30d: then it is the day of that moment.
    """
    with open_durable(with_store(given["store"])) as thorn:
        found = thorn.counts(
            event=given["event"],
            subscription_id=given["subscription"],
            since=given["since"],
            before=given["before"],
        )
        wanted = (one for one in found if not given["states"] or one.state in given["states"])
        if given["as_json"]:
            for one in wanted:
                show.print_json(_fields(one))
        elif not show.print_table(_COLUMNS, _totals(wanted), list):
            show.note("there are no such deliveries")


def _totals(counts: Iterable[Count]) -> Iterator[tuple[str, str, str]]:
    """Adds up what is counted by event and state."""
    totals: Counter[tuple[str, DeliveryState]] = Counter()
    for one in counts:
        totals[one.event, one.state] += one.deliveries
    return ((event, state.value, f"{number:,}") for (event, state), number in sorted(totals.items()))


def _fields(count: Count) -> dict[str, object]:
    return {
        "day": count.day.isoformat(),
        "event": count.event,
        "subscription": str(count.subscription_id),
        "state": count.state.value,
        "deliveries": count.deliveries,
    }
