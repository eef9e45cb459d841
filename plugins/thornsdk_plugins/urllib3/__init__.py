"""Sends requests over HTTP and HTTPS with urllib3, over a pool of connections that stay open."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Plugin, Provided, StageContext, Transport, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.urllib3.transport import PooledTransport
else:
    # PEP 562: loading the plugin must not cost the import of urllib3; building its stage may.
    def __getattr__(name: str) -> object:
        if name == "PooledTransport":
            from thornsdk_plugins.urllib3.transport import PooledTransport

            return PooledTransport
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["PooledTransport", "Urllib3Plugin"]


def _build(stage: StageContext) -> Transport:
    from thornsdk_plugins.urllib3.transport import PooledTransport

    settings = stage.settings
    return PooledTransport(
        concurrency=settings.concurrency,
        concurrency_per_origin=settings.concurrency_per_origin,
        idle_connections=settings.idle_connections,
        idle_timeout=settings.idle_timeout,
        ca_bundle=settings.ca_bundle,
        client_certificates=settings.client_certificates,
        filtering_proxy=settings.filtering_proxy,
    )


class Urllib3Plugin(Plugin):
    """Provides the transport ``urllib3``."""

    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        """Provides it."""
        return [Provided("urllib3", _build, "Sends over HTTP and HTTPS, with connections kept open.")]
