from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from support.records import delivery, subscription
from support.stages import accepts, make_pipeline, says_status
from thornsdk import (
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Pruned,
    Reason,
    Request,
    Response,
    Tally,
    Thorn,
)
from thornsdk.errors import InvalidValue, NotFound
from thornsdk.stages import utc_now
from thornsdk.testing import FakeClock, RecordingTransport
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

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


def test_a_delivery_is_given_by_its_id(thorn: Thorn) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    (known,) = thorn.deliveries()
    assert thorn.delivery(known.id) == known
    with pytest.raises(NotFound, match=f"there is no delivery {UUID(int=7)} in the store"):
        thorn.delivery(UUID(int=7))


def test_a_replay_of_what_nobody_knows_is_an_error(thorn: Thorn) -> None:
    with pytest.raises(NotFound, match=f"there is no delivery {UUID(int=7)} in the store"):
        thorn.replay(UUID(int=7))


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
        (
            {"keep": 0, "states": DeliveryState.PENDING},
            "what is pending has not ended, and is never pruned; nothing was removed",
        ),
        ({"keep": 0, "states": [DeliveryState.FAILED, DeliveryState.LEASED]}, "what is leased has not ended"),
    ],
)
def test_what_cannot_be_pruned_is_an_error(thorn: Thorn, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        thorn.prune(**options)


@pytest.mark.parametrize("states", [DeliveryState.DELIVERED, [DeliveryState.DELIVERED]])
def test_successes_can_go_before_failures(
    thorn: Thorn, transport: RecordingTransport, states: DeliveryState | list[DeliveryState]
) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    transport._answer = says_status(410)
    thorn.event("order.paid").send({})
    assert thorn.prune(keep=0, states=states) == Pruned(delivered=1)
    assert [one.event for one in thorn.deliveries()] == ["order.paid"]


def test_what_was_pruned_is_counted_by_event_subscription_and_day(thorn: Thorn, clock: FakeClock) -> None:
    one, other = thorn.subscribe("order.*", HTTPS), thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    thorn.event("user.left").send({})
    thorn.prune(keep=1)
    thorn.unsubscribe(one.id)
    today = clock.now.date()
    assert [one.deliveries for one in thorn.counts()] == [1, 1, 1]
    assert [one.subscription_id for one in thorn.counts(subscription_id=one.id)] == [one.id]
    assert [one.subscription_id for one in thorn.counts(event="user.*")] == [other.id]
    assert len(list(thorn.counts(since=today))) == 3
    assert list(thorn.counts(before=today)) == []


def test_a_thorn_says_when_the_next_delivery_is_due(thorn: Thorn, transport: RecordingTransport) -> None:
    assert thorn.next_due() is None
    transport._answer = says_status(503)
    thorn.subscribe("*", HTTPS)
    (problem,) = thorn.event("order.created").send({}).outcomes.problems
    assert thorn.next_due() == problem.next_attempt_at


# What is due


def test_a_run_that_is_asked_to_stop_begins_nothing_more_and_puts_back_what_it_took(
    thorn: Thorn, transport: RecordingTransport, clock: FakeClock
) -> None:
    transport._answer = says_status(503)
    for _ in range(3):
        thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    clock.advance(60)
    assert thorn.run_due(stop=lambda: len(transport.requests) > 3).retry == 1
    assert sorted(one.last.number for one in thorn.deliveries(DeliveryState.PENDING)) == [1, 1, 2]
    assert thorn.run_due(stop=lambda: True).total == 0
    assert thorn.run_due().retry == 2


# Replay


def bodies(transport: RecordingTransport) -> list[bytes]:
    return [one.body for one in transport.requests]


def test_all_that_has_ended_and_is_wanted_is_replayed_under_its_id(
    thorn: Thorn, transport: RecordingTransport
) -> None:
    transport._answer = says_status(302)
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({"id": 1})
    (failed,) = thorn.deliveries()
    transport._answer = accepts
    thorn.event("user.created").send({"id": 2})
    outcomes = thorn.replay_all(DeliveryFilter(event="order.*"))
    assert (outcomes.delivered, outcomes.total) == (1, 1)
    assert bodies(transport) == [b'{"id":1}', b'{"id":2}', b'{"id":1}']
    (again,) = thorn.deliveries(event="order.*")
    assert (again.id, again.state, again.last.number) == (failed.id, DeliveryState.DELIVERED, 2)


def test_what_is_pending_or_leased_is_not_replayed(thorn: Thorn, transport: RecordingTransport) -> None:
    transport._answer = says_status(503)
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    assert thorn.replay_all(DeliveryFilter()).total == 0
    assert thorn.replay_all(DeliveryFilter(states=frozenset({DeliveryState.PENDING}))).total == 0


@pytest.mark.parametrize("all_at_once", [False, True])
def test_a_replay_with_a_new_id_is_a_new_delivery_of_the_same_message(
    thorn: Thorn, transport: RecordingTransport, all_at_once: bool
) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({"id": 1})
    (first,) = thorn.deliveries()
    if all_at_once:
        assert thorn.replay_all(DeliveryFilter(), new_ids=True).delivered == 1
    else:
        thorn.replay(first.id, new_id=True)
    (second,) = (one for one in thorn.deliveries() if one.id != first.id)
    assert (second.message_id, second.body, second.last.number) == (first.message_id, first.body, 1)
    assert second.created_at == first.created_at
    assert thorn.attempts(first.id) == [first.last]
    assert len({dict(one.headers)["Hook-Delivery"] for one in transport.requests}) == 2


def test_each_replay_of_what_was_delivered_has_a_number_of_its_own(
    thorn: Thorn, transport: RecordingTransport
) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    (first,) = thorn.deliveries()
    transport._answer = says_status(500)
    assert thorn.replay(first.id).last.number == 2
    assert thorn.replay(first.id).last.number == 3
    assert [one.status for one in thorn.attempts(first.id)] == [200, 500, 500]
    assert [one.state for one in thorn.deliveries()] == [DeliveryState.DELIVERED]


def test_what_cannot_be_replayed_counts_as_failed_and_stays_as_it_was(thorn: Thorn) -> None:
    subscription = thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    known = list(thorn.deliveries())
    thorn.unsubscribe(subscription.id)
    (problem,) = thorn.replay_all(DeliveryFilter()).problems
    assert (problem.id, problem.last.outcome.reason) == (known[0].id, Reason.UNSUBSCRIBED)
    told = "it was not replayed: the subscription is removed, disabled or not known here"
    assert problem.last.detail == told
    assert list(thorn.deliveries()) == known


def test_a_subscription_that_cannot_be_read_costs_its_own_replay_alone(
    tmp_path: Path, transport: RecordingTransport
) -> None:
    store = SqliteStore(tmp_path / "thorn.db")
    with Thorn(pipeline=make_pipeline([transport], store=store)) as thorn:
        broken, _ = thorn.subscribe("*", HTTPS), thorn.subscribe("*", HTTPS)
        thorn.event("order.created").send({})
        store._database.change("UPDATE subscriptions SET secrets = 'x' WHERE id = ?", [str(broken.id)])
        outcomes = thorn.replay_all(DeliveryFilter())
    assert (outcomes.delivered, outcomes.failed) == (1, 1)
    assert f"the subscription {broken.id} in the store cannot be read" in outcomes.problems[0].last.detail


def test_many_are_replayed_once_each_though_they_change_their_places_meanwhile(
    tmp_path: Path, transport: RecordingTransport
) -> None:
    pipeline = make_pipeline([transport], store=SqliteStore(tmp_path / "thorn.db"))
    with Thorn(pipeline=pipeline) as thorn:
        for _ in range(450):
            thorn.subscribe("*", HTTPS)
        thorn.event("order.created").send({})
        assert thorn.replay_all(DeliveryFilter()).delivered == 450
        assert {one.last.number for one in thorn.deliveries()} == {2}


def test_what_was_attempted_by_a_clock_that_is_ahead_is_replayed_once(
    tmp_path: Path, transport: RecordingTransport
) -> None:
    store = SqliteStore(tmp_path / "thorn.db")
    with Thorn(pipeline=make_pipeline([transport], store=store)) as thorn:
        thorn.subscribe("*", HTTPS)
        thorn.event("order.created").send({})
        (known,) = thorn.deliveries()
        store.record(evolve(known, last=evolve(known.last, started_at=utc_now() + timedelta(hours=1))))
        assert thorn.replay_all(DeliveryFilter()).delivered == 1


def test_a_replay_that_nothing_matches_sends_nothing(thorn: Thorn, transport: RecordingTransport) -> None:
    assert thorn.replay_all(DeliveryFilter()) == Tally()
    assert transport.requests == []


# Cancelling


def test_a_delivery_that_waits_can_be_cancelled_and_is_attempted_no_more(clock: FakeClock) -> None:
    transport = RecordingTransport(says_status(503))
    with Thorn(pipeline=make_pipeline([transport]), clock=clock) as thorn:
        thorn.subscribe("*", HTTPS)
        thorn.event("order.created").send({})
        (pending,) = thorn.deliveries(DeliveryState.PENDING)
        cancelled = thorn.cancel(pending.id)
        clock.advance(86_400)
        assert thorn.run_due() == Tally()
        assert thorn.cancel(pending.id) == thorn.delivery(pending.id) == cancelled
        assert [one.outcome.reason for one in thorn.attempts(pending.id)] == [Reason.STATUS, Reason.CANCELLED]


def test_what_has_arrived_cannot_be_cancelled(thorn: Thorn) -> None:
    thorn.subscribe("*", HTTPS)
    thorn.event("order.created").send({})
    (known,) = thorn.deliveries()
    with pytest.raises(InvalidValue, match=f"{known.id} has arrived; there is nothing to cancel"):
        thorn.cancel(known.id)
    assert thorn.delivery(known.id) == known


def test_what_is_being_attempted_cannot_be_cancelled_until_its_process_has_died(clock: FakeClock) -> None:
    refused: list[str] = []

    def tries_to_cancel(request: Request) -> Response:
        with pytest.raises(InvalidValue) as caught:
            house.cancel(request.id)
        refused.append(str(caught.value))
        raise KeyboardInterrupt

    store = MemoryStore()
    pipeline = make_pipeline([RecordingTransport(tries_to_cancel)], store=store)
    with Thorn(pipeline=pipeline, clock=clock) as house:
        one = delivery(due=clock.now)
        store.put([subscription(id=one.subscription_id)])
        store.accept([one])
        with pytest.raises(KeyboardInterrupt):
            house.run_due()
        assert refused == [
            f"the delivery {one.id} is being attempted at this moment; try again when that has ended"
        ]
        clock.advance(3600)
        assert house.cancel(one.id).state is DeliveryState.CANCELLED


def test_of_a_delivery_that_somebody_takes_at_that_moment_nothing_is_cancelled(clock: FakeClock) -> None:
    class Taken(MemoryStore):
        def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
            return False

    store = Taken()
    one = delivery(due=clock.now)
    store.accept([one])
    with Thorn(pipeline=make_pipeline([RecordingTransport()], store=store), clock=clock) as thorn:
        with pytest.raises(InvalidValue, match="is being attempted at this moment"):
            thorn.cancel(one.id)
        assert thorn.delivery(one.id) == one
