"""Publishes to JetStream, the streams of NATS servers that the operator has named."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Plugin, Provided, StageContext, Transport, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.nats.transport import NatsTransport
else:
    # PEP 562: loading the plugin must not need nats-py; building its stage does.
    def __getattr__(name: str) -> object:
        if name == "NatsTransport":
            from thornsdk_plugins.nats.transport import NatsTransport

            return NatsTransport
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["NatsPlugin", "NatsTransport"]


def _build(stage: StageContext) -> Transport:
    from thornsdk_plugins.nats.servers import NatsOptions
    from thornsdk_plugins.nats.transport import NatsTransport

    settings = stage.settings
    return NatsTransport(
        servers=stage.options(NatsOptions).servers,
        concurrency=settings.concurrency,
        concurrency_per_origin=settings.concurrency_per_origin,
        ca_bundle=settings.ca_bundle,
    )


class NatsPlugin(Plugin):
    """Provides the transport ``nats``."""

    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        """Provides it."""
        summary = "Publishes to streams of NATS JetStream, and waits until they have acknowledged."
        return [Provided("nats", _build, summary, extra="thornsdk[nats]")]
