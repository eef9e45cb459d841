import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import EventPattern, covering
from thornsdk.errors import InvalidEventName, InvalidPattern
from thornsdk.model.patterns import MAX_LENGTH, MAX_SEGMENTS, check_event_name

segments = st.sampled_from(["a", "b", "order", "X-1", "_"])
names = st.lists(segments, min_size=1, max_size=5).map(".".join)
patterns = st.lists(st.one_of(segments, st.just("*")), min_size=1, max_size=5).map(".".join)


@given(event=names, pattern=patterns)
def test_covering_holds_a_pattern_exactly_when_it_matches(event: str, pattern: str) -> None:
    assert (pattern in covering(event)) == EventPattern(pattern).matches(event)


@given(event=names)
def test_every_pattern_that_covers_an_event_matches_it(event: str) -> None:
    assert all(EventPattern(pattern).matches(event) for pattern in covering(event))


@given(event=names, chosen=st.data())
def test_a_pattern_made_from_an_event_by_stars_matches_and_covers_it(
    event: str, chosen: st.DataObject
) -> None:
    parts = event.split(".")
    begin = chosen.draw(st.integers(0, len(parts) - 1))
    end = chosen.draw(st.integers(begin + 1, len(parts)))
    pattern = ".".join([*parts[:begin], "*", *parts[end:]])
    assert EventPattern(pattern).matches(event)
    assert pattern in covering(event)


def test_covering_an_event_of_two_segments() -> None:
    assert covering("order.created") == {"order.created", "order.*", "*.created", "*.*", "*"}


@pytest.mark.parametrize(("count", "size"), [(1, 2), (2, 5), (3, 12), (4, 28), (8, 816)])
def test_an_event_is_covered_by_a_bounded_number_of_patterns(count: int, size: int) -> None:
    assert len(covering(".".join("abcdefgh"[:count]))) == size


@pytest.mark.parametrize(
    ("pattern", "event", "wanted"),
    [
        ("order.created", "order.created", True),
        ("order.created", "order.created.twice", False),
        ("order.created", "Order.created", False),
        ("order.*", "order.created", True),
        ("order.*", "order.item.added", True),
        ("order.*", "order", False),
        ("order.*", "orders.created", False),
        ("*.created", "order.created", True),
        ("*.created", "shop.order.created", True),
        ("*.created", "created", False),
        ("order.*.added", "order.item.added", True),
        ("order.*.added", "order.added", False),
        ("*", "order", True),
        ("*", "order.item.added", True),
        ("*.*", "order", False),
        ("a-b", "a-b", True),
        ("a_b", "aXb", False),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str, event: str, wanted: bool) -> None:
    assert EventPattern(pattern).matches(event) is wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("a" * (MAX_LENGTH + 1), "it is longer than 200 characters"),
        (".".join("a" * (MAX_SEGMENTS + 1)), "it has more than 8 segments"),
        ("order.", "it has an empty segment"),
        (".order", "it has an empty segment"),
        ("order..created", "it has an empty segment"),
        ("order.cre*", "in 'cre*', a * must stand alone between dots"),
        ("**", "in '**', a * must stand alone between dots"),
        ("order created", "in 'order created', only ASCII letters, digits, _ and - may stand"),
        ("order.créé", "in 'créé', only ASCII letters, digits, _ and - may stand"),
        ("order.created\n", "in 'created\\n', only ASCII letters, digits, _ and - may stand"),
        ("order.٣", "in '٣', only ASCII letters, digits, _ and - may stand"),
    ],
)
def test_a_pattern_that_can_never_match_is_refused_when_it_is_made(text: str, problem: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        EventPattern(text)
    assert str(caught.value) == f"no event can match the pattern {text!r}: {problem}"


@pytest.mark.parametrize("name", ["order", "order.created", "a" * MAX_LENGTH, ".".join("a" * MAX_SEGMENTS)])
def test_a_good_event_name_is_returned(name: str) -> None:
    assert check_event_name(name) == name


def test_an_event_name_has_no_stars() -> None:
    with pytest.raises(InvalidEventName) as caught:
        check_event_name("order.*")
    assert str(caught.value) == (
        "'order.*' cannot be the name of an event: in '*', only ASCII letters, digits, _ and - may stand"
    )


def test_only_an_event_name_can_be_covered() -> None:
    with pytest.raises(InvalidEventName):
        covering("order.*")


def test_patterns_are_equal_by_their_text() -> None:
    assert EventPattern("a.*") == EventPattern("a.*") != EventPattern("a.b")
    assert str(EventPattern("a.*")) == "a.*"
    assert repr(EventPattern("a.*")) == "EventPattern(text='a.*')"
