"""The command ``send``."""

from ipaddress import ip_network
from typing import TypedDict, Unpack
from uuid import uuid4

import click

from thornsdk import DeliveryRecord, Reason, Receipt, Secret, Settings, Subscription, Thorn
from thornsdk.cli import show
from thornsdk.cli.options import is_memory, json_option, read_json, settings_with, store_option, with_store
from thornsdk.cli.problems import FAILED, Problem
from thornsdk.cli.telling import OBSERVER, ObserverPlugin, Teller, summary
from thornsdk.model.url import DEFAULT_PORTS
from thornsdk.settings import SettingsOptions


class _Given(TypedDict):
    data: str
    urls: tuple[str, ...]
    secret: str | None
    allow_networks: tuple[str, ...]
    allow_ports: tuple[int, ...]
    sender: str | None
    broadcast: bool
    store: str | None
    as_json: bool


@click.command()
@click.argument("event")
@click.option("--data", required=True, metavar="JSON|@FILE|-", help="The payload; - reads it from stdin.")
@click.option("--to", "urls", multiple=True, metavar="URL", help="Send to this URL, not to the store's.")
@click.option("--secret", help="What to sign with for --to. Without it, one is made and shown.")
@click.option("--allow-network", "allow_networks", multiple=True, metavar="CIDR", help="Such as 127.0.0.0/8.")
@click.option(
    "--allow-port",
    "allow_ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Besides 80 and 443.",
)
@click.option("--sender", help="The tenant that sends: its subscriptions get it too.")
@click.option("--broadcast", is_flag=True, help="Send to the subscriptions of all tenants.")
@store_option
@json_option
def send(event: str, **given: Unpack[_Given]) -> None:
    """Send EVENT once, and tell what became of it.

    It goes to the URLs given with --to, or else to the subscriptions of the store. What disabled ones would
    have got is skipped, and kept for a replay.

    Exit code 0: everything was delivered, or nobody wanted it; 1: something was not; 2: it could not be sent
    in this way.
    """
    payload = read_json(given["data"])
    _check_together(given)
    teller = Teller(as_json=given["as_json"])
    with Thorn(settings=_settings(given), plugins=[ObserverPlugin(teller)]) as thorn:
        secret = Secret.generate() if given["secret"] is None else Secret(given["secret"])
        declared = thorn.event(event, subscribers=_subscribers(thorn, given["urls"], secret))
        if given["urls"] and given["secret"] is None:
            show.note(f"signed with a new secret: {secret.reveal()}")
        with teller.watching():
            receipt = declared.send(payload, sender=given["sender"], broadcast=given["broadcast"])
    _conclude(receipt, given)


def _check_together(given: _Given) -> None:
    if given["urls"] and given["store"]:
        raise Problem("--to and --store exclude each other: what --to names lives for this call only")
    if given["secret"] is not None and not given["urls"]:
        raise Problem("--secret goes with --to: the subscriptions of the store have their own")


def _settings(given: _Given) -> Settings:
    around = settings_with(with_store(given["store"]))
    options: SettingsOptions = {
        "dispatcher": "default",
        "observers": (*around.observers, OBSERVER),
        "allow_networks": (*around.allow_networks, *_networks(given["allow_networks"])),
        "allow_ports": {*around.allow_ports, *given["allow_ports"]},
    }
    if given["urls"]:
        options |= {"store": "memory", "subscribers": {}}
    settings = Settings.from_options(options).over(around)
    # What only this process knows of, nobody will attempt again.
    return Settings.from_options({"retry": False}).over(settings) if is_memory(settings) else settings


def _networks(given: tuple[str, ...]) -> list[str]:
    for one in given:
        try:
            ip_network(one)
        except ValueError as exc:
            raise Problem(f"--allow-network takes an address range, such as 10.0.0.0/8: {exc}") from exc
    return list(given)


def _subscribers(thorn: Thorn, urls: tuple[str, ...], secret: Secret) -> list[Subscription]:
    """Makes the subscriptions of this call; what policy thinks of them, their deliveries tell."""
    content_type = thorn.pipeline.serializers[0].content_type
    return [
        Subscription(id=uuid4(), patterns="*", url=url, secrets=secret, content_type=content_type)
        for url in urls
    ]


def _conclude(receipt: Receipt, given: _Given) -> None:
    outcomes = receipt.outcomes
    if not outcomes.total and not outcomes.disabled:
        show.note(
            f"nothing was sent: no subscription wants {receipt.event}; --to gives a URL, --store a store"
        )
    elif not given["as_json"]:
        show.console().print(summary(outcomes))
    if outcomes.disabled:
        show.note("what is skipped is kept: enable the subscription, and replay what is cancelled")
    if any(map(_could_be_allowed, outcomes.problems)):
        show.note("for this call, --allow-network and --allow-port allow more")
    if outcomes.delivered != outcomes.total:
        raise click.exceptions.Exit(FAILED)


def _could_be_allowed(record: DeliveryRecord) -> bool:
    """Tells whether the options of this command would open the way."""
    # What is not HTTP may ask for other things than addresses and ports.
    opened = record.last.outcome.reason in {Reason.ADDRESS_FORBIDDEN, Reason.PORT_FORBIDDEN}
    return opened and record.origin.partition(":")[0] in DEFAULT_PORTS
