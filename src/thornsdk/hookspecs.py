"""The hooks: how a plugin says what it provides."""

import inspect
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import pluggy
from attrs import frozen

from thornsdk.dispatching import Dispatcher
from thornsdk.errors import InvalidValue, MissingPackageError, SettingError, ThornError, crash
from thornsdk.settings import Settings
from thornsdk.stages import Observer, Serializer, Signer, Store, Transport
from thornsdk.typing import Clock

PROJECT = "thornsdk"

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's method as the implementation of a hook. What it is to type checkers, `thornsdk` says."""

Stage_co = TypeVar("Stage_co", covariant=True)
Options = TypeVar("Options")


@frozen(kw_only=True)
class HookContext:
    """What every hook is given.

    Attributes:
        version: The version of thornsdk that asks.
    """

    version: str


@frozen(kw_only=True)
class StageContext:
    """What a factory is given when its stage is built.

    Attributes:
        name: The name by which settings chose the stage.
        value: What came with it: for a store its URL, for a serializer its content type, for the other
            stages their name.
        settings: The application's settings.
        clock: Tells the time.
    """

    name: str
    value: str
    settings: Settings
    clock: Clock

    def options(self, shape: Callable[..., Options]) -> Options:
        """Gives what ``THORN_OPTIONS`` says for the stage.

        Args:
            shape: What they are given to by name: an attrs class or data class that has a field for each
                option, with a default for those that may be left out. It checks the values, best by raising
                `~thornsdk.errors.InvalidValue`: of any other error, the text is not told.

        Raises:
            SettingError: If an option is unknown, missing, or refused.
            MissingPackageError: If the shape raises it.

        Example:
            With ``THORN_OPTIONS={"pigeon": {"loft": "Berlin"}}``:

            >>> from attrs import frozen
            >>> @frozen(kw_only=True)
            ... class PigeonOptions:
            ...     loft: str
            ...     birds: int = 2
            >>> def build(stage: StageContext) -> Transport:
            ...     return PigeonTransport(stage.options(PigeonOptions))
        """
        given = self.settings.options.get(self.name, {})
        where = f"THORN_OPTIONS[{self.name!r}]"
        takes = inspect.signature(shape).parameters
        names = ", ".join(takes) or "no options"
        for name in given:
            if name not in takes:
                raise SettingError(f"{where}[{name!r}]", "not an option", names)
        for name, one in takes.items():
            if one.default is one.empty and name not in given:
                raise SettingError(where, f"without {name!r}", names)
        try:
            return shape(**given)
        except MissingPackageError:
            raise  # The options may well be right.
        except ThornError as exc:
            raise SettingError(where, "(hidden)", f"{names} ({exc})") from exc
        except Exception as exc:
            # Its text may quote a password.
            raise SettingError(where, "(hidden)", f"{names} ({crash(exc)})") from None


@frozen(eq=False)
class Provided(Generic[Stage_co]):
    """One stage that a plugin provides.

    Attributes:
        name: What settings choose it by.
        factory: Builds the stage. It is called when an application needs the stage, and it alone imports
            packages that are heavy or may be missing.
        summary: One line for people.
        extra: What to give ``pip install`` when the factory raises `ImportError`, such as
            ``thornsdk[celery]``; empty where nothing can be missing.

    Raises:
        InvalidValue: If one of them is something else.
    """

    name: str
    factory: Callable[[StageContext], Stage_co]
    summary: str
    extra: str = ""

    def __attrs_post_init__(self) -> None:
        texts: dict[str, object] = {"name": self.name, "summary": self.summary, "extra": self.extra}
        for what, value in texts.items():
            if not isinstance(value, str):
                raise InvalidValue(f"{what} is {value!r}; a Provided takes a text")
        if not self.name:
            raise InvalidValue("name is empty; a Provided takes the name that settings choose the stage by")
        factory: object = self.factory
        if not callable(factory):
            what = type(factory).__qualname__
            raise InvalidValue(f"factory is a {what}; a Provided takes a function that builds the stage")


class Plugin:
    """The base of every plugin: override the hooks for what you provide, and mark each with `hookimpl`.

    A plugin is found through an entry point of the group ``thornsdk`` that names its class, or is given to
    `~thornsdk.Thorn` as an object. Hooks run at assembly, perhaps more than once: never during a delivery.

    Example:
        >>> from thornsdk import HookContext, Plugin, Provided, Transport, hookimpl
        >>> class PigeonPlugin(Plugin):
        ...     @hookimpl
        ...     def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        ...         return [Provided("pigeon", lambda stage: PigeonTransport(), "Sends by pigeon.")]
    """

    @hookspec
    def thornsdk_serializers(self, context: HookContext) -> Iterable[Provided[Serializer]]:
        """Provides serializers; ``THORN_CODECS`` chooses among them."""
        return ()

    @hookspec
    def thornsdk_signers(self, context: HookContext) -> Iterable[Provided[Signer]]:
        """Provides signers; ``THORN_SIGNERS`` chooses among them."""
        return ()

    @hookspec
    def thornsdk_transports(self, context: HookContext) -> Iterable[Provided[Transport]]:
        """Provides transports; ``THORN_TRANSPORT`` chooses among them."""
        return ()

    @hookspec
    def thornsdk_dispatchers(self, context: HookContext) -> Iterable[Provided[Dispatcher]]:
        """Provides dispatchers; ``THORN_DISPATCHER`` chooses among them."""
        return ()

    @hookspec
    def thornsdk_stores(self, context: HookContext) -> Iterable[Provided[Store]]:
        """Provides stores; ``THORN_STORE`` chooses among them: what stands before its ``:`` is the name."""
        return ()

    @hookspec
    def thornsdk_observers(self, context: HookContext) -> Iterable[Provided[Observer]]:
        """Provides observers; ``THORN_OBSERVERS`` chooses among them."""
        return ()
