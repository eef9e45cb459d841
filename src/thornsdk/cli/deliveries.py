"""The command ``deliveries``: lists them, shows one, and tells attempts as they end."""

from itertools import islice
from typing import Unpack
from uuid import UUID

import click
from click.core import ParameterSource

from thornsdk import DeliveryRecord, DeliveryState, Thorn
from thornsdk.cli import delivery_view, show
from thornsdk.cli.count import count
from thornsdk.cli.filters import FilterOptions, filter_options, wanted
from thornsdk.cli.following import Follower, follow
from thornsdk.cli.options import json_option, open_durable, store_option, with_store
from thornsdk.cli.problems import Problem
from thornsdk.leases import lease_time
from thornsdk.stages import utc_now

_LIMIT = 50


class _Given(FilterOptions):
    limit: int | None
    follow: bool
    store: str | None
    as_json: bool


@click.group(invoke_without_command=True, subcommand_metavar="[show ID | cancel ID | count]")
@filter_options(DeliveryState)
@click.option("--limit", type=click.IntRange(1), help=f"How many at most; {_LIMIT} without it.")
@click.option("--follow", is_flag=True, help="Go on telling each attempt when it has ended, until Ctrl-C.")
@store_option
@json_option
@click.pass_context
def deliveries(ctx: click.Context, **given: Unpack[_Given]) -> None:
    """List deliveries, the latest attempt first.

    `thornsdk deliveries show ID` shows one with every attempt, `thornsdk deliveries count` counts them.

    A TIME is an age, such as 90s, 15m, 2h or 3d, or a moment in ISO 8601.
    """
    if ctx.invoked_subcommand is not None:
        _check_nothing_given(ctx)
        return
    _check_together(given)
    with open_durable(with_store(given["store"])) as thorn:
        if given["follow"]:
            _follow(thorn, given)
        else:
            _list(thorn, given)


@deliveries.command("show")
@click.argument("delivery_id", type=click.UUID, metavar="ID")
@store_option
@json_option
def show_one(delivery_id: UUID, *, store: str | None, as_json: bool) -> None:
    """Show a delivery with every attempt, and what is next."""
    with open_durable(with_store(store)) as thorn:
        record = thorn.delivery(delivery_id)
        attempts = thorn.attempts(delivery_id)
    if as_json:
        show.print_json(delivery_view.whole_fields(record, attempts))
    else:
        delivery_view.print_whole(record, attempts)


@deliveries.command("cancel")
@click.argument("delivery_id", type=click.UUID, metavar="ID")
@store_option
@json_option
def cancel_one(delivery_id: UUID, *, store: str | None, as_json: bool) -> None:
    """Attempt a delivery no more that has not arrived.

    Where its subscription is ordered, those that wait behind it go on. `thornsdk replay ID` attempts it all
    the same.
    """
    with open_durable(with_store(store)) as thorn:
        record = thorn.cancel(delivery_id)
    if as_json:
        show.print_json(delivery_view.fields(record))
    else:
        show.console().print(f"cancelled {delivery_id}")


deliveries.add_command(count)


def _check_nothing_given(ctx: click.Context) -> None:
    for name in ctx.params:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise Problem(f"the options of `{ctx.invoked_subcommand}` stand after it")


def _check_together(given: _Given) -> None:
    if not given["follow"]:
        return
    for name in ("since", "before", "limit"):
        if given[name]:
            raise Problem(f"--follow and --{name} exclude each other: it tells what ends from now on")


def _list(thorn: Thorn, given: _Given) -> None:
    show.print_items(
        delivery_view.COLUMNS,
        islice(thorn.deliveries(wanted(given)), given["limit"] or _LIMIT),
        row=delivery_view.row,
        fields=delivery_view.fields,
        as_json=given["as_json"],
        nothing="there are no such deliveries",
    )


def _follow(thorn: Thorn, given: _Given) -> None:
    def tell(record: DeliveryRecord) -> None:
        if given["as_json"]:
            show.print_json(delivery_view.fields(record))
        else:
            show.console().print(delivery_view.followed(record), soft_wrap=True)

    look_back = lease_time(thorn.settings.event_timeout)
    if not given["as_json"]:
        show.note("telling attempts as they end; Ctrl-C stops it")
    follow(Follower(thorn, wanted(given), look_back=look_back, clock=utc_now), tell)
