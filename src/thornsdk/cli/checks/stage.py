"""What is checked of each stage that a plugin provides."""

import re
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager, nullcontext
from functools import cached_property
from pathlib import PurePath
from tempfile import TemporaryDirectory

from attrs import evolve, frozen

from thornsdk import Provided, Settings, StageContext, Transport
from thornsdk.cli.checks.finding import Finding
from thornsdk.errors import PluginLoadError, StageUnavailableError, ThornError
from thornsdk.installed import InstalledPlugin
from thornsdk.plugins import BROKEN, Catalogue, what_it_raised
from thornsdk.stages import utc_now

_NAME = re.compile(r"[a-z0-9]+([-_.+][a-z0-9]+)*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_ONE_LINE = "Say in one line what it does"


@frozen(kw_only=True)
class _Trial:
    """What came of building a stage and closing it again.

    Attributes:
        refused: What kept it from being built.
        schemes: What a transport serves.
        odd_schemes: What a transport gives in place of schemes; empty for nothing.
        not_closed: What went wrong when it was closed; empty for nothing.
    """

    refused: ThornError | None = None
    schemes: frozenset[str] = frozenset()
    odd_schemes: str = ""
    not_closed: str = ""


@frozen(kw_only=True, eq=False)
class ProvidedStage:
    """A stage that a plugin provides.

    Attributes:
        plugin: The plugin.
        catalogue: What the plugin provides of that kind.
        provided: What it says of the stage.
    """

    plugin: InstalledPlugin
    catalogue: Catalogue[object]
    provided: Provided[object]

    @property
    def place(self) -> tuple[str, str]:
        """The kind and the name of the stage."""
        return self.catalogue.stage, self.provided.name

    @cached_property
    def trial(self) -> _Trial:
        """What came of building it, once."""
        try:
            with _context(*self.place) as context:
                return _look_at(self.catalogue.build(context), self.plugin.source.package)
        except ThornError as exc:
            return _Trial(refused=exc)

    def wrong(self, problem: str, advice: str) -> Finding:
        """Gives what has to be mended about it."""
        return self.finding(f"{self} {problem}", advice, wrong=True)

    def note(self, problem: str, advice: str) -> Finding:
        """Gives what one should know about it."""
        return self.finding(f"{self} {problem}", advice, wrong=False)

    def finding(self, problem: str, advice: str, *, wrong: bool) -> Finding:
        """Gives a finding about it, in the words of its own."""
        kind, name = self.place
        return Finding(plugin=self.plugin, wrong=wrong, problem=problem, advice=advice, stage=kind, name=name)

    def __str__(self) -> str:
        kind, name = self.place
        return f"the {kind} {name!r}"


def stages_of(plugins: Iterable[InstalledPlugin]) -> Iterator[ProvidedStage]:
    """Gives the stages that plugins provide."""
    for one in plugins:
        for catalogue in one.catalogues:
            for offer in catalogue.offers.values():
                yield ProvidedStage(plugin=one, catalogue=catalogue, provided=offer.provided)


def check_stage(stage: ProvidedStage, everything: Iterable[ProvidedStage]) -> Iterator[Finding]:
    """Checks a stage.

    Args:
        stage: The stage.
        everything: The stages of all plugins that are installed.
    """
    others = [one for one in everything if one.plugin is not stage.plugin]
    yield from _check_name(stage, others)
    yield from _check_summary(stage)
    yield from _check_extra(stage)
    yield from _check_build(stage)
    yield from _check_schemes(stage, others)


def _check_name(stage: ProvidedStage, others: Iterable[ProvidedStage]) -> Iterator[Finding]:
    if not _NAME.fullmatch(stage.provided.name):
        advice = "Take lower case letters and digits, with '-', '_', '.' or '+' between them"
        yield stage.wrong("has a name that settings cannot well choose it by", advice)
    for other in others:
        if other.place == stage.place:
            advice = f"Rename it, or leave one out: THORN_PLUGINS_BLOCK={stage.plugin.source.qualified}"
            yield stage.wrong(f"is provided by {other.plugin.source} too", advice)


def _check_summary(stage: ProvidedStage) -> Iterator[Finding]:
    summary = stage.provided.summary
    if not summary.strip():
        yield stage.wrong("has no summary", _ONE_LINE)
    elif not summary.isprintable():
        yield stage.wrong("has a summary that is not one line", _ONE_LINE)


def _check_extra(stage: ProvidedStage) -> Iterator[Finding]:
    """Finds that what people are told to install is nothing that can be installed."""
    # Only who checks needs it.
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    distribution, name = stage.plugin.distribution, stage.plugin.distribution_name
    if not (extra := stage.provided.extra):
        return
    try:
        wanted = Requirement(extra)
    except InvalidRequirement:
        advice = f"Name an extra of its distribution, such as {name}[{stage.provided.name}]"
        yield stage.wrong(f"names {extra!r} as what to install, which is no requirement", advice)
        return
    if canonicalize_name(wanted.name) != canonicalize_name(name):
        return
    known = {canonicalize_name(one) for one in distribution.metadata.get_all("Provides-Extra") or ()}
    for one in sorted(wanted.extras):
        if canonicalize_name(one) not in known:
            problem = f"names {extra!r} as what to install, and {name} has no extra {one!r}"
            yield stage.wrong(problem, f"Add {one!r} to its optional dependencies")


def _check_build(stage: ProvidedStage) -> Iterator[Finding]:
    refused = stage.trial.refused
    if isinstance(refused, StageUnavailableError):
        yield _unavailable(stage, refused)
    elif isinstance(refused, PluginLoadError):
        yield stage.finding(refused.problem, "Mend its factory, or what it makes", wrong=True)
    elif refused is not None:
        problem = f"cannot be built with the settings that there are: {refused}"
        yield stage.note(problem, "Set that, and check again")
    elif stage.trial.not_closed:
        yield stage.wrong(f"cannot be closed: {stage.trial.not_closed}", "Mend its close")


def _unavailable(stage: ProvidedStage, error: StageUnavailableError) -> Finding:
    problem = f"cannot be built here: {error.problem}"
    if error.install.startswith("mend "):  # The plugin does not say what to install.
        return stage.wrong(problem, "Make what it needs an extra, and say in its `extra` which")
    return stage.note(problem, f"Install what is missing: {error.install}")


def _check_schemes(stage: ProvidedStage, others: Iterable[ProvidedStage]) -> Iterator[Finding]:
    if stage.trial.odd_schemes:
        problem = f"serves {stage.trial.odd_schemes}, which is no frozenset of URL schemes in lower case"
        yield stage.wrong(problem, "Give one, such as frozenset({'https'})")
    for other in others if stage.trial.schemes else ():
        if other.catalogue.stage == "transport" and (shared := stage.trial.schemes & other.trial.schemes):
            problem = f"serves {', '.join(sorted(shared))}, as {other} does"
            yield stage.note(problem, "Let THORN_TRANSPORT name one of them")


def _look_at(made: object, package: str) -> _Trial:
    if not isinstance(made, Transport):
        return _Trial(not_closed=_close(made, package))
    schemes = made.schemes
    if _are_schemes(schemes):
        return _Trial(schemes=schemes, not_closed=_close(made, package))
    return _Trial(odd_schemes=repr(schemes), not_closed=_close(made, package))


def _are_schemes(schemes: object) -> bool:
    return (
        isinstance(schemes, frozenset)
        and bool(schemes)
        and all(isinstance(one, str) and _SCHEME.fullmatch(one) for one in schemes)
    )


def _close(made: object, package: str) -> str:
    try:
        getattr(made, "close", lambda: None)()
    except BROKEN as exc:
        return what_it_raised(exc, package)
    return ""


@contextmanager
def _context(kind: str, name: str) -> Iterator[StageContext]:
    """Gives what an application with the settings that there are gives to the factory.

    For a store, the process is in an empty folder meanwhile, and so is the file that it is to open: checking
    makes none, and touches none that is in use.
    """
    settings = Settings.from_environ()
    value = name
    if kind == "serializer":
        written = {codec: content_type for content_type, codec in settings.codecs.items()}
        value = written.get(name, f"application/{name}")
    with _empty_folder() if kind == "store" else nullcontext() as folder:
        if folder and settings.store.partition(":")[0] == name:
            value = _moved(settings.store, folder)
            settings = evolve(settings, store=value)
        yield StageContext(name=name, value=value, settings=settings, clock=utc_now)


@contextmanager
def _empty_folder() -> Iterator[str]:
    with TemporaryDirectory(prefix="thornsdk-") as folder, chdir(folder):
        yield folder


def _moved(url: str, folder: str) -> str:
    """Gives the URL of a store with its path in another folder; what has no folder in it may stay."""
    scheme, _, path = url.partition(":///")
    return f"{scheme}:///{folder}/{PurePath(path).name}" if "/" in path else url
