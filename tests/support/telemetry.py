"""The SDK of OpenTelemetry, which keeps what it is told in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from uuid import uuid4

from attrs import Factory, define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from thornsdk import SubscriptionNotice
from thornsdk_plugins.opentelemetry import OpenTelemetryObserver

Point = tuple[dict[str, Any], Any]
"""The attributes of a figure, and the figure: a sum, or how many there are of a histogram."""


def _meter_provider(sdk: "Sdk") -> MeterProvider:
    return MeterProvider([sdk.reader], shutdown_on_exit=False)


@define(eq=False)
class Sdk:
    """What an application sets up, and what it gets."""

    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    traces: TracerProvider = field(factory=lambda: TracerProvider(shutdown_on_exit=False))
    meters: MeterProvider = Factory(_meter_provider, takes_self=True)

    def __attrs_post_init__(self) -> None:
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.traces.shutdown()
        self.meters.shutdown()

    @property
    def tracer(self) -> Tracer:
        """What makes the application's own spans."""
        return self.traces.get_tracer("shop")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Ours, as far as they have ended."""
        return [one for one in self.exporter.get_finished_spans() if scope_of(one) == "thornsdk"]

    @property
    def span(self) -> ReadableSpan:
        """The only one of ours."""
        (span,) = self.spans
        return span

    def observer(self) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(tracer_provider=self.traces, meter_provider=self.meters)

    def metric(self, name: str) -> list[Point]:
        """Gives what there is of a metric, sorted by its attributes; nothing where it was never recorded."""
        points = [
            (dict(one.attributes or {}), one.count if hasattr(one, "count") else one.value)
            for metric in self._metrics()
            if metric.name == name
            for one in metric.data.data_points
        ]
        return sorted(points, key=str)

    def exemplars(self) -> dict[str, list[int | None]]:
        """Gives the ids of the spans that are told as exemplars, by the name of the metric."""
        return {
            one.name: [each.span_id for point in one.data.data_points for each in point.exemplars]
            for one in self._metrics()
        }

    def attributes_of_metrics(self) -> dict[str, set[str]]:
        """Gives which attributes there are, by the name of the metric."""
        return {
            one.name: {key for point in one.data.data_points for key in point.attributes}
            for one in self._metrics()
        }

    def buckets(self, name: str) -> tuple[float, ...]:
        """Gives the upper bounds of a histogram."""
        (metric,) = [one for one in self._metrics() if one.name == name]
        return tuple(metric.data.data_points[0].explicit_bounds)

    def all_told(self) -> str:
        """Gives all that was told, as text."""
        data = self.reader.get_metrics_data()
        figures = "" if data is None else data.to_json()
        return figures + "".join(one.to_json() for one in self.exporter.get_finished_spans())

    def _metrics(self) -> list[Any]:
        data = self.reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        return [metric for one in resources for scope in one.scope_metrics for metric in scope.metrics]


def scope_of(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope else ""


def ids_of(span: ReadableSpan) -> str:
    """Gives the ids and flags of a span as ``traceparent`` has them."""
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def nanoseconds(moment: datetime) -> int:
    """Gives a moment as spans have it."""
    return round(moment.timestamp() * 1e6) * 1000


def make_notice() -> SubscriptionNotice:
    """Makes a notice of a subscription that is failing."""
    return SubscriptionNotice(subscription_id=uuid4(), origin="https://example.com", owner=None)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
