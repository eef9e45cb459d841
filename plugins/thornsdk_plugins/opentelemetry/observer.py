"""The observer ``opentelemetry``."""

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import TracerProvider, get_tracer

from thornsdk import VERSION, DeliveryRecord, SubscriptionNotice
from thornsdk_plugins.opentelemetry.conventions import SCHEMA
from thornsdk_plugins.opentelemetry.instruments import Instruments
from thornsdk_plugins.opentelemetry.spans import AttemptSpans

_SCOPE = "thornsdk"


class OpenTelemetryObserver:
    """Tells OpenTelemetry of attempts, by its semantic conventions as far as they go.

    Each attempt that a transport takes up is one span. Its parent is the span in whose context the attempt is
    made, and its times are the attempt's. How long it took is a metric too. What is no request, such as a
    delivery that was skipped or given up, is no span: it is counted.

    It needs ``opentelemetry-api`` alone. What becomes of spans and metrics is for the application to say, by
    its SDK; without one, nothing becomes of them.

    Args:
        tracer_provider: Makes the tracer; None for the global one, even where that is set later.
        meter_provider: Makes the instruments; None for the global one, even where that is set later.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self.spans: AttemptSpans = AttemptSpans(get_tracer(_SCOPE, VERSION, tracer_provider, SCHEMA))
        """The spans that it ends; an `OpenTelemetrySigner` begins them."""
        self._instruments = Instruments(get_meter(_SCOPE, VERSION, meter_provider, SCHEMA))

    def observe(self, record: DeliveryRecord) -> None:
        """Records an attempt, and ends its span.

        Raises:
            Exception: What tracing raised, now or when the attempt was signed.
        """
        context = None
        try:
            context = self.spans.context(record)
        finally:
            try:
                self._instruments.attempted(record, context)
            finally:
                self.spans.end(record)

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        """Counts a subscription that is failing, or was disabled."""
        self._instruments.noticed(notice)
