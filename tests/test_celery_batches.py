from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.stages import make_subscription
from thornsdk import Origin, Subscription
from thornsdk_plugins.celery.apps import lane_queue
from thornsdk_plugins.celery.batches import cut, lane_of

# How many subscriptions each origin has.
counts = st.lists(st.integers(1, 9), max_size=8)
sizes = st.integers(1, 5)
numbers_of_lanes = st.integers(1, 4)


def subscriptions(counts: list[int]) -> list[Subscription]:
    """As many subscriptions for each origin, as the store gives them."""
    made = [
        make_subscription(100 * origin + number, url=f"https://host-{origin}.example/{number}")
        for origin, count in enumerate(counts)
        for number in range(count)
    ]
    return sorted(made, key=origin_of)


def origin_of(subscription: Subscription) -> Origin:
    return subscription.url.origin


def batches(counts: list[int], size: int, lanes: int) -> list[tuple[str, list[Subscription]]]:
    return list(cut(iter(subscriptions(counts)), size, lanes))


@given(counts, sizes, numbers_of_lanes)
def test_every_subscription_is_in_one_batch(counts: list[int], size: int, lanes: int) -> None:
    given_out = Counter(one.id for _, batch in batches(counts, size, lanes) for one in batch)
    assert given_out == Counter(one.id for one in subscriptions(counts))


@given(counts, sizes, numbers_of_lanes)
def test_no_batch_is_empty_or_above_its_size(counts: list[int], size: int, lanes: int) -> None:
    assert all(1 <= len(batch) <= size for _, batch in batches(counts, size, lanes))


@given(counts, sizes, numbers_of_lanes)
def test_origins_share_a_batch_only_if_each_has_too_few_for_one(
    counts: list[int], size: int, lanes: int
) -> None:
    whole = Counter(map(origin_of, subscriptions(counts)))
    for _, batch in batches(counts, size, lanes):
        origins = set(map(origin_of, batch))
        assert len(origins) == 1 or all(whole[one] < size for one in origins)


@given(counts, sizes, numbers_of_lanes)
def test_a_batch_is_in_the_lane_of_all_its_origins(counts: list[int], size: int, lanes: int) -> None:
    for queue, batch in batches(counts, size, lanes):
        assert {lane_queue(lane_of(origin_of(one), lanes), lanes) for one in batch} == {queue}


@given(counts, sizes, numbers_of_lanes)
def test_an_origin_is_cut_into_no_more_batches_than_it_needs(
    counts: list[int], size: int, lanes: int
) -> None:
    cuts = Counter(
        origin for _, batch in batches(counts, size, lanes) for origin, _ in groupby(batch, key=origin_of)
    )
    whole = Counter(map(origin_of, subscriptions(counts)))
    assert all(cuts[origin] == -(-count // size) for origin, count in whole.items())


def test_ten_full_origins_are_ten_batches_of_one_origin_each() -> None:
    made = batches([100] * 10, 100, 1)
    assert [len(batch) for _, batch in made] == [100] * 10
    assert [len(set(map(origin_of, batch))) for _, batch in made] == [1] * 10


def test_the_rest_of_an_origin_is_a_batch_of_its_own() -> None:
    assert [len(batch) for _, batch in batches([5, 1, 1], 2, 1)] == [2, 2, 1, 2]


class Million:
    """A million subscriptions that are made when they are read; knows how many were."""

    def __init__(self, per_origin: int) -> None:
        self.read = 0
        self._per_origin = per_origin
        # Making each anew would be what takes the time here.
        self._ready = [make_subscription(n, url=f"https://host-{n}.example/") for n in range(1000)]

    def __iter__(self) -> Iterator[Subscription]:
        for self.read in range(1, 1_000_001):
            yield self._ready[(self.read - 1) // self._per_origin % 1000]


def furthest_ahead(source: Million) -> int:
    """Takes 300 batches of 100 in four lanes, and gives how far it was read ahead of them at most."""
    given_out = furthest = 0
    for _, batch in islice(cut(source, 100, 4), 300):
        furthest = max(furthest, source.read - given_out)
        given_out += len(batch)
    return furthest


@pytest.mark.parametrize("per_origin", [1, 60, 100, 1000, 1_000_000])
def test_of_a_million_subscriptions_no_more_are_held_than_a_batch_of_each_lane_and_one(
    per_origin: int,
) -> None:
    assert furthest_ahead(Million(per_origin)) <= 100 * (4 + 1) + 1


def test_a_lane_is_the_same_in_every_process() -> None:
    hosts = [make_subscription(n, url=f"https://host-{n}.example/").url.origin for n in range(6)]
    assert [lane_of(one, 3) for one in hosts] == [lane_of(str(one), 3) for one in hosts]
    assert [lane_of(one, 3) for one in hosts] == [0, 1, 2, 2, 2, 0]


def test_without_lanes_there_is_one_queue() -> None:
    assert lane_queue(0, 1) == "thornsdk"
    assert [lane_queue(lane, 2) for lane in range(2)] == ["thornsdk.1", "thornsdk.2"]
