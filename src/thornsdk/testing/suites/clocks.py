"""The system's clock as stages see it that look at it, though they should not."""

import time
from typing import Final

import pytest

_DAY: Final = 86_400


def put_forward(patch: pytest.MonkeyPatch) -> None:
    """Lets `time.time` and `time.time_ns` tell tomorrow's time. What asks the system otherwise tells today's.

    Args:
        patch: Takes it back.
    """
    now, now_ns = time.time, time.time_ns
    patch.setattr(time, "time", lambda: now() + _DAY)
    patch.setattr(time, "time_ns", lambda: now_ns() + _DAY * 10**9)
