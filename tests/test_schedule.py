"""The schedule from end to end, days long: what is attempted when, by the clock that was passed in."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from support.stages import TimedTransport, make_pipeline, make_subscription, says_status
from thornsdk import DeliveryState, RetryPolicy, Settings, Store, Thorn
from thornsdk.testing import FakeClock

TEN_DAYS = timedelta(days=10)


def refusing_shop(store: Store, clock: FakeClock, random: Callable[[], float]) -> Thorn:
    store.put([make_subscription(owner="acme")])
    pipeline = make_pipeline([TimedTransport(says_status(503), clock)], store=store)
    return Thorn(settings=Settings(), pipeline=pipeline, clock=clock, random=random)


def live_through(thorn: Thorn, clock: FakeClock, end: datetime) -> None:
    """Asks for due work just before each moment at which something is due, and at it."""
    while (due := thorn.next_due()) is not None and due <= end:
        clock.now = due - timedelta(microseconds=1)
        assert thorn.run_due().total == 0
        clock.now = due
        assert thorn.run_due().total == 1
    clock.now = end


@pytest.mark.parametrize("seed", range(5))
def test_over_ten_days_each_attempt_has_its_moment_and_none_follows_the_last(
    seed: int, clock: FakeClock, store: Store
) -> None:
    end = clock.now + TEN_DAYS
    thorn = refusing_shop(store, clock, Random(seed).random)
    thorn.event("order.created").send({}, sender="acme")
    live_through(thorn, clock, end)
    assert thorn.run_due().total == 0
    (record,) = thorn.deliveries()
    made = [one.started_at for one in thorn.attempts(record.id)]
    policy = RetryPolicy()
    assert record.state is DeliveryState.FAILED
    assert len(made) == policy.attempts
    for wait, (before, after) in zip(policy.schedule, pairwise(made), strict=True):
        assert wait <= (after - before).total_seconds() <= wait * (1 + policy.jitter)


def test_a_subscription_can_have_a_schedule_of_its_own(clock: FakeClock, store: Store) -> None:
    store.put([make_subscription(1, retry_schedule=[60, 3600]), make_subscription(2, retry_schedule=[])])
    pipeline = make_pipeline([TimedTransport(says_status(503), clock)], store=store)
    thorn = Thorn(pipeline=pipeline, clock=clock, random=lambda: 0.0, breaker_failures=0)
    begin = clock.now
    assert thorn.event("order.created").send({}).outcomes.failed == 1  # It is attempted once.
    live_through(thorn, clock, begin + TEN_DAYS)
    (record,) = thorn.deliveries(subscription_id=make_subscription(1).id)
    made = [(one.started_at - begin).total_seconds() for one in thorn.attempts(record.id)]
    assert made == [0.0, 60.0, 3660.0]
    assert {one.state for one in thorn.deliveries()} == {DeliveryState.FAILED}
