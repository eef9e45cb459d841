import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from conftest import OpenThorn
from support.stages import make_message
from thornsdk import Serializer
from thornsdk.errors import SerializationError
from thornsdk.testing import Endpoint
from thornsdk_plugins.form import FormSerializer
from thornsdk_plugins.json import JsonSerializer

FORM = "application/x-www-form-urlencoded"
TEXTS = st.text(st.characters(codec="utf-8"))


class Size(StrEnum):
    LARGE = "large"


@frozen
class Order:
    id: UUID
    price: Decimal
    size: Size
    day: date


ORDER = Order(UUID(int=1), Decimal("9.90"), Size.LARGE, date(2026, 1, 2))


def fields(payload: object) -> list[tuple[str, str]]:
    return parse_qsl(
        FormSerializer().serialize(make_message(payload)).decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
    )


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
        max_leaves=20,
    )
)
def test_json_reads_back_as_it_was(payload: object) -> None:
    assert json.loads(JsonSerializer().serialize(make_message(payload))) == payload


def test_json_is_compact_utf8_in_the_order_that_was_given() -> None:
    written = JsonSerializer().serialize(make_message({"b": [1, 2.5, None, True], "a": "☃"}))
    assert written == '{"b":[1,2.5,null,true],"a":"☃"}'.encode()


def test_json_writes_typed_payloads() -> None:
    assert json.loads(JsonSerializer().serialize(make_message(ORDER))) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "9.90",
        "size": "large",
        "day": "2026-01-02",
    }


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        ({"a": 1, "b": {"c": 2}, "d": [3, {"e": 4}]}, "a=1&b%5Bc%5D=2&d%5B0%5D=3&d%5B1%5D%5Be%5D=4"),
        ({"yes": True, "no": False, "none": None, "empty": ""}, "yes=true&no=false&none=&empty="),
        ({"a b": "c&d=e", "snow": "☃"}, "a+b=c%26d%3De&snow=%E2%98%83"),
        ({"x": 1.5, "price": Decimal("9.90")}, "x=1.5&price=9.90"),
        ({"list": [], "object": {}}, ""),
        ({}, ""),
        ({"": "unnamed"}, "=unnamed"),
    ],
)
def test_form_fields_are_named_by_their_place_in_brackets(payload: object, written: str) -> None:
    assert FormSerializer().serialize(make_message(payload)) == written.encode()


@given(payload=st.dictionaries(TEXTS, TEXTS, min_size=1))
def test_a_flat_form_reads_back_as_it_was(payload: dict[str, str]) -> None:
    assert dict(fields(payload)) == payload


def test_a_form_takes_typed_payloads() -> None:
    assert fields({"order": ORDER}) == [
        ("order[id]", "00000000-0000-0000-0000-000000000001"),
        ("order[price]", "9.90"),
        ("order[size]", "large"),
        ("order[day]", "2026-01-02"),
    ]


@pytest.mark.parametrize("payload", [None, 1, "text", [1], [{"a": 1}], True])
def test_a_form_needs_an_object_at_the_top(payload: object) -> None:
    with pytest.raises(SerializationError) as caught:
        FormSerializer().serialize(make_message(payload))
    assert str(caught.value) == (
        "the payload cannot be serialised: at $: a form needs an object at the top: names and values"
    )


@pytest.mark.parametrize("make", [JsonSerializer, FormSerializer])
@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "$.a[1]"),
        (b"hunter2", "$.a[1]"),
        ({1: "hunter2"}, "$.a[1]"),
        ({"b": object()}, "$.a[1].b"),
        ([10**5000], "$.a[1][0]"),
        ("\ud800", "$.a[1]"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_says_where(
    make: Callable[[], Serializer], value: object, path: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        make().serialize(make_message({"a": [0, value]}))
    assert caught.value.path == path
    assert "hunter2" not in str(caught.value)


def test_each_subscriber_gets_the_content_type_that_it_asked_for(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url)
    thorn.subscribe("*", endpoint.url, content_type=FORM)
    assert thorn.event("order.created").send({"a": [1]}).outcomes.delivered == 2
    assert {(seen.header("Content-Type"), seen.body) for seen in endpoint.seen} == {
        ("application/json", b'{"a":[1]}'),
        (FORM, b"a%5B0%5D=1"),
    }


def test_a_serializer_writes_under_the_content_type_that_the_settings_give_it(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, codecs={"application/vnd.acme+json": "json"})
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    assert endpoint.seen[0].header("Content-Type") == "application/vnd.acme+json"


def test_a_payload_that_cannot_be_written_is_an_error_of_send_and_nothing_is_sent(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url)
    with pytest.raises(SerializationError, match=r"at \$\.price: nan is not a number"):
        thorn.event("order.created").send({"price": float("nan")})
    assert endpoint.seen == []
