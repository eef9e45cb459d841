import json
import logging
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from textwrap import dedent
from typing import Never

import pytest
import structlog
from structlog.testing import LogCapture

from conftest import OpenThorn
from support.stages import NOW, BrokenObserver, make_pipeline, make_record, make_subscription, says_status
from thornsdk import OutcomeKind, Receipt, ReceiptState, Thorn, Timings
from thornsdk.logs import DeliveryLog, attempt_fields
from thornsdk.testing import Behaviour, Endpoint, RecordingTransport, answers, closes
from thornsdk.testing.fixtures import OpenEndpoint

FIELDS = [
    "delivery",
    "message_id",
    "event_name",
    "subscription",
    "origin",
    "attempt",
    "outcome",
    "reason",
    "status",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "reused",
]

STEPS = ["lookup_ms", "connect_ms", "tls_ms", "first_byte_ms"]


@pytest.fixture
def captured() -> Iterator[list[MutableMapping[str, object]]]:
    """What structlog, configured, is told."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.reset_defaults()


def records_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """What plain logging was told, as fields."""
    return [vars(record)["thornsdk"] for record in caplog.records if record.name == "thornsdk"]


# Where events go


SEND = """
    from thornsdk import Pipeline, Thorn
    from support.stages import RecordingTransport, make_pipeline, make_subscription, says_status
    {setup}
    with Thorn(pipeline=make_pipeline([RecordingTransport(says_status({status}))])) as thorn:
        thorn.pipeline.store.put([make_subscription()])
        print(thorn.event("order.created").send({{"id": 42}}).outcomes.total)
"""


def run_apart(status: int, setup: str = "") -> tuple[str, str]:
    """Sends one message in a process of its own, and gives what it prints."""
    code = f"import sys; sys.path.insert(0, 'tests')\n{dedent(SEND.format(status=status, setup=setup))}"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout, run.stderr


@pytest.mark.parametrize("status", [200, 500, 410])
def test_an_application_that_configures_nothing_gets_nothing_printed(status: int) -> None:
    assert run_apart(status) == ("1\n", "")


def test_plain_logging_prints_text_where_the_application_asks_for_it() -> None:
    _, told = run_apart(200, "import logging; logging.basicConfig(level=logging.INFO)")
    assert told.startswith("INFO:thornsdk:delivery.delivered delivery=")
    assert "outcome=delivered reason=accepted status=200" in told
    assert told.count("\n") == 1


def test_structlog_prints_fields_where_the_application_has_configured_it() -> None:
    setup = "import structlog; structlog.configure(processors=[structlog.processors.JSONRenderer()])"
    told, _ = run_apart(200, setup)
    event = json.loads(told.splitlines()[0])
    assert (event["event"], event["outcome"], event["status"]) == ("delivery.delivered", "delivered", 200)


def test_plain_logging_gets_text_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    record = make_record()
    DeliveryLog().attempted(record)
    assert caplog.messages[0].startswith(f"delivery.delivered delivery={record.id} message_id=")
    assert records_of(caplog) == [{"event": "delivery.delivered", **attempt_fields(record)}]


def test_a_field_without_a_value_is_left_out_of_the_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    DeliveryLog().attempted(make_record(status=None))
    assert "status" not in caplog.messages[0]
    assert "status" in records_of(caplog)[0]


def test_an_event_below_the_level_of_the_logger_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "thornsdk")
    DeliveryLog().attempted(make_record(OutcomeKind.DELIVERED))
    assert caplog.records == []


@pytest.mark.usefixtures("caplog")
def test_structlog_gets_the_event_and_its_fields(captured: list[MutableMapping[str, object]]) -> None:
    record = make_record()
    DeliveryLog().attempted(record)
    assert captured == [{"event": "delivery.delivered", "log_level": "info", **attempt_fields(record)}]


def test_an_event_is_told_to_one_of_both_alone(
    captured: list[MutableMapping[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "thornsdk")
    DeliveryLog().attempted(make_record())
    assert (len(captured), caplog.records) == (1, [])


@pytest.mark.parametrize("wrapper", [structlog.stdlib.BoundLogger, structlog.BoundLogger])
def test_structlog_may_be_configured_over_the_standard_library(
    wrapper: type[structlog.BoundLoggerBase], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=wrapper,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        DeliveryLog().attempted(make_record())
    finally:
        structlog.reset_defaults()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("thornsdk", "INFO")
    assert record.getMessage().startswith("event='delivery.delivered' ")


# What they hold


def raises(*_: object) -> Never:
    raise LookupError("told nowhere")


def test_a_log_that_raises_costs_no_delivery(caplog: pytest.LogCaptureFixture) -> None:
    structlog.configure(processors=[raises])
    try:
        DeliveryLog().attempted(make_record())
    finally:
        structlog.reset_defaults()
    assert "log.failed event=delivery.delivered problem=raised LookupError at" in caplog.text
    assert "told nowhere" not in caplog.text


def test_the_fields_of_an_attempt_are_those_of_the_reference() -> None:
    record = make_record(status=200, request_bytes=17, response_bytes=2, reused=True)
    fields = attempt_fields(record)
    assert list(fields) == FIELDS
    assert fields == {
        "delivery": str(record.id),
        "message_id": "00000000-0000-0000-0000-000000000063",
        "event_name": "order.created",
        "subscription": "00000000-0000-0000-0000-000000000001",
        "origin": "https://customer-1.example.com",
        "attempt": 1,
        "outcome": "delivered",
        "reason": "accepted",
        "status": 200,
        "duration_ms": 12.346,
        "request_bytes": 17,
        "response_bytes": 2,
        "reused": True,
    }


def test_the_steps_that_took_time_are_told_in_milliseconds() -> None:
    timings = Timings(total=0.1, lookup=0.0012345, connect=0.02, tls=0.03, first_byte=0.04)
    fields = attempt_fields(make_record(timings=timings))
    assert [name for name in fields if name not in FIELDS] == STEPS
    assert [fields[name] for name in STEPS] == [1.234, 20.0, 30.0, 40.0]


def test_steps_that_were_not_needed_are_not_told() -> None:
    fields = attempt_fields(make_record(timings=Timings(total=0.1, first_byte=0.04)))
    assert [name for name in fields if name not in FIELDS] == ["first_byte_ms"]


def test_an_attempt_that_will_be_repeated_tells_when() -> None:
    fields = attempt_fields(make_record(OutcomeKind.RETRY))
    assert list(fields) == [*FIELDS, "retry_at"]
    assert fields["retry_at"] == NOW.isoformat()


def test_an_attempt_that_saw_something_tells_it() -> None:
    fields = attempt_fields(make_record(OutcomeKind.FAILED, detail="no route"))
    assert list(fields) == [*FIELDS, "detail"]
    assert fields["detail"] == "no route"


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (OutcomeKind.DELIVERED, logging.INFO),
        (OutcomeKind.RETRY, logging.WARNING),
        (OutcomeKind.FAILED, logging.ERROR),
        (OutcomeKind.BLOCKED, logging.ERROR),
    ],
)
def test_each_outcome_has_its_event_and_its_level(
    kind: OutcomeKind, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "thornsdk")
    DeliveryLog().attempted(make_record(kind))
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage().startswith(f"delivery.{kind.value} ")


def test_a_message_that_is_not_sent_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    receipt = Receipt(
        message_id=make_record().message_id,
        event="order.created",
        dispatcher="disabled",
        state=ReceiptState.DISABLED,
    )
    DeliveryLog().message_taken(receipt)
    assert records_of(caplog) == [
        {
            "event": "message.disabled",
            "message_id": str(receipt.message_id),
            "event_name": "order.created",
            "dispatcher": "disabled",
        }
    ]


@pytest.mark.parametrize(
    ("state", "level"), [(ReceiptState.QUEUED, logging.INFO), (ReceiptState.STORED, logging.WARNING)]
)
def test_a_message_that_a_broker_should_take_is_told(
    state: ReceiptState, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    receipt = Receipt(
        message_id=make_record().message_id, event="order.created", dispatcher="celery", state=state
    )
    DeliveryLog().message_taken(receipt)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        f"message.{state} message_id={receipt.message_id} event_name=order.created dispatcher=celery"
    )


def test_a_message_that_travels_in_a_task_is_told_with_the_id_of_the_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    receipt = Receipt(
        message_id=make_record().message_id,
        event="order.created",
        dispatcher="celery",
        state=ReceiptState.QUEUED,
        task_id="a-task",
    )
    DeliveryLog().message_taken(receipt)
    assert records_of(caplog) == [
        {
            "event": "message.queued",
            "message_id": str(receipt.message_id),
            "event_name": "order.created",
            "dispatcher": "celery",
            "task": "a-task",
        }
    ]


def test_a_subscription_that_is_disabled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    DeliveryLog().subscription_switched(make_subscription(owner="acme", disabled="answered 410"))
    assert records_of(caplog) == [
        {
            "event": "subscription.disabled",
            "subscription": "00000000-0000-0000-0000-000000000001",
            "origin": "https://customer-1.example.com",
            "owner": "acme",
            "reason": "answered 410",
        }
    ]


def test_a_subscription_that_is_enabled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    DeliveryLog().subscription_switched(make_subscription(owner="acme"))
    assert records_of(caplog) == [
        {
            "event": "subscription.enabled",
            "subscription": "00000000-0000-0000-0000-000000000001",
            "origin": "https://customer-1.example.com",
            "owner": "acme",
        }
    ]


# What is told of real deliveries, and what never is


def test_there_is_one_event_for_each_attempt(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    endpoints = [open_endpoint(answers(200)), open_endpoint(answers(500)), open_endpoint(closes)]
    thorn = open_thorn(*endpoints, retry=False)
    for one in endpoints:
        thorn.subscribe("order.*", one.url)
    thorn.subscribe("order.*", f"http://127.0.0.1:{endpoints[0].port}/", content_type="application/json")
    thorn.event("order.created").send({"id": 42})
    events = sorted(str(fields["event"]) for fields in records_of(caplog))
    assert events == ["delivery.delivered"] * 2 + ["delivery.failed"] * 2


def secret_parts(endpoint: Endpoint) -> list[str]:
    """What must not be told, of everything that the endpoint saw."""
    parts = ["hidden-path", "hidden-query", "hidden-secret", "hidden-body", "hidden-header"]
    for seen in endpoint.seen:
        parts += [seen.header("Hook-HMAC"), seen.header("webhook-signature").removeprefix("v1,")]
    return parts


@pytest.mark.parametrize("behaviour", [answers(200, b"hidden-body"), answers(503, b"hidden-body"), closes])
def test_nothing_secret_is_told(
    behaviour: Behaviour, open_endpoint: OpenEndpoint, open_thorn: OpenThorn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = open_endpoint(behaviour)
    thorn = open_thorn(endpoint)
    thorn.subscribe(
        "order.*",
        f"{endpoint.url}/hidden-path?key=hidden-query",
        secret="hidden-secret",
        headers={"X-Key": "hidden-header"},
    )
    receipt = thorn.event("order.created").send("hidden-body")
    told = f"{caplog.text} {[vars(record) for record in caplog.records]} {receipt!r} {thorn.settings!r}"
    assert str(endpoint.origin) in told
    assert [part for part in secret_parts(endpoint) if part in told] == []


def test_nothing_secret_is_told_where_stages_break(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def breaks(request: object) -> None:
        raise LookupError("hidden-secret")

    pipeline = make_pipeline([RecordingTransport(breaks)], observers=[BrokenObserver()])  # type: ignore[arg-type]
    with Thorn(pipeline=pipeline, recipient_validators=[lambda url: url.text]) as thorn:
        thorn.subscribe("order.*", "https://example.com/hidden-path?hidden-query", secret="hidden-secret")
        thorn.event("order.created").send("hidden-body")
    told = f"{caplog.text} {[vars(record) for record in caplog.records]}"
    assert "observer.failed" in told
    assert "the transport raised LookupError" in told
    assert "hidden" not in told.replace("test_nothing_secret_is_told_where_stages_break", "")
    assert "told nowhere" not in told


def test_a_gone_subscriber_is_told_as_attempt_and_as_disabled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    with Thorn(pipeline=make_pipeline([RecordingTransport(says_status(410))])) as thorn:
        thorn.subscribe("order.*", "https://example.com/")
        thorn.event("order.created").send(1)
    assert [fields["event"] for fields in records_of(caplog)] == ["delivery.failed", "subscription.disabled"]
