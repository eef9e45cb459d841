from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from conftest import FakeClock
from support.stages import RecordingTransport, make_pipeline, says_status
from thornsdk import DeliveryFilter, DeliveryState, Pruned, Thorn
from thornsdk.errors import InvalidValue

HTTPS = "https://example.com/hooks"


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def thorn(transport: RecordingTransport, clock: FakeClock) -> Iterator[Thorn]:
    """A Thorn that sends nothing over the network."""
    with Thorn(pipeline=make_pipeline([transport]), clock=clock, random=lambda: 0.0) as one:
        yield one


# What is known


def test_deliveries_are_given_by_state_event_subscription_owner_and_time(thorn: Thorn) -> None:
    owned, other = thorn.subscribe("*", HTTPS, owner="acme"), thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({}, sender="acme")
    first, _ = thorn.deliveries()
    later = first.last.started_at + timedelta(seconds=1)
    assert [one.subscription_id for one in thorn.deliveries(owner="acme")] == [owned.id]
    assert [one.owner for one in thorn.deliveries(subscription_id=other.id)] == [None]
    assert len(list(thorn.deliveries(event="order.*", before=later))) == 2
    assert len(list(thorn.deliveries([DeliveryState.FAILED, DeliveryState.DELIVERED]))) == 2
    assert list(thorn.deliveries(event="user.*")) == list(thorn.deliveries(since=later)) == []


def test_what_is_asked_for_beside_a_filter_counts_in_place_of_that_part(thorn: Thorn) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    of_users = DeliveryFilter(states=frozenset({DeliveryState.DELIVERED}), event="user.*")
    assert list(thorn.deliveries(of_users)) == []
    assert len(list(thorn.deliveries(of_users, event="order.*"))) == 1


def test_a_moment_without_a_time_zone_is_an_error(thorn: Thorn) -> None:
    with pytest.raises(InvalidValue, match="the moment 'since' has no time zone"):
        thorn.deliveries(since=datetime(2026, 1, 2))  # noqa: DTZ001


# Retention


def test_what_ended_long_ago_is_pruned(thorn: Thorn, clock: FakeClock) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    (kept,) = thorn.deliveries()
    clock.now = kept.last.started_at + timedelta(days=30)
    assert thorn.prune(older_than=timedelta(days=30)).total == 0
    clock.advance(1)
    assert thorn.prune(older_than=timedelta(days=30)) == Pruned(delivered=1)
    assert list(thorn.deliveries()) == []


def test_of_what_has_ended_the_latest_can_be_kept(thorn: Thorn) -> None:
    thorn.subscribe("*", HTTPS)
    for number in range(3):
        thorn.event(f"order.number-{number}").send({})
    assert thorn.prune(keep=1).delivered == 2
    assert len(list(thorn.deliveries())) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "prune takes older_than, keep, or both; nothing was removed"),
        ({"keep": -1}, "keep is -1; it takes 0 or more deliveries"),
        ({"older_than": timedelta(days=-1)}, "older_than is -1 day, 0:00:00; it takes 0 or more"),
        (
            {"older_than": timedelta.max},
            "older_than is 999999999 days, .* the calendar does not go back so far",
        ),
    ],
)
def test_what_cannot_be_pruned_is_an_error(thorn: Thorn, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        thorn.prune(**options)


def test_a_thorn_says_when_the_next_delivery_is_due(thorn: Thorn, transport: RecordingTransport) -> None:
    assert thorn.next_due() is None
    transport._answer = says_status(503)
    thorn.subscribe("*", HTTPS)
    (problem,) = thorn.event("order.created").send({}).outcomes.problems
    assert thorn.next_due() == problem.next_attempt_at
