"""What is checked of a plugin as a whole: that it is there, and that its distribution is in order."""

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from thornsdk import VERSION
from thornsdk.cli.checks.finding import Finding
from thornsdk.errors import StageUnavailableError
from thornsdk.installed import InstalledPlugin, Trouble

OURS = "thornsdk"


def check_plugin(one: InstalledPlugin, everyone: Iterable[InstalledPlugin]) -> Iterator[Finding]:
    """Checks a plugin but for its stages.

    Args:
        one: The plugin.
        everyone: All plugins that are installed.
    """
    if one.blocked:
        yield _note(one, "it was not checked, for THORN_PLUGINS_BLOCK leaves it out", "Take it off that list")
        return
    yield from (_trouble(one, problem) for problem in one.problems)
    yield from _check_name(one, everyone)
    yield from _check_requirement(one)
    yield from _check_origin(one)
    yield from _check_types(one)


def _wrong(one: InstalledPlugin, problem: str, advice: str) -> Finding:
    return Finding(plugin=one, wrong=True, problem=problem, advice=advice)


def _note(one: InstalledPlugin, problem: str, advice: str) -> Finding:
    return Finding(plugin=one, wrong=False, problem=problem, advice=advice)


def _trouble(one: InstalledPlugin, trouble: Trouble) -> Finding:
    if not isinstance(trouble, StageUnavailableError):
        advice = f"Mend it, or leave it out with THORN_PLUGINS_BLOCK={one.source.plugin}"
        return _wrong(one, f"it cannot be loaded: {trouble.problem}", advice)
    problem = f"it cannot be imported: {trouble.problem}"
    if one.point.extras:
        return _note(one, problem, f"Install what is missing: {trouble.install}")
    advice = "Install what is missing, or import it in the factory of the stage that needs it"
    return _wrong(one, problem, advice)


def _check_name(one: InstalledPlugin, everyone: Iterable[InstalledPlugin]) -> Iterator[Finding]:
    for other in everyone:
        if other is not one and other.source.plugin == one.source.plugin:
            advice = f"Leave one out by its whole name: THORN_PLUGINS_BLOCK={one.source.qualified}"
            yield _note(one, f"another one is called alike, {other.source}", advice)


def _check_requirement(one: InstalledPlugin) -> Iterator[Finding]:
    # Only who checks needs it.
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    if canonicalize_name(one.distribution.name) == OURS:
        return
    required = [Requirement(text) for text in one.distribution.requires or ()]
    ours = [
        each
        for each in required
        if canonicalize_name(each.name) == OURS
        and (each.marker is None or each.marker.evaluate({"extra": ""}))
    ]
    if not ours:
        minor = ".".join(VERSION.split(".")[:2])
        problem = "its distribution does not require thornsdk"
        yield _wrong(one, problem, f"Add 'thornsdk>={minor}' to its dependencies")
    for each in ours:
        if not each.specifier.contains(VERSION, prereleases=True):
            problem = f"its distribution requires {OURS}{each.specifier}, and {VERSION} is installed"
            yield _wrong(one, problem, "Install releases that go together, or test it with this one")


def _check_origin(one: InstalledPlugin) -> Iterator[Finding]:
    """Finds that another module of the same name was imported in place of the plugin's own."""
    module = sys.modules.get(one.point.module)
    imported = getattr(module, "__file__", None)
    path = one.point.module.replace(".", "/")
    own = [
        file for file in one.distribution.files or () if str(file) in {f"{path}.py", f"{path}/__init__.py"}
    ]
    # An editable installation lists no modules.
    if imported is None or not own:
        return
    if Path(imported).resolve() not in {Path(str(file.locate())).resolve() for file in own}:
        problem = f"its module {one.point.module} was imported from {imported}, which its distribution lacks"
        yield _wrong(one, problem, "Rename or remove what hides it")


def _check_types(one: InstalledPlugin) -> Iterator[Finding]:
    package = one.point.module.partition(".")[0]
    spec = find_spec(package)
    if spec is None:
        return  # It cannot be imported, which was told.
    folders = spec.submodule_search_locations
    if folders is None:
        problem = f"its module {package} is a single file, beside which type checkers find no py.typed"
        yield _wrong(one, problem, "Make it a package, with an empty file py.typed in it")
    elif not any((Path(folder) / "py.typed").is_file() for folder in folders):
        problem = f"its package {package} has no py.typed, so type checkers see nothing of it"
        yield _wrong(one, problem, "Put an empty file py.typed beside its __init__.py")
