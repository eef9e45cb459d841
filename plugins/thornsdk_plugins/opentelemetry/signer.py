"""The signer ``opentelemetry``."""

from datetime import datetime

from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import Setter, TextMapPropagator
from opentelemetry.trace import set_span_in_context

from thornsdk import Delivery
from thornsdk.typing import Headers
from thornsdk_plugins.opentelemetry.observer import OpenTelemetryObserver


class _Writer(Setter[dict[str, str]]):
    """Writes headers into a dict, as the API's own does, on whose type the type checkers do not agree."""

    def set(self, carrier: dict[str, str], key: str, value: str) -> None:
        """Writes one."""
        carrier[key] = value


_WRITER = _Writer()


class OpenTelemetrySigner:
    """Adds the headers by which a receiver's spans join the trace: ``traceparent``, and ``tracestate``.

    It begins the span of an attempt, which the observer ends. They say which span it is, and nothing else:
    baggage is the application's own, and receivers are strangers. A subscription that has one of them
    among its own headers gets none of ours.

    Tracing that breaks costs no delivery: the headers are left out, and the observer raises what was raised
    here, so that the log tells it as ``observer.failed``.

    Args:
        observer: What ends the spans. It must be among the observers of the same pipeline.
        propagator: Writes the headers; None for the global one, as ``OTEL_PROPAGATORS`` has it.
    """

    def __init__(
        self, observer: OpenTelemetryObserver, *, propagator: TextMapPropagator | None = None
    ) -> None:
        self._spans = observer.spans
        self._propagator = propagator

    @property
    def header_names(self) -> frozenset[str]:
        """What the propagator writes, without baggage."""
        return frozenset(name.lower() for name in self._chosen().fields) - {"baggage"}

    @property
    def yielded_names(self) -> frozenset[str]:
        """The same, for theirs and ours side by side would mix two traces."""
        return self.header_names

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Begins the span of the attempt, and gives the headers that tell it."""
        carrier: dict[str, str] = {}
        try:
            span = self._spans.begin(delivery, at)
            # A context of its own, with the span and nothing of the application's in it.
            self._chosen().inject(carrier, set_span_in_context(span, Context()), _WRITER)
        except Exception as exc:
            self._spans.break_off(delivery, exc)
            return ()
        given = {name.lower() for name, _ in delivery.subscription.headers}
        return () if given & self.yielded_names else tuple(carrier.items())

    def _chosen(self) -> TextMapPropagator:
        # The global one may be set after the pipeline was made.
        return self._propagator or get_global_textmap()
