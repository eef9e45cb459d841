from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from conftest import FakeClock
from support.stages import RecordingTransport, make_pipeline
from thornsdk import DeliveryFilter, DeliveryState, Thorn
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
