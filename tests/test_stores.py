import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import OpenThorn
from support.records import MINUTE, NOW, delivery, in_state, lost, owed, subscription, until
from thornsdk import (
    Attempt,
    Audience,
    Breaker,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    EventPattern,
    Lease,
    OldSecret,
    Outcome,
    OutcomeKind,
    Reason,
    Store,
    Subscription,
    Timings,
    Traffic,
)
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore


def test_it_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


def test_a_subscription_is_found_as_it_was_put(store: Store) -> None:
    whole = subscription(
        "https://example.com:8443/hooks?key=1",
        patterns=["order.*", "*.created"],
        secrets=["whsec_c2VjcmV0", "plain ü"],
        old_secrets=[OldSecret("öld", NOW), OldSecret("whsec_b2xk", NOW + MINUTE)],
        content_type="application/x-www-form-urlencoded",
        digest="sha512",
        owner="tenant 'ü",
        headers={"X-Key": "one; two"},
        client_certificate="acme",
        rate_limit={"per_second": 0.5, "burst": 3},
        max_in_flight=4,
        ordered_by="order.id",
        when_failed="skip",
        retry_schedule=[1, 2.5],
        disabled="it answered 410",
    )
    store.put([whole])
    found = store.find(whole.id)
    assert found == whole
    assert found is not None
    assert [one.reveal() for one in found.secrets] == ["whsec_c2VjcmV0", "plain ü"]
    assert [one.secret.reveal() for one in found.old_secrets] == ["öld", "whsec_b2xk"]


def test_what_is_not_there_is_not_found(store: Store) -> None:
    store.put([subscription()])
    assert store.find(uuid4()) is None


def test_putting_a_subscription_again_replaces_it(store: Store) -> None:
    one = subscription(patterns=["order.*", "user.*"], owner="a")
    moved = evolve(one, patterns="user.*", url="http://other.example/", owner=None)
    store.put([one])
    store.put([moved])
    assert list(store.subscriptions()) == [moved]
    assert list(store.matching(Audience(event="order.created", broadcast=True))) == []
    assert list(store.matching(Audience(event="user.created"))) == [moved]


def test_putting_nothing_changes_nothing(store: Store) -> None:
    store.put([])
    assert list(store.subscriptions()) == []


def test_of_subscriptions_that_break_off_none_is_put(store: Store) -> None:
    def break_off() -> Iterator[Subscription]:
        yield subscription()
        raise KeyError

    with pytest.raises(KeyError):
        store.put(break_off())
    assert list(store.subscriptions()) == []


def test_subscriptions_can_be_put_while_they_are_read(store: Store) -> None:
    store.put(subscription() for _ in range(3))
    store.put(evolve(one, disabled="all") for one in store.subscriptions())
    assert [one.disabled for one in store.subscriptions()] == ["all"] * 3


def test_a_change_is_made_of_what_is_there_and_is_found(store: Store) -> None:
    one, other = subscription(patterns="order.*"), subscription()
    store.put([one, other])
    changed = store.change(one.id, lambda known: evolve(known, patterns="user.*", disabled=str(known.id)))
    assert changed == evolve(one, patterns="user.*", disabled=str(one.id))
    assert (store.find(one.id), store.find(other.id)) == (changed, other)
    assert list(store.matching(Audience(event="order.created"))) == [other]


def test_what_is_not_there_is_not_changed_and_not_put(store: Store) -> None:
    one = subscription()
    assert store.change(one.id, lambda known: evolve(known, disabled="it was removed")) is None
    assert store.find(one.id) is None


def test_a_default_is_changed_and_put_where_nothing_is_there(store: Store) -> None:
    one = subscription()
    changed = store.change(one.id, lambda known: evolve(known, disabled="first"), one)
    assert changed == store.find(one.id) == evolve(one, disabled="first")
    again = store.change(one.id, lambda known: evolve(known, disabled=f"{known.disabled}, second"), one)
    assert again == store.find(one.id) == evolve(one, disabled="first, second")


def test_a_default_that_needs_no_change_is_not_put(store: Store) -> None:
    one = subscription()
    assert store.change(one.id, lambda known: known, one) == one
    assert store.find(one.id) is None


def test_a_change_that_breaks_off_changes_nothing(store: Store) -> None:
    def break_off(known: Subscription) -> Subscription:
        raise KeyError

    one = subscription()
    store.put([one])
    with pytest.raises(KeyError):
        store.change(one.id, break_off)
    assert store.find(one.id) == one
    assert store.change(one.id, lambda known: evolve(known, disabled="later")) is not None


def test_of_many_threads_that_change_a_subscription_none_undoes_another(store: Store) -> None:
    one = subscription(disabled="0")
    store.put([one])
    together = threading.Barrier(8)

    def work(_: int) -> None:
        together.wait(timeout=20)
        for _ in range(10):
            store.change(one.id, lambda known: evolve(known, disabled=str(int(known.disabled or "") + 1)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert store.find(one.id) == evolve(one, disabled="80")


def test_a_subscription_that_is_removed_is_gone(store: Store) -> None:
    one, other = subscription(), subscription()
    store.put([one, other])
    assert store.remove(one.id) is True
    assert store.find(one.id) is None
    assert list(store.matching(Audience(event="order.created"))) == [other]


def test_removing_what_is_not_there_says_so(store: Store) -> None:
    assert store.remove(uuid4()) is False


def test_subscriptions_come_sorted_by_origin(store: Store) -> None:
    urls = [
        "https://b.example/",
        "http://b.example/",
        "https://a.example:10000/",
        "https://a.example:9000/",
        "https://a.example/2",
        "https://aa.example/",
        "https://a.example/1",
        "http://[2001:db8::1]/",
    ]
    store.put(subscription(url) for url in urls)
    listed = [one.url.origin for one in store.subscriptions()]
    matched = [one.url.origin for one in store.matching(Audience(event="order.created"))]
    assert listed == sorted(listed)
    assert matched == listed
    assert len(listed) == len(urls)


@pytest.mark.parametrize("patterns", [["order.*"], ["*"], ["*.created"], ["order.created"], ["a", "order.*"]])
def test_a_subscription_whose_pattern_matches_is_given(store: Store, patterns: list[str]) -> None:
    one = subscription(patterns=patterns)
    store.put([one])
    assert list(store.matching(Audience(event="order.created"))) == [one]


@pytest.mark.parametrize("pattern", ["order", "order.created.*", "created", "Order.*", "user.*"])
def test_a_subscription_whose_pattern_does_not_match_is_not_given(store: Store, pattern: str) -> None:
    store.put([subscription(patterns=pattern)])
    assert list(store.matching(Audience(event="order.created"))) == []


def test_a_subscription_that_matches_in_several_ways_is_given_once(store: Store) -> None:
    one = subscription(patterns=["*", "order.*", "*.created", "order.created", "order.created"])
    store.put([one])
    assert list(store.matching(Audience(event="order.created"))) == [one]
    assert list(store.matching(Audience(event="order.created", broadcast=True))) == [one]


@pytest.mark.parametrize(
    ("audience", "reached"),
    [
        (Audience(event="order.created"), {None}),
        (Audience(event="order.created", sender="a"), {None, "a"}),
        (Audience(event="order.created", sender="nobody we know"), {None}),
        (Audience(event="order.created", broadcast=True), {None, "a", "b"}),
        (Audience(event="order.created", sender="a", broadcast=True), {None, "a", "b"}),
    ],
)
def test_a_tenants_subscriptions_are_reached_by_its_own_messages(
    store: Store, audience: Audience, reached: set[str | None]
) -> None:
    store.put(subscription(owner=owner) for owner in (None, "a", "b"))
    assert {one.owner for one in store.matching(audience)} == reached


def test_a_disabled_subscription_is_listed_and_not_given(store: Store) -> None:
    gone = subscription(disabled="it answered 410")
    store.put([gone])
    assert list(store.matching(Audience(event="order.created"))) == []
    assert list(store.subscriptions()) == [gone]


def test_a_subscription_can_be_changed_while_the_matching_ones_are_read(store: Store) -> None:
    store.put(subscription() for _ in range(450))
    given = []
    for one in store.matching(Audience(event="order.created")):
        given.append(one.id)
        store.put([evolve(one, disabled="seen")])
    assert len(set(given)) == len(given) == 450
    assert list(store.matching(Audience(event="order.created"))) == []


_segments = st.sampled_from(["a", "b", "created"])
_events = st.lists(_segments, min_size=1, max_size=4).map(".".join)
_patterns = st.lists(st.one_of(_segments, st.just("*")), min_size=1, max_size=4).map(".".join)
_owners = st.sampled_from([None, "a", "b", "é'; --"])
_subscriptions = st.builds(
    subscription,
    url=st.sampled_from(["https://a.example/", "https://b.example/", "http://a.example:81/"]),
    id=st.uuids(version=4),
    patterns=st.lists(_patterns, min_size=1, max_size=4),
    owner=_owners,
    disabled=st.sampled_from([None, None, "gone"]),
    ordered_by=st.sampled_from([None, "id"]),
)
_audiences = st.builds(Audience, event=_events, sender=_owners, broadcast=st.booleans())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None)
@given(subscriptions=st.lists(_subscriptions, max_size=12), audiences=st.lists(_audiences, max_size=5))
def test_exactly_those_are_given_that_the_audience_admits_or_misses(
    kind: str, subscriptions: list[Subscription], audiences: list[Audience]
) -> None:
    kept = {one.id: one for one in subscriptions}
    with (
        TemporaryDirectory() as folder,
        closing(MemoryStore() if kind == "memory" else SqliteStore(Path(folder, "thorn.db"))) as store,
    ):
        store.put(subscriptions)
        for audience in audiences:
            in_order = sorted(kept.values(), key=lambda one: (one.url.origin, str(one.id)))
            admitted = [one for one in in_order if audience.admits(one)]
            assert list(store.matching(audience)) == admitted
            assert list(store.ordered(audience)) == [one for one in admitted if one.ordered_by]
            assert list(store.disabled(audience)) == [one for one in in_order if audience.misses(one)]


def test_a_delivery_is_found_as_it_was_recorded(store: Store) -> None:
    outcome = Outcome(OutcomeKind.RETRY, Reason.TIMEOUT, NOW + MINUTE)
    whole = evolve(
        delivery(),
        sender="tenant",
        content_type="text/plain",
        body=bytes(range(256)),
        last=Attempt(
            number=3,
            started_at=NOW,
            duration=1.5,
            outcome=outcome,
            status=503,
            detail="ü\n",
            request_bytes=1,
            response_bytes=2,
            reused=True,
            timings=Timings(total=1.5, tls=0.25),
            address="2001:db8::1",
            answer=bytes(range(256)),
        ),
        owner="tenant 'ü",
        lease=Lease("host:1:token"),
        order_key="ö 42",
    )
    store.record(whole)
    assert store.delivery(whole.id) == whole


def test_times_of_other_zones_are_the_same_moments(store: Store) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    one = delivery(at=NOW.astimezone(tokyo), due=(NOW + MINUTE).astimezone(tokyo))
    store.record(one)
    assert store.delivery(one.id) == one
    assert [due.id for due in store.claim_due(NOW + MINUTE, 9, until(NOW + 2 * MINUTE))] == [one.id]


def test_a_delivery_that_is_not_there_is_not_found(store: Store) -> None:
    assert store.delivery(uuid4()) is None


def test_a_later_attempt_replaces_the_one_before(store: Store) -> None:
    pending = delivery(due=NOW + MINUTE)
    done = evolve(pending, last=delivery(at=NOW + MINUTE).last)
    store.record(pending)
    store.record(done)
    assert list(store.deliveries()) == [done]
    assert list(store.deliveries(in_state(DeliveryState.PENDING))) == []
    assert store.claim_due(NOW + 9 * MINUTE, 9, until(NOW + 10 * MINUTE)) == []


def test_a_delivery_that_is_replayed_is_pending_again(store: Store) -> None:
    failed = delivery(OutcomeKind.FAILED)
    store.record(failed)
    store.record(evolve(failed, last=delivery(due=NOW).last))
    assert [one.id for one in store.deliveries(in_state(DeliveryState.PENDING))] == [failed.id]
    assert list(store.deliveries(in_state(DeliveryState.FAILED))) == []


def test_deliveries_come_latest_first(store: Store) -> None:
    # More than are read at once.
    records = [delivery(at=NOW + number * MINUTE) for number in range(450)]
    for one in records[::2] + records[1::2]:
        store.record(one)
    assert [one.id for one in store.deliveries()] == [one.id for one in reversed(records)]


def test_deliveries_at_the_same_moment_are_all_given(store: Store) -> None:
    ids = set()
    for _ in range(450):
        ids.add((one := delivery()).id)
        store.record(one)
    given = [one.id for one in store.deliveries()]
    assert (len(given), set(given)) == (450, ids)


def in_every_state(at: datetime) -> list[DeliveryRecord]:
    """One delivery in each state, with an attempt of that time."""
    pending, cancelled = delivery(at=at, due=NOW), delivery(OutcomeKind.FAILED, at)
    unsubscribed = Outcome(OutcomeKind.FAILED, Reason.UNSUBSCRIBED)
    return [
        pending,
        evolve(delivery(at=at, due=NOW), lease=Lease("here")),
        evolve(cancelled, last=evolve(cancelled.last, outcome=unsubscribed)),
        *(delivery(kind, at) for kind in OutcomeKind if kind is not OutcomeKind.RETRY),
    ]


@pytest.mark.parametrize("state", list(DeliveryState))
def test_deliveries_of_one_state_are_given_alone(store: Store, state: DeliveryState) -> None:
    for minute in range(2):
        for one in in_every_state(NOW + minute * MINUTE):
            store.record(one)
    given = list(store.deliveries(in_state(state)))
    assert [one.state for one in given] == [state] * 2
    assert given[0].last.started_at > given[1].last.started_at


def test_one_body_serves_all_deliveries_of_a_message(store: Store) -> None:
    one = delivery()
    other = evolve(delivery(), message_id=one.message_id)
    third = evolve(delivery(), message_id=one.message_id, content_type="text/plain", body=b"plain")
    for record in (one, other, third):
        store.record(record)
    assert [found and found.body for found in map(store.delivery, (one.id, other.id, third.id))] == [
        one.body,
        one.body,
        b"plain",
    ]


def test_what_is_due_is_claimed_longest_due_first(store: Store) -> None:
    records = [delivery(due=NOW + minute * MINUTE) for minute in (2, 0, 1, 3)]
    store.record(delivery(OutcomeKind.FAILED))
    for one in records:
        store.record(one)
    claimed = store.claim_due(NOW + 2 * MINUTE, 10, until(NOW + 10 * MINUTE))
    assert [one.id for one in claimed] == [records[1].id, records[2].id, records[0].id]


def test_no_more_is_claimed_than_is_asked_for(store: Store) -> None:
    for _ in range(5):
        store.record(delivery(due=NOW))
    claims = [len(store.claim_due(NOW, limit, until(NOW + MINUTE))) for limit in (2, 2, 2, 2)]
    assert claims == [2, 2, 1, 0]
    assert store.claim_due(NOW + MINUTE, 0, until(NOW + 2 * MINUTE)) == []


def test_what_is_claimed_is_due_again_when_the_claim_has_ended(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    assert [claimed.id for claimed in store.claim_due(NOW, 1, until(NOW + MINUTE))] == [one.id]
    found = store.delivery(one.id)
    assert found is not None
    assert found.next_attempt_at == NOW + MINUTE
    assert store.claim_due(NOW + MINUTE - timedelta(microseconds=1), 1, until(NOW + 2 * MINUTE)) == []
    assert [claimed.id for claimed in store.claim_due(NOW + MINUTE, 1, until(NOW + 2 * MINUTE))] == [one.id]


def test_what_is_due_at_just_that_moment_is_taken(store: Store) -> None:
    one, other = delivery(due=NOW), delivery(due=NOW)
    store.record(one)
    store.record(other)
    taken = lost(one, NOW + 2 * MINUTE)
    assert store.take(one.id, NOW, taken) is True
    assert (store.delivery(one.id), store.delivery(other.id)) == (taken, other)


def test_what_is_taken_is_leased_and_due_when_it_says(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.take(one.id, NOW, lost(one, NOW + 2 * MINUTE))
    assert [leased.id for leased in store.deliveries(in_state(DeliveryState.LEASED))] == [one.id]
    assert store.claim_due(NOW + MINUTE, 9, until(NOW + 9 * MINUTE)) == []
    assert [due.id for due in store.claim_due(NOW + 2 * MINUTE, 9, until(NOW + 9 * MINUTE))] == [one.id]


@pytest.mark.parametrize("other", [-timedelta(microseconds=1), timedelta(microseconds=1), MINUTE])
def test_what_is_due_at_another_moment_is_left_as_it_is(store: Store, other: timedelta) -> None:
    one = delivery(due=NOW)
    store.record(one)
    assert store.take(one.id, NOW + other, lost(one, NOW + 2 * MINUTE)) is False
    assert store.delivery(one.id) == one


def test_what_was_taken_or_claimed_is_not_taken_again_at_the_same_moment(store: Store) -> None:
    one, other = delivery(due=NOW), delivery(due=NOW + MINUTE)
    store.record(one)
    store.record(other)
    store.claim_due(NOW, 1, until(NOW + 2 * MINUTE))
    assert store.take(one.id, NOW, lost(one, NOW + 3 * MINUTE)) is False
    assert store.take(other.id, NOW + MINUTE, lost(other, NOW + 3 * MINUTE)) is True
    assert store.take(other.id, NOW + MINUTE, lost(other, NOW + 3 * MINUTE)) is False


@pytest.mark.parametrize("kind", [OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.BLOCKED])
def test_what_has_ended_is_not_taken(store: Store, kind: OutcomeKind) -> None:
    one = delivery(kind)
    store.record(one)
    assert store.take(one.id, NOW, lost(one, NOW + MINUTE)) is False
    assert store.delivery(one.id) == one


def test_what_is_not_there_is_not_taken(store: Store) -> None:
    one = delivery(due=NOW)
    assert store.take(one.id, NOW, lost(one, NOW + MINUTE)) is False
    assert store.delivery(one.id) is None


def test_a_moment_of_another_zone_is_the_same_moment_to_take_at(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    assert store.take(one.id, NOW.astimezone(ZoneInfo("Asia/Tokyo")), lost(one, NOW + MINUTE)) is True


def test_of_many_threads_that_take_a_delivery_one_succeeds(store: Store) -> None:
    records = [delivery(due=NOW) for _ in range(50)]
    for one in records:
        store.record(one)
    together = threading.Barrier(8)

    def work(_: int) -> list[UUID]:
        together.wait(timeout=20)
        return [one.id for one in records if store.take(one.id, NOW, lost(one, NOW + MINUTE))]

    with ThreadPoolExecutor(8) as threads:
        won = list(chain.from_iterable(threads.map(work, range(8))))
    assert sorted(won) == sorted(one.id for one in records)


# What is owed


def test_what_is_accepted_is_due(store: Store) -> None:
    one, other = owed(), owed()
    store.accept([one, other])
    assert [store.delivery(key) for key in (one.id, other.id)] == [one, other]
    assert {due.id for due in store.claim_due(NOW, 9, until(NOW + MINUTE))} == {one.id, other.id}


def test_of_what_breaks_off_nothing_is_accepted(store: Store) -> None:
    def break_off() -> Iterator[DeliveryRecord]:
        yield owed()
        raise KeyError

    with pytest.raises(KeyError):
        store.accept(break_off())
    assert list(store.deliveries()) == []
    store.record(one := owed())
    assert store.delivery(one.id) == one


def test_what_is_accepted_again_stays_as_it_is(store: Store) -> None:
    one, new = owed(), owed()
    store.accept([one])
    done = evolve(one, last=delivery().last)
    store.record(done)
    store.accept([one, new])
    assert (store.delivery(one.id), store.delivery(new.id)) == (done, new)


def test_what_is_accepted_may_be_made_from_what_the_store_holds(store: Store) -> None:
    store.put(subscription() for _ in range(450))
    found = store.matching(Audience(event="order.created"))
    store.accept(owed(subscription_id=one.id) for one in found)
    assert len({one.subscription_id for one in store.deliveries()}) == 450


def test_the_bodies_of_what_is_accepted_are_kept_by_content_type(store: Store) -> None:
    message = uuid4()
    bodies = {f"type/{number}": str(number).encode() for number in range(40)}
    records = [owed(message_id=message, content_type=key, body=body) for key, body in bodies.items()]
    store.accept([*records, *(evolve(one, id=uuid4()) for one in records)])
    assert {one.content_type: one.body for one in store.deliveries()} == bodies
    for one in records:
        store.record(one)
    assert {one.content_type: one.body for one in store.deliveries()} == bodies


def test_when_a_delivery_was_first_known_stays_known(store: Store) -> None:
    one = evolve(delivery(at=NOW, due=NOW), accepted_at=None)
    store.record(one)
    store.record(evolve(one, last=delivery(at=NOW + MINUTE).last, accepted_at=NOW + MINUTE))
    found = store.delivery(one.id)
    assert found is not None
    assert found.accepted_at == NOW


def test_when_a_message_was_sent_stays_as_it_was_told_first(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    later = lost(evolve(one, created_at=one.created_at + MINUTE), NOW + MINUTE)
    assert store.take(one.id, NOW, later)
    store.record(evolve(later, last=evolve(delivery().last, number=2)))
    found = store.delivery(one.id)
    assert found is not None
    assert (found.created_at, found.last.number) == (one.created_at, 2)


def test_what_was_delivered_stays_delivered(store: Store) -> None:
    one = delivery()
    store.record(one)
    store.record(evolve(one, last=evolve(delivery(OutcomeKind.FAILED).last, number=2)))
    store.record(evolve(one, last=evolve(delivery(due=NOW).last, number=3)))
    assert store.delivery(one.id) == one
    assert [attempt.number for attempt in store.attempts(one.id)] == [1, 2, 3]
    assert store.claim_due(NOW, 9, until(NOW + MINUTE)) == []


def test_what_arrived_counts_although_another_attempt_was_begun(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.claim_due(NOW, 1, until(NOW + MINUTE))
    store.claim_due(NOW + MINUTE, 1, until(NOW + 2 * MINUTE))
    arrived = evolve(one, last=evolve(delivery().last, number=2))
    store.record(arrived)
    assert store.delivery(one.id) == arrived
    assert [attempt.outcome.kind for attempt in store.attempts(one.id)] == ["retry", "delivered", "retry"]


def test_a_result_that_comes_late_ends_no_later_attempt(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.claim_due(NOW, 1, until(NOW + MINUTE))
    store.claim_due(NOW + MINUTE, 1, until(NOW + 2 * MINUTE))
    held = store.delivery(one.id)
    late = evolve(one, last=evolve(delivery(OutcomeKind.FAILED).last, number=2))
    store.record(late)
    assert store.delivery(one.id) == held
    assert store.attempts(one.id)[1] == late.last


def test_the_attempts_of_a_delivery_are_kept_in_order(store: Store) -> None:
    one = owed()
    store.accept([one])
    assert store.attempts(one.id) == []
    attempts = [
        evolve(delivery(at=NOW + number * MINUTE, due=NOW).last, number=number) for number in (1, 2, 3)
    ]
    for attempt in attempts:
        store.record(evolve(one, last=attempt))
        store.record(evolve(one, last=attempt))
    store.record(delivery())
    assert store.attempts(one.id) == attempts


def test_a_delivery_that_is_not_there_has_no_attempts(store: Store) -> None:
    assert store.attempts(uuid4()) == []


def test_what_comes_of_an_attempt_replaces_that_it_was_begun(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.claim_due(NOW, 1, until(NOW + MINUTE))
    begun = store.attempts(one.id)
    done = evolve(one, last=evolve(delivery().last, number=2))
    store.record(done)
    assert [attempt.outcome.reason for attempt in begun] == [Reason.STATUS, Reason.WORKER_LOST]
    assert store.attempts(one.id) == [one.last, done.last]


def test_an_attempt_that_is_taken_back_leaves_no_trace(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.claim_due(NOW, 1, until(NOW + MINUTE))
    assert store.take(one.id, NOW + MINUTE, one) is True
    assert (store.delivery(one.id), store.attempts(one.id)) == (one, [one.last])


def test_a_delivery_goes_where_its_latest_attempt_went(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    moved = evolve(one, origin="https://moved.example", last=evolve(one.last, number=2))
    store.record(moved)
    assert store.delivery(one.id) == moved


def test_who_claims_a_delivery_holds_its_lease(store: Store) -> None:
    one = owed()
    store.accept([one])
    assert store.claim_due(NOW, 1, until(NOW + MINUTE, "host:1:token")) == [one]
    found = store.delivery(one.id)
    assert found is not None
    assert (found.state, found.lease) == (DeliveryState.LEASED, Lease("host:1:token"))


def test_what_is_due_at_one_moment_is_claimed_by_origin(store: Store) -> None:
    origins = [f"https://{host}.example" for host in "cabcba"]
    store.accept([owed(origin=one) for one in origins])
    claimed = store.claim_due(NOW, 4, until(NOW + MINUTE)) + store.claim_due(NOW, 4, until(NOW + MINUTE))
    assert [one.origin for one in claimed] == sorted(origins)


def test_what_is_new_of_a_message_is_claimed_by_origin_whenever_it_is_due(store: Store) -> None:
    message_id = uuid4()
    origins = [f"https://{host}.example" for host in "cabcba"]
    store.accept([*(owed(origin=one, message_id=message_id) for one in origins), owed()])
    claims = [store.claim_new(message_id, 4, until(NOW + MINUTE)) for _ in range(3)]
    assert [len(one) for one in claims] == [4, 2, 0]
    assert [one.origin for page in claims for one in page] == sorted(origins)


def test_what_was_begun_is_new_no_more_unless_it_is_taken_back(store: Store) -> None:
    one = owed()
    store.accept([one])
    store.claim_due(NOW, 1, until(NOW + MINUTE))
    assert store.claim_new(one.message_id, 1, until(NOW + MINUTE)) == []
    store.take(one.id, NOW + MINUTE, one)
    assert store.claim_new(one.message_id, 1, until(NOW + MINUTE)) == [one]
    store.record(evolve(one, last=delivery(due=NOW).last, lease=None))
    assert store.claim_new(one.message_id, 1, until(NOW + MINUTE)) == []


def test_a_claim_that_breaks_takes_nothing(store: Store) -> None:
    def breaks(record: DeliveryRecord) -> DeliveryRecord:
        if record.id == second.id:
            raise KeyError
        return lost(record, NOW + MINUTE)

    first, second = owed(origin="https://a.example"), owed(origin="https://b.example")
    store.accept([first, second])
    with pytest.raises(KeyError):
        store.claim_due(NOW, 9, breaks)
    assert store.delivery(first.id) == first


def test_those_that_are_claimed_of_a_message_share_its_body(store: Store) -> None:
    message = uuid4()
    store.accept([owed(message_id=message) for _ in range(3)])
    claimed = store.claim_due(NOW, 9, until(NOW + MINUTE))
    assert len(claimed) == 3
    assert len({id(one.body) for one in claimed}) == 1


def test_what_was_put_off_before_its_first_attempt_is_new_no_more(store: Store) -> None:
    one = owed()
    store.accept([one])
    assert store.take(one.id, NOW, evolve(one.due_at(NOW + MINUTE), lease=None)) is True
    assert store.claim_new(one.message_id, 1, until(NOW + MINUTE)) == []
    assert len(store.claim_due(NOW + MINUTE, 1, until(NOW + 2 * MINUTE))) == 1


# Which deliveries are wanted

_moments = st.integers(0, 3).map(lambda minutes: NOW + minutes * MINUTE)
_ids = st.sampled_from([UUID(int=1), UUID(int=2)])
_some_deliveries = st.builds(
    lambda known, **parts: evolve(known, id=uuid4(), message_id=uuid4(), **parts),
    _moments.flatmap(lambda at: st.sampled_from(in_every_state(at))),
    event=_events,
    subscription_id=_ids,
    owner=_owners,
)
_filters = st.builds(
    DeliveryFilter,
    states=st.none() | st.frozensets(st.sampled_from(DeliveryState), max_size=3),
    event=st.none() | _patterns.map(EventPattern),
    subscription_id=st.none() | _ids,
    owner=_owners,
    since=st.none() | _moments,
    before=st.none() | _moments,
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None)
@given(deliveries=st.lists(_some_deliveries, max_size=12), wanted=st.lists(_filters, max_size=8))
def test_exactly_those_deliveries_are_given_that_the_filter_admits(
    kind: str, deliveries: list[DeliveryRecord], wanted: list[DeliveryFilter]
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(MemoryStore() if kind == "memory" else SqliteStore(Path(folder, "thorn.db"))) as store,
    ):
        store.accept(deliveries)
        for one in wanted:
            found = list(store.deliveries(one))
            assert {record.id for record in found} == {d.id for d in deliveries if one.admits(d)}
            assert found == sorted(found, key=lambda record: record.last.started_at, reverse=True)


def test_many_deliveries_of_a_tenant_are_given_page_by_page(store: Store) -> None:
    store.accept(owed(owner=owner) for owner in ["acme", "other"] * 450)
    assert len(list(store.deliveries(DeliveryFilter(owner="acme")))) == 450


def test_closing_twice_does_no_harm(store: Store) -> None:
    store.close()
    store.close()


def test_the_memory_store_is_seen_by_no_other_process_and_has_no_identity() -> None:
    assert MemoryStore().identity is None


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.PENDING])
def test_the_memory_store_keeps_the_latest_alone(state: DeliveryState) -> None:
    store = MemoryStore(limit=2)
    due = NOW if state is DeliveryState.PENDING else None
    records = [delivery(at=NOW + number * MINUTE, due=due) for number in range(4)]
    for one in records:
        store.record(one)
    assert [one.id for one in store.deliveries(in_state(state))] == [records[3].id, records[2].id]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_plugin_opens_the_store_that_the_setting_names(
    kind: str, open_endpoint: OpenEndpoint, open_thorn: OpenThorn, tmp_path: Path
) -> None:
    endpoint = open_endpoint()
    name = "memory" if kind == "memory" else f"sqlite:///{tmp_path}/thorn.db"
    thorn = open_thorn(endpoint, store=name)
    thorn.subscribe("order.*", endpoint.url)
    thorn.event("order.created").send({"id": 1})
    (record,) = thorn.deliveries()
    assert (record.state, record.body) == (DeliveryState.DELIVERED, b'{"id":1}')


# Since when a subscription has been failing


def attempted(known: DeliveryRecord, number: int, outcome: Outcome, minutes: int = 0) -> DeliveryRecord:
    """What became of an attempt that began so many minutes later."""
    last = Attempt(number=number, started_at=NOW + minutes * MINUTE, duration=0.0, outcome=outcome)
    return evolve(known, last=last, lease=None)


ARRIVED = Outcome(OutcomeKind.DELIVERED, Reason.ACCEPTED)
GIVEN_UP = Outcome(OutcomeKind.FAILED, Reason.TIMEOUT)
AGAIN = Outcome(OutcomeKind.RETRY, Reason.STATUS, NOW + MINUTE)


def test_a_subscription_has_been_failing_since_the_first_of_its_failed_attempts(store: Store) -> None:
    one = delivery()
    assert store.failing_since(one.subscription_id) is None
    for number, outcome in enumerate([AGAIN, AGAIN, GIVEN_UP], start=1):
        store.record(attempted(one, number, outcome, minutes=number))
        assert store.failing_since(one.subscription_id) == NOW + MINUTE
    assert store.failing_since(uuid4()) is None


@pytest.mark.parametrize("again", [False, True])
def test_any_delivery_that_arrives_ends_the_failing(again: bool, store: Store) -> None:
    one = delivery()
    store.record(attempted(one, 1, AGAIN))
    other = one if again else evolve(delivery(), subscription_id=one.subscription_id)
    store.record(attempted(other, 2, ARRIVED, minutes=1))
    assert store.failing_since(one.subscription_id) is None
    store.record(attempted(evolve(one, id=uuid4()), 1, AGAIN, minutes=2))
    assert store.failing_since(one.subscription_id) == NOW + 2 * MINUTE


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN),
        (OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE),
        (OutcomeKind.FAILED, Reason.UNSUBSCRIBED),
        (OutcomeKind.RETRY, Reason.WORKER_LOST),
        (OutcomeKind.RETRY, Reason.STAGE_FAILED),
    ],
)
def test_what_the_receiver_did_not_fail_begins_no_failing(
    kind: OutcomeKind, reason: Reason, store: Store
) -> None:
    one = delivery()
    retry_at = NOW + MINUTE if kind is OutcomeKind.RETRY else None
    store.record(attempted(one, 1, Outcome(kind, reason, retry_at)))
    assert store.failing_since(one.subscription_id) is None
    store.record(attempted(one, 1, GIVEN_UP))
    assert store.failing_since(one.subscription_id) == NOW


def test_a_delivery_that_was_not_attempted_begins_no_failing(store: Store) -> None:
    one = attempted(delivery(), 0, AGAIN)
    store.accept([one])
    store.record(one)
    assert store.failing_since(one.subscription_id) is None


def test_what_is_claimed_and_put_back_begins_no_failing_anew(store: Store) -> None:
    one = attempted(delivery(), 1, Outcome(OutcomeKind.RETRY, Reason.STATUS, NOW))
    store.record(one)
    store.record(attempted(evolve(delivery(), subscription_id=one.subscription_id), 1, ARRIVED))
    (claimed,) = store.claim_due(NOW, 1, until(NOW + MINUTE))
    assert store.take(one.id, NOW + MINUTE, claimed) is True
    assert store.take(one.id, NOW, claimed.due_at(NOW + MINUTE)) is True
    assert store.failing_since(one.subscription_id) is None


def test_a_late_result_of_what_arrived_begins_no_failing(store: Store) -> None:
    one = delivery()
    store.record(attempted(one, 2, ARRIVED))
    store.record(attempted(one, 1, AGAIN))
    assert store.failing_since(one.subscription_id) is None


def test_enabling_ends_the_failing_and_other_changes_do_not(store: Store) -> None:
    one = subscription()
    store.put([one])
    store.record(attempted(evolve(delivery(), subscription_id=one.id), 1, AGAIN))
    store.put([evolve(one, owner="other")])
    store.put([evolve(one, disabled="enough")])
    assert store.failing_since(one.id) == NOW
    store.put([one])
    assert store.failing_since(one.id) is None


def test_removing_a_subscription_ends_its_failing(store: Store) -> None:
    one = subscription()
    store.put([one])
    store.record(attempted(evolve(delivery(), subscription_id=one.id), 1, AGAIN))
    store.remove(one.id)
    assert store.failing_since(one.id) is None


def test_a_failing_is_to_be_told_once_until_it_ends(store: Store) -> None:
    one = delivery()
    assert store.tell_failing(one.subscription_id) is False
    for number in (1, 3):
        store.record(attempted(evolve(one, id=uuid4()), number, AGAIN))
        told = [store.tell_failing(one.subscription_id) for _ in range(2)]
        assert told == [True, False]
        store.record(attempted(evolve(one, id=uuid4()), number + 1, ARRIVED))


# What is held back, and the circuit breakers of origins


def test_a_delivery_that_is_held_back_says_why_until_it_is_claimed(store: Store) -> None:
    one = attempted(delivery(), 1, AGAIN)
    store.record(evolve(one, held=Reason.ORIGIN_PAUSED))
    (claimed,) = store.claim_due(NOW + MINUTE, 1, lambda known: evolve(lost(known, NOW), held=None))
    assert claimed.held is Reason.ORIGIN_PAUSED
    found = store.delivery(one.id)
    assert found is not None
    assert found.held is None


OPEN = Breaker(failures=3, pause=60.0, until=NOW + MINUTE)
ORIGIN = "https://example.com"


@pytest.mark.parametrize("breaker", [Breaker(failures=1), OPEN, evolve(OPEN, probe=uuid4())])
def test_a_breaker_is_given_as_it_was_left(breaker: Breaker, store: Store) -> None:
    assert store.change_breaker(ORIGIN, lambda known: breaker) == breaker
    assert store.breakers() == {ORIGIN: breaker}
    assert store.change_breaker(ORIGIN, lambda known: known) == breaker
    assert store.change_breaker("https://other.example", lambda known: known) == Breaker()


def test_a_breaker_of_which_nothing_bad_is_known_is_not_kept(store: Store) -> None:
    store.change_breaker(ORIGIN, lambda known: OPEN)
    assert store.change_breaker(ORIGIN, lambda known: Breaker()) == Breaker()
    assert store.breakers() == {}


def test_of_many_that_change_a_breaker_at_once_none_is_lost(store: Store) -> None:
    def fail(_: int) -> Breaker:
        return store.change_breaker(ORIGIN, lambda known: evolve(known, failures=known.failures + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(40)))
    assert store.breakers() == {ORIGIN: Breaker(failures=40)}


def test_a_change_of_a_breaker_that_breaks_changes_nothing(store: Store) -> None:
    def breaks(known: Breaker) -> Breaker:
        raise KeyError

    store.change_breaker(ORIGIN, lambda known: OPEN)
    with pytest.raises(KeyError):
        store.change_breaker(ORIGIN, breaks)
    assert store.breakers() == {ORIGIN: OPEN}


# What is known of the attempts to a subscription

TRAFFIC = Traffic(
    full_at=NOW + MINUTE,
    queue_until=NOW + 2 * MINUTE,
    late_until=NOW + 3 * MINUTE,
    duration=0.25,
    in_flight=((uuid4(), NOW + MINUTE), (uuid4(), NOW + 2 * MINUTE)),
)


@pytest.mark.parametrize("traffic", [TRAFFIC, Traffic(full_at=NOW), Traffic(duration=0.5)])
def test_traffic_is_given_as_it_was_left_for_its_subscription_alone(traffic: Traffic, store: Store) -> None:
    one, other = uuid4(), uuid4()
    assert store.change_traffic(one, lambda known: traffic) == traffic
    assert store.change_traffic(one, lambda known: known) == traffic
    assert store.change_traffic(other, lambda known: known) == Traffic()


def test_traffic_of_which_nothing_is_known_any_more_is_new(store: Store) -> None:
    key = uuid4()
    store.change_traffic(key, lambda known: TRAFFIC)
    assert store.change_traffic(key, lambda known: Traffic()) == Traffic()
    assert store.change_traffic(key, lambda known: known) == Traffic()


def test_of_many_that_change_traffic_at_once_none_is_lost(store: Store) -> None:
    key = uuid4()

    def begin(_: int) -> Traffic:
        return store.change_traffic(
            key, lambda known: evolve(known, in_flight=(*known.in_flight, (uuid4(), NOW)))
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(40)))
    assert len(store.change_traffic(key, lambda known: known).in_flight) == 40


def test_a_change_of_traffic_that_breaks_changes_nothing(store: Store) -> None:
    def breaks(known: Traffic) -> Traffic:
        raise KeyError

    key = uuid4()
    store.change_traffic(key, lambda known: TRAFFIC)
    with pytest.raises(KeyError):
        store.change_traffic(key, breaks)
    assert store.change_traffic(key, lambda known: known) == TRAFFIC


def test_removing_a_subscription_removes_its_traffic_and_no_other(store: Store) -> None:
    one, other = subscription(), subscription()
    store.put([one, other])
    for key in (one.id, other.id):
        store.change_traffic(key, lambda known: TRAFFIC)
    store.remove(one.id)
    assert store.change_traffic(one.id, lambda known: known) == Traffic()
    assert store.change_traffic(other.id, lambda known: known) == TRAFFIC


# Disabled subscriptions


def test_the_disabled_subscriptions_that_an_audience_misses_are_given_until_they_are_enabled(
    store: Store,
) -> None:
    one = subscription(disabled="it answered 410")
    store.put([one, subscription(), subscription(patterns="user.*", disabled="enough")])
    assert list(store.disabled(Audience(event="order.created"))) == [one]
    store.change(one.id, lambda known: evolve(known, disabled=None))
    assert list(store.disabled(Audience(event="order.created"))) == []


def test_a_disabled_subscription_that_is_removed_is_missed_no_more(store: Store) -> None:
    one = subscription(disabled="enough")
    store.put([one])
    store.remove(one.id)
    assert list(store.disabled(Audience(event="order.created"))) == []


# Lines: the deliveries of one subscription and one order key


def line_of(count: int) -> list[DeliveryRecord]:
    """Pending deliveries of one line, in its order."""
    one = evolve(delivery(due=NOW), order_key="a")
    return [evolve(one, id=uuid4(), message_id=uuid4()) for _ in range(count)]


def test_a_delivery_waits_for_the_first_that_was_accepted_before_it(store: Store) -> None:
    first, second, third = line_of(3)
    store.accept([first, second])
    store.record(third)
    for stop in (False, True):
        found = [store.ahead_of(one.id, stop=stop) for one in (first, second, third)]
        assert found == [None, first, first]


def test_the_order_is_that_of_acceptance_and_not_of_attempts(store: Store) -> None:
    first, second = line_of(2)
    store.accept([first, second])
    for one in (second, first):
        store.record(attempted(one, 1, AGAIN, minutes=1))
    ahead = store.ahead_of(second.id, stop=False)
    assert ahead is not None
    assert (ahead.id, store.ahead_of(first.id, stop=False)) == (first.id, None)


@pytest.mark.parametrize(
    ("outcome", "stop", "waits"),
    [
        (AGAIN, False, True),
        (ARRIVED, True, False),
        (Outcome(OutcomeKind.FAILED, Reason.UNSUBSCRIBED), True, False),
        (GIVEN_UP, True, True),
        (GIVEN_UP, False, False),
        (Outcome(OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN), True, True),
        (Outcome(OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN), False, False),
    ],
)
def test_what_became_of_a_delivery_says_whether_others_wait_for_it(
    outcome: Outcome, stop: bool, waits: bool, store: Store
) -> None:
    first, second = line_of(2)
    store.accept([first, second])
    store.record(attempted(first, 1, outcome))
    assert (store.ahead_of(second.id, stop=stop) is not None) is waits


def test_a_leased_delivery_is_waited_for(store: Store) -> None:
    first, second = line_of(2)
    store.accept([evolve(first, lease=Lease("here")), second])
    ahead = store.ahead_of(second.id, stop=False)
    assert ahead is not None
    assert ahead.state is DeliveryState.LEASED


@pytest.mark.parametrize("parts", [{"order_key": "b"}, {"order_key": None}, {"subscription_id": uuid4()}])
def test_a_delivery_of_another_line_is_not_waited_for(parts: dict[str, Any], store: Store) -> None:
    first, second = line_of(2)
    store.accept([evolve(first, **parts), second])
    assert store.ahead_of(second.id, stop=True) is None
    assert store.next_in_line(first.id) is None


def test_the_next_in_line_is_the_first_after_it_that_has_not_ended(store: Store) -> None:
    first, second, third, fourth = line_of(4)
    store.accept([first, second, third, fourth])
    store.record(attempted(second, 1, GIVEN_UP))
    store.record(attempted(first, 1, ARRIVED))
    for one in (first, second):
        assert store.next_in_line(one.id) == third
    assert store.next_in_line(fourth.id) is None


def test_nothing_is_before_or_behind_what_is_not_known_or_has_no_key(store: Store) -> None:
    first, second = (evolve(one, order_key=None) for one in line_of(2))
    store.accept([first, second])
    for one in (first.id, second.id, uuid4()):
        assert store.ahead_of(one, stop=True) is store.next_in_line(one) is None


def test_a_delivery_stays_in_its_line_whatever_is_told_of_it_later(store: Store) -> None:
    first, second = line_of(2)
    store.accept([first, second])
    store.record(evolve(attempted(first, 1, AGAIN), order_key=None))
    ahead = store.ahead_of(second.id, stop=False)
    assert ahead is not None
    assert ahead.order_key == "a"


def test_what_is_withdrawn_was_never_there(store: Store) -> None:
    first, second = (attempted(one, 0, AGAIN) for one in line_of(2))
    store.accept([first, second])
    store.withdraw([first.id, uuid4()])
    assert list(store.deliveries()) == [evolve(second, accepted_at=NOW)]
    assert store.ahead_of(second.id, stop=True) is None
    store.accept([first])
    assert store.ahead_of(first.id, stop=True) == second


def test_what_was_attempted_is_not_withdrawn(store: Store) -> None:
    (one,) = line_of(1)
    store.record(attempted(one, 1, AGAIN))
    store.withdraw([one.id])
    assert len(list(store.deliveries())) == 1


def test_the_ordered_subscriptions_are_found_among_those_that_match(store: Store) -> None:
    ordered = subscription(patterns=["order.*", "*"], ordered_by="id")
    owned = subscription(ordered_by="id", owner="tenant")
    unwanted = subscription(patterns="user.*", ordered_by="id")
    disabled = subscription(ordered_by="id", disabled="gone")
    store.put([ordered, owned, unwanted, disabled, subscription()])
    event = "order.created"
    assert list(store.ordered(Audience(event=event))) == [ordered]
    for audience in (Audience(event=event, sender="tenant"), Audience(event=event, broadcast=True)):
        assert {one.id for one in store.ordered(audience)} == {ordered.id, owned.id}
    store.put([evolve(ordered, ordered_by=None)])
    assert list(store.ordered(Audience(event=event))) == []
