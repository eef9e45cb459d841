import sys
from collections.abc import AsyncIterator, Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, frozen

from support.distributions import PIGEON, Distributions
from support.stages import CountingTransport
from thornsdk import (
    DeliveryRecord,
    Exchange,
    HookContext,
    Observer,
    Plugin,
    Provided,
    Request,
    Response,
    Settings,
    Signer,
    StageContext,
    SubscriptionNotice,
    Thorn,
    Transport,
)
from thornsdk.errors import (
    ConfigurationError,
    InvalidValue,
    PluginClashError,
    PluginLoadError,
    StageUnavailableError,
    UnknownStageError,
)
from thornsdk.hookspecs import hookimpl  # A type checker would find what is wrong here on purpose.
from thornsdk.plugins import GROUP, PluginManager, Source
from thornsdk.stages import what_is_wrong_with
from thornsdk.testing import FakeClock


def provided(name: str) -> Provided[Transport]:
    return Provided(name, lambda stage: CountingTransport(), "Counts.")


class PigeonPlugin(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
        return [provided("pigeon")]


class Forgetful(Transport):
    """Inherits what it forgot, and what may be inherited."""

    schemes = frozenset({"pigeon"})


FORGETFUL = Forgetful()  # type: ignore[abstract]  # who has no type checker makes it all the same


class OwlPlugin(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
        return [provided("owl")]


def source(name: str, distribution: str = "birds 1.0") -> Source:
    return Source(name, distribution)


def manager_of(*plugins: object) -> PluginManager:
    manager = PluginManager("0.1")
    for number, plugin in enumerate(plugins):
        manager.register(plugin, source(f"bird-{number}"))
    return manager


def stage_context(value: str = "pigeon") -> StageContext:
    return StageContext(name=value, value=value, settings=Settings(), clock=FakeClock())


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distributions:
    """Installs distributions on a path of the test's own."""
    return Distributions(tmp_path, monkeypatch)


# What is installed


def test_an_installed_plugin_is_loaded_and_builds_its_stage(install: Distributions) -> None:
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    manager = PluginManager("0.1")
    manager.load(install.points())
    assert manager.loaded == (Source("pigeon", "pigeon-post 1.0"),)
    assert manager.transports().build(stage_context("pigeon")).schemes == {"pigeon"}


def test_a_thorn_uses_what_is_installed(install: Distributions) -> None:
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    with Thorn(transport=["urllib3", "pigeon"]) as thorn:
        assert thorn.pipeline.by_scheme.keys() == {"http", "https", "pigeon"}


def test_the_built_in_plugins_come_in_by_the_same_door() -> None:
    manager = PluginManager("0.1")
    manager.load()
    ours = [one.plugin for one in manager.loaded if one.distribution.startswith("thornsdk ")]
    assert ours == sorted(ours)
    assert {"default", "disabled", "json", "memory", "sqlite", "urllib3"} <= set(ours)
    assert {"json", "form"} <= manager.serializers().offers.keys()
    assert {"hook-hmac", "standard-webhooks"} <= manager.signers().offers.keys()
    assert {"default", "disabled"} <= manager.dispatchers().offers.keys()
    assert {"memory", "sqlite"} <= manager.stores().offers.keys()
    assert {"opentelemetry", "prometheus"} <= manager.observers().offers.keys()


def test_plugins_are_loaded_by_distribution_then_by_name_whatever_their_order(install: Distributions) -> None:
    empty = "from thornsdk import Plugin\nclass Two(Plugin): pass\n"
    install("bbb", "plugin_b", empty, "x = plugin_b:Two\na = plugin_b:Two")
    install("aaa", "plugin_a", empty, "z = plugin_a:Two")
    points = install.points()
    for given in (points, points[::-1]):
        manager = PluginManager("0.1")
        manager.load(given)
        assert [str(one) for one in manager.loaded] == [
            "plugin 'z' of aaa 1.0",
            "plugin 'a' of bbb 1.0",
            "plugin 'x' of bbb 1.0",
        ]


def test_two_distributions_may_call_their_plugins_alike(install: Distributions) -> None:
    install("bird-post", "bird_post", PIGEON, "post = bird_post:PigeonPlugin")
    install("owl-post", "owl_post", PIGEON.replace('"pigeon"', '"owl"'), "post = owl_post:PigeonPlugin")
    manager = PluginManager("0.1")
    manager.load(install.points())
    assert list(manager.transports().offers) == ["pigeon", "owl"]


def test_a_plugin_that_fails_names_itself_its_distribution_and_its_version(install: Distributions) -> None:
    install("broken-post", "broken_post", "1 / 0", "broken = broken_post:Plugin", version="2.3")
    with pytest.raises(PluginLoadError) as caught:
        PluginManager("0.1").load(install.points())
    assert str(caught.value) == (
        "plugin 'broken' of broken-post 2.3 cannot be loaded: "
        "ZeroDivisionError: division by zero (broken_post/__init__.py:1). "
        "Mend or remove it, or leave it out with THORN_PLUGINS_BLOCK=broken"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_plugin_whose_class_is_not_there_fails_to_load(install: Distributions) -> None:
    install("half-post", "half_post", "", "half = half_post:Nothing")
    with pytest.raises(PluginLoadError, match=r"'half' of half-post 1\.0 .*has no attribute 'Nothing'"):
        PluginManager("0.1").load(install.points())


def test_where_it_fails_deep_in_its_own_code_is_told(install: Distributions, tmp_path: Path) -> None:
    install("deep-post", "deep_post", "import deep_post.birds", "deep = deep_post:Plugin")
    (tmp_path / "deep_post" / "birds.py").write_text("import json\n\njson.loads('no JSON')\n")
    with pytest.raises(PluginLoadError, match=r": JSONDecodeError: .* \(deep_post/birds\.py:3\)\. Mend"):
        PluginManager("0.1").load(install.points())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("odd_post", "names a module; it has to name a class of Plugin, as 'odd_post:PigeonPlugin' does"),
        ("odd_post:made", "names a Post; it has to name a class of Plugin, as 'odd_post:PigeonPlugin' does"),
        ("odd-post:Post", "is malformed; it has to name a class of Plugin, as 'pigeons:PigeonPlugin' does"),
    ],
)
def test_an_entry_point_that_names_no_class_is_told_what_to_name(
    install: Distributions, value: str, told: str
) -> None:
    code = "from thornsdk import Plugin\nclass Post(Plugin): pass\nmade = Post()\n"
    install("odd-post", "odd_post", code, f"odd = {value}")
    with pytest.raises(PluginLoadError) as caught:
        PluginManager("0.1").load(install.points())
    assert caught.value.problem == f"its entry point {value!r} {told}"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("sys.exit()", "SystemExit, which"),
        ("sys.exit(0)", "SystemExit: 0, which"),
        ("sys.exit('bye')", "SystemExit: bye, which"),
    ],
)
def test_a_plugin_that_ends_the_process_when_it_is_imported_does_not_end_the_application(
    install: Distributions, call: str, told: str
) -> None:
    install("last-post", "last_post", f"import sys\n{call}\n", "last = last_post:Plugin")
    with pytest.raises(PluginLoadError) as caught:
        Thorn()
    assert caught.value.problem == f"{told} would end the process (last_post/__init__.py:2)"


def test_ctrl_c_while_a_plugin_is_loaded_stays_what_it_is(install: Distributions) -> None:
    install("slow-post", "slow_post", "raise KeyboardInterrupt", "slow = slow_post:Plugin")
    with pytest.raises(KeyboardInterrupt):
        PluginManager("0.1").load(install.points())


def test_a_distribution_without_metadata_is_an_unknown_one(install: Distributions, tmp_path: Path) -> None:
    install("lost-post", "lost_post", "1 / 0", "lost = lost_post:Plugin")
    (tmp_path / "lost_post-1.0.dist-info" / "METADATA").unlink()
    with pytest.raises(PluginLoadError, match="'lost' of an unknown distribution cannot be loaded: Zero"):
        PluginManager("0.1").load(install.points())


def test_an_entry_point_without_a_distribution_says_so() -> None:
    point = EntryPoint("loose", "math:nothing", GROUP)
    with pytest.raises(PluginLoadError, match="'loose' of an unknown distribution"):
        PluginManager("0.1").load([point])


# What is missing


NEEDY = "import a_package_that_nobody_has\n"


def test_a_missing_import_harms_nobody_who_does_not_ask_for_the_plugin(install: Distributions) -> None:
    install("needy-post", "needy_post", NEEDY, "needy = needy_post:Plugin [birds]")
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    manager = PluginManager("0.1")
    manager.load(install.points())
    assert list(manager.missing) == ["needy"]
    assert manager.transports().build(stage_context("pigeon")).user_agent == "pigeon/1"


def test_a_missing_import_is_told_with_what_to_install_to_whoever_asks_for_the_plugin(
    install: Distributions,
) -> None:
    install("needy-post", "needy_post", NEEDY, "needy = needy_post:Plugin [birds]")
    manager = PluginManager("0.1")
    manager.load(install.points())
    with pytest.raises(StageUnavailableError) as caught:
        manager.transports().build(stage_context("needy"))
    assert str(caught.value) == (
        "plugin 'needy' of needy-post 1.0 is unavailable "
        "(No module named 'a_package_that_nobody_has'): pip install 'needy-post[birds]'"
    )


def test_a_missing_import_is_told_where_a_name_is_unknown_for_it_may_be_the_cause(
    install: Distributions,
) -> None:
    install("needy-post", "needy_post", NEEDY, "needy = needy_post:Plugin")
    manager = PluginManager("0.1")
    manager.load(install.points())
    with pytest.raises(UnknownStageError) as caught:
        manager.transports().build(stage_context("swallow"))
    assert str(caught.value) == (
        "there is no transport 'swallow'; there are: none. plugin 'needy' of needy-post 1.0 is unavailable "
        "(No module named 'a_package_that_nobody_has'): install what is missing"
    )


@pytest.mark.parametrize(
    ("extra", "told"),
    [("thornsdk[pigeon]", "pip install 'thornsdk[pigeon]'"), ("", "mend plugin 'bird-0' of birds 1.0")],
)
def test_a_factory_that_lacks_a_package_says_what_to_install(extra: str, told: str) -> None:
    def build(stage: StageContext) -> Transport:
        raise ImportError("No module named 'loft'")

    class NeedyPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [Provided("pigeon", build, "Needs a loft.", extra)]

    with pytest.raises(StageUnavailableError) as caught:
        manager_of(NeedyPlugin()).transports().build(stage_context("pigeon"))
    assert str(caught.value) == f"the transport 'pigeon' is unavailable (No module named 'loft'): {told}"


def test_a_factory_that_refuses_its_settings_says_so_in_its_own_words() -> None:
    def build(stage: StageContext) -> Transport:
        raise ConfigurationError("pigeons need a loft")

    class PickyPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [Provided("pigeon", build, "Needs a loft.")]

    with pytest.raises(ConfigurationError) as caught:
        manager_of(PickyPlugin()).transports().build(stage_context("pigeon"))
    assert str(caught.value) == "pigeons need a loft"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            Settings(),
            "a Settings, which is no Transport: it has no schemes, user_agent, send, send_many, close",
        ),
        (CountingTransport, "the class CountingTransport; an object of it is wanted"),
        (FORGETFUL, "a Forgetful, which is no Transport: it has no user_agent, send"),
    ],
)
def test_a_factory_that_makes_something_else_is_told_with_its_plugin(made: object, told: str) -> None:
    class OddPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [Provided("pigeon", lambda stage: cast("Transport", made), "Makes what it should not.")]

    with pytest.raises(PluginLoadError) as caught:
        manager_of(OddPlugin()).transports().build(stage_context("pigeon"))
    assert caught.value.distribution == "birds 1.0"
    assert caught.value.problem == f"its factory for the transport 'pigeon' made {told}"


class AsyncTransport(Transport):
    schemes = frozenset({"pigeon"})
    user_agent = "pigeon/1"

    async def send(self, request: Request) -> Response:  # type: ignore[override]
        raise NotImplementedError

    async def send_many(self, requests: Iterable[Request]) -> AsyncIterator[Exchange]:  # type: ignore[override]
        yield await self.send(next(iter(requests)))  # type: ignore[misc]


class AsyncObserver:
    def observe(self, record: DeliveryRecord) -> None:
        raise NotImplementedError

    async def observe_subscription(self, notice: SubscriptionNotice) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("stage", "protocol", "told"),
    [
        (AsyncTransport(), Transport, "a AsyncTransport, which is no Transport: its send, send_many is"),
        (AsyncObserver(), Observer, "a AsyncObserver, which is no Observer: its observe_subscription is"),
    ],
)
def test_a_stage_that_is_async_is_none_for_nobody_would_await_it(
    stage: object, protocol: type, told: str
) -> None:
    assert what_is_wrong_with(stage, protocol) == f"{told} async, and nobody would await it"


# Names


def test_a_name_that_two_provide_is_an_error_that_names_both_and_says_how_to_choose() -> None:
    manager = PluginManager("0.1")
    manager.register(PigeonPlugin(), Source("pigeon", "birds 1.0"))
    manager.register(PigeonPlugin(), Source("dove", "doves 2.0"))
    with pytest.raises(PluginClashError) as caught:
        manager.transports()
    assert str(caught.value) == (
        "the transport 'pigeon' is provided twice, by plugin 'pigeon' of birds 1.0 and by plugin 'dove' of "
        "doves 2.0. Leave one out: THORN_PLUGINS_BLOCK=pigeon or THORN_PLUGINS_BLOCK=dove"
    )


def test_a_name_that_one_plugin_provides_twice_is_told_as_its_own_fault() -> None:
    class Twice(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [provided("pigeon"), provided("pigeon")]

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Twice()).transports()
    assert caught.value.problem == "it provides the transport 'pigeon' twice"


def test_where_clashing_plugins_are_called_alike_the_choice_names_the_distributions(
    install: Distributions,
) -> None:
    install("bird-post", "bird_post", PIGEON, "pigeon = bird_post:PigeonPlugin")
    install("dove-post", "dove_post", PIGEON, "pigeon = dove_post:PigeonPlugin")
    clashing = PluginManager("0.1")
    clashing.load(install.points())
    with pytest.raises(PluginClashError) as caught:
        clashing.transports()
    assert caught.value.choices == ("bird-post:pigeon", "dove-post:pigeon")
    chosen = PluginManager("0.1", frozenset({caught.value.choices[0]}))
    chosen.load(install.points())
    assert chosen.transports().offers["pigeon"].source.distribution == "dove-post 1.0"


def test_a_clash_elsewhere_harms_nobody_who_asks_for_another_kind_of_stage() -> None:
    manager = manager_of(PigeonPlugin(), PigeonPlugin())
    assert manager.signers().offers == {}


def test_a_blocked_plugin_is_not_even_imported(install: Distributions) -> None:
    install("broken-post", "broken_post", "1 / 0", "broken = broken_post:Plugin")
    manager = PluginManager("0.1", frozenset({"broken"}))
    manager.load(install.points())
    assert manager.loaded == ()
    assert "broken_post" not in sys.modules


def test_the_block_list_is_a_setting() -> None:
    with pytest.raises(UnknownStageError, match="there is no store 'sqlite'; there are: memory"):
        Thorn(store="sqlite:///never-made.db", plugins_block=["sqlite"])


def test_an_unknown_name_gives_the_nearest_one_and_the_list() -> None:
    with pytest.raises(UnknownStageError) as caught:
        manager_of(PigeonPlugin(), OwlPlugin()).transports().build(stage_context("pigoen"))
    assert str(caught.value) == (
        "there is no transport 'pigoen'; there are: owl, pigeon. Did you mean 'pigeon'?"
    )


def test_an_unknown_name_like_no_other_gives_the_list_alone() -> None:
    with pytest.raises(UnknownStageError) as caught:
        manager_of(PigeonPlugin()).transports().build(stage_context("xyz"))
    assert str(caught.value) == "there is no transport 'xyz'; there are: pigeon"


# What pluggy passes over in silence


def test_plugins_that_are_equal_do_not_clash() -> None:
    @frozen
    class BirdPlugin(Plugin):
        names: tuple[str, ...] = ("pigeon", "owl")

        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [provided(name) for name in calls.pop()]

    calls = [("owl",), ("pigeon",)]
    assert BirdPlugin() == BirdPlugin()
    assert list(manager_of(BirdPlugin(), BirdPlugin()).transports().offers) == ["pigeon", "owl"]


def test_a_plugin_that_cannot_be_hashed_is_taken() -> None:
    @define
    class BirdPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [provided("pigeon")]

    assert list(manager_of(OwlPlugin(), BirdPlugin()).transports().offers) == ["owl", "pigeon"]


class KeywordOnly:
    @hookimpl
    def thornsdk_transports(self, *, context: HookContext) -> Iterable[Provided[Transport]]:
        return ()


class WithDefault:
    @hookimpl
    def thornsdk_transports(self, context: HookContext | None = None) -> Iterable[Provided[Transport]]:
        return ()


class TakesAnything:
    @hookimpl
    def thornsdk_transports(self, **context: object) -> Iterable[Provided[Transport]]:
        return ()


@pytest.mark.parametrize("plugin", [KeywordOnly(), WithDefault(), TakesAnything()])
def test_an_argument_that_would_get_no_value_is_refused(plugin: object) -> None:
    with pytest.raises(PluginLoadError) as caught:
        manager_of(plugin)
    assert caught.value.problem == (
        "thornsdk_transports must take 'context' plainly, without default, or it gets no value"
    )


def test_an_argument_of_another_name_is_refused() -> None:
    class OtherName:
        @hookimpl
        def thornsdk_transports(self, something: object) -> Iterable[Provided[Transport]]:
            return ()

    with pytest.raises(PluginLoadError) as caught:
        manager_of(OtherName())
    assert caught.value.problem == (
        "thornsdk_transports takes 'something'; a hook is given 'context', and no more"
    )


def test_a_hook_that_does_not_exist_is_refused_with_those_that_do() -> None:
    class Misspelt(Plugin):
        @hookimpl
        def thornsdk_transport(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return ()

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Misspelt())
    assert caught.value.problem == (
        "there is no hook thornsdk_transport; there are: thornsdk_dispatchers, thornsdk_observers, "
        "thornsdk_serializers, thornsdk_signers, thornsdk_stores, thornsdk_transports"
    )


def test_a_hook_that_does_not_exist_under_the_name_it_is_marked_with_is_refused() -> None:
    class Misspelt(Plugin):
        @hookimpl(specname="thornsdk_pigeons")
        def pigeons(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return ()

    with pytest.raises(PluginLoadError, match="thornsdk_pigeons"):
        manager_of(Misspelt())


def test_a_hook_without_its_mark_is_refused() -> None:
    class Unmarked(Plugin):
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            return [provided("pigeon")]

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Unmarked())
    assert caught.value.problem == (
        "thornsdk_transports is not marked with @hookimpl, so it would never be called"
    )


def test_a_hook_that_raises_is_an_error_that_names_its_plugin() -> None:
    class Broken(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            raise LookupError("no pigeons")

    with pytest.raises(PluginLoadError) as caught:
        manager_of(PigeonPlugin(), Broken()).transports()
    assert caught.value.plugin == "bird-1"
    assert caught.value.problem == "thornsdk_transports raised LookupError: no pigeons"


def test_a_hook_or_a_factory_that_ends_the_process_does_not_end_the_application() -> None:
    class Last(Plugin):
        @hookimpl
        def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
            sys.exit("no ink")

        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
            return [Provided("pigeon", lambda stage: sys.exit(3), "Ends.")]

    with pytest.raises(PluginLoadError) as hook:
        manager_of(Last()).signers()
    with pytest.raises(PluginLoadError) as factory:
        manager_of(Last()).transports().build(stage_context("pigeon"))
    assert hook.value.problem == "thornsdk_signers raised SystemExit: no ink, which would end the process"
    assert factory.value.problem == (
        "its transport 'pigeon' cannot be built: SystemExit: 3, which would end the process"
    )


def test_a_plugin_that_breaks_when_it_is_looked_at_is_an_error_that_names_it() -> None:
    class Shy(Plugin):
        @property
        def thornsdk_transports(self) -> object:  # type: ignore[override]
            raise LookupError("not now")

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Shy())
    assert caught.value.problem == "LookupError: not now"


def test_a_stage_that_breaks_when_it_is_looked_at_is_an_error_that_names_its_plugin() -> None:
    class ShyPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
            return [Provided("shy", lambda stage: Shy(), "Hides.")]  # type: ignore[abstract]

    class Shy(Forgetful):
        @property
        def user_agent(self) -> str:
            raise LookupError("not now")

    with pytest.raises(PluginLoadError) as caught:
        manager_of(ShyPlugin()).transports().build(stage_context("shy"))
    assert caught.value.problem == "its transport 'shy' cannot be built: LookupError: not now"


def test_a_hook_that_raises_harms_no_other_kind_of_stage() -> None:
    class Broken(Plugin):
        @hookimpl
        def thornsdk_signers(self, context: HookContext) -> list[Provided[object]]:  # type: ignore[override]
            raise LookupError("no ink")

    assert list(manager_of(Broken(), PigeonPlugin()).transports().offers) == ["pigeon"]


def test_a_hook_that_gives_something_else_than_provided_is_refused() -> None:
    class Wrong:
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> list[object]:
            return [CountingTransport()]

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Wrong()).transports()
    assert caught.value.problem == (
        "thornsdk_transports gave a CountingTransport; it has to give a list of Provided"
    )


def test_a_hook_that_gives_one_provided_without_a_list_is_refused() -> None:
    class Single:
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Provided[Transport]:
            return provided("pigeon")

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Single()).transports()
    assert caught.value.problem == "thornsdk_transports gave a Provided; it has to give a list of Provided"


def test_a_hook_that_forgets_its_return_is_refused() -> None:
    class Silent:
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> None:
            [provided("pigeon")]

    with pytest.raises(PluginLoadError) as caught:
        manager_of(Silent()).transports()
    assert caught.value.problem == (
        "thornsdk_transports gave None; it has to give a list of Provided: return [] for none"
    )


def test_a_hook_may_provide_nothing() -> None:
    class Silent:
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
            return []

    assert manager_of(Silent()).transports().offers == {}


def test_the_hooks_of_the_base_class_provide_nothing() -> None:
    plugin, context = Plugin(), HookContext(version="0.1")
    hooks = (
        plugin.thornsdk_serializers,
        plugin.thornsdk_signers,
        plugin.thornsdk_transports,
        plugin.thornsdk_dispatchers,
        plugin.thornsdk_stores,
        plugin.thornsdk_observers,
    )
    assert [list(hook(context)) for hook in hooks] == [[]] * len(hooks)


def test_a_hook_is_told_the_version_that_asks() -> None:
    versions = []

    class Curious(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
            versions.append(context.version)
            return ()

    manager_of(Curious()).transports()
    assert versions == ["0.1"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("", CountingTransport, "Sends."), "name is empty; a Provided takes the name that settings choose"),
        ((None, CountingTransport, "Sends."), "name is None; a Provided takes a text"),
        (("pigeon", CountingTransport, None), "summary is None; a Provided takes a text"),
        (("pigeon", CountingTransport, "Sends.", 7), "extra is 7; a Provided takes a text"),
        (("pigeon", CountingTransport(), "Sends."), "factory is a CountingTransport; a Provided takes a fu"),
    ],
)
def test_what_is_said_of_a_provided_stage_is_checked(wrong: tuple[Any, ...], told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        Provided(*wrong)


# Whose it is


def test_what_one_manager_holds_another_does_not() -> None:
    manager_of(PigeonPlugin())
    assert manager_of().transports().offers == {}


def test_a_plugin_given_to_one_thorn_is_unknown_to_the_next() -> None:
    with Thorn(plugins=[PigeonPlugin()], transport="pigeon"):
        pass
    with pytest.raises(UnknownStageError, match="there is no transport 'pigeon'"):
        Thorn(transport="pigeon")


class OtherUrllib3Plugin(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
        return [provided("urllib3")]


def test_a_plugin_given_in_code_is_named_as_such_where_it_clashes() -> None:
    with pytest.raises(PluginClashError, match="plugin 'OtherUrllib3Plugin' of the application") as caught:
        Thorn(plugins=[OtherUrllib3Plugin()])
    assert "THORN_PLUGINS_BLOCK=urllib3" in str(caught.value)


def test_a_factory_that_breaks_names_its_plugin() -> None:
    class FragilePlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
            return [Provided("fragile", breaks, "Breaks.")]

    def breaks(stage: StageContext) -> Transport:
        raise ZeroDivisionError("too small")

    expected = (
        r"plugin '.*FragilePlugin' of the application cannot be loaded: "
        r"its transport 'fragile' cannot be built: ZeroDivisionError: too small"
    )
    with pytest.raises(PluginLoadError, match=expected):
        Thorn(plugins=[FragilePlugin()], transport="fragile")


def test_a_plugin_given_in_code_can_be_blocked() -> None:
    with Thorn(plugins=[PigeonPlugin()], plugins_block=["PigeonPlugin"]) as thorn:
        assert "PigeonPlugin" not in {source.plugin for source in thorn.plugins.loaded}
