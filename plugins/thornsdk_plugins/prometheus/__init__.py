"""Counts attempts for Prometheus."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Observer, Plugin, Provided, StageContext, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.prometheus.observer import PrometheusObserver
else:
    # PEP 562: loading the plugin must not need prometheus-client; building its stage does.
    def __getattr__(name: str) -> object:
        if name == "PrometheusObserver":
            from thornsdk_plugins.prometheus.observer import PrometheusObserver

            return PrometheusObserver
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["PrometheusObserver", "PrometheusPlugin"]


def _build(_: StageContext) -> Observer:
    from thornsdk_plugins.prometheus.observer import PrometheusObserver

    return PrometheusObserver()


class PrometheusPlugin(Plugin):
    """Provides the observer ``prometheus``."""

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[Observer]]:
        """Provides it."""
        summary = "Counts attempts and deliveries for Prometheus, and times attempts."
        return [Provided("prometheus", _build, summary, extra="thornsdk[prometheus]")]
