"""The observer and the signer ``opentelemetry``, with the real SDK."""

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.textmap import CarrierT, Setter, default_setter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from conftest import OpenThorn
from support.scripts import running
from support.stages import make_pipeline, raises
from support.telemetry import Sdk, attributes, ids_of, make_notice, nanoseconds
from thornsdk import (
    DeliveryRecord,
    Lease,
    OutcomeKind,
    Pipeline,
    Reason,
    Transport,
)
from thornsdk.errors import PipelineError, SettingError, StageUnavailableError, TransportError
from thornsdk.testing import (
    Endpoint,
    RecordingObserver,
    RecordingSigner,
    RecordingTransport,
    answers,
    capture_log,
    in_turn,
    make_delivery,
    make_record,
    make_subscription,
)
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins import opentelemetry as plugin
from thornsdk_plugins.opentelemetry import OpenTelemetryObserver, OpenTelemetrySigner
from thornsdk_plugins.opentelemetry.spans import AttemptSpans
from thornsdk_plugins.urllib3 import PooledTransport

HTTP_DURATION = "http.client.request.duration"
MESSAGING_DURATION = "messaging.client.operation.duration"
ENDED = "thornsdk.deliveries.ended"


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    with Sdk() as sdk:
        yield sdk


def observed(sdk: Sdk, transport: Transport | None = None, **parts: Any) -> Pipeline:
    """A pipeline whose attempts are spans of which nobody else is told."""
    return make_pipeline([transport or PooledTransport()], **{"observers": [sdk.observer()], **parts})


def traced(sdk: Sdk, transport: Transport | None = None, **parts: Any) -> Pipeline:
    """A pipeline whose attempts are spans of which receivers are told."""
    observer = sdk.observer()
    return observed(
        sdk, transport, **{"observers": [observer], "signers": [OpenTelemetrySigner(observer)], **parts}
    )


# What an attempt is


def test_an_attempt_over_http_is_a_span_of_a_client(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    known = RecordingObserver()
    thorn = open_thorn(endpoint, pipeline=observed(sdk, observers=[known, sdk.observer()]))
    subscription = thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({"id": 42})
    (record,) = known.records
    assert (sdk.span.name, sdk.span.kind, sdk.span.status.status_code) == (
        "POST",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert attributes(sdk.span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "network.peer.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": endpoint.port,
        "url.full": f"http://127.0.0.1:{endpoint.port}/REDACTED",
        "thornsdk.attempt": 1,
        "thornsdk.delivery": str(record.id),
        "thornsdk.event": "order.created",
        "thornsdk.message": str(record.message_id),
        "thornsdk.outcome": "delivered",
        "thornsdk.reason": "accepted",
        "thornsdk.subscription": str(subscription.id),
    }


def test_its_times_are_those_of_the_attempt(sdk: Sdk) -> None:
    record = make_record()
    sdk.observer().observe(record)
    assert sdk.span.start_time == nanoseconds(record.last.started_at)
    assert sdk.span.end_time == nanoseconds(record.last.started_at) + 250_000_000


def test_it_is_a_child_of_the_span_in_whose_context_send_runs(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=observed(sdk))
    thorn.subscribe("*", endpoint.url)
    with sdk.tracer.start_as_current_span("place order") as parent:
        thorn.event("order.created").send({})
    assert sdk.span.parent == parent.get_span_context()


def test_it_is_one_where_the_application_awaits(sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url)

    async def place_order() -> trace.SpanContext:
        with sdk.tracer.start_as_current_span("place order") as parent:
            await thorn.event("order.created").asend({})
        return parent.get_span_context()

    assert sdk.exporter.get_finished_spans() == ()
    assert asyncio.run(place_order()) == sdk.span.parent


def test_what_a_status_tells_needs_no_words(sdk: Sdk) -> None:
    record = make_record(OutcomeKind.RETRY, Reason.STATUS)
    sdk.observer().observe(evolve(record, last=evolve(record.last, status=503)))
    assert (sdk.span.status.status_code, sdk.span.status.description) == (StatusCode.ERROR, None)
    assert attributes(sdk.span)["http.response.status_code"] == 503
    assert attributes(sdk.span)["error.type"] == "503"


def test_a_redirect_is_an_error_for_it_is_not_followed(sdk: Sdk) -> None:
    record = make_record(OutcomeKind.FAILED, Reason.REDIRECT)
    sdk.observer().observe(evolve(record, last=evolve(record.last, status=302)))
    assert sdk.span.status.status_code is StatusCode.ERROR
    assert attributes(sdk.span)["error.type"] == "302"


def test_without_an_answer_it_says_why(sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, pipeline=observed(sdk), allow_ports=[1])
    thorn.subscribe("*", "http://127.0.0.1:1/hooks")
    (record,) = thorn.event("order.created").send({}).outcomes.problems
    assert record.last.detail
    assert sdk.span.status.description == record.last.detail
    assert attributes(sdk.span)["error.type"] == "connection_refused"
    assert "http.response.status_code" not in attributes(sdk.span)


def test_a_later_attempt_says_which_repetition_it_is(
    sdk: Sdk, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    endpoint = open_endpoint(in_turn(answers(503), answers(200)))
    thorn = open_thorn(endpoint, pipeline=traced(sdk), retry_schedule=[0])
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    thorn.run_due()
    first, second = map(attributes, sdk.spans)
    assert ("http.request.resend_count" in first, second["http.request.resend_count"]) == (False, 1)
    assert first["thornsdk.delivery"] == second["thornsdk.delivery"]
    assert len({one.context.trace_id for one in sdk.spans if one.context}) == 2


def test_what_policy_refuses_while_it_is_sent_is_a_span_that_says_so(sdk: Sdk, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(pipeline=observed(sdk), allow_networks=[])
    thorn.subscribe("*", "http://localhost/hooks")
    thorn.event("order.created").send({})
    assert attributes(sdk.span)["error.type"] == "address_forbidden"


UNSENT = {
    "skipped": make_record(OutcomeKind.FAILED, Reason.SUBSCRIPTION_DISABLED),
    "cancelled": make_record(OutcomeKind.FAILED, Reason.CANCELLED),
    "unsubscribed": make_record(OutcomeKind.FAILED, Reason.UNSUBSCRIBED),
    "lost": evolve(make_record(OutcomeKind.RETRY, Reason.WORKER_LOST), lease=Lease("another")),
    "not serializable": make_record(OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE),
    "scheme forbidden": make_record(OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN),
}


@pytest.mark.parametrize("record", UNSENT.values(), ids=UNSENT)
def test_what_is_no_request_is_no_span(sdk: Sdk, record: DeliveryRecord) -> None:
    sdk.observer().observe(evolve(record, last=evolve(record.last, duration=0.0)))
    assert sdk.spans == []
    assert sdk.metric(HTTP_DURATION) == []


@pytest.mark.parametrize(
    ("url", "system", "target"),
    [
        ("amqp://events/orders", "rabbitmq", {"server.address": "events"}),
        ("rediss://cache:6380/orders", "redis", {"server.address": "cache", "server.port": 6380}),
        ("nats://events/orders", "nats", {"server.address": "events"}),
        ("sqs://jobs/orders", "aws_sqs", {"server.address": "jobs"}),
    ],
)
def test_an_attempt_over_something_else_is_told_as_a_message(
    sdk: Sdk, url: str, system: str, target: dict[str, Any]
) -> None:
    delivery = make_delivery(to=make_subscription(url))
    record = make_record(OutcomeKind.RETRY, Reason.STATUS, of=delivery)
    sdk.observer().observe(evolve(record, last=evolve(record.last, status=404)))
    told = {key: value for key, value in attributes(sdk.span).items() if not key.startswith("thornsdk.")}
    operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert (sdk.span.name, sdk.span.kind) == ("send", SpanKind.CLIENT)
    assert told == {**operation, "messaging.system": system, **target, "error.type": "404"}
    assert sdk.metric(MESSAGING_DURATION) == [
        ({**operation, "messaging.system": system, "error.type": "404"}, 1)
    ]
    assert sdk.metric(HTTP_DURATION) == []


def test_a_message_that_tells_of_its_span_is_that_of_a_producer(sdk: Sdk, open_thorn: OpenThorn) -> None:
    transport = RecordingTransport(schemes=["amqp"])
    thorn = open_thorn(pipeline=traced(sdk, transport), allow_schemes=["amqp"], allow_ports=[])
    thorn.subscribe("*", "amqp://events/orders")
    thorn.event("order.created").send({})
    assert sdk.span.kind is SpanKind.PRODUCER
    assert dict(transport.requests[0].headers)["traceparent"] == ids_of(sdk.span)


# What receivers are told


def test_a_receiver_is_told_of_the_span_of_its_attempt(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url)
    with sdk.tracer.start_as_current_span("place order") as parent:
        thorn.event("order.created").send({"id": 42})
    assert endpoint.seen[0].header("traceparent") == ids_of(sdk.span)
    assert sdk.span.parent == parent.get_span_context()
    assert sdk.span.kind is SpanKind.CLIENT
    assert attributes(sdk.span)["http.response.status_code"] == 200


def test_each_of_hundreds_in_flight_is_told_of_its_own(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    pipeline = traced(sdk, PooledTransport(concurrency=32, concurrency_per_origin=32))
    thorn = open_thorn(endpoint, pipeline=pipeline)
    for _ in range(300):
        thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    seen = {one.header("Hook-Delivery"): one.header("traceparent") for one in endpoint.seen}
    assert len(seen) == 300
    assert seen == {attributes(one)["thornsdk.delivery"]: ids_of(one) for one in sdk.spans}


OTHERS = trace.SpanContext(
    1, 2, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=TraceState([("shop", "7")])
)


def test_what_others_have_put_into_the_trace_goes_on(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url)
    with trace.use_span(trace.NonRecordingSpan(OTHERS)):
        thorn.event("order.created").send({})
    assert endpoint.seen[0].header("tracestate") == "shop=7"


@pytest.mark.parametrize("theirs", ["Traceparent", "Tracestate"])
@pytest.mark.parametrize("parent", [OTHERS, trace.INVALID_SPAN_CONTEXT], ids=["a trace", "none"])
def test_headers_of_two_traces_are_not_mixed(
    theirs: str, parent: trace.SpanContext, sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url, headers={theirs: "their own"})
    with trace.use_span(trace.NonRecordingSpan(parent)):
        thorn.event("order.created").send({})
    assert {name for name, _ in endpoint.seen[0].headers if name.lower().startswith("trace")} == {theirs}


def test_baggage_is_told_to_nobody(sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url)
    token = attach(baggage.set_baggage("user", "jane@example.com"))
    thorn.event("order.created").send({})
    detach(token)
    names = {name.lower() for name, _ in endpoint.seen[0].headers}
    assert ("traceparent" in names, "baggage" in names) == (True, False)


def test_a_header_of_the_subscription_stays(sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, pipeline=traced(sdk))
    thorn.subscribe("*", endpoint.url, headers={"Traceparent": "their own"})
    assert thorn.event("order.created").send({}).outcomes.delivered == 1
    assert endpoint.seen[0].header("traceparent") == "their own"


def test_without_an_sdk_nothing_is_told_and_everything_arrives(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    observer = OpenTelemetryObserver(tracer_provider=trace.NoOpTracerProvider())
    pipeline = make_pipeline(
        [PooledTransport()], observers=[observer], signers=[OpenTelemetrySigner(observer)]
    )
    thorn = open_thorn(endpoint, pipeline=pipeline)
    thorn.subscribe("*", endpoint.url)
    assert thorn.event("order.created").send({}).outcomes.delivered == 1
    assert "traceparent" not in {name.lower() for name, _ in endpoint.seen[0].headers}


# A span that was begun is ended, whatever becomes of the attempt


def test_a_request_that_cannot_be_built_ends_its_span(sdk: Sdk, open_thorn: OpenThorn) -> None:
    observer = sdk.observer()
    signers = [OpenTelemetrySigner(observer), RecordingSigner((("Host", "elsewhere"),))]
    thorn = open_thorn(pipeline=traced(sdk, observers=[observer], signers=signers))
    thorn.subscribe("*", "https://example.com/hooks")
    thorn.event("order.created").send({})
    assert sdk.span.status.status_code is StatusCode.ERROR
    assert attributes(sdk.span)["error.type"] == "stage_failed"


def test_a_transport_that_breaks_ends_its_span(sdk: Sdk, open_thorn: OpenThorn) -> None:
    transport = RecordingTransport(raises(TransportError(Reason.CONNECTION_LOST, "it broke")))
    thorn = open_thorn(pipeline=traced(sdk, transport))
    thorn.subscribe("*", "https://example.com/hooks")
    thorn.event("order.created").send({})
    assert attributes(sdk.span)["error.type"] == "connection_lost"
    assert sdk.span.status.description == "it broke"


def test_of_spans_that_nobody_ends_the_oldest_are_ended_without_a_result(sdk: Sdk) -> None:
    spans = AttemptSpans(sdk.traces.get_tracer("thornsdk"), most=2)
    records = [make_record() for _ in range(3)]
    for one in records:
        spans.begin(make_delivery_of(one), one.last.started_at)
    assert attributes(sdk.span)["error.type"] == "_OTHER"
    assert sdk.span.status.description == "nobody has told what came of it"
    for one in records[1:]:
        spans.end(one)
    assert [attributes(one).get("thornsdk.outcome") for one in sdk.spans] == [None, "delivered", "delivered"]


def make_delivery_of(record: DeliveryRecord) -> Any:
    """Makes a delivery of the same id."""
    return evolve(make_delivery(), id=record.id, message_id=record.message_id)


def test_a_delivery_that_is_signed_again_has_a_new_span(sdk: Sdk) -> None:
    spans = AttemptSpans(sdk.traces.get_tracer("thornsdk"))
    record = make_record()
    for _ in range(2):
        spans.begin(make_delivery_of(record), record.last.started_at)
    spans.end(record)
    assert [attributes(one).get("error.type") for one in sdk.spans] == ["_OTHER", None]


def test_two_threads_that_attempt_one_delivery_have_a_span_each(sdk: Sdk) -> None:
    spans = AttemptSpans(sdk.traces.get_tracer("thornsdk"))
    record = make_record()
    mine = spans.begin(make_delivery_of(record), record.last.started_at)

    def attempt_it_too() -> None:
        spans.begin(make_delivery_of(record), record.last.started_at)
        spans.end(evolve(record, last=evolve(record.last, number=2)))

    thread = threading.Thread(target=attempt_it_too)
    thread.start()
    thread.join()
    spans.end(record)
    assert [attributes(one)["thornsdk.attempt"] for one in sdk.spans] == [2, 1]
    assert sdk.spans[1].context == mine.get_span_context()


def test_an_attempt_that_is_refused_after_it_was_signed_is_a_span(sdk: Sdk, open_thorn: OpenThorn) -> None:
    observer, transport = sdk.observer(), RecordingTransport()
    signers = [OpenTelemetrySigner(observer), RecordingSigner((("Hook-Event", "another"),))]
    thorn = open_thorn(pipeline=traced(sdk, transport, observers=[observer], signers=signers))
    thorn.subscribe("*", "https://example.com/hooks")
    thorn.event("order.created").send({})
    assert transport.requests == []
    assert attributes(sdk.span)["error.type"] == "stage_failed"
    assert (
        sdk.span.status.description == "the header 'Hook-Event' is set by the library; no stage can change it"
    )


# Tracing never costs a delivery


class BrokenPropagator(TraceContextTextMapPropagator):
    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        raise LookupError("the text of this error is told nowhere")


class BrokenProcessor(SpanProcessor):
    def on_start(self, span: object, parent_context: Context | None = None) -> None:
        raise LookupError("the text of this error is told nowhere")


def test_a_propagator_that_breaks_is_told_and_costs_a_header(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    observer = sdk.observer()
    signer = OpenTelemetrySigner(observer, propagator=BrokenPropagator())
    thorn = open_thorn(endpoint, pipeline=traced(sdk, observers=[observer], signers=[signer]))
    thorn.subscribe("*", endpoint.url)
    with capture_log() as log:
        assert thorn.event("order.created").send({}).outcomes.delivered == 1
    (told,) = log.of("observer.failed")
    assert re.fullmatch(r"raised LookupError at test_opentelemetry.py:\d+", str(told["problem"]))
    assert attributes(sdk.span)["thornsdk.outcome"] == "delivered"


def test_a_tracer_that_breaks_is_told_and_costs_a_span(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BrokenProcessor())
    observer = OpenTelemetryObserver(tracer_provider=provider)
    pipeline = make_pipeline(
        [PooledTransport()], observers=[observer], signers=[OpenTelemetrySigner(observer)]
    )
    thorn = open_thorn(endpoint, pipeline=pipeline)
    thorn.subscribe("*", endpoint.url)
    with capture_log() as log:
        assert thorn.event("order.created").send({}).outcomes.delivered == 1
    assert len(log.of("observer.failed")) == 1
    provider.shutdown()


# Metrics


@pytest.mark.parametrize("pipeline", [observed, traced])
def test_the_exemplar_of_each_figure_is_the_span_of_the_attempt(
    pipeline: Callable[[Sdk], Pipeline], sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=pipeline(sdk))
    thorn.subscribe("*", endpoint.url)
    with sdk.tracer.start_as_current_span("place order"):
        thorn.event("order.created").send({})
    assert sdk.span.context is not None
    ours = [sdk.span.context.span_id]
    assert sdk.exemplars() == dict.fromkeys((HTTP_DURATION, "thornsdk.attempts", ENDED), ours)


def test_the_duration_has_few_values_of_each_attribute(
    sdk: Sdk, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, pipeline=observed(sdk))
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    assert sdk.metric(HTTP_DURATION) == [
        ({"http.request.method": "POST", "http.response.status_code": 200, "url.scheme": "http"}, 1)
    ]


def test_a_duration_that_ended_badly_says_how(sdk: Sdk) -> None:
    sdk.observer().observe(make_record(OutcomeKind.RETRY, Reason.TIMEOUT))
    assert sdk.metric(HTTP_DURATION) == [
        ({"error.type": "timeout", "http.request.method": "POST", "url.scheme": "https"}, 1)
    ]


def test_the_buckets_are_those_that_the_conventions_advise(sdk: Sdk) -> None:
    sdk.observer().observe(make_record())
    advised = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert sdk.buckets(HTTP_DURATION) == advised


def test_attempts_are_counted_by_what_they_mean_and_why(sdk: Sdk) -> None:
    observer = sdk.observer()
    for kind, reason in [(OutcomeKind.RETRY, Reason.TIMEOUT), (OutcomeKind.DELIVERED, Reason.ACCEPTED)] * 2:
        observer.observe(make_record(kind, reason))
    event = {"thornsdk.event": "order.created"}
    assert sdk.metric("thornsdk.attempts") == [
        ({**event, "thornsdk.outcome": "delivered", "thornsdk.reason": "accepted"}, 2),
        ({**event, "thornsdk.outcome": "retry", "thornsdk.reason": "timeout"}, 2),
    ]
    assert sdk.metric("thornsdk.deliveries.ended") == [({**event, "thornsdk.state": "delivered"}, 2)]


def test_a_delivery_that_is_cancelled_has_ended_without_an_attempt(sdk: Sdk) -> None:
    sdk.observer().observe(make_record(OutcomeKind.FAILED, Reason.CANCELLED))
    assert sdk.metric("thornsdk.attempts") == []
    assert sdk.metric("thornsdk.deliveries.ended") == [
        ({"thornsdk.event": "order.created", "thornsdk.state": "cancelled"}, 1)
    ]


def test_subscriptions_that_fail_or_are_disabled_are_counted(
    sdk: Sdk, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    endpoint, observer = open_endpoint(answers(410)), sdk.observer()
    thorn = open_thorn(endpoint, pipeline=observed(sdk, observers=[observer]))
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    observer.observe_subscription(make_notice())
    assert sdk.metric("thornsdk.subscription.notices") == [
        ({"thornsdk.notice": "disabled"}, 1),
        ({"thornsdk.notice": "failing"}, 1),
    ]


def test_nothing_secret_is_told(sdk: Sdk, open_endpoint: OpenEndpoint, open_thorn: OpenThorn) -> None:
    endpoint = open_endpoint(in_turn(answers(503, b"in-the-answer"), answers(200)))
    thorn = open_thorn(endpoint, pipeline=traced(sdk), retry_schedule=[0])
    thorn.subscribe(
        "*",
        f"{endpoint.url}/in-the-path?key=in-the-query",
        secret="in-the-secret",
        headers={"X-Key": "in-the-header"},
    )
    thorn.event("order.created").send({"id": "in-the-body"})
    thorn.run_due()
    assert endpoint.seen[1].path.endswith("/in-the-path?key=in-the-query")
    assert len(sdk.spans) == 2
    assert "in-the-" not in sdk.all_told()


# How it is chosen


def test_settings_choose_both_and_the_signer_finds_its_observer(open_thorn: OpenThorn) -> None:
    thorn = open_thorn(
        observers=["opentelemetry"], signers=["hook-hmac", "opentelemetry"], transport=["urllib3"]
    )
    (observer,) = thorn.pipeline.observers
    _, signer = thorn.pipeline.signers
    assert isinstance(observer, OpenTelemetryObserver)
    assert isinstance(signer, OpenTelemetrySigner)
    assert signer._spans is observer.spans


def test_the_signer_is_refused_without_the_observer(open_thorn: OpenThorn) -> None:
    with pytest.raises(SettingError) as caught:
        open_thorn(signers=["opentelemetry"])
    assert str(caught.value) == (
        "THORN_SIGNERS is 'opentelemetry' without the observer of that name; it takes it beside "
        "THORN_OBSERVERS=opentelemetry, which ends the spans that it begins"
    )


def test_beside_another_signer_that_writes_the_header_it_is_refused(sdk: Sdk) -> None:
    observer = sdk.observer()
    signers = [OpenTelemetrySigner(observer), OpenTelemetrySigner(observer)]
    with pytest.raises(PipelineError, match=r"both write the header trace(parent|state)"):
        make_pipeline([RecordingTransport()], signers=signers)


def test_the_headers_that_it_may_write_are_those_of_the_propagator(sdk: Sdk) -> None:
    assert OpenTelemetrySigner(sdk.observer()).header_names == {"traceparent", "tracestate"}


PROVIDER_SET_LATER = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from thornsdk import Thorn

with Thorn(
    observers=["opentelemetry"], signers=["opentelemetry"], store="memory",
    allow_networks=["127.0.0.1"], allow_ports=[int(sys.argv[1])],
) as thorn:
    thorn.subscribe("*", f"http://127.0.0.1:{sys.argv[1]}/hooks")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(
        formatter=lambda span: f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    )))
    trace.set_tracer_provider(provider)
    thorn.event("order.created").send({"id": 42})
"""


def test_the_global_provider_may_be_set_after_the_pipeline_was_made(endpoint: Endpoint) -> None:
    with running(PROVIDER_SET_LATER, endpoint.port) as process:
        told, _ = process.communicate(timeout=30)
    assert endpoint.seen[0].header("traceparent").startswith(f"00-{told}-")


def test_where_the_api_is_missing_it_says_what_to_install(
    open_thorn: OpenThorn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    for name in [one for one in sys.modules if one.startswith("thornsdk_plugins.opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StageUnavailableError, match=r"pip install 'thornsdk\[opentelemetry\]'"):
        open_thorn(observers=["opentelemetry"])


def test_the_plugin_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = plugin.Nothing  # type: ignore[attr-defined]
