"""The commands ``subscribe``, ``subscriptions`` with what it can do to one, and ``unsubscribe``."""

from datetime import timedelta
from typing import TypedDict, Unpack
from uuid import UUID

import click
from attrs import asdict
from rich.text import Text

from thornsdk import Digest, OldSecret, RateLimit, Subscription, WhenFailed
from thornsdk.cli import show
from thornsdk.cli.options import json_option, open_durable, read_headers, store_option, with_store
from thornsdk.setting_kinds import read_schedule

_LONGEST_KEPT = 365 * 24
"""For how many hours old secrets can be kept."""


class _Given(TypedDict):
    patterns: tuple[str, ...]
    secrets: tuple[str, ...]
    owner: str | None
    content_type: str | None
    digest: str
    headers: tuple[str, ...]
    client_certificate: str | None
    rate: float | None
    burst: int | None
    in_flight: int | None
    ordered_by: str | None
    when_failed: str
    retry_schedule: tuple[float, ...] | None
    store: str | None
    as_json: bool


class _Limits(TypedDict):
    rate: float | None
    burst: int | None
    in_flight: int | None
    store: str | None
    as_json: bool


def _schedule(text: str) -> tuple[float, ...]:
    try:
        return read_schedule(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of seconds, such as 5,300,3600") from None


@click.command()
@click.argument("url")
@click.option("--event", "patterns", multiple=True, required=True, metavar="PATTERN", help="Such as order.*")
@click.option("--secret", "secrets", multiple=True, help="Without it, one is made. The current one first.")
@click.option("--owner", help="The tenant that it belongs to.")
@click.option("--content-type", help="How payloads are written; else THORN_CODECS' first.")
@click.option(
    "--digest",
    type=click.Choice([one.value for one in Digest]),
    default="sha256",
    help="The hash of Hook-HMAC.",
)
@click.option("--header", "headers", multiple=True, metavar="'Name: value'", help="What is sent besides.")
@click.option("--client-certificate", metavar="NAME", help="One of THORN_CLIENT_CERTIFICATES.")
@click.option("--rate", type=float, metavar="N", help="At most so many attempts in a second.")
@click.option("--burst", type=int, metavar="N", help="With --rate: so many at once after a rest.")
@click.option("--in-flight", type=int, metavar="N", help="At most so many attempts at the same time.")
@click.option("--ordered-by", metavar="FIELD", help="Of those with one value of it, each waits for the last.")
@click.option(
    "--when-failed",
    type=click.Choice([one.value for one in WhenFailed]),
    default="stop",
    show_default=True,
    help="With --ordered-by: what becomes of those behind one that is given up.",
)
@click.option(
    "--retry-schedule",
    type=_schedule,
    metavar="SECONDS",
    help="How long it waits between attempts, such as 5,300,3600.",
)
@store_option
@json_option
def subscribe(url: str, **given: Unpack[_Given]) -> None:
    """Subscribe URL to events. Prints the id and the secret: keep it, for the subscriber needs it."""
    with open_durable(with_store(given["store"])) as thorn:
        subscription = thorn.subscribe(
            given["patterns"],
            url,
            secret=given["secrets"] or None,
            owner=given["owner"],
            content_type=given["content_type"],
            digest=given["digest"],
            headers=read_headers(given["headers"]),
            client_certificate=given["client_certificate"],
            rate_limit=_rate_limit(given["rate"], given["burst"]),
            max_in_flight=given["in_flight"],
            ordered_by=given["ordered_by"],
            when_failed=given["when_failed"],
            retry_schedule=given["retry_schedule"],
        )
    if given["as_json"]:
        show.print_json(_fields(subscription, secrets=True))
        return
    _print_secrets(subscription)


@click.group(invoke_without_command=True)
@click.option("--secrets", is_flag=True, help="Show secrets and the values of headers too.")
@store_option
@json_option
@click.pass_context
def subscriptions(ctx: click.Context, *, secrets: bool, store: str | None, as_json: bool) -> None:
    """List the subscriptions, or change one.

    Those of the settings come first, then those of the store.
    """
    if ctx.invoked_subcommand is None:
        _list(secrets=secrets, store=store, as_json=as_json)
    elif secrets or store or as_json:
        # Left out in silence, they would change another store than the one that was meant.
        given = f"{ctx.command_path} {ctx.invoked_subcommand}"
        raise click.UsageError(f"options go behind the subcommand: {given} ID --store URL")


def _list(*, secrets: bool, store: str | None, as_json: bool) -> None:
    columns = ["id", "events", "url", "owner", "state", *(["secrets"] if secrets else [])]
    with open_durable(with_store(store)) as thorn:
        show.print_items(
            columns,
            thorn.subscriptions(),
            row=lambda one: _row(one, secrets=secrets),
            fields=lambda one: _fields(one, secrets=secrets),
            as_json=as_json,
            nothing="there are no subscriptions; `thornsdk subscribe` makes one",
        )


@subscriptions.command()
@click.argument("subscription_id", type=click.UUID)
@store_option
@json_option
def enable(subscription_id: UUID, *, store: str | None, as_json: bool) -> None:
    """Send to a subscription again that was disabled."""
    with open_durable(with_store(store)) as thorn:
        subscription = thorn.enable(subscription_id)
    if as_json:
        show.print_json(_fields(subscription, secrets=False))
    else:
        show.console().print(f"enabled {subscription_id}")


@subscriptions.command()
@click.argument("subscription_id", type=click.UUID)
@click.option("--why", default="on request", show_default=True, help="The reason, for logs and listings.")
@store_option
@json_option
def disable(subscription_id: UUID, *, why: str, store: str | None, as_json: bool) -> None:
    """Send nothing more to a subscription, until it is enabled."""
    with open_durable(with_store(store)) as thorn:
        subscription = thorn.disable(subscription_id, why)
    if as_json:
        show.print_json(_fields(subscription, secrets=False))
    else:
        show.console().print(f"disabled {subscription_id}: {show.printable(why)}", soft_wrap=True)


@subscriptions.command()
@click.argument("subscription_id", type=click.UUID)
@click.option("--rate", type=float, metavar="N", help="At most so many attempts in a second.")
@click.option("--burst", type=int, metavar="N", help="With --rate: so many at once after a rest.")
@click.option("--in-flight", type=int, metavar="N", help="At most so many attempts at the same time.")
@store_option
@json_option
def limit(subscription_id: UUID, **given: Unpack[_Limits]) -> None:
    """Limit how fast, and how many at once, a subscription is called. What is not given has no limit."""
    rate_limit = _rate_limit(given["rate"], given["burst"])
    with open_durable(with_store(given["store"])) as thorn:
        subscription = thorn.set_limits(
            subscription_id, rate_limit=rate_limit, max_in_flight=given["in_flight"]
        )
    if given["as_json"]:
        show.print_json(_fields(subscription, secrets=False))
    else:
        show.console().print(f"limited {subscription_id}: {_limits(subscription)}", soft_wrap=True)


@subscriptions.command()
@click.argument("subscription_id", type=click.UUID)
@click.option("--secret", help="The new one; without it, one is made.")
@click.option(
    "--keep-old-for",
    type=click.IntRange(0, _LONGEST_KEPT),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="How long the secrets before it sign; 0 ends them at once.",
)
@store_option
@json_option
def rotate_secret(
    subscription_id: UUID, *, secret: str | None, keep_old_for: int, store: str | None, as_json: bool
) -> None:
    """Give a subscription a new secret. Prints it: the subscriber needs it."""
    with open_durable(with_store(store)) as thorn:
        subscription = thorn.rotate_secret(subscription_id, secret, timedelta(hours=keep_old_for))
    if as_json:
        show.print_json(_fields(subscription, secrets=True))
    else:
        _print_secrets(subscription)


@click.command()
@click.argument("subscription_id", type=click.UUID)
@store_option
@json_option
def unsubscribe(subscription_id: UUID, store: str | None, *, as_json: bool) -> None:
    """Remove a subscription."""
    with open_durable(with_store(store)) as thorn:
        thorn.unsubscribe(subscription_id)
    if as_json:
        show.print_json({"id": str(subscription_id), "removed": True})
    else:
        show.console().print(f"removed {subscription_id}")


def _rate_limit(rate: float | None, burst: int | None) -> RateLimit | None:
    if rate is None:
        if burst is not None:
            raise click.UsageError("--burst needs --rate")
        return None
    return RateLimit(per_second=rate) if burst is None else RateLimit(per_second=rate, burst=burst)


def _limits(one: Subscription) -> str:
    rate = one.rate_limit
    said = [
        *([f"{rate.per_second:g} per second, {rate.burst} at once"] if rate else []),
        *([f"{one.max_in_flight} in flight"] if one.max_in_flight else []),
    ]
    return ", ".join(said) or "no limit"


def _print_secrets(subscription: Subscription) -> None:
    out = show.console()
    out.print(f"id      {subscription.id}")
    for secret in subscription.secrets:
        out.print(f"secret  {show.printable(secret.reveal())}", soft_wrap=True)
    if subscription.old_secrets:
        last = max(old.until for old in subscription.old_secrets)
        out.print(f"old     valid until {show.moment(last)}")


def _old_secret(old: OldSecret) -> str:
    return f"{old.secret.reveal()} (until {show.moment(old.until)})"


def _row(one: Subscription, *, secrets: bool) -> list[show.Cell]:
    active = Text("active", "green")
    disabled = Text(f"disabled: {show.printable(one.disabled)}", "red")
    cells: list[show.Cell] = [
        str(one.id),
        ", ".join(map(str, one.patterns)),
        str(one.url),
        one.owner or "",
        active if one.active else disabled,
    ]
    if not secrets:
        return cells
    shown = [*(secret.reveal() for secret in one.secrets), *map(_old_secret, one.old_secrets)]
    return [*cells, ", ".join(shown)]


def _fields(one: Subscription, *, secrets: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": str(one.id),
        "events": [str(pattern) for pattern in one.patterns],
        "url": str(one.url),
        "owner": one.owner,
        "content_type": one.content_type,
        "digest": one.digest.value,
        "client_certificate": one.client_certificate,
        "rate_limit": asdict(one.rate_limit) if one.rate_limit else None,
        "max_in_flight": one.max_in_flight,
        "ordered_by": one.ordered_by,
        "when_failed": one.when_failed.value if one.ordered_by else None,
        "retry_schedule": one.retry_schedule,
        "disabled": one.disabled,
    }
    if secrets:
        fields["secrets"] = [secret.reveal() for secret in one.secrets]
        fields["old_secrets"] = [
            {"secret": old.secret.reveal(), "until": old.until.isoformat()} for old in one.old_secrets
        ]
        fields["headers"] = dict(one.headers)
    return fields
