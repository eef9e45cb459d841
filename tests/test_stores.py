"""What the built-in stores do besides what every store promises, and properties of both."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import OpenThorn
from support.records import MINUTE, NOW, delivery, in_state, subscription
from thornsdk import (
    Audience,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    EventPattern,
    Lease,
    Outcome,
    OutcomeKind,
    Reason,
    Store,
    Subscription,
)
from thornsdk.testing import make_accepted, make_claim
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

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


def test_those_that_are_claimed_of_a_message_share_its_body(store: Store) -> None:
    message = uuid4()
    store.accept([evolve(make_accepted(), message_id=message) for _ in range(3)])
    claimed = store.claim_due(NOW, 9, make_claim(NOW + MINUTE))
    assert len(claimed) == 3
    assert len({id(one.body) for one in claimed}) == 1


def test_many_deliveries_of_a_tenant_are_given_page_by_page(store: Store) -> None:
    store.accept(evolve(make_accepted(), owner=owner) for owner in ["acme", "other"] * 450)
    assert len(list(store.deliveries(DeliveryFilter(owner="acme")))) == 450


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
