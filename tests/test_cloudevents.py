"""CloudEvents 1.0 as they come over the wire, read by the SDK of the project that specifies them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from attrs import evolve
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from conftest import OpenThorn
from support.wire import wait_until
from support.workers import Worker, site
from thornsdk import DeliveryFilter, DeliveryState, HeaderSerializer, Serializer, Thorn
from thornsdk.errors import InvalidHeader, InvalidValue, SerializationError, SettingError
from thornsdk.receive import verify
from thornsdk.testing import Endpoint, FakeClock, Seen, answers, in_turn, make_delivery, make_message
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.cloudevents import (
    JSON,
    STRUCTURED,
    BinaryCloudEventsSerializer,
    StructuredCloudEventsSerializer,
    header_value,
)

EVENT = "order.created"
SOURCE = "https://shop.example/orders"
OPTIONS = {"cloudevents": {"source": SOURCE}}
ORDER = {"id": 42, "name": "Åsa ☃", "paid": None}
FIVE_DAYS = 5 * 24 * 3600.0
BOTH = [StructuredCloudEventsSerializer, BinaryCloudEventsSerializer]

each_mode = pytest.mark.parametrize("content_type", [STRUCTURED, JSON, "application/vnd.shop.order+json"])


def event_in(seen: Seen) -> BaseCloudEvent:
    """Reads an event as a receiver does, whichever mode it is in."""
    return from_http_event(HTTPMessage(dict(seen.headers), seen.body))


def said(seen: Seen) -> tuple[dict[str, Any], object]:
    """Gives the attributes and the data of an event."""
    event = event_in(seen)
    return event.get_attributes(), event.get_data()


def names(seen: Seen) -> list[str]:
    return [name.lower() for name, _ in seen.headers]


# What a receiver reads


def test_binary_mode_alone_writes_headers() -> None:
    binary: HeaderSerializer = BinaryCloudEventsSerializer(source="/shop")
    structured: Serializer = StructuredCloudEventsSerializer(source="/shop")
    assert isinstance(binary, Serializer)
    assert not isinstance(structured, HeaderSerializer)


@each_mode
def test_a_receiver_reads_the_event(
    content_type: str, endpoint: Endpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    thorn = open_thorn(endpoint, clock=clock, codecs={content_type: "cloudevents"}, options=OPTIONS)
    subscription = thorn.subscribe("*", endpoint.url)
    receipt = thorn.event(EVENT).send(ORDER)
    (seen,) = endpoint.seen
    attributes, data = said(seen)
    assert attributes == {
        "specversion": "1.0",
        "id": str(receipt.message_id),
        "source": SOURCE,
        "type": EVENT,
        "time": clock(),
        "datacontenttype": JSON if content_type == STRUCTURED else content_type,
    }
    assert data == ORDER
    assert seen.header("Content-Type") == content_type
    assert verify(seen.headers, seen.body, secrets=subscription.secrets, now=clock()).event == EVENT


def test_in_structured_mode_the_body_is_the_whole_event() -> None:
    message = evolve(make_message(ORDER), created_at=datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC))
    written = StructuredCloudEventsSerializer(source="/shop").serialize(message)
    assert written.decode() == (
        f'{{"specversion":"1.0","id":"{message.id}","source":"/shop","type":"order.created",'
        f'"time":"2026-01-02T03:04:05.000060Z","datacontenttype":"application/json",'
        f'"data":{{"id":42,"name":"Åsa ☃","paid":null}}}}'
    )


def test_in_structured_mode_no_header_makes_a_receiver_take_it_for_binary(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, codecs={STRUCTURED: "cloudevents"}, options=OPTIONS)
    thorn.subscribe("*", endpoint.url)
    thorn.event(EVENT).send(ORDER)
    assert [name for name in names(endpoint.seen[0]) if name.startswith("ce-")] == []


def test_in_binary_mode_the_body_is_the_payload_and_the_rest_stands_in_headers() -> None:
    serializer = BinaryCloudEventsSerializer(source="/shop")
    delivery = evolve(make_delivery(), created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert (
        serializer.serialize(make_message(ORDER))
        == json.dumps(ORDER, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert serializer.headers(delivery) == (
        ("ce-specversion", "1.0"),
        ("ce-id", str(delivery.message_id)),
        ("ce-source", "/shop"),
        ("ce-type", "order.created"),
        ("ce-time", "2026-01-02T03:04:05Z"),
    )


@pytest.mark.parametrize("payload", [None, 1.5, "I'm just a string", ["a", 1], {}, True])
def test_the_data_is_any_value_that_json_has(payload: object) -> None:
    message = make_message(payload)
    written = json.loads(StructuredCloudEventsSerializer(source="/shop").serialize(message))
    assert "data" in written
    assert written["data"] == payload
    assert json.loads(BinaryCloudEventsSerializer(source="/shop").serialize(message)) == payload


@pytest.mark.parametrize("make", BOTH)
def test_a_payload_that_cannot_be_written_says_where_in_the_payload(make: Any) -> None:
    serializer: Serializer = make(source="/shop")
    with pytest.raises(SerializationError) as caught:
        serializer.serialize(make_message({"price": float("nan")}))
    assert caught.value.path == "$.price"


def test_the_time_is_told_in_utc_whatever_the_clock_of_the_application_says() -> None:
    here = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    delivery = evolve(make_delivery(), created_at=here)
    headers = dict(BinaryCloudEventsSerializer(source="/shop").headers(delivery))
    assert headers["ce-time"] == "2026-01-01T21:34:05Z"


def test_all_subscribers_get_one_event_and_none_is_told_whose_it_is(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    codecs = {STRUCTURED: "cloudevents", JSON: "cloudevents"}
    thorn = open_thorn(endpoint, codecs=codecs, options=OPTIONS)
    for content_type in codecs:
        thorn.subscribe("*", endpoint.url, content_type=content_type, owner="tenant-7")
    thorn.event(EVENT).send(ORDER, sender="tenant-7")
    one, other = endpoint.seen
    assert said(one) == said(other)
    assert one.header("Hook-Delivery") != other.header("Hook-Delivery")
    assert "tenant-7" not in f"{one.headers}{one.body!r}{other.headers}{other.body!r}"


# All attempts say the same


@each_mode
def test_an_attempt_of_another_process_days_later_tells_the_same_event(
    content_type: str, open_endpoint: OpenEndpoint, open_thorn: OpenThorn, clock: FakeClock, tmp_path: Path
) -> None:
    endpoint = open_endpoint(in_turn(answers(503), answers(200)))
    settings: dict[str, Any] = {
        "codecs": {content_type: "cloudevents"},
        "options": OPTIONS,
        "clock": clock,
        "store": f"sqlite:///{tmp_path}/thorn.db",
        "retry_schedule": [FIVE_DAYS],
        "random": lambda: 0.0,
    }
    with open_thorn(endpoint, **settings) as thorn:
        thorn.subscribe("*", endpoint.url)
        assert thorn.event(EVENT).send(ORDER).outcomes.retry == 1
    clock.advance(FIVE_DAYS)
    assert open_thorn(endpoint, **settings).run_due().delivered == 1
    first, second = endpoint.seen
    assert said(first) == said(second)
    assert int(second.header("webhook-timestamp")) - int(first.header("webhook-timestamp")) == FIVE_DAYS


@each_mode
def test_a_replay_under_a_new_id_tells_the_same_event(
    content_type: str, endpoint: Endpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    thorn = open_thorn(endpoint, clock=clock, codecs={content_type: "cloudevents"}, options=OPTIONS)
    thorn.subscribe("*", endpoint.url)
    thorn.event(EVENT).send(ORDER)
    clock.advance(FIVE_DAYS)
    assert thorn.replay_all(DeliveryFilter(), new_ids=True).delivered == 1
    first, second = endpoint.seen
    assert said(first) == said(second)
    assert first.header("webhook-id") != second.header("webhook-id")


def test_a_celery_worker_tells_the_same_event_in_both_modes_at_each_attempt(
    redis_url: str, tmp_path: Path, open_endpoint: OpenEndpoint
) -> None:
    endpoint = open_endpoint(in_turn(answers(503), answers(503), answers(200)))
    settings = site(
        redis_url,
        tmp_path,
        endpoint,
        codecs=json.dumps({STRUCTURED: "cloudevents", JSON: "cloudevents"}),
        options=json.dumps(OPTIONS),
        retry_schedule="0",
    )
    with Thorn(dispatcher="celery", **settings) as thorn, Worker(tmp_path, **settings):
        for content_type in (STRUCTURED, JSON):
            thorn.subscribe("*", endpoint.url, content_type=content_type)
        receipt = thorn.event(EVENT).send(ORDER)
        wait_until(lambda: len(list(thorn.deliveries(DeliveryState.DELIVERED))) == 2)
        (sent_at,) = {one.created_at for one in thorn.deliveries()}
    assert len(endpoint.seen) == 4
    assert sum("ce-id" in names(one) for one in endpoint.seen) == 2
    attributes, data = said(endpoint.seen[0])
    assert (attributes["id"], attributes["time"], data) == (str(receipt.message_id), sent_at, ORDER)
    assert [said(one) for one in endpoint.seen] == [(attributes, data)] * 4


# Headers


def test_a_subscription_may_have_extensions_of_its_own_but_no_attribute(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, codecs={JSON: "cloudevents"}, options=OPTIONS)
    told = "the header 'CE_Source' is written by the serializer BinaryCloudEventsSerializer"
    with pytest.raises(InvalidHeader, match=told):
        thorn.subscribe("*", endpoint.url, headers={"CE_Source": "/elsewhere"})
    thorn.subscribe("*", endpoint.url, headers={"ce-partitionkey": "a"})
    thorn.event(EVENT).send(ORDER)
    assert event_in(endpoint.seen[0]).get_extension("partitionkey") == "a"


def test_another_content_type_leaves_the_names_of_attributes_free(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, codecs={JSON: "cloudevents", "text/json": "json"}, options=OPTIONS)
    thorn.subscribe("*", endpoint.url, content_type="text/json", headers={"ce-source": "/elsewhere"})
    assert thorn.event(EVENT).send(ORDER).outcomes.delivered == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("/a%20b", "/a%2520b"),
        ("https://shop.example/?a=b&c#d~'e'", "https://shop.example/?a=b&c#d~'e'"),
    ],
)
def test_the_value_of_a_header_is_encoded_as_the_specification_has_it(text: str, value: str) -> None:
    assert header_value(text) == value


def test_visible_ascii_but_quotes_and_percent_is_all_that_stays_in_a_header_as_it_is() -> None:
    kept = [one for one in map(chr, range(0x800)) if header_value(one) == one]
    assert kept == [chr(code) for code in range(0x21, 0x7F) if code not in {0x22, 0x25}]


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('%20 "é'), min_size=1))
def test_a_receiver_reads_a_header_as_it_was_before_it_was_encoded(text: str) -> None:
    value = header_value(text)
    required = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "a", "ce-source": value}
    assert event_in(Seen("/", tuple(required.items()), b"", 1)).get_source() == text
    assert unquote(value, errors="strict") == text


# The source


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/cloudevents/spec/pull/123",
        "/sensors/tn-1234567/alerts",
        "1-555-123-4567",
        "http://[2001:db8::1]:8080/a%20b?c=d/e#f",
        "http://shop@[::1]",
        "//shop.example",
        "./a:b",
        "?shop",
        "#shop",
    ],
)
def test_a_source_is_a_uri_reference(make: Any, source: str) -> None:
    assert make(source=source).source == source


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "/a b",
        "/butik/å",
        "/shop\n",
        "/shop\x7f",
        '/"shop"',
        "1shop:orders",
        "/100%",
        "/%zz",
        "/shop#a#b",
        "http://[::1/",
        "//shop:web",
        "//shop[1]",
        "\\shop",
        7,
        None,
    ],
)
def test_a_source_that_is_none_is_refused(make: Any, source: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        make(source=source)
    assert str(caught.value) == (
        "the source of CloudEvents is a URI-reference that is not empty (RFC 3986, section 4.1), such as "
        "https://example.com/shop or /shop; other characters are percent-encoded"
    )


def test_settings_without_a_source_say_what_is_missing() -> None:
    with pytest.raises(SettingError) as caught:
        Thorn(codecs={STRUCTURED: "cloudevents"})
    assert str(caught.value) == "THORN_OPTIONS['cloudevents'] is without 'source'; it takes source"


def test_settings_with_a_wrong_source_do_not_show_it() -> None:
    with pytest.raises(SettingError, match="is a URI-reference that is not empty") as caught:
        Thorn(codecs={STRUCTURED: "cloudevents"}, options={"cloudevents": {"source": "/hunter 2"}})
    assert "hunter" not in str(caught.value)


# The content type


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("text/plain", "in binary mode are written as JSON, under a content type such as application/json"),
        ("application/jsonp", "in binary mode are written as JSON"),
        ("json", "in binary mode are written as JSON"),
        ("application/cloudevents", "in structured mode are written as application/cloudevents+json alone"),
        ("application/cloudevents+avro", "in structured mode are written as application/cloudevents+json"),
        ("application/cloudevents-batch+json", "in structured mode are written as"),
    ],
)
def test_settings_with_a_content_type_that_no_mode_has_are_refused(content_type: str, told: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Thorn(codecs={content_type: "cloudevents"}, options=OPTIONS)
    assert told in str(caught.value)
    assert repr(content_type) in str(caught.value)


@pytest.mark.parametrize("content_type", [STRUCTURED, "Application/CloudEvents+JSON; charset=utf-8"])
def test_the_content_type_of_structured_mode_has_any_case_and_parameters(
    content_type: str, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, codecs={content_type: "cloudevents"}, options=OPTIONS)
    thorn.subscribe("*", endpoint.url)
    thorn.event(EVENT).send(ORDER)
    assert said(endpoint.seen[0])[1] == ORDER
    assert "ce-id" not in names(endpoint.seen[0])


@pytest.mark.parametrize(
    "content_type", ["application/CloudEvents+json", "application/cloudevents-batch+json"]
)
def test_binary_mode_has_no_content_type_of_another_mode(content_type: str) -> None:
    with pytest.raises(InvalidValue, match="receivers take what begins with application/cloudevents for"):
        BinaryCloudEventsSerializer(content_type, source="/shop")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/json", "image/x+JSON"])
def test_binary_mode_has_any_content_type_of_json(content_type: str) -> None:
    assert BinaryCloudEventsSerializer(content_type, source="/shop").content_type == content_type
