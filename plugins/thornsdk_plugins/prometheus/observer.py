"""The observer ``prometheus``."""

from prometheus_client import REGISTRY, CollectorRegistry

from thornsdk import DeliveryRecord, DeliveryState, SubscriptionNotice
from thornsdk_plugins.prometheus.collectors import DISABLED, FAILING, collectors_in


class PrometheusObserver:
    """Counts attempts, deliveries that ended and notices, and times attempts.

    Several observers may share a registry; they count together.

    Args:
        registry: Where the figures are found by who scrapes; by default the global one of prometheus-client.

    Raises:
        ValueError: If something else in the registry has one of the names.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._collectors = collectors_in(registry)

    def observe(self, record: DeliveryRecord) -> None:
        """Counts and times an attempt, and counts its delivery where that has ended."""
        outcome, state = record.last.outcome, record.state
        if record.last.duration > 0:
            self._collectors.duration.labels(outcome.kind).observe(record.last.duration)
        if state is not DeliveryState.CANCELLED:
            self._collectors.attempts.labels(record.event, outcome.kind, outcome.reason).inc()
        if state.has_ended:
            self._collectors.ended.labels(record.event, state).inc()

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        """Counts a subscription that is failing, or was disabled."""
        self._collectors.notices.labels(FAILING if notice.disabled is None else DISABLED).inc()
