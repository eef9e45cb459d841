import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import OpenEndpoint, OpenThorn
from support.records import MINUTE, NOW, delivery, subscription
from thornsdk import (
    Attempt,
    Audience,
    DeliveryRecord,
    DeliveryState,
    OldSecret,
    Outcome,
    OutcomeKind,
    Reason,
    Store,
    Subscription,
    Timings,
)
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kinds: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "thorn.db"),
    }
    with closing(kinds[request.param]()) as one:
        yield one


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
)
_audiences = st.builds(Audience, event=_events, sender=_owners, broadcast=st.booleans())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None)
@given(subscriptions=st.lists(_subscriptions, max_size=12), audiences=st.lists(_audiences, max_size=5))
def test_matching_gives_exactly_what_the_audience_admits(
    kind: str, subscriptions: list[Subscription], audiences: list[Audience]
) -> None:
    kept = {one.id: one for one in subscriptions}
    with (
        TemporaryDirectory() as folder,
        closing(MemoryStore() if kind == "memory" else SqliteStore(Path(folder, "thorn.db"))) as store,
    ):
        store.put(subscriptions)
        for audience in audiences:
            expected = sorted(
                (one for one in kept.values() if audience.admits(one)),
                key=lambda one: (one.url.origin, str(one.id)),
            )
            assert list(store.matching(audience)) == expected


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
        ),
    )
    store.record(whole)
    assert store.delivery(whole.id) == whole


def test_times_of_other_zones_are_the_same_moments(store: Store) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    one = delivery(at=NOW.astimezone(tokyo), due=(NOW + MINUTE).astimezone(tokyo))
    store.record(one)
    assert store.delivery(one.id) == one
    assert [due.id for due in store.claim_due(NOW + MINUTE, NOW + 2 * MINUTE, 9)] == [one.id]


def test_a_delivery_that_is_not_there_is_not_found(store: Store) -> None:
    assert store.delivery(uuid4()) is None


def test_a_later_attempt_replaces_the_one_before(store: Store) -> None:
    pending = delivery(due=NOW + MINUTE)
    done = evolve(pending, last=delivery(at=NOW + MINUTE).last)
    store.record(pending)
    store.record(done)
    assert list(store.deliveries()) == [done]
    assert list(store.deliveries(DeliveryState.PENDING)) == []
    assert store.claim_due(NOW + 9 * MINUTE, NOW + 10 * MINUTE, 9) == []


def test_a_delivery_that_is_replayed_is_pending_again(store: Store) -> None:
    failed = delivery(OutcomeKind.FAILED)
    store.record(failed)
    store.record(evolve(failed, last=delivery(due=NOW).last))
    assert [one.id for one in store.deliveries(DeliveryState.PENDING)] == [failed.id]
    assert list(store.deliveries(DeliveryState.FAILED)) == []


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


@pytest.mark.parametrize("state", list(DeliveryState))
def test_deliveries_of_one_state_are_given_alone(store: Store, state: DeliveryState) -> None:
    for kind in OutcomeKind:
        due = NOW if kind is OutcomeKind.RETRY else None
        for minute in range(2):
            store.record(delivery(kind, NOW + minute * MINUTE, due))
    given = list(store.deliveries(state))
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
    claimed = store.claim_due(NOW + 2 * MINUTE, NOW + 10 * MINUTE, 10)
    assert [one.id for one in claimed] == [records[1].id, records[2].id, records[0].id]


def test_no_more_is_claimed_than_is_asked_for(store: Store) -> None:
    for _ in range(5):
        store.record(delivery(due=NOW))
    claims = [len(store.claim_due(NOW, NOW + MINUTE, limit)) for limit in (2, 2, 2, 2)]
    assert claims == [2, 2, 1, 0]
    assert store.claim_due(NOW + MINUTE, NOW + 2 * MINUTE, 0) == []


def test_what_is_claimed_is_due_again_when_the_claim_has_ended(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    assert [claimed.id for claimed in store.claim_due(NOW, NOW + MINUTE, 1)] == [one.id]
    found = store.delivery(one.id)
    assert found is not None
    assert found.next_attempt_at == NOW + MINUTE
    assert store.claim_due(NOW + MINUTE - timedelta(microseconds=1), NOW + 2 * MINUTE, 1) == []
    assert [claimed.id for claimed in store.claim_due(NOW + MINUTE, NOW + 2 * MINUTE, 1)] == [one.id]


def lost(record: DeliveryRecord, due: datetime) -> DeliveryRecord:
    """What is known of a delivery that somebody takes and never tells of again."""
    return evolve(record, last=evolve(delivery(at=NOW + MINUTE, due=due).last, number=record.last.number + 1))


def test_what_is_due_at_just_that_moment_is_taken(store: Store) -> None:
    one, other = delivery(due=NOW), delivery(due=NOW)
    store.record(one)
    store.record(other)
    taken = lost(one, NOW + 2 * MINUTE)
    assert store.take(one.id, NOW, taken) is True
    assert (store.delivery(one.id), store.delivery(other.id)) == (taken, other)


def test_what_is_taken_is_pending_and_due_when_it_says(store: Store) -> None:
    one = delivery(due=NOW)
    store.record(one)
    store.take(one.id, NOW, lost(one, NOW + 2 * MINUTE))
    assert [pending.id for pending in store.deliveries(DeliveryState.PENDING)] == [one.id]
    assert store.claim_due(NOW + MINUTE, NOW + 9 * MINUTE, 9) == []
    assert [due.id for due in store.claim_due(NOW + 2 * MINUTE, NOW + 9 * MINUTE, 9)] == [one.id]


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
    store.claim_due(NOW, NOW + 2 * MINUTE, 1)
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
    assert [one.id for one in store.deliveries(state)] == [records[3].id, records[2].id]


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
