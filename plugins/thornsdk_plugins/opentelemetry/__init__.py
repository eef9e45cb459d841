"""Tells OpenTelemetry of attempts: spans and metrics, and the header ``traceparent`` by choice."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Observer, Plugin, Provided, Signer, StageContext, hookimpl
from thornsdk.errors import SettingError

if TYPE_CHECKING:
    from thornsdk_plugins.opentelemetry.observer import OpenTelemetryObserver
    from thornsdk_plugins.opentelemetry.signer import OpenTelemetrySigner
else:
    # PEP 562: loading the plugin must not need opentelemetry-api; building its stages does.
    def __getattr__(name: str) -> object:
        if name == "OpenTelemetryObserver":
            from thornsdk_plugins.opentelemetry.observer import OpenTelemetryObserver

            return OpenTelemetryObserver
        if name == "OpenTelemetrySigner":
            from thornsdk_plugins.opentelemetry.signer import OpenTelemetrySigner

            return OpenTelemetrySigner
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["OpenTelemetryObserver", "OpenTelemetryPlugin", "OpenTelemetrySigner"]

_EXTRA = "thornsdk[opentelemetry]"


class OpenTelemetryPlugin(Plugin):
    """Provides the observer and the signer ``opentelemetry``.

    Each `~thornsdk.Thorn` has a plugin object of its own. Through it, the signer finds the observer that ends
    the spans that it begins.
    """

    def __init__(self) -> None:
        self._observer: OpenTelemetryObserver | None = None

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[Observer]]:
        """Provides the observer."""
        summary = "Tells OpenTelemetry of attempts: one span each, durations, and counters."
        return [Provided("opentelemetry", self._build_observer, summary, extra=_EXTRA)]

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        """Provides the signer."""
        summary = "Adds traceparent, so that a receiver's spans join the trace of the attempt."
        return [Provided("opentelemetry", self._build_signer, summary, extra=_EXTRA)]

    def _build_observer(self, _: StageContext) -> "OpenTelemetryObserver":
        from thornsdk_plugins.opentelemetry.observer import OpenTelemetryObserver

        # Which of the two stages is built first does not matter.
        if self._observer is None:
            self._observer = OpenTelemetryObserver()
        return self._observer

    def _build_signer(self, stage: StageContext) -> Signer:
        from thornsdk_plugins.opentelemetry.signer import OpenTelemetrySigner

        if stage.name not in stage.settings.observers:
            raise SettingError(
                "THORN_SIGNERS",
                f"{stage.name!r} without the observer of that name",
                f"it beside THORN_OBSERVERS={stage.name}, which ends the spans that it begins",
            )
        return OpenTelemetrySigner(self._build_observer(stage))
