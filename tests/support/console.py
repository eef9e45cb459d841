"""Runs the commands that the docs show after a `$`."""

import doctest
import shlex
from pathlib import Path

import pytest
from sybil import Example

ROOT = Path(__file__).parents[2]
# These go on until Ctrl-C or take seconds, and have tests of their own. Here their options are checked.
LONG = frozenset({"demo", "listen"})


def evaluate_console(example: Example) -> None:
    """Runs each `thornsdk` command of a block, and compares what it prints with what the block shows."""
    for command, shown in _commands(str(example.parsed)):
        words = shlex.split(command)
        if words[0] == "thornsdk":
            _run(words[1:], shown)
        elif words[0].startswith("scripts/"):
            assert (ROOT / words[0]).exists(), f"there is no {words[0]}"


def _commands(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), ""))
        else:
            command, shown = found[-1]
            found[-1] = (command, f"{shown}{line}\n")
    return found


def _run(words: list[str], shown: str) -> None:
    testing = pytest.importorskip("click.testing")
    from thornsdk.cli.app import cli

    if words[0] in LONG:
        cli.commands[words[0]].make_context(words[0], words[1:]).close()
        return
    result = testing.CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    if shown:
        checker = doctest.OutputChecker()
        assert checker.check_output(shown, result.stdout, doctest.ELLIPSIS), result.stdout
