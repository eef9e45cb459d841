"""The brokers that an operator names, and what the URL of a subscription means."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import URL, AddressRules, Reason, Request, Settings, Thorn
from thornsdk.errors import InvalidURL, InvalidValue, SettingError, TransportError
from thornsdk.typing import Headers
from thornsdk_plugins.queue import QueueTransport
from thornsdk_plugins.queue.brokers import Broker, QueueOptions, read_brokers
from thornsdk_plugins.queue.destinations import Destination, destination_of

BROKERS = read_brokers(
    {
        "events": "amqp://thorn:p%40ss@rabbit.internal/prod",
        "safe": "amqps://rabbit.internal:5443",
        "cache": "redis://:hunter2@redis.internal:6380/3",
        "keys": "rediss://redis.internal",
        "jobs": "sqs://eu-west-1",
    }
)

SQS_TAKES = "its host is a region, such as eu-west-1, and it takes no port and no path"
HIDDEN = "THORN_OPTIONS['queue'] is (hidden); it takes brokers"


def request(url: str, headers: Headers = (), client_certificate: str | None = None) -> Request:
    return Request(
        id=uuid4(),
        url=URL.parse(url),
        headers=headers,
        body=b"{}",
        timeout=3,
        guard=AddressRules().forbidden,
        client_certificate=client_certificate,
    )


def place(url: str, headers: Headers = ()) -> tuple[str, str, str]:
    found = destination_of(request(url, headers), BROKERS)
    return found.broker.name, found.exchange, found.routing_key


def refusal(url: str, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        destination_of(request(url, **options), BROKERS)
    return caught.value


# Brokers


def test_a_broker_is_read_from_its_url() -> None:
    assert BROKERS["events"] == Broker(
        name="events",
        scheme="amqp",
        host="rabbit.internal",
        port=5672,
        user="thorn",
        password="p@ss",
        space="prod",
    )
    assert [(one.port, one.space, one.user) for one in BROKERS.values()] == [
        (5672, "prod", "thorn"),
        (5443, "/", None),
        (6380, "3", ""),
        (6379, "0", None),
        (443, "", None),
    ]


def test_a_broker_shows_nothing_of_its_address_and_password() -> None:
    assert repr(BROKERS["events"]) == "Broker(name='events', scheme='amqp')"
    assert "hunter2" not in repr(QueueOptions(brokers={"cache": "redis://:hunter2@redis.internal"}))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            "http://rabbit.internal",
            "it must start with one of amqp://, amqps://, redis://, rediss://, sqs://",
        ),
        ("rabbit.internal:5672", "it must start with one of amqp://, amqps://, redis://, rediss://, sqs://"),
        ("amqp://hunter2@", "it has no host"),
        ("amqp://hunter2@rabbit:99999", "it is not a URL"),
        (b"amqp://hunter2@rabbit:99999", "it is not a URL"),
        (7, "it is not a URL"),
        ("rediss://:hunter2@redis/0?ssl_cert_reqs=none", "it has a query or a fragment, and takes none"),
        ("amqp://hunter2@rabbit/#a", "it has a query or a fragment, and takes none"),
        ("redis://:hunter2@redis/prod", "its path is not the number of a database"),
        ("sqs://key:hunter2@eu-west-1:1", SQS_TAKES),
        ("sqs://key:hunter2@eu-west-1/123456789012", SQS_TAKES),
        ("sqs://key:hunter2@no_where!", SQS_TAKES),
        ("sqs://key:hunter2@eu-west-", SQS_TAKES),
    ],
)
def test_a_url_that_is_none_of_a_broker_is_refused_and_never_quoted(url: Any, problem: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_brokers({"events": url})
    assert str(caught.value) == f"the URL of the broker 'events' cannot be used: {problem}"


@pytest.mark.parametrize("name", ["", "Events", "10.0.0.1", "1", "rabbit.internal", "a b", 1])
def test_a_name_is_no_address(name: Any) -> None:
    with pytest.raises(InvalidValue, match="cannot be the name of a broker: it takes a lower-case letter"):
        QueueTransport({name: "amqp://rabbit.internal"})


@pytest.mark.parametrize("name", ["amqp://guest:hunter2@rabbit.internal", "hunter2@rabbit", "::1", "a/b"])
def test_a_name_that_looks_like_a_url_is_not_quoted(name: str) -> None:
    with pytest.raises(InvalidValue, match="the name comes first, and then the URL") as caught:
        read_brokers({name: "events"})
    assert name not in str(caught.value)


def test_brokers_that_are_no_mapping_are_refused_and_not_quoted() -> None:
    with pytest.raises(InvalidValue) as caught:
        QueueTransport("amqp://guest:hunter2@rabbit.internal")  # type: ignore[arg-type]  # as one may write
    assert str(caught.value) == "brokers takes a mapping of names to URLs"


def test_without_a_broker_there_is_nothing_to_publish_to() -> None:
    with pytest.raises(InvalidValue, match="no broker is named"):
        read_brokers({})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "THORN_OPTIONS['queue'] is without 'brokers'; it takes brokers"),
        (
            {"brokers": "amqp://:hunter2@rabbit"},
            f"{HIDDEN} (brokers takes a mapping of names to URLs)",
        ),
        (
            {"brokers": {"events": "amqp://:hunter2@"}},
            f"{HIDDEN} (the URL of the broker 'events' cannot be used: it has no host)",
        ),
    ],
)
def test_settings_that_name_no_broker_say_so(options: dict[str, object], told: str) -> None:
    settings = {"THORN_TRANSPORT": "queue", "THORN_OPTIONS": json.dumps({"queue": options})}
    with pytest.raises(SettingError) as caught:
        Thorn(settings=Settings.from_mapping(settings))
    assert str(caught.value) == told


# Destinations


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://events/orders", ("events", "", "orders")),
        ("amqp://events/shop.orders/eu", ("events", "", "shop.orders/eu")),
        ("amqp://events/a%20%C3%A9%2Fb", ("events", "", "a é/b")),
        ("amqp://events/?exchange=shop", ("events", "shop", "order.created")),
        ("amqp://events?exchange=a%26b", ("events", "a&b", "order.created")),
        ("amqp://events/eu.orders?exchange=shop", ("events", "shop", "eu.orders")),
        ("amqps://safe/orders", ("safe", "", "orders")),
        ("redis://cache/orders", ("cache", "", "orders")),
        ("sqs://jobs/orders", ("jobs", "", "orders")),
    ],
)
def test_a_url_names_a_queue_or_an_exchange(url: str, expected: tuple[str, str, str]) -> None:
    assert place(url, (("hook-event", "order.created"),)) == expected


def test_an_exchange_gets_an_empty_routing_key_where_no_event_is_named() -> None:
    assert place("amqp://events/?exchange=shop") == ("events", "shop", "")


@pytest.mark.parametrize(
    ("url", "reason", "told"),
    [
        ("amqp://rabbit.internal/orders", Reason.ADDRESS_FORBIDDEN, "no broker is called 'rabbit.internal'"),
        ("redis://127.0.0.1:6379/orders", Reason.ADDRESS_FORBIDDEN, "no broker is called '127.0.0.1'"),
        ("amqp://cache/orders", Reason.SCHEME_FORBIDDEN, "the broker 'cache' takes redis:// URLs, not amqp"),
        ("amqps://events/orders", Reason.SCHEME_FORBIDDEN, "the broker 'events' takes amqp:// URLs, not amq"),
        ("amqp://events:25/orders", Reason.PORT_FORBIDDEN, "the URL has a port, where the broker 'events' h"),
        ("amqp://events", Reason.RECIPIENT_REFUSED, "the URL names no queue, as in amqp://events/orders"),
        ("amqp://events/?exchange=", Reason.RECIPIENT_REFUSED, "the URL names no queue, as in amqp://events"),
        (
            "amqp://events/orders?key=secret",
            Reason.RECIPIENT_REFUSED,
            "the URL has a query; it takes ?exchan",
        ),
        ("redis://cache/?exchange=secret", Reason.RECIPIENT_REFUSED, "the URL names an exchange, and only A"),
        ("amqp://events/%ff", Reason.RECIPIENT_REFUSED, "the URL names a queue that is not UTF-8"),
        (
            f"amqp://events/{'%C3%A9' * 128}",
            Reason.RECIPIENT_REFUSED,
            "a name in URL or headers has more tha",
        ),
        (
            f"amqp://events/?exchange={'a' * 256}",
            Reason.RECIPIENT_REFUSED,
            "a name in URL or headers has mor",
        ),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_its_path(url: str, reason: Reason, told: str) -> None:
    error = refusal(url)
    assert (error.reason, error.detail[: len(told)]) == (reason, told)
    assert "secret" not in error.detail


def test_a_header_whose_name_amqp_cannot_carry_is_refused() -> None:
    headers = (("X" * 256, "a"),)
    assert refusal("amqp://events/orders", headers=headers).reason is Reason.RECIPIENT_REFUSED
    assert place("redis://cache/orders", headers) == ("cache", "", "orders")


@pytest.mark.parametrize("name", ["compression", "Compression", "CC", "cc", "Bcc"])
def test_a_header_cannot_speak_to_broker_or_consumers(name: str) -> None:
    error = refusal("amqp://events/orders", headers=(("X-Shop", "7"), (name, "others")))
    assert error.reason is Reason.RECIPIENT_REFUSED
    assert error.detail == f"the header {name!r} would tell broker or consumers what to do with the message"


def test_headers_that_mean_something_in_amqp_alone_are_only_refused_there() -> None:
    assert place("redis://cache/orders", (("CC", "others"),)) == ("cache", "", "orders")
    for url in ("redis://cache/orders", "sqs://jobs/orders"):
        assert refusal(url, headers=(("COMPRESSION", "bzip2"),)).reason is Reason.RECIPIENT_REFUSED


def test_no_client_certificate_is_shown_to_a_broker() -> None:
    error = refusal("amqp://events/orders", client_certificate="ours")
    assert error.detail.startswith("the subscription wants a client certificate to be shown")


URLS = st.from_regex(r"(amqps?|rediss?|sqs)://[a-z0-9.@:\[\]-]{1,20}(/[!-~]{0,20})?", fullmatch=True)


@given(URLS)
def test_whatever_a_customer_writes_it_leads_to_a_broker_of_the_operator_or_nowhere(text: str) -> None:
    try:
        found: Destination = destination_of(request(text), BROKERS)
    except (InvalidURL, TransportError):
        return
    assert found.broker is BROKERS[URL.parse(text).host]
    assert found.broker.scheme == URL.parse(text).scheme
