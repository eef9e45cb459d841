"""The commands ``subscribe``, ``subscriptions`` and ``unsubscribe``."""

from typing import TypedDict, Unpack
from uuid import UUID

import click
from rich.text import Text

from thornsdk import Digest, Subscription
from thornsdk.cli import show
from thornsdk.cli.options import json_option, open_durable, read_headers, store_option, with_store


class _Given(TypedDict):
    patterns: tuple[str, ...]
    secrets: tuple[str, ...]
    owner: str | None
    content_type: str | None
    digest: str
    headers: tuple[str, ...]
    client_certificate: str | None
    store: str | None
    as_json: bool


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
        )
    if given["as_json"]:
        show.print_json(_fields(subscription, secrets=True))
        return
    out = show.console()
    out.print(f"id      {subscription.id}")
    for secret in subscription.secrets:
        out.print(f"secret  {show.printable(secret.reveal())}", soft_wrap=True)


@click.command()
@click.option("--secrets", is_flag=True, help="Show secrets and the values of headers too.")
@store_option
@json_option
def subscriptions(*, secrets: bool, store: str | None, as_json: bool) -> None:
    """List the subscriptions.

    Those of the settings come first, then those of the store.
    """
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
    return [*cells, ", ".join(secret.reveal() for secret in one.secrets)] if secrets else cells


def _fields(one: Subscription, *, secrets: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": str(one.id),
        "events": [str(pattern) for pattern in one.patterns],
        "url": str(one.url),
        "owner": one.owner,
        "content_type": one.content_type,
        "digest": one.digest.value,
        "client_certificate": one.client_certificate,
        "disabled": one.disabled,
    }
    if secrets:
        fields["secrets"] = [secret.reveal() for secret in one.secrets]
        fields["headers"] = dict(one.headers)
    return fields
