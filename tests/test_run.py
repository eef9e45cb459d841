import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from attrs import evolve

from support.runs import DELIVERED, STAGE_RETRY, plan, plans, results, run
from support.stages import (
    NOW,
    TERMS,
    BrokenSigner,
    ProgrammedTransport,
    SayingSerializer,
    accepts,
    answered,
    make_pipeline,
    make_subscription,
    raises,
    says_status,
)
from thornsdk import (
    URL,
    Delivery,
    DeliveryRecord,
    Exchange,
    OutcomeKind,
    Planned,
    Reason,
    Request,
    Response,
    Serializer,
    Transport,
    exchange,
    hook_hmac,
)
from thornsdk.errors import RecipientRefused, SerializationError, StoreFull, TransportError
from thornsdk.testing import FakeClock, RecordingSigner, RecordingTransport
from thornsdk.typing import Headers
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner

# What is sent


def test_a_request_has_the_headers_that_are_promised() -> None:
    transport = RecordingTransport()
    one = plan(make_subscription(headers={"X-Key": "value"}))
    assert results(transport, [one]) == [(1, *DELIVERED)]
    (request,) = transport.requests
    assert request.headers == (
        ("User-Agent", "Thorn/test recording/1"),
        ("Content-Type", "application/json"),
        ("Hook-Event", "order.created"),
        ("Hook-Delivery", str(one.delivery.id)),
        ("Hook-Subscription", str(UUID(int=1))),
        ("Hook-HMAC", hook_hmac(b"secret number 1", b'{"id":42}')),
        ("X-Key", "value"),
    )
    assert (request.id, request.timeout, request.url) == (one.delivery.id, 3.0, make_subscription().url)


def test_the_bytes_that_are_signed_are_the_bytes_that_are_sent() -> None:
    transport, signer = RecordingTransport(), RecordingSigner()
    results(make_pipeline([transport], signers=[signer]), plans(2))
    assert [delivery.body for delivery, _ in signer.signed] == [one.body for one in transport.requests]
    assert transport.requests[0].body is signer.signed[0][0].body


def test_every_signer_adds_its_headers_and_is_told_the_time() -> None:
    transport, signer = RecordingTransport(), RecordingSigner()
    pipeline = make_pipeline([transport], signers=[HookHmacSigner(), StandardWebhooksSigner(), signer])
    results(pipeline, plans(1))
    names = {name for name, _ in transport.requests[0].headers}
    assert {"Hook-HMAC", "webhook-signature", "Test-Signature"} <= names
    assert signer.signed[0][1] == NOW


def says_its_event(delivery: Delivery) -> Headers:
    return (("Test-Event", f"{delivery.event} of {delivery.created_at:%Y-%m-%d}"),)


def test_a_serializer_adds_its_headers_before_those_of_signers_and_subscription() -> None:
    transport = RecordingTransport()
    pipeline = make_pipeline(
        [transport], serializers=[SayingSerializer(says_its_event)], signers=[RecordingSigner()]
    )
    results(pipeline, [plan(make_subscription(headers={"X-Key": "value"}))])
    assert transport.requests[0].headers[-3:] == (
        ("Test-Event", "order.created of 2026-01-02"),
        ("Test-Signature", "signed"),
        ("X-Key", "value"),
    )


def test_a_serializer_adds_no_headers_to_what_another_has_written() -> None:
    transport = RecordingTransport()
    serializers: list[Serializer] = [JsonSerializer(), SayingSerializer(says_its_event, "text/plain")]
    results(make_pipeline([transport], serializers=serializers), plans(1))
    assert "Test-Event" not in dict(transport.requests[0].headers)


def breaks_for_the_second(delivery: Delivery) -> Headers:
    if delivery.subscription.id.int == 2:
        raise LookupError("the text of this error is told nowhere")
    return ()


def test_a_serializer_that_cannot_write_its_headers_costs_that_delivery_alone() -> None:
    transport = RecordingTransport()
    pipeline = make_pipeline([transport], serializers=[SayingSerializer(breaks_for_the_second)])
    assert results(pipeline, plans(3)) == [(1, *DELIVERED), (2, *STAGE_RETRY), (3, *DELIVERED)]
    (broken,) = run(pipeline, [plan(make_subscription(2))])
    assert broken.last.detail.startswith("a stage raised LookupError at test_run.py:")
    assert "told nowhere" not in broken.last.detail


@pytest.mark.parametrize(
    "headers",
    [
        (("hook-event", "of another"),),
        (("Content-Type", "text/plain"),),
        (("Test-Signature", "twice"),),
        (("x-key", "twice"),),
        (("Test-Event", "one\r\nTest-More: two"),),
        (("Test-Event", "café"),),
        None,
    ],
)
def test_headers_of_a_serializer_that_cannot_be_sent_cost_that_delivery_alone(headers: Any) -> None:
    pipeline = make_pipeline(
        [RecordingTransport()], serializers=[SayingSerializer(lambda _: headers)], signers=[RecordingSigner()]
    )
    assert results(pipeline, [plan(make_subscription(headers={"X-Key": "value"}))]) == [(1, *STAGE_RETRY)]


def test_a_result_tells_what_was_sent_and_what_came_back() -> None:
    transport = RecordingTransport(lambda request: Response(status=503, body=b"busy", reused=True))
    (record,) = run(transport, [plan(make_subscription(), number=2)])
    attempt = record.last
    assert (attempt.number, attempt.status, attempt.reused) == (2, 503, True)
    assert (attempt.request_bytes, attempt.response_bytes) == (9, 4)
    assert attempt.outcome.retry_at == NOW + timedelta(seconds=60)


def test_a_result_keeps_the_address_and_how_the_answer_began() -> None:
    answer = Response(status=500, body=b"x" * 5000, address="192.0.2.1")
    (record,) = run(RecordingTransport(lambda request: answer), plans(1))
    assert record.last.address == "192.0.2.1"
    assert (record.last.answer, record.last.response_bytes) == (b"x" * 1024, 5000)


def test_an_error_of_the_transport_is_a_result_with_its_reason_and_detail() -> None:
    transport = RecordingTransport(raises(TransportError(Reason.TIMEOUT, "no answer in 3 s")))
    (record,) = run(transport, plans(1))
    assert (record.kind, record.last.outcome.reason) == (OutcomeKind.RETRY, Reason.TIMEOUT)
    assert (record.last.detail, record.last.status) == ("no answer in 3 s", None)
    assert (record.last.request_bytes, record.last.reused) == (9, None)


def test_what_the_transport_blocks_was_not_sent() -> None:
    blocked = TransportError(Reason.ADDRESS_FORBIDDEN, "10.0.0.1 is forbidden")
    (record,) = run(RecordingTransport(raises(blocked)), plans(1))
    assert record.kind is OutcomeKind.BLOCKED
    assert record.last.request_bytes == 0


def test_nothing_to_send_calls_nothing() -> None:
    transport = RecordingTransport()
    assert list(run(transport, [])) == []
    assert transport.requests == []


# Transports by scheme


def test_each_transport_gets_the_urls_of_its_schemes() -> None:
    web, post = RecordingTransport(schemes=["https", "http"]), RecordingTransport(schemes=["pigeon"])
    urls = ["http://a.example/", "https://a.example/", "pigeon://loft/", "https://b.example/"]
    planned = [plan(make_subscription(number, url=url)) for number, url in enumerate(urls, 1)]
    found = results(make_pipeline([web, post]), planned)
    assert found == [(number, *DELIVERED) for number in (1, 2, 3, 4)]
    assert [one.url.scheme for one in web.requests] == ["http", "https", "https"]
    assert [one.url.scheme for one in post.requests] == ["pigeon"]


def test_a_scheme_that_no_transport_serves_is_blocked_and_harms_no_other() -> None:
    planned = [plan(make_subscription(1, url="pigeon://loft/")), plan(make_subscription(2))]
    first, second = run(RecordingTransport(), planned)
    assert (first.kind, first.last.outcome.reason) == (OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN)
    assert first.last.detail == "no transport serves the scheme 'pigeon'"
    assert second.kind is OutcomeKind.DELIVERED


# One bad subscriber never harms another


def test_a_signer_that_raises_for_one_harms_no_other() -> None:
    signer = BrokenSigner({UUID(int=2)})
    pipeline = make_pipeline([RecordingTransport()], signers=[signer])
    assert results(pipeline, plans(3)) == [(1, *DELIVERED), (2, *STAGE_RETRY), (3, *DELIVERED)]


def test_what_a_stage_raised_is_told_without_its_text() -> None:
    signer = BrokenSigner({UUID(int=1)})
    (record,) = run(make_pipeline([RecordingTransport()], signers=[signer]), plans(1))
    assert record.last.detail.startswith("a stage raised LookupError at stages.py:")
    assert "told nowhere" not in record.last.detail


@pytest.mark.parametrize("header", [("X Name", "value"), ("X-Name", "line\nbreak"), ("X-Name", "naïve")])
def test_a_header_of_a_signer_that_cannot_be_sent_is_not_sent(header: tuple[str, str]) -> None:
    transport = RecordingTransport()
    assert results(make_pipeline([transport], signers=[RecordingSigner((header,))]), plans(1)) == [
        (1, *STAGE_RETRY)
    ]
    assert transport.requests == []


@pytest.mark.parametrize("name", ["Content-Length", "content-type", "Host", "Hook-Delivery", "X-Theirs"])
def test_a_signer_cannot_set_a_header_that_is_not_its_own(name: str) -> None:
    transport = RecordingTransport()
    pipeline = make_pipeline([transport], signers=[RecordingSigner(((name, "1"),))])
    planned = [plan(make_subscription(1, headers={"X-Theirs": "2"}))]
    assert results(pipeline, planned) == [(1, *STAGE_RETRY)]
    assert transport.requests == []


def test_many_that_are_refused_in_a_row_are_not_kept_until_the_end() -> None:
    waiting = most = 0

    def count_planned() -> Iterator[Planned]:
        nonlocal waiting, most
        for number in range(1, 10_001):
            waiting += 1
            most = max(most, waiting)
            yield plan(make_subscription(number, url="https://10.0.0.1/"))

    for record in run(RecordingTransport(), count_planned()):
        assert record.kind is OutcomeKind.BLOCKED
        waiting -= 1
    assert (waiting, most) == (0, 1000)


def refuses(url: URL) -> None:
    if url.host.startswith("customer-2."):
        raise RecipientRefused("not this one")


def breaks(url: URL) -> None:
    if url.host.startswith("customer-2."):
        raise LookupError("the text of this error is told nowhere")


@pytest.mark.parametrize(
    ("validator", "told"),
    [(refuses, "not this one"), (breaks, "a recipient validator raised LookupError at test_run.py:")],
)
def test_a_recipient_that_a_validator_refuses_or_breaks_on_is_blocked_alone(
    validator: Callable[[URL], None], told: str
) -> None:
    terms = evolve(TERMS, recipient_validators=(validator,))
    transport = RecordingTransport()
    found = {
        one.subscription_id.int: one
        for one in run(transport, [plan(make_subscription(number), terms) for number in (1, 2, 3)])
    }
    assert [found[number].kind for number in (1, 3)] == [OutcomeKind.DELIVERED] * 2
    assert found[2].kind is OutcomeKind.BLOCKED
    assert found[2].last.outcome.reason is Reason.RECIPIENT_REFUSED
    assert found[2].last.detail.startswith(told)
    assert len(transport.requests) == 2


def test_a_url_that_the_rules_forbid_is_blocked_before_it_reaches_the_transport() -> None:
    planned = [
        plan(make_subscription(1, url="https://example.com:8443/")),
        plan(make_subscription(2, url="https://10.0.0.1/")),
    ]
    transport = RecordingTransport()
    assert results(transport, planned) == [
        (1, OutcomeKind.BLOCKED, Reason.PORT_FORBIDDEN),
        (2, OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN),
    ]
    assert transport.requests == []


def test_a_payload_that_cannot_be_written_for_one_harms_no_other() -> None:
    first, second = plans(2)
    problem = SerializationError("$.items[0]", "it is a set")
    found = list(run(RecordingTransport(), [evolve(first, problem=problem), second]))
    by_number = {one.subscription_id.int: one for one in found}
    assert by_number[1].last.outcome.reason is Reason.NOT_SERIALIZABLE
    assert by_number[1].last.detail == "the payload cannot be serialised: at $.items[0]: it is a set"
    assert by_number[2].kind is OutcomeKind.DELIVERED


def test_a_transport_that_raises_for_one_harms_no_other() -> None:
    def answer(request: Request) -> Response:
        if request.url.host.startswith("customer-2."):
            raise LookupError("the text of this error is told nowhere")
        return Response(status=204)

    found = results(RecordingTransport(answer), plans(3))
    assert found == [(1, *DELIVERED), (2, *STAGE_RETRY), (3, *DELIVERED)]


def test_a_transport_that_breaks_costs_what_was_in_flight_and_no_more() -> None:
    calls = []

    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        calls.append("begin")
        stream = iter(requests)
        in_flight = [request for _, request in zip(range(2), stream, strict=False)]
        if len(calls) == 1:
            raise LookupError("the text of this error is told nowhere")
        yield from (answered(request) for request in (*in_flight, *stream))

    found = list(run(ProgrammedTransport(program), plans(4)))
    by_number = {one.subscription_id.int: one for one in found}
    assert sorted(by_number) == [1, 2, 3, 4]
    assert [by_number[number].kind for number in (3, 4)] == [OutcomeKind.DELIVERED] * 2
    for number in (1, 2):
        assert by_number[number].kind is OutcomeKind.RETRY
        assert by_number[number].last.detail.startswith("the transport raised LookupError at test_run.py:")
    assert len(found) == 4


def test_a_request_that_a_transport_loses_is_told_and_tried_again() -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        return (answered(one) for one in requests if not one.url.host.startswith("customer-2."))

    found = list(run(ProgrammedTransport(program), plans(3)))
    assert [one.subscription_id.int for one in found] == [1, 3, 2]
    assert found[-1].kind is OutcomeKind.RETRY
    assert found[-1].last.detail == "the transport lost the request"


def test_a_result_given_twice_is_settled_once_and_told(caplog: pytest.LogCaptureFixture) -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in requests:
            yield answered(one)
            yield answered(one)

    with caplog.at_level(logging.ERROR, "thornsdk"):
        assert results(ProgrammedTransport(program), plans(2)) == [(1, *DELIVERED), (2, *DELIVERED)]
    assert caplog.messages == ["transport.unknown_exchange transport=support.stages.ProgrammedTransport"] * 2


def test_a_transport_that_takes_nothing_ends_and_each_delivery_is_told() -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        return iter(())

    found = results(ProgrammedTransport(program), plans(3))
    assert found == [(number, *STAGE_RETRY) for number in (1, 2, 3)]


def test_a_transport_that_stops_early_is_given_the_rest() -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        return (answered(one) for _, one in zip(range(2), requests, strict=False))

    found = results(ProgrammedTransport(program), plans(7))
    assert found == [(number, *DELIVERED) for number in range(1, 8)]


def test_a_transport_that_gives_back_no_stream_is_told_for_each_delivery() -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        return cast("Iterator[Exchange]", None)

    found = list(run(ProgrammedTransport(program), plans(2)))
    assert [one.last.outcome.reason for one in found] == [Reason.STAGE_FAILED] * 2
    assert found[0].last.detail.startswith("the transport raised TypeError")


@pytest.mark.parametrize("result", [None, "200", ValueError("no error of ours")])
def test_a_result_that_cannot_be_read_costs_its_own_delivery_alone(result: object) -> None:
    def program(requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in [*requests]:
            bad = one.url.host.startswith("customer-2.")
            yield evolve(answered(one), result=cast("Response", result)) if bad else answered(one)

    found = list(run(ProgrammedTransport(program), plans(3)))
    assert [(one.subscription_id.int, one.kind) for one in found] == [
        (1, OutcomeKind.DELIVERED),
        (2, OutcomeKind.RETRY),
        (3, OutcomeKind.DELIVERED),
    ]
    assert found[1].last.detail.startswith("the transport gave a result that cannot be read (raised ")


# What breaks the whole run


def test_where_the_subscriptions_break_what_was_begun_is_told_and_then_the_error_is_raised() -> None:
    def broken() -> Iterator[Planned]:
        yield from plans(2)
        raise StoreFull("no room")

    settled: list[DeliveryRecord] = []
    stream = run(RecordingTransport(), broken(), settled.append)
    assert next(stream).subscription_id.int == 1
    assert next(stream).subscription_id.int == 2
    with pytest.raises(StoreFull, match="no room"):
        next(stream)
    assert len(settled) == 2


def test_where_a_result_cannot_be_kept_nothing_new_begins_and_what_is_in_flight_is_not_lost() -> None:
    def three_at_once(requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        while head := [one for _, one in zip(range(3), stream, strict=False)]:
            taken.extend(head)
            yield from [answered(one) for one in head]

    def settle(record: DeliveryRecord) -> None:
        settled.append(record.subscription_id.int)
        raise StoreFull(f"no room, {len(settled)}")

    taken: list[Request] = []
    settled: list[int] = []
    given: list[DeliveryRecord] = []
    with pytest.raises(StoreFull, match="no room, 1"):
        given.extend(run(ProgrammedTransport(three_at_once), plans(9), settle))
    assert len(taken) == 3
    assert settled == [1, 2, 3]
    assert len(given) == 3


# Streams


def test_no_more_is_read_than_the_transport_takes() -> None:
    def endless() -> Iterator[Planned]:
        number = 0
        while True:
            number += 1
            read.append(number)
            yield plan(make_subscription(number))

    read: list[int] = []
    stream = run(RecordingTransport(), endless())
    for _ in range(5):
        next(stream)
    assert len(read) <= 6


# What `exchange` and the base class give


def request() -> Request:
    return Request(
        id=UUID(int=1),
        url=URL.parse("https://example.com/"),
        body=b"",
        headers=(),
        timeout=1.0,
        guard=lambda address: None,
    )


def test_an_exchange_is_timed() -> None:
    ticks = iter([10.0, 12.5])
    done = exchange(accepts, request(), clock=FakeClock(), timer=lambda: next(ticks))
    assert (done.started_at, done.duration) == (NOW, 2.5)


def test_an_exchange_turns_any_error_into_a_result_and_keeps_its_cause() -> None:
    error = LookupError("the text of this error is told nowhere")
    result = exchange(raises(error), request()).result
    assert isinstance(result, TransportError)
    assert result.reason is Reason.STAGE_FAILED
    assert result.detail.startswith("the transport raised LookupError at stages.py:")
    assert result.__cause__ is error


def test_an_exchange_by_default_tells_the_time_in_utc() -> None:
    assert exchange(accepts, request()).started_at.utcoffset() == timedelta(0)


def test_the_base_transport_sends_one_after_the_other() -> None:
    class Plain(Transport):
        schemes = frozenset({"https"})
        user_agent = "plain/1"

        def send(self, request: Request) -> Response:
            return says_status(204)(request)

    transport = Plain()
    stream = transport.send_many(iter([request(), request()]))
    assert [one.result for one in stream] == [Response(status=204)] * 2
    transport.close()
