"""What is installed, plugin by plugin: one that is broken hides no other.

`~thornsdk.Thorn` is strict: it refuses to start with a plugin that is broken. Who wants to know what is wrong
has to see them all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from attrs import evolve, frozen

from thornsdk.errors import PluginLoadError, StageUnavailableError
from thornsdk.plugins import (
    KINDS,
    Catalogue,
    PluginManager,
    Source,
    in_order,
    installed_points,
    name_and_version,
    source_of,
)

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

Trouble: TypeAlias = PluginLoadError | StageUnavailableError
"""Why a plugin, or a part of it, is not there."""


@frozen(kw_only=True, eq=False)
class InstalledPlugin:
    """A plugin that is installed, loaded or not.

    Attributes:
        source: Where it comes from.
        point: The entry point that names it.
        distribution: The distribution that brings it.
        blocked: Whether ``THORN_PLUGINS_BLOCK`` leaves it out; then it was not imported.
        has_hooks: Whether it has a hook at all; without one, it never provides anything.
        problems: Why it, or a part of it, is not there.
        catalogues: What it provides, of each kind of stage whose hook works.
    """

    source: Source
    point: "EntryPoint"
    distribution: "Distribution"
    blocked: bool = False
    has_hooks: bool = False
    problems: tuple[Trouble, ...] = ()
    catalogues: tuple[Catalogue[object], ...] = ()

    @property
    def distribution_name(self) -> str:
        """The name of its distribution; empty where that has no metadata."""
        return name_and_version(self.distribution)[0]

    @property
    def version(self) -> str:
        """The version of its distribution; empty where that has no metadata."""
        return name_and_version(self.distribution)[1]


Clashes: TypeAlias = Mapping[tuple[str, str], Sequence[InstalledPlugin]]
"""The plugins that provide the same name for the same kind of stage, by kind and name."""


def find_installed(version: str, block: frozenset[str] = frozenset()) -> list[InstalledPlugin]:
    """Loads every plugin that is installed, each by itself.

    Args:
        version: The version of thornsdk, as hooks are told it.
        block: Plugins that are not loaded: their names, or ``distribution:name``.

    Returns:
        The plugins in the order in which a `PluginManager` loads them.
    """
    return [_load(point, version, block) for point in in_order(installed_points())]


def find_clashes(plugins: Iterable[InstalledPlugin]) -> Clashes:
    """Gives the plugins that provide the same name for the same kind of stage, by kind and name."""
    providers: dict[tuple[str, str], list[InstalledPlugin]] = {}
    for one in plugins:
        for catalogue in one.catalogues:
            for name in catalogue.offers:
                providers.setdefault((catalogue.stage, name), []).append(one)
    return {place: several for place, several in providers.items() if len(several) > 1}


def _load(point: "EntryPoint", version: str, block: frozenset[str]) -> InstalledPlugin:
    # Whatever is found in the environment has one.
    distribution = cast("Distribution", point.dist)
    one = InstalledPlugin(source=source_of(point), point=point, distribution=distribution)
    manager = PluginManager(version, block)
    try:
        manager.load([point])
    except PluginLoadError as exc:
        return evolve(one, problems=(exc,))
    if not manager.loaded:
        missing = tuple(manager.missing.values())
        return evolve(one, problems=missing, blocked=not missing)
    return _ask(one, manager)


def _ask(one: InstalledPlugin, manager: PluginManager) -> InstalledPlugin:
    problems: list[Trouble] = []
    catalogues: list[Catalogue[object]] = []
    for kind in KINDS:
        try:
            catalogues.append(manager.catalogue(kind))
        except PluginLoadError as exc:
            problems.append(exc)
    return evolve(one, has_hooks=manager.has_hooks, problems=tuple(problems), catalogues=tuple(catalogues))
