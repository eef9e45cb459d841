"""The collectors: counters and a histogram, one set for each registry.

Labels have few values each, for every combination of them is a time series that stays. Events are the
application's, and few. Subscriptions, origins and statuses are the customers', and without end: they are in
the log.
"""

import threading
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
"""The upper bounds, in seconds: from a receiver nearby to one that runs into its deadline."""

FAILING, DISABLED = "failing", "disabled"


class Collectors:
    """What is counted.

    Args:
        registry: Where it is found by who scrapes.

    Raises:
        ValueError: If something else in the registry has one of the names.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "thornsdk_attempts",
            "Attempts to deliver, by what they mean and why.",
            ["event", "outcome", "reason"],
            registry=registry,
        )
        self.duration = Histogram(
            "thornsdk_attempt_duration_seconds",
            "How long attempts took that a transport took up.",
            ["outcome"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.ended = Counter(
            "thornsdk_deliveries_ended",
            "Deliveries that ended, by the state they ended in.",
            ["event", "state"],
            registry=registry,
        )
        self.notices = Counter(
            "thornsdk_subscription_notices",
            "Subscriptions that fail for long, or were disabled for that or because they are gone.",
            ["notice"],
            registry=registry,
        )
        for notice in (FAILING, DISABLED):
            # They are there from the beginning, at 0: an increase from nothing is none to Prometheus.
            self.notices.labels(notice)


# A registry refuses a name that it has, and cannot be asked for what it has: so the second Thorn of a process
# must be told of the first one's. It is forgotten together with the registry.
_known: "WeakKeyDictionary[CollectorRegistry, Collectors]" = WeakKeyDictionary()
_lock = threading.Lock()


def collectors_in(registry: CollectorRegistry) -> Collectors:
    """Gives the collectors in a registry, the same ones each time.

    Raises:
        ValueError: If something else in the registry has one of their names.
    """
    with _lock:
        if registry not in _known:
            _known[registry] = Collectors(registry)
        return _known[registry]
