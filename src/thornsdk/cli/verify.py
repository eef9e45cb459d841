"""The command ``verify``."""

import click

from thornsdk.cli import show
from thornsdk.cli.options import json_option, read_bytes, read_headers
from thornsdk.cli.problems import FAILED
from thornsdk.errors import InvalidSignature
from thornsdk.receive import TOLERANCE, verify


@click.command("verify")
@click.option("--secret", "secrets", multiple=True, required=True, help="One or several.")
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
def verify_command(
    *, secrets: tuple[str, ...], headers: tuple[str, ...], body: str, tolerance: float, as_json: bool
) -> None:
    """Verify a message that was captured.

    Exit code 0: it is authentic; 1: it is not.
    """
    try:
        received = verify(read_headers(headers), read_bytes(body), secrets=secrets, tolerance=tolerance)
    except InvalidSignature as exc:
        if not as_json:
            raise
        show.print_json({"verified": None, "problem": str(exc)})
        raise click.exceptions.Exit(FAILED) from None
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
