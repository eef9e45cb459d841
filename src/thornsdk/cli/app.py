"""The commands, and what all of them have in common: their errors."""

import io
import sys
from typing import cast

import click

from thornsdk import VERSION
from thornsdk.cli.deliveries import deliveries
from thornsdk.cli.demo import demo
from thornsdk.cli.listen import listen
from thornsdk.cli.plugins import plugins
from thornsdk.cli.problems import Interrupted, Problem, translate
from thornsdk.cli.prune import prune
from thornsdk.cli.replay import replay
from thornsdk.cli.retry import retry
from thornsdk.cli.send import send
from thornsdk.cli.settings import settings_command
from thornsdk.cli.subscriptions import subscribe, subscriptions, unsubscribe
from thornsdk.cli.verify import verify_command
from thornsdk.errors import ThornError


class Commands(click.Group):
    """A group whose commands end every error with one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Gives the names in the order in which people meet the commands."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            path = exc.ctx.command_path if exc.ctx else ctx.command_path
            text = " ".join(exc.format_message().split())  # Of an option with choices it has several lines.
            raise Problem(f"{text} ({path} --help)") from exc
        except ThornError as exc:
            raise translate(exc) from exc
        except KeyboardInterrupt:
            _forget_interrupt()
            raise Interrupted("stopped") from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, package_name="thornsdk", message="%(package)s %(version)s")
def cli() -> None:
    """Send webhooks, see what arrived, and receive some.

    Settings come from the THORN_* variables of the environment; `thornsdk settings` lists them.
    Start with `thornsdk demo`.
    """


for command in (
    demo,
    send,
    subscribe,
    subscriptions,
    unsubscribe,
    deliveries,
    replay,
    retry,
    prune,
    listen,
    verify_command,
    plugins,
    settings_command,
):
    cli.add_command(command)


def _forget_interrupt() -> None:
    """Lets the process end with our exit code, wherever Ctrl-C has met it.

    CPython notes a `KeyboardInterrupt` that leaves an ``exec`` of text, as data classes run it while a module
    is imported. Run with ``-m``, it would end by the signal though we have caught it. The next ``exec`` of
    text that ends well makes it forget that.
    """
    exec("")  # noqa: S102 - nothing is run


def run() -> None:
    """Runs the command that ``sys.argv`` names, and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a sign must not cost the whole line.
        cast("io.TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    cli(prog_name="thornsdk")
