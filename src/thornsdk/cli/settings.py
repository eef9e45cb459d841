"""The command ``settings``."""

from collections.abc import Mapping
from typing import TypeAlias

import attrs
import click
from rich.padding import Padding
from rich.text import Text

from thornsdk import Settings
from thornsdk.cli import show
from thornsdk.cli.options import json_option
from thornsdk.settings import setting_fields, setting_name

_Setting: TypeAlias = "attrs.Attribute[object]"

HIDDEN = "(hidden)"


@click.command("settings")
@json_option
def settings_command(*, as_json: bool) -> None:
    """List the settings: values, defaults, meanings."""
    settings = Settings.from_environ()
    for one in setting_fields():
        fields = _fields(one, settings)
        if as_json:
            show.print_json(fields)
        else:
            _print(fields)


def _fields(one: _Setting, settings: Settings) -> dict[str, object]:
    given = one.name in settings.given
    hidden = given and bool(one.metadata["hidden"])
    return {
        "name": setting_name(one),
        "value": HIDDEN if hidden else _plain(getattr(settings, one.name)),
        "default": _plain(one.default),
        "from": "environment" if given else "default",
        "takes": one.metadata["takes"],
        "meaning": one.metadata["doc"],
    }


def _print(fields: Mapping[str, object]) -> None:
    given = fields["from"] != "default"
    head = Text.assemble(
        (str(fields["name"]), "bold"),
        " = ",
        (_text(fields["value"]), "green" if given else ""),
        (f"  from the environment; default {_text(fields['default'])}" if given else "  (default)", "dim"),
    )
    out = show.console()
    out.print(head, soft_wrap=True)
    out.print(Padding(Text(str(fields["meaning"])), (0, 0, 0, 4)))
    out.print(Padding(Text(f"Takes {fields['takes']}.", "dim"), (0, 0, 1, 4)))


def _plain(value: object) -> object:
    """Gives a setting's value as what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if callable(value):
        return f"{value.__module__}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _text(value: object) -> str:
    """Gives a value as people read it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return show.printable(", ".join(map(str, value))) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else show.printable(value)
