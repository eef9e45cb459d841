"""The command ``verify``."""

from typing import TypedDict, Unpack

import click

from thornsdk.cli import show
from thornsdk.cli.options import json_option, public_keys_option, read_bytes, read_headers
from thornsdk.cli.problems import FAILED, Problem
from thornsdk.errors import InvalidSignature
from thornsdk.receive import TOLERANCE, Received, verify


class _Given(TypedDict):
    secrets: tuple[str, ...]
    public_keys: tuple[str, ...]
    headers: tuple[str, ...]
    body: str
    tolerance: float
    as_json: bool


@click.command("verify")
@click.option("--secret", "secrets", multiple=True, help="Verify with it.")
@public_keys_option
@click.option("--header", "headers", multiple=True, metavar="'Name: value'", help="As it was received.")
@click.option("--body", default="-", metavar="TEXT|@FILE|-", help="The exact bytes; by default from stdin.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=TOLERANCE,
    show_default=True,
    help="Seconds that the message may be old.",
)
@json_option
def verify_command(**given: Unpack[_Given]) -> None:
    """Verify a message that was captured.

    Exit code 0: it is authentic; 1: it is not.
    """
    if not (given["secrets"] or given["public_keys"]):
        raise Problem("there is nothing to verify with: give --secret or --public-key")
    try:
        received = _verify(given)
    except InvalidSignature as exc:
        if not given["as_json"]:
            raise
        show.print_json({"verified": None, "problem": str(exc)})
        raise click.exceptions.Exit(FAILED) from None
    _print(received, as_json=given["as_json"])


def _verify(given: _Given) -> Received:
    return verify(
        read_headers(given["headers"]),
        read_bytes(given["body"]),
        secrets=given["secrets"],
        public_keys=given["public_keys"],
        tolerance=given["tolerance"],
    )


def _print(received: Received, *, as_json: bool) -> None:
    if as_json:
        show.print_json(
            {
                "verified": received.scheme.value,
                "problem": None,
                "event": received.event,
                "delivery": received.id,
                "sent_at": None if received.sent_at is None else received.sent_at.isoformat(),
            }
        )
        return
    what = " ".join(filter(None, (received.event, received.id)))
    show.console().print(f"authentic by {received.scheme}: {show.printable(what) or 'no id was sent'}")
