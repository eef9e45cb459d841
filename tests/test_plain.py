import dataclasses
import json
from collections import OrderedDict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import to_plain
from thornsdk.errors import SerializationError
from thornsdk.policy.plain import MAX_BITS, MAX_DEPTH

ID = UUID("00000000-0000-4000-8000-000000000001")


class Colour(Enum):
    RED = "red"
    NESTED = ("a", 1)
    RAW = b"hunter2"


class Size(StrEnum):
    LARGE = "large"


class Old(str, Enum):  # noqa: UP042 - the form of before Python 3.11
    LARGE = "large"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


@attrs.frozen
class Item:
    price: Decimal
    tags: tuple[str, ...] = ()


@attrs.define
class Node:
    inside: object = None


@dataclasses.dataclass
class Order:
    id: UUID
    items: list[Item]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(codec="utf-8"))
PLAIN = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


@given(payload=PLAIN)
def test_plain_data_stays_as_it_is(payload: object) -> None:
    assert to_plain(payload) == payload
    json.dumps(to_plain(payload), allow_nan=False)


@pytest.mark.parametrize(
    ("payload", "plain"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 - a payload may have one
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4, 5), "03:04:05"),
        (Decimal("9.90"), "9.90"),
        (Decimal("1E+2"), "1E+2"),
        (ID, str(ID)),
        (Colour.RED, "red"),
        (Colour.NESTED, ["a", 1]),
        (Size.LARGE, "large"),
        (Old.LARGE, "large"),
        (Level.HIGH, 3),
        (Loud("quiet"), "quiet"),
        (True, True),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({Size.LARGE: 1, "x": 2}, {"large": 1, "x": 2}),
        ({Old.LARGE: 1}, {"large": 1}),
        ({Loud("quiet"): 1}, {"quiet": 1}),
        (Item(Decimal(1), ("new",)), {"price": "1", "tags": ["new"]}),
        (Order(ID, [Item(Decimal("0.1"))]), {"id": str(ID), "items": [{"price": "0.1", "tags": []}]}),
        (2**MAX_BITS - 1, 2**MAX_BITS - 1),
        ({}, {}),
        ([], []),
    ],
)
def test_typed_values_become_plain(payload: object, plain: object) -> None:
    got = to_plain(payload)
    assert got == plain
    assert type(got) is type(plain)


def test_what_becomes_plain_is_of_plain_types_only() -> None:
    got = to_plain({Old.LARGE: Old.LARGE, "level": Level.HIGH})
    assert isinstance(got, dict)
    assert {type(one) for one in (*got, *got.values())} == {str, int}


def looped() -> Node:
    node = Node()
    node.inside = {"again": [node]}
    return node


def nested(levels: int) -> object:
    payload: object = 0
    for _ in range(levels):
        payload = [payload]
    return payload


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        (float("nan"), "$", "nan is not a number that JSON can hold"),
        ({"a": [0, float("inf")]}, "$.a[1]", "inf is not a number that JSON can hold"),
        (Item(Decimal("NaN")), "$.price", "NaN is not a number that JSON can hold"),
        (Item(Decimal("-Infinity")), "$.price", "-Infinity is not a number that JSON can hold"),
        (Item(Decimal("sNaN")), "$.price", "sNaN is not a number that JSON can hold"),
        ([1, {"b": 2**MAX_BITS}], "$[1].b", "a whole number has more than 2048 bits; give it as text"),
        ([-(2**MAX_BITS)], "$[0]", "a whole number has more than 2048 bits; give it as text"),
        ([10**5000], "$[0]", "a whole number has more than 2048 bits; give it as text"),
        ({"a": {"b": b"hunter2"}}, "$.a.b", "a bytes is not text; encode it, for example as base64"),
        ([bytearray(b"hunter2")], "$[0]", "a bytearray is not text; encode it, for example as base64"),
        ([memoryview(b"hunter2")], "$[0]", "a memoryview is not text; encode it, for example as base64"),
        ([Colour.RAW], "$[0]", "a bytes is not text; encode it, for example as base64"),
        ({"a": {"hunter2"}}, "$.a", "a set has no order; give a sorted list"),
        ([frozenset({1})], "$[0]", "a frozenset has no order; give a sorted list"),
        ({"a": {1: "hunter2"}}, "$.a", "a key is of type int, not text"),
        ({b"a": 1}, "$", "a key is of type bytes, not text"),
        ({None: 1}, "$", "a key is of type NoneType, not text"),
        (["hunter2\ud800"], "$[0]", "the text has a lone surrogate, which UTF-8 cannot hold"),
        ({"a": {"hunter2\ud800": 1}}, "$.a", "the text has a lone surrogate, which UTF-8 cannot hold"),
        (looped(), "$.inside.again[0]", "it contains itself"),
        ([Item], "$[0]", "a type has no plain form; give a mapping, a dataclass or an attrs instance"),
        ([Order], "$[0]", "a type has no plain form; give a mapping, a dataclass or an attrs instance"),
        ([object()], "$[0]", "a object has no plain form; give a mapping, a dataclass or an attrs instance"),
        ([1j], "$[0]", "a complex has no plain form; give a mapping, a dataclass or an attrs instance"),
        (nested(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH, "it is nested deeper than 100 levels"),
    ],
)
def test_what_has_no_plain_form_is_an_error_that_says_where_without_quoting_it(
    payload: object, path: str, problem: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        to_plain(payload)
    assert (caught.value.path, caught.value.problem) == (path, problem)
    assert str(caught.value) == f"the payload cannot be serialised: at {path}: {problem}"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_same_value_twice_side_by_side_is_no_cycle() -> None:
    shared = [1]
    assert to_plain({"a": shared, "b": [shared, shared]}) == {"a": [1], "b": [[1], [1]]}


def test_a_payload_may_be_nested_to_the_limit() -> None:
    assert to_plain(nested(MAX_DEPTH)) == nested(MAX_DEPTH)


def test_a_field_that_was_never_set_is_an_error_that_names_it() -> None:
    @dataclasses.dataclass
    class Order:
        id: int = dataclasses.field(init=False)

    with pytest.raises(SerializationError, match=r"at \$\.order: its field 'id' was never set"):
        to_plain({"order": Order()})
