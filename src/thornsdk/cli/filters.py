"""The options that say which deliveries are wanted."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar
from uuid import UUID

import click

from thornsdk import DeliveryFilter, DeliveryState
from thornsdk.cli.times import moment

Command = TypeVar("Command", bound=Callable[..., Any])

NAMES: tuple[str, ...] = ("states", "event", "subscription", "owner", "since", "before")


class FilterOptions(TypedDict):
    """What these options give."""

    states: tuple[str, ...]
    event: str | None
    subscription: UUID | None
    owner: str | None
    since: datetime | None
    before: datetime | None


def filter_options(states: Iterable[DeliveryState]) -> Callable[[Command], Command]:
    """Gives a command the options that say which deliveries are wanted.

    Args:
        states: What ``--state`` can be.
    """
    choice = click.Choice([one.value for one in DeliveryState if one in set(states)])
    options = [
        click.option("--state", "states", type=choice, multiple=True, help="Those in this state."),
        click.option("--event", metavar="PATTERN", help="Those of such events, as in order.*"),
        click.option("--subscription", type=click.UUID, metavar="ID", help="Those to this subscription."),
        click.option("--owner", metavar="TENANT", help="Those to subscriptions of this tenant."),
        click.option(
            "--since", type=moment, metavar="TIME", help="Those attempted last since then, as in 2h."
        ),
        click.option("--before", type=moment, metavar="TIME", help="Those attempted last before then."),
    ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def wanted(given: FilterOptions) -> DeliveryFilter:
    """Gives the filter that the options are.

    Raises:
        InvalidPattern: If no event can match the pattern.
    """
    states = frozenset(map(DeliveryState, given["states"]))
    return DeliveryFilter(
        states=states or None,
        event=given["event"],
        subscription_id=given["subscription"],
        owner=given["owner"],
        since=given["since"],
        before=given["before"],
    )


def is_any_given(given: Mapping[str, object]) -> bool:
    """Tells whether any of these options was given."""
    return any(given[name] not in {None, ()} for name in NAMES)
