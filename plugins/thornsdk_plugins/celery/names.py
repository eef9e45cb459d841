"""The names of the tasks."""

from typing import Final

FAN_OUT: Final = "thornsdk.fan_out"
"""Finds the subscribers of messages, and publishes batches."""
DELIVER: Final = "thornsdk.deliver"
"""Delivers a batch."""
RESUME: Final = "thornsdk.resume"
"""Attempts deliveries of the store again."""
RETRY: Final = "thornsdk.retry"
"""Attempts a delivery again that is in no store."""
SWEEP: Final = "thornsdk.sweep"
"""Finds deliveries in the store whose task was lost."""
