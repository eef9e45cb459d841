"""The hooks: how a plugin says what it provides."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import pluggy
from attrs import field, frozen, validators

from thornsdk.dispatching import Dispatcher
from thornsdk.settings import Settings
from thornsdk.stages import Observer, Serializer, Signer, Store, Transport
from thornsdk.typing import Clock

PROJECT = "thornsdk"

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's method as the implementation of a hook."""

Stage_co = TypeVar("Stage_co", covariant=True)


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
        settings: The application's settings.
        value: What chose the stage: for a store its URL, for a serializer its content type, for the other
            stages their name.
        clock: Tells the time.
    """

    settings: Settings
    value: str
    clock: Clock


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
    """

    name: str = field(validator=validators.min_len(1))
    factory: Callable[[StageContext], Stage_co]
    summary: str
    extra: str = ""


class Plugin:
    """The base of every plugin: override the hooks for what you provide, and mark each with `hookimpl`.

    A plugin is found through an entry point of the group ``thornsdk`` that names its class, or is given to
    `~thornsdk.Thorn` as an object. Hooks run once, at assembly: never during a delivery.

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
