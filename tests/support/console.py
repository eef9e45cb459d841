"""Runs the commands that the docs show after a `$`."""

import doctest
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Example

ROOT = Path(__file__).parents[2]
# These go on until Ctrl-C or take seconds, and have tests of their own. Here their options are checked.
LONG = frozenset({"demo", "listen"})


def evaluate_console(example: Example) -> None:
    """Runs each command of a block that we know, and compares what it prints with what the block shows."""
    for command, shown in _commands(str(example.parsed)):
        words = shlex.split(command)
        if words[0] == "thornsdk":
            _run(words[1:], shown)
        elif words[0] == "celery":
            _check_celery(words[1:])
        elif words[0] == "pytest":
            _run_pytest(words[1:], shown)
        elif words[0].startswith("scripts/"):
            assert (ROOT / words[0]).exists(), f"there is no {words[0]}"


def _check_celery(words: list[str]) -> None:
    """Checks that Celery knows the command and its options. Workers have tests of their own."""
    bin_ = pytest.importorskip("celery.bin.celery")
    from thornsdk_plugins.celery.apps import own_app

    option, app, command, *options = words
    assert (option, app) == ("-A", "thornsdk_plugins.celery")
    found = bin_.celery.commands[command]
    around = bin_.celery.make_context("celery", [], resilient_parsing=True)
    around.obj = bin_.CLIContext(app=own_app("memory://"), no_color=True, workdir=None)
    found.make_context(command, options, parent=around).close()


def _run_pytest(words: list[str], shown: str) -> None:
    """Runs the tests that an example has written, as a stranger does: alone in a folder."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    checker = doctest.OutputChecker()
    assert checker.check_output(shown, done.stdout, doctest.ELLIPSIS), done.stdout


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

    if words[0] in LONG or "--follow" in words:
        cli.commands[words[0]].make_context(words[0], words[1:]).close()
        return
    result = testing.CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    if shown:
        checker = doctest.OutputChecker()
        assert checker.check_output(shown, result.stdout, doctest.ELLIPSIS), result.stdout
