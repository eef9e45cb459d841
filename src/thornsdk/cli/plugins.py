"""The command ``plugins``: what is installed, and what it provides."""

from collections.abc import Iterator
from enum import StrEnum

import click
from attrs import asdict, frozen
from rich.text import Text

from thornsdk import VERSION, Settings
from thornsdk.cli import show
from thornsdk.cli.options import json_option
from thornsdk.cli.plugins_check import check
from thornsdk.cli.plugins_new import new
from thornsdk.errors import StageUnavailableError
from thornsdk.installed import Clashes, InstalledPlugin, Trouble, find_clashes, find_installed
from thornsdk.plugins import KINDS


class _Status(StrEnum):
    LOADED = "loaded"
    EMPTY = "empty"
    BLOCKED = "blocked"
    UNAVAILABLE = "unavailable"
    CLASH = "clash"
    BROKEN = "broken"


_SIGNS = {
    _Status.LOADED: ("✓", ""),
    _Status.EMPTY: ("○", "dim"),
    _Status.BLOCKED: ("⊘", "dim"),
    _Status.UNAVAILABLE: ("⊘", "yellow"),
    _Status.CLASH: ("✗", "red"),
    _Status.BROKEN: ("✗", "red"),
}
_WRONG = frozenset({_Status.UNAVAILABLE, _Status.CLASH, _Status.BROKEN})


# What is to be said besides comes last, where people look.
_ORDER = (*KINDS, "")


@frozen(kw_only=True)
class _Listed:
    """A stage that a plugin provides, or what is to be said of a plugin besides."""

    stage: str = ""
    name: str
    summary: str = ""
    plugin: str
    distribution: str
    version: str
    status: _Status
    problem: str | None = None


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, *, as_json: bool) -> None:
    """List the stages and the plugins that provide them, or make or check a plugin."""
    if ctx.invoked_subcommand is not None:
        return
    found = find_installed(VERSION, Settings.from_environ().plugins_block)
    clashes = find_clashes(found)
    listed = [line for one in found for line in (*_provided(one, clashes), *_besides(one))]
    listed.sort(key=lambda line: _ORDER.index(line.stage))
    show.print_items(
        ("stage", "name", "distribution", "status"),
        listed,
        row=lambda one: (one.stage, one.name, f"{one.distribution} {one.version}", _told(one)),
        fields=asdict,
        as_json=as_json,
        nothing="no plugin is installed",
    )
    if not as_json and not _WRONG.isdisjoint(one.status for one in listed):
        show.note("`thornsdk plugins check` says what to do")


plugins.add_command(new)
plugins.add_command(check)


def _provided(one: InstalledPlugin, clashes: Clashes) -> Iterator[_Listed]:
    """Gives the stages that a plugin provides."""
    for catalogue in one.catalogues:
        for name, offer in catalogue.offers.items():
            others = [other for other in clashes.get((catalogue.stage, name), ()) if other is not one]
            named = " and ".join(str(other.source) for other in others)
            yield _Listed(
                stage=catalogue.stage,
                name=name,
                summary=offer.provided.summary,
                plugin=one.source.plugin,
                distribution=one.distribution_name,
                version=one.version,
                status=_Status.CLASH if others else _Status.LOADED,
                problem=f"{named} provides it too" if others else None,
            )


def _besides(one: InstalledPlugin) -> Iterator[_Listed]:
    """Gives what is to be said of a plugin, or of a part of it, that provides nothing."""
    for status, problem in _troubles(one):
        yield _Listed(
            name=one.source.plugin,
            plugin=one.source.plugin,
            distribution=one.distribution_name,
            version=one.version,
            status=status,
            problem=problem,
        )


def _troubles(one: InstalledPlugin) -> Iterator[tuple[_Status, str]]:
    if one.blocked:
        yield _Status.BLOCKED, "left out by THORN_PLUGINS_BLOCK"
    elif not one.problems and not any(catalogue.offers for catalogue in one.catalogues):
        yield _Status.EMPTY, "provides nothing" if one.has_hooks else "has no hook, so it provides nothing"
    for problem in one.problems:
        yield _trouble(problem)


def _trouble(problem: Trouble) -> tuple[_Status, str]:
    if isinstance(problem, StageUnavailableError):
        return _Status.UNAVAILABLE, f"{problem.problem}: {problem.install}"
    return _Status.BROKEN, problem.problem


def _told(one: _Listed) -> Text:
    sign, colour = _SIGNS[one.status]
    return Text(f"{sign} {show.printable(one.problem or one.summary)}", colour)
