"""The command ``plugins new``."""

import json
import shlex
from importlib.metadata import Distribution, distribution
from pathlib import Path

import click

from thornsdk import VERSION, Settings
from thornsdk.cli import show
from thornsdk.cli.options import json_option
from thornsdk.cli.problems import Problem
from thornsdk.cli.scaffold import Names, names_of, render, write
from thornsdk.installed import find_installed
from thornsdk.model.url import DEFAULT_PORTS
from thornsdk.plugins import KINDS


@click.command()
@click.argument("name")
@click.option(
    "--stage", "kind", type=click.Choice(list(KINDS)), required=True, help="What the plugin provides."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), metavar="DIR", help="The folder to make; else thornsdk-NAME."
)
@json_option
def new(*, name: str, kind: str, folder: Path | None, as_json: bool) -> None:
    """Make the distribution of a plugin called NAME: code, tests, README and the rest.

    It works as it is made, and its tests pass; then it is yours to change.
    """
    names = names_of(name, kind)
    _check_free(names)
    texts = render(names)
    target = folder or Path(names.distribution)
    write(texts, target)
    if as_json:
        show.print_json(_fields(names, target, sorted(texts)))
        return
    out = show.console()
    out.print(show.printable(f"made {target}, with the {kind} {names.name!r}. Next:"), soft_wrap=True)
    for step in _next_steps(names, target):
        out.print(f"  {show.printable(step)}", soft_wrap=True)


def _check_free(names: Names) -> None:
    """Refuses a name that would clash, or whose options and block list would be those of another, too.

    Raises:
        Problem: If it is taken.
    """
    taken = dict.fromkeys(DEFAULT_PORTS, "a URL scheme of the web")
    for one in find_installed(VERSION, Settings.from_environ().plugins_block):
        taken[one.source.plugin] = str(one.source)
        for catalogue in one.catalogues:
            taken.update(dict.fromkeys(catalogue.offers, f"the {catalogue.stage} of {one.source}"))
    if names.name in taken:
        raise Problem(f"the name {names.name!r} is taken by {taken[names.name]}; choose another")


def _next_steps(names: Names, folder: Path) -> list[str]:
    wanted = ["-e", ".[test]", *origin_of(distribution("thornsdk"))]
    return [
        f"cd {shlex.quote(str(folder))}",
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        f"pip install {shlex.join(wanted)}",
        "pytest",
        "mypy",
        f"thornsdk plugins check {names.name}",
    ]


def origin_of(one: Distribution) -> list[str]:
    """Gives what pip has to be told to find a distribution again that no index has.

    Where it was installed from elsewhere, such as a clone, its direct_url.json says so (PEP 610).
    """
    origin = json.loads(one.read_text("direct_url.json") or "{}")
    if not origin:
        return []
    vcs = origin.get("vcs_info")
    url = f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}" if vcs else origin["url"]
    return [f"{one.name} @ {url}"]


def _fields(names: Names, folder: Path, paths: list[str]) -> dict[str, object]:
    return {
        "stage": names.stage,
        "name": names.name,
        "distribution": names.distribution,
        "module": names.module,
        "folder": str(folder),
        "files": paths,
        "next": _next_steps(names, folder),
    }
