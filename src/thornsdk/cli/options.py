"""Options that several commands have, and what they are read with."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from thornsdk import Settings, Thorn
from thornsdk.cli.problems import Problem
from thornsdk.settings import SettingsOptions

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for machines.")
public_keys_option = click.option(
    "--public-key", "public_keys", multiple=True, metavar="KEY", help="Verify with it (whpk_...)."
)
store_option = click.option("--store", metavar="URL", help="Such as sqlite:///thorn.db; else THORN_STORE.")


def settings_with(options: SettingsOptions) -> Settings:
    """Gives the settings in effect: the options, then the environment, then the defaults."""
    return Settings.from_options(options).over(Settings.from_environ())


def with_store(store: str | None) -> SettingsOptions:
    """Gives the option that ``--store`` is, or none."""
    return {} if store is None else {"store": store}


def is_memory(settings: Settings) -> bool:
    """Tells whether the store ends with the process."""
    return settings.store.partition(":")[0] == "memory"


def open_durable(options: SettingsOptions, *, plugins: Iterable[object] = ()) -> Thorn:
    """Opens a Thorn over a store that lasts longer than this command.

    Args:
        options: What counts more than the environment.
        plugins: Plugins besides those that are installed.

    Raises:
        Problem: If the store ends with the process.
    """
    settings = settings_with(options)
    if is_memory(settings):
        raise Problem(
            "the store 'memory' ends with this command: set THORN_STORE or give --store, "
            "such as --store sqlite:///thorn.db"
        )
    return Thorn(settings=settings, plugins=plugins)


def read_bytes(given: str) -> bytes:
    """Reads what ``TEXT``, ``@FILE`` or ``-`` (stdin) stands for.

    Raises:
        Problem: If the file cannot be read.
    """
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return os.fsencode(given)
    try:
        return Path(given[1:]).read_bytes()
    except OSError as exc:
        raise Problem(f"{given[1:]} cannot be read: {exc.strerror}") from exc


def read_json(given: str) -> object:
    """Reads JSON from what ``TEXT``, ``@FILE`` or ``-`` stands for.

    Raises:
        Problem: If it is not JSON.
    """
    try:
        value: object = json.loads(read_bytes(given), parse_constant=_refuse_constant)
    except RecursionError:
        raise Problem("--data is not JSON that can be read: it is nested too deeply") from None
    except ValueError as exc:
        raise Problem(f"--data is not JSON: {exc}") from exc
    return value


def read_headers(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Reads headers that were given as ``Name: value``.

    Raises:
        Problem: If one has no colon.
    """
    pairs = [one.partition(":") for one in given]
    for name, colon, _ in pairs:
        if not colon:
            # What stands there may be a secret, if only its name was forgotten.
            hint = f"the one that starts with {name[:4]!r} has no colon"
            raise Problem(f"--header takes 'Name: value'; {hint}")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} has no place in it")
