"""The command ``plugins check``."""

import difflib
from collections.abc import Iterator, Sequence

import click
from rich.text import Text

from thornsdk import VERSION, Settings
from thornsdk.cli import show
from thornsdk.cli.checks.finding import Finding
from thornsdk.cli.checks.plugin import check_plugin, mend_or_leave_out
from thornsdk.cli.checks.stage import ProvidedStage, check_stage, stages_of
from thornsdk.cli.options import json_option
from thornsdk.cli.problems import FAILED, Problem
from thornsdk.installed import InstalledPlugin, find_installed
from thornsdk.plugins import BROKEN, what_it_raised


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def check(*, names: tuple[str, ...], as_json: bool) -> None:
    """Check whether plugins load, and whether what they provide is sound.

    Give it the names of plugins, or none for all that are installed. Every stage is built and closed again.
    Exit code 0: all is well; 1: something has to be mended.
    """
    everyone = find_installed(VERSION, Settings.from_environ().plugins_block)
    stages = [*stages_of(everyone)]
    wrong = False
    for one in _chosen(everyone, names):
        own = [stage for stage in stages if stage.plugin is one]
        findings = [*_findings(one, everyone, own, stages)]
        wrong = wrong or any(found.wrong for found in findings)
        _tell(one, own, findings, as_json=as_json)
    if wrong:
        raise click.exceptions.Exit(FAILED)


def _findings(
    one: InstalledPlugin,
    everyone: Sequence[InstalledPlugin],
    own: Sequence[ProvidedStage],
    stages: Sequence[ProvidedStage],
) -> Iterator[Finding]:
    try:
        yield from check_plugin(one, everyone)
        for stage in own:
            yield from check_stage(stage, stages)
    except BROKEN as exc:
        # Whatever it is, the other plugins are checked all the same.
        problem = f"its check broke off: {what_it_raised(exc, one.source.package)}"
        yield Finding(plugin=one, wrong=True, problem=problem, advice=mend_or_leave_out(one))


def _chosen(everyone: Sequence[InstalledPlugin], names: Sequence[str]) -> list[InstalledPlugin]:
    known = {text for one in everyone for text in (one.source.plugin, one.source.qualified)}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise Problem(f"there is no plugin {name!r}; `thornsdk plugins` lists what there is.{hint}")
    return [
        one for one in everyone if not names or {one.source.plugin, one.source.qualified}.intersection(names)
    ]


def _tell(
    one: InstalledPlugin, own: Sequence[ProvidedStage], findings: Sequence[Finding], *, as_json: bool
) -> None:
    sound = bool(own) and not any(found.wrong for found in findings)
    if as_json:
        if sound:
            show.print_json(_fields(one, "ok"))
        for found in findings:
            show.print_json(_fields(one, "wrong" if found.wrong else "note", found))
        return
    if sound:
        provided = ", ".join(f"{kind} {name!r}" for kind, name in (stage.place for stage in own))
        _print(("✓", "green"), one, provided)
    for found in findings:
        sign = ("✗", "red") if found.wrong else ("○", "yellow")
        _print(sign, one, f"{found.problem}. {found.advice}")


def _fields(one: InstalledPlugin, level: str, found: Finding | None = None) -> dict[str, object]:
    return {
        "level": level,
        "plugin": one.source.plugin,
        "distribution": one.distribution_name,
        "version": one.version,
        "stage": found.stage if found else "",
        "name": found.name if found else "",
        "problem": found.problem if found else None,
        "advice": found.advice if found else None,
    }


def _print(sign: tuple[str, str], one: InstalledPlugin, text: str) -> None:
    line = Text.assemble(sign, " ", show.printable(f"{one.source}: {text}"))
    show.console().print(line, soft_wrap=True)
