"""What is checked of a plugin as a whole: that it is there, and that its distribution is in order."""

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from thornsdk import VERSION
from thornsdk.cli.checks.finding import Finding
from thornsdk.errors import StageUnavailableError
from thornsdk.installed import InstalledPlugin, Trouble
from thornsdk.plugins import module_of

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
    yield from _check_hooks(one)
    yield from _check_metadata(one)
    if module := module_of(one.point):  # Where it is malformed, that was told.
        yield from _check_origin(one, module)
        yield from _check_types(one)


def mend_or_leave_out(one: InstalledPlugin) -> str:
    """Gives the advice where something in a plugin breaks."""
    return f"Mend it, or leave it out with THORN_PLUGINS_BLOCK={one.source.plugin}"


def _wrong(one: InstalledPlugin, problem: str, advice: str) -> Finding:
    return Finding(plugin=one, wrong=True, problem=problem, advice=advice)


def _note(one: InstalledPlugin, problem: str, advice: str) -> Finding:
    return Finding(plugin=one, wrong=False, problem=problem, advice=advice)


def _trouble(one: InstalledPlugin, trouble: Trouble) -> Finding:
    if not isinstance(trouble, StageUnavailableError):
        return _wrong(one, f"it cannot be loaded: {trouble.problem}", mend_or_leave_out(one))
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


def _check_hooks(one: InstalledPlugin) -> Iterator[Finding]:
    if one.problems or any(catalogue.offers for catalogue in one.catalogues):
        return
    if one.has_hooks:
        advice = "Where that is not meant, let one of them give a Provided"
        yield _note(one, "it provides nothing here: its hooks give empty lists", advice)
    else:
        advice = "Override the hook of the stage that it provides, and mark it with @hookimpl"
        yield _wrong(one, "it has no hook, so it provides nothing", advice)


def _check_metadata(one: InstalledPlugin) -> Iterator[Finding]:
    # Only who checks needs it.
    from packaging.utils import canonicalize_name

    if not one.distribution_name or not one.version:
        where = one.distribution.locate_file("")
        problem = f"its distribution in {where} has no METADATA with its name and version"
        yield _wrong(one, problem, "Install it again")
    elif canonicalize_name(one.distribution_name) != OURS:
        yield from _check_requirements(one)


def _check_requirements(one: InstalledPlugin) -> Iterator[Finding]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    ours: list[Requirement] = []
    for text in one.distribution.requires or ():
        try:
            each = Requirement(text)
        except InvalidRequirement:
            problem = f"its distribution requires {text!r}, which is no requirement"
            yield _wrong(one, problem, "Write it as in 'thornsdk>=0.1', and build and install it again")
            continue
        needed = each.marker is None or each.marker.evaluate({"extra": ""})
        if needed and canonicalize_name(each.name) == OURS:
            ours.append(each)
    if not ours:
        minor = ".".join(VERSION.split(".")[:2])
        problem = "its distribution does not require thornsdk"
        yield _wrong(one, problem, f"Add 'thornsdk>={minor}' to its dependencies")
    for each in ours:
        if not each.specifier.contains(VERSION, prereleases=True):
            problem = f"its distribution requires {OURS}{each.specifier}, and {VERSION} is installed"
            yield _wrong(one, problem, "Install releases that go together, or test it with this one")


def _check_origin(one: InstalledPlugin, module: str) -> Iterator[Finding]:
    """Finds that another module of the same name was imported in place of the plugin's own."""
    imported = getattr(sys.modules.get(module), "__file__", None)
    path = module.replace(".", "/")
    own = [
        file for file in one.distribution.files or () if str(file) in {f"{path}.py", f"{path}/__init__.py"}
    ]
    # An editable installation lists no modules.
    if imported is None or not own:
        return
    if Path(imported).resolve() not in {Path(str(file.locate())).resolve() for file in own}:
        problem = f"its module {module} was imported from {imported}, which its distribution lacks"
        yield _wrong(one, problem, "Rename or remove what hides it")


def _check_types(one: InstalledPlugin) -> Iterator[Finding]:
    package = one.source.package
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
