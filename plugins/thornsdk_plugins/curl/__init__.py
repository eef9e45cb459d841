"""Sends requests over HTTP and HTTPS with libcurl: hundreds in flight in one thread."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Plugin, Provided, StageContext, Transport, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.curl.transport import CurlTransport
else:
    # PEP 562: loading the plugin must not need pycurl; building its stage does.
    def __getattr__(name: str) -> object:
        if name == "CurlTransport":
            from thornsdk_plugins.curl.transport import CurlTransport

            return CurlTransport
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["CurlPlugin", "CurlTransport"]


def _build(stage: StageContext) -> Transport:
    from thornsdk_plugins.curl.transport import CurlTransport

    settings = stage.settings
    return CurlTransport(
        concurrency=settings.concurrency,
        concurrency_per_origin=settings.concurrency_per_origin,
        idle_connections=settings.idle_connections,
        idle_timeout=settings.idle_timeout,
        ca_bundle=settings.ca_bundle,
        client_certificates=settings.client_certificates,
        filtering_proxy=settings.filtering_proxy,
    )


class CurlPlugin(Plugin):
    """Provides the transport ``curl``."""

    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        """Provides it."""
        summary = "Sends over HTTP and HTTPS with libcurl, hundreds at once in one thread; HTTP/2."
        return [Provided("curl", _build, summary, extra="thornsdk[curl]")]
