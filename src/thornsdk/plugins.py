"""The plugin manager: loads plugins, finds clashes, and knows who provided what.

Pluggy's own loading by entry point skips a second plugin of the same name without a word, takes two plugins
that are equal for one, and loses the results of all where one raises. So loading is done here, and each
plugin stands alone in a pluggy manager of its own.
"""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import pluggy
from attrs import field, frozen

from thornsdk.dispatching import Dispatcher
from thornsdk.errors import (
    MissingPackageError,
    PluginClashError,
    PluginError,
    PluginLoadError,
    StageUnavailableError,
    ThornError,
    UnknownStageError,
)
from thornsdk.hookspecs import PROJECT, HookContext, Plugin, Provided, StageContext
from thornsdk.stages import Observer, Serializer, Signer, Store, Transport, what_is_wrong_with

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "thornsdk"
HOOK_PREFIX = "thornsdk_"

KINDS: Mapping[str, type] = {
    "serializer": Serializer,
    "signer": Signer,
    "transport": Transport,
    "dispatcher": Dispatcher,
    "store": Store,
    "observer": Observer,
}
"""The kinds of stages, and what a stage of each has to be."""

BROKEN = (Exception, SystemExit)
"""What a plugin that is broken raises. `sys.exit` is an error like others: it must not end an application."""

S = TypeVar("S")


@frozen
class Source:
    """Where a plugin comes from.

    Attributes:
        plugin: The plugin's name.
        distribution: The distribution that brings it, with its version; ``the application`` for a plugin
            that was given in code.
        package: The package that an installed plugin is in; errors say where in it something broke.
    """

    plugin: str
    distribution: str
    package: str = field(default="", eq=False)

    @property
    def qualified(self) -> str:
        """The plugin's name after that of its distribution: it tells plugins of the same name apart."""
        return f"{self.distribution.partition(' ')[0]}:{self.plugin}"

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution}"


@frozen(eq=False)
class Offer(Generic[S]):
    """A provided stage and the plugin that provides it."""

    provided: Provided[S]
    source: Source


@frozen(eq=False)
class Catalogue(Generic[S]):
    """The stages of one kind, by name.

    Attributes:
        stage: The kind, such as ``transport``.
        protocol: What a stage of the kind has to be.
        offers: What there is.
        missing: Plugins that could not be imported, by name.
    """

    stage: str
    protocol: type
    offers: Mapping[str, Offer[S]]
    missing: Mapping[str, StageUnavailableError] = field(factory=dict)

    def build(self, context: StageContext) -> S:
        """Builds the stage of the name that the context has.

        Raises:
            UnknownStageError: If no plugin provides it.
            StageUnavailableError: If a package that it needs is not installed.
            PluginLoadError: If its factory raises anything but an error of ours, or makes something else.
        """
        name = context.name
        if name not in self.offers:
            raise self._unknown(name)
        offer = self.offers[name]
        made, problem = self._made(name, offer, context)
        if problem:
            raise _not_loaded(offer.source, f"its factory for the {self.stage} {name!r} made {problem}")
        return made

    def _made(self, name: str, offer: Offer[S], context: StageContext) -> tuple[S, str]:
        """Gives what the factory makes, and why it is no such stage; empty for nothing."""
        try:
            made = offer.provided.factory(context)
            return made, what_is_wrong_with(made, self.protocol)
        except ImportError as exc:
            install = (
                f"pip install {offer.provided.extra!r}" if offer.provided.extra else f"mend {offer.source}"
            )
            raise StageUnavailableError(f"the {self.stage} {name!r}", str(exc), install) from exc
        except MissingPackageError as exc:
            raise StageUnavailableError(f"the {self.stage} {name!r}", exc.problem, exc.install) from exc
        except ThornError:
            raise
        except BROKEN as exc:
            told = what_it_raised(exc, offer.source.package)
            raise _not_loaded(offer.source, f"its {self.stage} {name!r} cannot be built: {told}") from exc

    def _unknown(self, name: str) -> PluginError:
        if name in self.missing:
            return self.missing[name]
        import difflib  # Only who mistypes a name needs it.

        near = difflib.get_close_matches(name, self.offers, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        for problem in self.missing.values():
            hint = f"{hint} {problem}".strip()
        return UnknownStageError(self.stage, name, tuple(sorted(self.offers)), hint)


@frozen(eq=False)
class LoadedPlugin:
    """A plugin as the manager holds it."""

    source: Source
    hooks: pluggy.HookRelay


class PluginManager:
    """Holds the plugins of one `~thornsdk.Thorn`; never a global.

    Args:
        version: The version of thornsdk, as hooks are told it.
        block: Plugins that are not loaded: their names, or ``distribution:name``.
    """

    def __init__(self, version: str, block: frozenset[str] = frozenset()) -> None:
        self._context = HookContext(version=version)
        self._block = block
        self._loaded: list[LoadedPlugin] = []
        self._missing: dict[str, StageUnavailableError] = {}

    def load(self, points: "Iterable[EntryPoint] | None" = None) -> None:
        """Loads the plugins that distributions bring, ordered by distribution, then by name.

        Args:
            points: The entry points to load; by default those of the group ``thornsdk``.

        Raises:
            PluginLoadError: If a plugin cannot be loaded. One whose package is missing is remembered
                instead, and told when somebody asks for it.
        """
        found = installed_points() if points is None else points
        for point in in_order(found):
            source = source_of(point)
            if not self._blocked(source):
                self._load_one(point, source)

    def register(self, plugin: object, source: Source) -> None:
        """Takes a plugin in, unless it is blocked.

        Raises:
            PluginLoadError: If it has a method that is named like a hook but is none, or breaks when it is
                looked at.
        """
        if self._blocked(source):
            return
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(Plugin)
        try:
            _check_hooks(plugin, source)
            manager.register(plugin)
            manager.check_pending()
        except PluginLoadError:
            raise
        except BROKEN as exc:
            raise _not_loaded(source, what_it_raised(exc, source.package)) from exc
        self._loaded.append(LoadedPlugin(source, manager.hook))

    @property
    def loaded(self) -> tuple[Source, ...]:
        """The plugins that were loaded, in order."""
        return tuple(one.source for one in self._loaded)

    @property
    def has_hooks(self) -> bool:
        """Whether any of the plugins has a hook at all."""
        return any(
            getattr(one.hooks, f"{HOOK_PREFIX}{kind}s").get_hookimpls()
            for one in self._loaded
            for kind in KINDS
        )

    @property
    def missing(self) -> Mapping[str, StageUnavailableError]:
        """The plugins that could not be imported, by name, and what to install."""
        return dict(self._missing)

    def catalogues(self) -> "tuple[Catalogue[object], ...]":
        """What plugins provide, of each kind."""
        return tuple(map(self.catalogue, KINDS))

    def catalogue(self, kind: str) -> "Catalogue[object]":
        """What plugins provide, of one of the `KINDS`.

        Raises:
            PluginLoadError: If a hook raises, or gives something else than it should.
            PluginClashError: If two plugins provide the same name.
        """
        return self._catalogue(kind)

    def serializers(self) -> Catalogue[Serializer]:
        """The serializers that plugins provide."""
        return self._catalogue("serializer")

    def signers(self) -> Catalogue[Signer]:
        """The signers that plugins provide."""
        return self._catalogue("signer")

    def transports(self) -> Catalogue[Transport]:
        """The transports that plugins provide."""
        return self._catalogue("transport")

    def dispatchers(self) -> Catalogue[Dispatcher]:
        """The dispatchers that plugins provide."""
        return self._catalogue("dispatcher")

    def stores(self) -> Catalogue[Store]:
        """The stores that plugins provide."""
        return self._catalogue("store")

    def observers(self) -> Catalogue[Observer]:
        """The observers that plugins provide."""
        return self._catalogue("observer")

    def _blocked(self, source: Source) -> bool:
        return not self._block.isdisjoint((source.plugin, source.qualified))

    def _load_one(self, point: "EntryPoint", source: Source) -> None:
        if not (module := module_of(point)):
            raise _not_loaded(source, f"its entry point {point.value!r} is malformed; {_wanted('pigeons')}")
        try:
            named: object = point.load()
            plugin: object = named() if callable(named) else None
        except ImportError as exc:
            self._missing[point.name] = StageUnavailableError(str(source), str(exc), _install(point))
            return
        except BROKEN as exc:
            raise _not_loaded(source, what_it_raised(exc, source.package)) from exc
        if not callable(named):
            what = type(named).__qualname__
            raise _not_loaded(source, f"its entry point {point.value!r} names a {what}; {_wanted(module)}")
        self.register(plugin, source)

    def _catalogue(self, stage: str) -> Catalogue[S]:
        offers: dict[str, Offer[S]] = {}
        for one in self._loaded:
            for provided in self._ask(one, f"{HOOK_PREFIX}{stage}s"):
                _check_provided(provided, one.source, stage)
                offer = Offer(cast("Provided[S]", provided), one.source)
                if (first := offers.get(offer.provided.name)) is not None:
                    raise clash(stage, offer.provided.name, first.source, one.source)
                offers[offer.provided.name] = offer
        return Catalogue(stage, KINDS[stage], offers, self._missing)

    def _ask(self, one: LoadedPlugin, hook: str) -> list[object]:
        caller: pluggy.HookCaller = getattr(one.hooks, hook)
        try:
            results: list[object] = caller(context=self._context)
            # Pluggy leaves out what is None: most likely, a `return` was forgotten.
            if len(results) < len(caller.get_hookimpls()):
                raise _not_provided(None, one.source, hook)
            return [provided for result in results for provided in _listed(result, one.source, hook)]
        except PluginLoadError:
            raise
        except BROKEN as exc:
            told = what_it_raised(exc, one.source.package)
            raise _not_loaded(one.source, f"{hook} raised {told}") from exc


def what_it_raised(error: BaseException, package: str) -> str:
    """Says what a plugin raised, and where in its own code that came about.

    Args:
        error: What it raised.
        package: The package that it is in.

    Returns:
        Such as ``KeyError: 'loft' (pigeon_post/birds.py:12)``.
    """
    name, text = type(error).__qualname__, str(error)
    told = f"{name}: {text}" if text else name
    if isinstance(error, SystemExit):
        told = f"{told}, which would end the process"
    place = _place_in(package, error) if package else ""
    return f"{told} ({place})" if place else told


def _place_in(package: str, error: BaseException) -> str:
    place = ""
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == package:
            path = Path(frame.f_code.co_filename)
            depth = module.count(".") + (2 if path.name == "__init__.py" else 1)
            place = f"{'/'.join(path.parts[-depth:])}:{line}"
    return place


def _not_loaded(source: Source, problem: str) -> PluginLoadError:
    return PluginLoadError(source.plugin, source.distribution, problem)


def _wanted(module: str) -> str:
    return f"it has to name a class of Plugin, as '{module}:PigeonPlugin' does"


def _listed(result: object, source: Source, hook: str) -> Iterable[object]:
    if not isinstance(result, Iterable):
        raise _not_provided(result, source, hook)
    return result


def installed_points() -> "Iterable[EntryPoint]":
    """Gives the entry points of all plugins that are installed."""
    # It costs a third of what thornsdk itself costs to import.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def in_order(points: "Iterable[EntryPoint]") -> "list[EntryPoint]":
    """Gives entry points in the order in which they are loaded: by distribution, then by name."""
    return sorted(points, key=lambda one: (distribution_of(one), one.name))


def source_of(point: "EntryPoint") -> Source:
    """Gives where the plugin of an entry point comes from."""
    return Source(point.name, distribution_of(point), module_of(point).partition(".")[0])


def module_of(point: "EntryPoint") -> str:
    """Gives the module that an entry point names; empty for one that is malformed."""
    parts = point.pattern.match(point.value)
    return parts["module"] if parts else ""


def distribution_of(point: "EntryPoint") -> str:
    """Gives the distribution that brings an entry point, with its version."""
    told = ("", "") if point.dist is None else name_and_version(point.dist)
    return " ".join(told).strip() or "an unknown distribution"


def name_and_version(distribution: "Distribution") -> tuple[str, str]:
    """Gives the name and version of a distribution; an empty text for what its metadata do not say."""
    metadata = distribution.metadata
    name, version = (metadata.get_all(one) or [""] for one in ("Name", "Version"))
    return str(name[0]), str(version[0])


def _install(point: "EntryPoint") -> str:
    wanted = f"{point.dist.name}[{point.extras[0]}]" if point.dist is not None and point.extras else ""
    return f"pip install {wanted!r}" if wanted else "install what is missing"


def clash(stage: str, name: str, first: Source, second: Source) -> PluginError:
    """Gives the error that a name is when two plugins, or one plugin twice, provide it."""
    if first == second:
        return _not_loaded(first, f"it provides the {stage} {name!r} twice")
    alike = first.plugin == second.plugin
    choices = (first.qualified, second.qualified) if alike else (first.plugin, second.plugin)
    return PluginClashError(stage, name, str(first), str(second), choices)


def _check_hooks(plugin: object, source: Source) -> None:
    """Refuses what pluggy passes over in silence: a wrong name, no mark, an argument that it never fills."""
    for name in dir(plugin):
        if not name.startswith(HOOK_PREFIX):
            continue
        method = getattr(plugin, name)
        if not hasattr(Plugin, name):
            known = ", ".join(hook for hook in dir(Plugin) if hook.startswith(HOOK_PREFIX))
            problem = f"there is no hook {name}; there are: {known}"
            raise _not_loaded(source, problem)
        if getattr(method, "__func__", method) is getattr(Plugin, name):
            continue
        if not hasattr(method, f"{PROJECT}_impl"):
            problem = f"{name} is not marked with @hookimpl, so it would never be called"
            raise _not_loaded(source, problem)
        for one in inspect.signature(method).parameters.values():
            if one.kind is not one.POSITIONAL_OR_KEYWORD or one.default is not one.empty:
                problem = f"{name} must take {one.name!r} plainly, without default, or it gets no value"
                raise _not_loaded(source, problem)
            if one.name != "context":
                raise _not_loaded(
                    source, f"{name} takes {one.name!r}; a hook is given 'context', and no more"
                )


def _check_provided(provided: object, source: Source, stage: str) -> None:
    if not isinstance(provided, Provided):
        raise _not_provided(provided, source, f"{HOOK_PREFIX}{stage}s")


def _not_provided(given: object, source: Source, hook: str) -> PluginLoadError:
    if given is None:
        return _not_loaded(source, f"{hook} gave None; it has to give a list of Provided: return [] for none")
    return _not_loaded(source, f"{hook} gave a {type(given).__qualname__}; it has to give a list of Provided")
