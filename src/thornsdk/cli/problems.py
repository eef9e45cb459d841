"""What a command ends with when it cannot go on: one line, and an exit code."""

from typing import IO, Any

import click
from rich.text import Text

from thornsdk.cli.show import console, printable
from thornsdk.errors import (
    ConfigurationError,
    InvalidValue,
    RecipientRefused,
    SerializationError,
    ThornError,
)

FAILED = 1
USAGE = 2

_USAGE_ERRORS = (ConfigurationError, InvalidValue, RecipientRefused, SerializationError)


class Problem(click.ClickException):
    """Ends the command: it was used in a way that cannot work."""

    exit_code = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line."""
        text = Text.assemble(("error: ", "bold red"), printable(self.message))
        console(stderr=True).print(text, soft_wrap=True)


class Failure(Problem):
    """Ends the command: what it was to do did not work."""

    exit_code = FAILED


class Interrupted(Problem):
    """Ends the command after Ctrl-C, with the exit code that shells give it: 128 and the signal's number."""

    exit_code = 130


def translate(error: ThornError) -> Problem:
    """Gives the problem that an error of the library is: of usage, or of the world."""
    return Problem(str(error)) if isinstance(error, _USAGE_ERRORS) else Failure(str(error))
