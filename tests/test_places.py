from collections import Counter
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from support.wire import request_to
from thornsdk import Places, Request

A, B, C = "http://a.example/", "http://b.example/", "http://c.example/"


def take_all(places: Places) -> list[str]:
    """Takes what may be sent now, and gives the hosts."""
    return [one.url.host[0] for one in iter(places.take, None)]


def requests(*urls: str) -> list[Request]:
    return [request_to(url) for url in urls]


def test_an_origin_has_no_more_than_its_places_and_others_overtake_it() -> None:
    places = Places(requests(A, A, A, B, A, C), per_origin=2, width=9)
    assert take_all(places) == ["a", "a", "b", "c"]


def test_a_place_that_is_free_goes_to_the_one_that_waits_longest_for_it() -> None:
    given = requests(A, A, A, B)
    places = Places(given, per_origin=1, width=9)
    assert take_all(places) == ["a", "b"]
    places.free(given[0].url.origin)
    assert places.take() is given[1]
    assert places.take() is None


def test_nothing_more_is_read_while_too_many_wait() -> None:
    stream = iter(requests(A, A, A, A, B))
    places = Places(stream, per_origin=1, width=2)
    assert take_all(places) == ["a"]
    assert len(list(stream)) == 2


def test_no_more_wait_than_an_origin_can_take_in_four_turns() -> None:
    stream = iter(requests(*[A] * 20))
    places = Places(stream, per_origin=1, width=100)
    assert take_all(places) == ["a"]
    assert len(list(stream)) == 20 - 1 - 4


def test_what_has_said_that_it_ended_is_not_read_again() -> None:
    class Feed:
        """Goes on after it has said that it has ended, as the pipeline's does."""

        def __init__(self) -> None:
            self.answers = [*requests(A), None, *requests(B)]

        def __iter__(self) -> "Feed":
            return self

        def __next__(self) -> Request:
            answer = self.answers.pop(0)
            if answer is None:
                raise StopIteration
            return answer

    feed = Feed()
    places = Places(feed, per_origin=9, width=9)
    assert (take_all(places), take_all(places), len(feed.answers)) == (["a"], [], 1)
    assert not places.has_more()


def test_while_answers_come_at_once_an_origin_has_two_places() -> None:
    places = Places(requests(A, A, A, A, B, B, B, C), per_origin=9, width=9, enough=5)
    assert take_all(places) == ["a", "a", "b", "b", "c"]


def test_it_has_more_where_too_little_would_be_in_flight_otherwise() -> None:
    places = Places(requests(A, A, A, A, A, A, B), per_origin=4, width=9, enough=6)
    assert take_all(places) == ["a", "a", "b", "a", "a"]


def test_it_has_all_its_places_when_a_receiver_lets_us_wait() -> None:
    places = Places(requests(A, A, A, A, B, A), per_origin=4, width=9, enough=2)
    assert take_all(places) == ["a", "a", "b"]
    places.widen()
    assert take_all(places) == ["a", "a"]


@given(
    urls=st.lists(st.sampled_from([A, B, C]), max_size=40),
    per_origin=st.integers(1, 4),
    width=st.integers(1, 8),
    enough=st.integers(0, 8),
    order=st.randoms(use_true_random=False),
)
def test_each_request_is_given_once_within_the_limits(
    urls: list[str], per_origin: int, width: int, enough: int, order: Random
) -> None:
    given = requests(*urls)
    read = 0

    def stream() -> Iterator[Request]:
        nonlocal read
        for one in given:
            read += 1
            yield one

    places = Places(stream(), width, per_origin, enough)
    in_flight: list[Request] = []
    sent: list[Request] = []
    while places.has_more() or in_flight:
        while (one := places.take()) is not None:
            in_flight.append(one)
            sent.append(one)
        assert all(count <= per_origin for count in Counter(one.url.origin for one in in_flight).values())
        assert read <= len(sent) + width
        if order.randrange(20) == 0:
            places.widen()
        assert in_flight or not places.has_more(), "what waits must come to be sent"
        if in_flight:
            places.free(in_flight.pop(order.randrange(len(in_flight))).url.origin)
    assert Counter(map(id, sent)) == Counter(map(id, given))
