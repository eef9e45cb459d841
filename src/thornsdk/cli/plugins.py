"""The command ``plugins``."""

from collections.abc import Iterator

import click
from attrs import asdict, frozen

from thornsdk import VERSION, Settings
from thornsdk.cli import show
from thornsdk.cli.options import json_option
from thornsdk.plugins import PluginManager


@frozen(kw_only=True)
class _Listed:
    """A stage that a plugin provides, or a plugin that could not be imported."""

    stage: str
    name: str
    summary: str
    plugin: str
    distribution: str
    missing: str | None = None


@click.command()
@json_option
def plugins(*, as_json: bool) -> None:
    """List the stages, and the plugins that provide them."""
    manager = PluginManager(VERSION, Settings.from_environ().plugins_block)
    manager.load()
    listed = [*_provided(manager), *_missing(manager)]
    show.print_items(
        ("stage", "name", "summary", "plugin", "distribution"),
        [one for one in listed if as_json or one.missing is None],
        row=lambda one: (one.stage, one.name, one.summary, one.plugin, one.distribution),
        fields=asdict,
        as_json=as_json,
        nothing="no plugin is installed",
    )
    if not as_json:
        for one in listed:
            if one.missing is not None:
                show.note(one.missing)


def _provided(manager: PluginManager) -> Iterator[_Listed]:
    for catalogue in manager.catalogues():
        for name, offer in catalogue.offers.items():
            yield _Listed(
                stage=catalogue.stage,
                name=name,
                summary=offer.provided.summary,
                plugin=offer.source.plugin,
                distribution=offer.source.distribution,
            )


def _missing(manager: PluginManager) -> Iterator[_Listed]:
    for name, problem in manager.missing.items():
        yield _Listed(stage="", name="", summary="", plugin=name, distribution="", missing=str(problem))
