"""The metrics of attempts."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter

from thornsdk import DeliveryRecord, DeliveryState, SubscriptionNotice
from thornsdk_plugins.opentelemetry.conventions import HTTP, MESSAGING, Convention, convention_of, scheme_of

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The upper bounds, in seconds, that the conventions advise for both durations."""


class Instruments:
    """Records the metrics of attempts.

    Args:
        meter: What makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._durations = {one: _duration(meter, one) for one in (HTTP, MESSAGING)}
        self._attempts = meter.create_counter(
            "thornsdk.attempts", "{attempt}", "Attempts to deliver, by what they mean and why."
        )
        self._ended = meter.create_counter(
            "thornsdk.deliveries.ended", "{delivery}", "Deliveries that ended, by the state they ended in."
        )
        self._notices = meter.create_counter(
            "thornsdk.subscription.notices", "{notice}", "Subscriptions that fail for long, or were disabled."
        )

    def attempted(self, record: DeliveryRecord, context: Context | None) -> None:
        """Records what came of an attempt, and whether its delivery has ended.

        Args:
            record: The delivery.
            context: That of the attempt's span, which becomes the exemplar of the figures; None for the
                current one.
        """
        outcome, event = record.last.outcome, {"thornsdk.event": record.event}
        if record.last.duration > 0:
            convention = convention_of(scheme_of(record))
            self._durations[convention].record(record.last.duration, convention.of_metric(record), context)
        if record.state is not DeliveryState.CANCELLED:
            told = {"thornsdk.outcome": str(outcome.kind), "thornsdk.reason": str(outcome.reason)}
            self._attempts.add(1, {**event, **told}, context)
        if record.state.has_ended:
            self._ended.add(1, {**event, "thornsdk.state": str(record.state)}, context)

    def noticed(self, notice: SubscriptionNotice) -> None:
        """Records what is told of a subscription."""
        kind = "failing" if notice.disabled is None else "disabled"
        self._notices.add(1, {"thornsdk.notice": kind})


def _duration(meter: Meter, convention: Convention) -> Histogram:
    return meter.create_histogram(
        convention.duration,
        "s",
        "How long attempts to deliver take.",
        explicit_bucket_boundaries_advisory=BUCKETS,
    )
