"""The command ``replay``."""

from collections.abc import Iterable
from typing import Unpack
from uuid import UUID

import click
from attrs import evolve

from thornsdk import DeliveryState, OutcomeKind, Thorn
from thornsdk.cli.filters import FilterOptions, filter_options, is_any_given, wanted
from thornsdk.cli.options import json_option, store_option
from thornsdk.cli.problems import FAILED, Failure, Problem
from thornsdk.cli.telling import Teller, conclude, open_observed
from thornsdk.errors import NotFound
from thornsdk.replaying import ENDED

_UNDELIVERED = ENDED - {DeliveryState.DELIVERED}


class _Given(FilterOptions):
    undelivered: bool
    new_ids: bool
    store: str | None
    as_json: bool


@click.command()
@click.argument("delivery_ids", type=click.UUID, nargs=-1, metavar="[ID]...")
@filter_options(ENDED)
@click.option("--undelivered", is_flag=True, help="Those that are failed, blocked or cancelled.")
@click.option("--new-ids", is_flag=True, help="As new deliveries, for receivers that drop doubles.")
@store_option
@json_option
def replay(delivery_ids: tuple[UUID, ...], **given: Unpack[_Given]) -> None:
    """Attempt deliveries again, now.

    Give the ids of deliveries, or options that choose from those that have ended. The bodies are those that
    were sent before; without --new-ids, the ids are too.

    A TIME is an age, such as 90s, 15m, 2h or 3d, or a moment in ISO 8601.

    Exit code 0: all were delivered; 1: something was not.
    """
    _check_together(delivery_ids, given)
    teller = Teller(as_json=given["as_json"])
    with open_observed(given["store"], teller) as thorn:
        if delivery_ids:
            arrived = _replay_each(thorn, delivery_ids, new_ids=given["new_ids"])
        else:
            arrived = _replay_wanted(thorn, teller, given)
    if not arrived:
        raise click.exceptions.Exit(FAILED)


def _check_together(delivery_ids: tuple[UUID, ...], given: _Given) -> None:
    filtered = given["undelivered"] or is_any_given(given)
    if given["undelivered"] and given["states"]:
        raise Problem("--undelivered and --state exclude each other")
    if delivery_ids and filtered:
        raise Problem("ids and options that choose deliveries exclude each other")
    if not delivery_ids and not filtered:
        raise Problem("give the ids of deliveries, or choose some: --undelivered, --subscription ID, ...")


def _replay_each(thorn: Thorn, delivery_ids: Iterable[UUID], *, new_ids: bool) -> bool:
    """Replays one after the other; tells whether all arrived."""
    arrived = True
    for one in delivery_ids:
        try:
            record = thorn.replay(one, new_id=new_ids)
        except NotFound as exc:
            Failure(str(exc)).show()
            arrived = False
        else:
            arrived = arrived and record.kind is OutcomeKind.DELIVERED
    return arrived


def _replay_wanted(thorn: Thorn, teller: Teller, given: _Given) -> bool:
    """Replays all that are wanted; tells whether all arrived."""
    around = wanted(given)
    found = evolve(around, states=_UNDELIVERED) if given["undelivered"] else around
    with teller.watching():
        outcomes = thorn.replay_all(found, new_ids=given["new_ids"])
    return conclude(outcomes, as_json=given["as_json"], nothing="there are no such deliveries")
