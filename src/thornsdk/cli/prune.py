"""The command ``prune``."""

from datetime import timedelta

import click
from attrs import asdict

from thornsdk import DeliveryState
from thornsdk.cli import show
from thornsdk.cli.options import json_option, open_durable, store_option, with_store
from thornsdk.cli.problems import Problem
from thornsdk.cli.times import age


@click.command()
@click.option("--older-than", type=age, metavar="AGE", help="Those attempted last longer ago, as in 30d.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Those besides the latest N.")
@click.option(
    "--state",
    "states",
    type=click.Choice([one.value for one in DeliveryState if one.has_ended]),
    multiple=True,
    help="Those in this state alone.",
)
@store_option
@json_option
def prune(
    *,
    older_than: timedelta | None,
    keep: int | None,
    states: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Remove deliveries that have ended, with their attempts and bodies.

    What is pending or leased is never removed. It may run while others send.

    What is removed stays counted: `thornsdk deliveries count`.
    """
    if older_than is None and keep is None:
        raise Problem("say what to remove: --older-than AGE, such as 30d, or --keep N, or both")
    with open_durable(with_store(store)) as thorn, show.console(stderr=True).status("removing"):
        wanted = [DeliveryState(one) for one in states] or None
        pruned = thorn.prune(older_than=older_than, keep=keep, states=wanted)
    counts = asdict(pruned)
    if as_json:
        show.print_json(counts)
    elif pruned.total:
        parts = " · ".join(f"{count:,} {state}" for state, count in counts.items() if count)
        show.console().print(f"removed {parts}")
    else:
        show.note("there was nothing to remove")
