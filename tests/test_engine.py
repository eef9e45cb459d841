import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from attrs import evolve

from support.stages import (
    NOW,
    TERMS,
    BrokenObserver,
    BrokenSigner,
    CountingSerializer,
    ProgrammedTransport,
    accepts,
    answered,
    make_dispatch,
    make_pipeline,
    make_record,
    make_subscription,
    says_status,
)
from thornsdk import (
    AddressRules,
    Attempt,
    Audience,
    DeliveryRecord,
    DeliveryState,
    Dispatch,
    Exchange,
    Lease,
    Outcome,
    OutcomeKind,
    Pipeline,
    Reason,
    Request,
    Response,
    RetryPolicy,
    Subscription,
    Terms,
    Transport,
)
from thornsdk.engine import Engine, Sources
from thornsdk.errors import ConfigurationError, NotFound, SerializationError, StoreDamaged, StoreFull
from thornsdk.logs import DeliveryLog
from thornsdk.planned import Conditions, plan
from thornsdk.replaying import Replays
from thornsdk.testing import FakeClock, Handler, RecordingObserver, RecordingTransport, Seen, make_claim
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.urllib3 import PooledTransport

FORM = "application/x-www-form-urlencoded"


def store_with(*subscriptions: Subscription) -> MemoryStore:
    store = MemoryStore()
    store.put(subscriptions)
    return store


class House:
    """An engine with everything that it needs."""

    def __init__(
        self,
        pipeline: Pipeline | Transport,
        *stored: Subscription,
        static: Iterable[Subscription] = (),
        clock: FakeClock | None = None,
        rules: AddressRules | None = None,
        terms: Terms = TERMS,
        durable: bool = False,
    ) -> None:
        self.pipeline = pipeline if isinstance(pipeline, Pipeline) else make_pipeline([pipeline])
        assert self.pipeline.store is not None
        self.store = self.pipeline.store
        self.store.put(stored)
        self.static = list(static)
        self.clock = clock or FakeClock()
        self.terms = terms
        sources = Sources(
            store=self.store,
            static=lambda event, sender: self.static,
            fixed=lambda event: self.static,
            terms=lambda event: terms if event.startswith("order.") else None,
            general_terms=terms,
            requirements=lambda event: frozenset(),
            holder=lambda: "here",
            durable=durable,
        )
        conditions = Conditions(
            pipeline=self.pipeline,
            rules=rules or AddressRules(),
            product="Thorn/test",
            clock=self.clock,
            random=lambda: 0.0,
            log=DeliveryLog(),
        )
        self.engine = Engine(sources, conditions)

    def dispatch(
        self, payload: object = 42, *, sender: str | None = None, broadcast: bool = False
    ) -> Dispatch:
        return make_dispatch(
            payload,
            serializers=self.pipeline.serializers,
            terms=self.terms,
            sender=sender,
            broadcast=broadcast,
            at=self.clock(),
        )

    def send(self, payload: object = 42) -> list[DeliveryRecord]:
        dispatch = self.dispatch(payload)
        return list(self.engine.deliver_all(dispatch))

    def replay(self, delivery_id: UUID) -> DeliveryRecord:
        record = self.store.delivery(delivery_id)
        assert record is not None
        return Replays(self.engine).one(record, new_id=False)

    def state(self, record: DeliveryRecord) -> DeliveryState:
        kept = self.store.delivery(record.id)
        assert kept is not None
        return kept.state


class BrokenList(list[Subscription]):
    def __iter__(self) -> Iterator[Subscription]:
        raise ConfigurationError("a callable broke")


# Whom it reaches


def test_stored_and_static_subscriptions_come_as_one_stream_sorted_by_origin() -> None:
    urls = (f"https://{host}.example/" for host in "cbda")
    c, b, d, a = (make_subscription(number, url=url) for number, url in enumerate(urls))
    house = House(RecordingTransport(), b, d, static=[c, a])
    hosts = [one.url.host[0] for one in house.engine.matching(house.dispatch().audience)]
    assert hosts == ["a", "b", "c", "d"]


def test_static_subscriptions_obey_patterns_owners_and_state() -> None:
    static = [
        make_subscription(1),
        make_subscription(2, patterns="invoice.*"),
        make_subscription(3, owner="acme"),
        make_subscription(4, owner="other"),
        make_subscription(5, disabled="for a reason"),
    ]
    house = House(RecordingTransport(), static=static)

    def reached(dispatch: Dispatch) -> list[int]:
        return sorted(one.id.int for one in house.engine.matching(dispatch.audience))

    assert reached(house.dispatch()) == [1]
    assert reached(house.dispatch(sender="acme")) == [1, 3]
    assert reached(house.dispatch(broadcast=True)) == [1, 3, 4]


def test_a_static_subscription_that_configuration_names_twice_gets_a_message_once() -> None:
    transport = RecordingTransport()
    house = House(transport, static=[make_subscription(1), make_subscription(1)])
    assert [one.kind for one in house.send()] == [OutcomeKind.DELIVERED]
    assert len(transport.requests) == 1


def test_a_static_subscription_that_is_stored_too_is_what_the_store_says() -> None:
    changed = make_subscription(1, url="https://new.example/")
    house = House(RecordingTransport(), changed, static=[make_subscription(1), make_subscription(2)])
    assert [one.url.host for one in house.engine.matching(house.dispatch().audience)] == [
        "customer-2.example.com",
        "new.example",
    ]


# Bodies


def test_a_body_is_written_once_per_message_and_content_type() -> None:
    json, form = CountingSerializer(), CountingSerializer(FORM)
    pipeline = make_pipeline([RecordingTransport()], serializers=[json, form])
    subscriptions = [make_subscription(number) for number in range(1, 6)]
    forms = [make_subscription(number, content_type=FORM) for number in range(6, 11)]
    house = House(pipeline, *subscriptions, *forms)
    assert len(house.send()) == 10
    assert (json.count, form.count) == (1, 1)
    house.send()
    assert (json.count, form.count) == (2, 2)


def test_a_body_that_nobody_asks_for_is_not_written() -> None:
    form = CountingSerializer(FORM)
    house = House(
        make_pipeline([RecordingTransport()], serializers=[JsonSerializer(), form]), make_subscription()
    )
    house.send()
    assert form.count == 0


def test_each_subscriber_gets_the_body_in_its_content_type() -> None:
    transport = RecordingTransport()
    pipeline = make_pipeline([transport], serializers=[JsonSerializer(), CountingSerializer(FORM)])
    House(pipeline, make_subscription(1), make_subscription(2, content_type=FORM)).send({"id": 42})
    bodies = {request.url.host: request.body for request in transport.requests}
    assert bodies == {"customer-1.example.com": b'{"id":42}', "customer-2.example.com": b"{'id': 42}"}


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (SerializationError("$.id", "it is too long"), "at $.id: it is too long"),
        (
            LookupError("the text of this error is told nowhere"),
            "the serializer raised LookupError at stages",
        ),
    ],
)
def test_a_serializer_that_fails_costs_the_subscribers_of_its_content_type_alone(
    problem: Exception, told: str
) -> None:
    broken = CountingSerializer(FORM, problem)
    pipeline = make_pipeline([RecordingTransport()], serializers=[JsonSerializer(), broken])
    subscriptions = [make_subscription(2, content_type=FORM), make_subscription(3, content_type=FORM)]
    house = House(pipeline, make_subscription(1), *subscriptions)
    found = {one.subscription_id.int: one for one in house.send()}
    assert found[1].kind is OutcomeKind.DELIVERED
    for number in (2, 3):
        assert found[number].kind is OutcomeKind.FAILED
        assert found[number].last.outcome.reason is Reason.NOT_SERIALIZABLE
        assert told in found[number].last.detail
    assert broken.count == 1


def test_a_content_type_that_no_serializer_writes_is_told() -> None:
    house = House(RecordingTransport(), make_subscription(1, content_type="text/csv"))
    (record,) = house.send()
    assert record.last.outcome.reason is Reason.NOT_SERIALIZABLE
    assert "no serializer writes text/csv" in record.last.detail


# What is kept, and who is told


def test_every_result_is_kept_and_observed() -> None:
    observer = RecordingObserver()
    house = House(
        make_pipeline([RecordingTransport(says_status(500))], observers=[observer]),
        make_subscription(1),
        make_subscription(2),
    )
    sent = house.send()
    assert observer.records == sent
    assert [house.state(one) for one in sent] == [DeliveryState.PENDING] * 2


def test_an_observer_that_raises_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    observer = RecordingObserver()
    pipeline = make_pipeline([RecordingTransport()], observers=[BrokenObserver(), observer])
    house = House(pipeline, make_subscription())
    (record,) = house.send()
    assert record.kind is OutcomeKind.DELIVERED
    assert observer.records == [record]
    assert house.state(record) is DeliveryState.DELIVERED
    (told,) = [text for text in caplog.messages if text.startswith("observer.failed")]
    assert "observer=support.stages.BrokenObserver problem=raised LookupError at stages.py:" in told
    assert "told nowhere" not in told


class FailingStore(MemoryStore):
    """Keeps so many results, and has no room for more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def record(self, delivery: DeliveryRecord) -> None:
        if self.room == 0:
            raise StoreFull("no room")
        self.room -= 1
        super().record(delivery)


def test_a_store_that_fails_midway_ends_the_message_with_its_error_once_what_is_in_flight_is_told() -> None:
    def four_at_once(requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        while head := [one for _, one in zip(range(4), stream, strict=False)]:
            taken.extend(head)
            yield from [answered(one) for one in head]

    taken: list[Request] = []
    observer = RecordingObserver()
    pipeline = make_pipeline([ProgrammedTransport(four_at_once)], store=FailingStore(2), observers=[observer])
    house = House(pipeline, *(make_subscription(number) for number in range(1, 10)))
    with pytest.raises(StoreFull, match="no room"):
        house.send()
    assert len(taken) == 4
    assert len(observer.records) == 4
    assert len(list(house.store.deliveries())) == 2


def test_a_store_that_fails_while_it_streams_ends_the_message_with_its_error() -> None:
    class Broken(MemoryStore):
        def matching(self, audience: Audience) -> Iterator[Subscription]:
            yield make_subscription(1)
            raise StoreFull("no room")

    house = House(make_pipeline([RecordingTransport()], store=Broken()))
    with pytest.raises(StoreFull, match="no room"):
        house.send()
    assert [one.state for one in house.store.deliveries()] == [DeliveryState.DELIVERED]


# 410


def test_410_disables_a_stored_subscription(caplog: pytest.LogCaptureFixture) -> None:
    house = House(RecordingTransport(says_status(410)), make_subscription())
    (record,) = house.send()
    assert (record.kind, record.last.outcome.reason) == (OutcomeKind.FAILED, Reason.GONE)
    kept = house.store.find(UUID(int=1))
    assert kept is not None
    assert kept.disabled == "answered 410 (gone) to order.created"
    assert [one.skipped for one in house.send()] == [True]
    assert any(text.startswith("subscription.disabled") for text in caplog.messages)


def test_410_disables_a_static_subscription_by_way_of_the_store() -> None:
    house = House(RecordingTransport(says_status(410)), static=[make_subscription()])
    assert [one.skipped for one in house.send()] == [False]
    assert [one.skipped for one in house.send()] == [True]


def test_410_for_a_subscription_that_was_removed_meanwhile_disables_nothing() -> None:
    def removes(request: Request) -> Response:
        house.store.remove(UUID(int=1))
        return Response(status=410)

    house = House(RecordingTransport(removes), make_subscription())
    (record,) = house.send()
    assert record.last.outcome.reason is Reason.GONE
    assert house.store.find(UUID(int=1)) is None


class RemovedMeanwhile(MemoryStore):
    """Somebody removes a subscription in the instant before it is changed."""

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
    ) -> Subscription | None:
        self.remove(subscription_id)
        return super().change(subscription_id, change, default)


def test_410_does_not_store_again_what_is_removed_in_that_instant(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = make_pipeline([RecordingTransport(says_status(410))], store=RemovedMeanwhile())
    house = House(pipeline, make_subscription())
    house.send()
    assert house.store.find(UUID(int=1)) is None
    assert "subscription.disabled" not in caplog.text


def test_410_loses_nothing_that_was_changed_while_it_was_answered() -> None:
    def changes(request: Request) -> Response:
        house.store.put([make_subscription(1, secrets="new secret")])
        return Response(status=410)

    house = House(RecordingTransport(changes), make_subscription())
    house.send()
    assert house.store.find(UUID(int=1)) == make_subscription(
        1, secrets="new secret", disabled="answered 410 (gone) to order.created"
    )


def test_410_for_a_subscription_that_is_disabled_already_keeps_the_first_reason() -> None:
    def disables(request: Request) -> Response:
        house.store.put([make_subscription(1, disabled="first")])
        return Response(status=410)

    house = House(RecordingTransport(disables), make_subscription())
    house.send()
    kept = house.store.find(UUID(int=1))
    assert kept is not None
    assert kept.disabled == "first"


# Accepted first


def dies(request: Request) -> Response:
    raise SystemExit


def test_what_is_accepted_is_in_the_store_before_anything_is_sent() -> None:
    def look(request: Request) -> Response:
        seen.append(Counter(one.state for one in house.store.deliveries()))
        return accepts(request)

    seen: list[Counter[DeliveryState]] = []
    house = House(RecordingTransport(look), *map(make_subscription, (1, 2, 3)), durable=True)
    assert [one.kind for one in house.send()] == [OutcomeKind.DELIVERED] * 3
    assert seen[0].total() == 3
    assert [one.state for one in house.store.deliveries()] == [DeliveryState.DELIVERED] * 3


def test_what_is_accepted_and_claimed_is_attempted_once_however_much_it_is() -> None:
    transport = RecordingTransport()
    house = House(transport, *map(make_subscription, range(1, 351)), durable=True)
    assert Counter((one.kind, one.last.number) for one in house.send()) == {(OutcomeKind.DELIVERED, 1): 350}
    assert len({one.id for one in transport.requests}) == len(transport.requests) == 350


def test_what_is_accepted_goes_out_in_origin_order_to_stored_and_static_subscribers() -> None:
    transport = RecordingTransport()
    urls = (f"https://{host}.example/" for host in "cbda")
    c, b, d, a = (make_subscription(number, url=url) for number, url in enumerate(urls, 1))
    house = House(transport, b, d, static=[c, a], durable=True)
    assert len(house.send()) == 4
    assert [one.url.host[0] for one in transport.requests] == ["a", "b", "c", "d"]


def test_static_subscriptions_are_asked_for_once_per_message() -> None:
    class Counted(list[Subscription]):
        asked = 0

        def __iter__(self) -> Iterator[Subscription]:
            self.asked += 1
            return super().__iter__()

    house = House(RecordingTransport(), durable=True)
    house.static = counted = Counted(map(make_subscription, range(1, 151)))
    assert len(house.send()) == 150
    assert counted.asked == 1


def test_what_a_process_that_dies_in_send_leaves_is_attempted_elsewhere() -> None:
    store = store_with(*map(make_subscription, range(1, 151)))
    dying = House(make_pipeline([RecordingTransport(dies)], store=store), durable=True)
    with pytest.raises(SystemExit):
        dying.send({"id": 42})
    transport = RecordingTransport()
    house = House(make_pipeline([transport], store=store))
    house.clock.advance(7 * 3 + 9)
    assert list(house.engine.run_due()) == []
    house.clock.advance(1)
    assert Counter(one.last.number for one in house.engine.run_due()) == {1: 50, 2: 100}
    assert {one.body for one in transport.requests} == {b'{"id":42}'}
    assert len({one.id for one in transport.requests}) == 150


def test_nothing_is_sent_where_the_store_cannot_accept() -> None:
    class Full(MemoryStore):
        def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
            list(deliveries)
            raise StoreFull("no room")

    transport = RecordingTransport()
    house = House(make_pipeline([transport], store=Full()), make_subscription(), durable=True)
    with pytest.raises(StoreFull):
        house.send()
    assert transport.requests == []


def test_what_is_accepted_and_cannot_be_written_fails_as_it_would_otherwise() -> None:
    house = House(RecordingTransport(), make_subscription(1, content_type="text/csv"), durable=True)
    (record,) = house.send()
    assert (record.kind, record.last.number) == (OutcomeKind.FAILED, 1)
    assert record.last.outcome.reason is Reason.NOT_SERIALIZABLE
    assert "no serializer writes text/csv" in record.last.detail
    assert house.state(record) is DeliveryState.FAILED


def test_what_cannot_be_written_is_never_sent_though_processes_die_over_it() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription(1, content_type="text/csv"))
    dispatch = house.dispatch()
    planned = plan(dispatch, make_subscription(1, content_type="text/csv"))
    outcome = Outcome(OutcomeKind.RETRY, Reason.NOT_SERIALIZABLE, NOW)
    attempt = Attempt(number=0, started_at=NOW, duration=0.0, outcome=outcome)
    owed = DeliveryRecord.of(planned.delivery, attempt)
    house.store.accept([owed])
    house.store.record(lost(house, owed))
    house.clock.advance(1000)
    (record,) = house.engine.run_due()
    assert (record.last.number, record.last.outcome.reason) == (2, Reason.NOT_SERIALIZABLE)
    assert (record.kind, transport.requests) == (OutcomeKind.FAILED, [])


def test_a_subscription_that_ends_while_its_message_is_sent_is_given_up() -> None:
    def ends(request: Request) -> Response:
        house.store.remove(UUID(int=2))
        return accepts(request)

    transport = RecordingTransport(ends)
    house = House(transport, make_subscription(1), make_subscription(2), durable=True)
    assert [one.last.outcome.reason for one in house.send()] == [Reason.ACCEPTED, Reason.UNSUBSCRIBED]
    assert len(transport.requests) == 1


def test_what_cannot_be_attempted_while_its_message_is_sent_is_left_for_later() -> None:
    class Unreadable(MemoryStore):
        def find(self, subscription_id: UUID) -> Subscription | None:
            raise StoreDamaged("the row of its subscription cannot be read")

    house = House(
        make_pipeline([RecordingTransport()], store=Unreadable()), make_subscription(), durable=True
    )
    (left,) = house.send()
    assert (left.state, left.last.number) == (DeliveryState.PENDING, 0)
    assert left.next_attempt_at == NOW + timedelta(seconds=60)
    assert house.state(left) is DeliveryState.PENDING


def test_what_is_being_sent_is_not_due_for_others_before_its_lease_is_over() -> None:
    def others_look(request: Request) -> Response:
        taken.extend(house.store.claim_due(house.clock() + lease, 99, make_claim(NOW + timedelta(days=1))))
        return accepts(request)

    taken: list[DeliveryRecord] = []
    lease = timedelta(seconds=7 * 3 + 9)
    house = House(RecordingTransport(others_look), *map(make_subscription, range(1, 151)), durable=True)
    assert Counter(one.kind for one in house.send()) == {OutcomeKind.DELIVERED: 150}
    assert taken == []


def test_what_another_process_has_taken_since_is_no_part_of_the_message_that_is_sent() -> None:
    def others_take(request: Request) -> Response:
        house.clock.advance(40)
        taken.extend(house.store.claim_due(house.clock(), 30, make_claim(NOW + timedelta(days=1))))
        return accepts(request)

    taken: list[DeliveryRecord] = []
    house = House(RecordingTransport(others_take), *map(make_subscription, range(1, 151)), durable=True)
    sent = house.send()
    assert 0 < len(sent) < 150
    assert len({one.id for one in (*sent, *taken)}) == 150


def test_a_retry_that_is_due_at_once_is_no_part_of_the_message_that_is_sent() -> None:
    terms = Terms(timeout=3.0, retry=RetryPolicy.fixed(times=2, delay=0))
    house = House(RecordingTransport(says_status(500)), make_subscription(), terms=terms, durable=True)
    assert [one.last.number for one in house.send()] == [1]


# Trying again


def failing_first(times: int) -> Callable[[Request], Response]:
    left = [500] * times
    return lambda request: Response(status=left.pop() if left else 200)


def test_a_retry_comes_when_it_is_due_with_the_same_id_and_the_same_bytes() -> None:
    transport = RecordingTransport(failing_first(1))
    house = House(transport, make_subscription())
    (first,) = house.send()
    house.clock.advance(59)
    assert list(house.engine.run_due()) == []
    house.clock.advance(1)
    (second,) = house.engine.run_due()
    assert (second.kind, second.last.number, second.id) == (OutcomeKind.DELIVERED, 2, first.id)
    assert [one.id for one in transport.requests] == [first.id] * 2
    assert transport.requests[0].body is transport.requests[1].body
    assert house.state(second) is DeliveryState.DELIVERED


def test_a_delivery_is_given_up_where_the_schedule_ends() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    kinds = [one.kind for one in house.send()]
    while house.clock() < NOW + timedelta(hours=1):
        house.clock.advance(60)
        kinds += [one.kind for one in house.engine.run_due()]
    assert kinds == [OutcomeKind.RETRY, OutcomeKind.RETRY, OutcomeKind.FAILED]


def test_many_retries_are_claimed_batch_by_batch() -> None:
    house = House(RecordingTransport(failing_first(250)), *(make_subscription(n) for n in range(1, 251)))
    house.send()
    house.clock.advance(60)
    assert Counter(one.kind for one in house.engine.run_due()) == {OutcomeKind.DELIVERED: 250}


def test_what_one_has_claimed_no_other_takes_until_the_claim_ends() -> None:
    house = House(RecordingTransport(failing_first(2)), make_subscription(1), make_subscription(2))
    house.send()
    house.clock.advance(60)
    first = cast("Generator[DeliveryRecord, None, None]", house.engine.run_due())
    next(first)
    assert list(house.engine.run_due()) == []
    first.close()  # It dies, before it is told of the second.
    house.clock.advance(3.0 * 100 + 60)
    assert len(list(house.engine.run_due())) == 1


def test_what_is_claimed_is_leased_for_seven_timeouts_and_a_little_more() -> None:
    def look(request: Request) -> Response:
        seen.append(house.store.delivery(request.id))
        return Response(status=500)

    seen: list[DeliveryRecord | None] = []
    house = House(RecordingTransport(look), make_subscription())
    house.send()
    house.clock.advance(60)
    list(house.engine.run_due())
    assert seen[1] is not None
    assert (seen[1].state, seen[1].lease) == (DeliveryState.LEASED, Lease("here"))
    assert seen[1].next_attempt_at == house.clock() + timedelta(seconds=7 * 3 + 10)


def test_what_comes_of_an_attempt_ends_its_lease() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    house.send()
    house.clock.advance(60)
    (record,) = house.engine.run_due()
    assert (record.lease, house.state(record)) == (None, DeliveryState.PENDING)


def test_what_could_outlast_its_lease_is_put_back_and_claimed_anew() -> None:
    def dawdle(request: Request) -> Response:
        house.clock.advance(14)  # After that, a lease of 31 seconds has less than six timeouts left.
        return Response(status=500)

    transport = RecordingTransport(dawdle)
    house = House(transport, *(make_subscription(number) for number in range(1, 4)))
    house.send()
    house.clock.advance(60)
    assert [one.last.number for one in house.engine.run_due()] == [2, 2, 2]
    assert len(transport.requests) == 6
    history = [house.store.attempts(one.id) for one in house.store.deliveries()]
    assert {tuple(attempt.outcome.reason for attempt in one) for one in history} == {(Reason.STATUS,) * 2}


def test_a_receiver_that_hangs_does_not_hold_up_what_is_claimed_later(open_endpoint: OpenEndpoint) -> None:
    others = threading.Event()

    def behave(handler: Handler, seen: Seen) -> None:
        if seen.path == "/hooks/1":
            others.wait(20)
        elif len(endpoint.seen) >= 350:
            others.set()
        handler.answer(200)

    endpoint = open_endpoint(behave)
    subscriptions = [make_subscription(number, url=f"{endpoint.url}/{number}") for number in range(1, 351)]
    rules = AddressRules(["127.0.0.0/8"], ports={endpoint.port})
    with closing(PooledTransport(concurrency=8)) as transport:
        house = House(transport, *subscriptions, rules=rules, terms=evolve(TERMS, timeout=30.0))
        list(house.engine.keep(house.dispatch(), "no broker"))
        found = list(house.engine.run_due())
    assert others.is_set()
    assert Counter(one.kind for one in found) == {OutcomeKind.DELIVERED: 350}


def test_many_that_cannot_be_attempted_are_all_given_and_hold_up_no_other() -> None:
    house = House(RecordingTransport(says_status(500)), *(make_subscription(n) for n in range(1, 351)))
    house.send()
    for number in range(1, 341):
        house.store.remove(UUID(int=number))
    house.clock.advance(60)
    found = Counter(one.last.outcome.reason for one in house.engine.run_due())
    assert found == {Reason.UNSUBSCRIBED: 340, Reason.STATUS: 10}


def test_retries_go_out_in_origin_order() -> None:
    transport = RecordingTransport(failing_first(3))
    urls = ("https://c.example/", "https://a.example/", "https://b.example/")
    house = House(transport, *(make_subscription(number, url=url) for number, url in enumerate(urls)))
    house.send()
    house.clock.advance(60)
    list(house.engine.run_due())
    assert [one.url.host for one in transport.requests[3:]] == ["a.example", "b.example", "c.example"]


@pytest.mark.parametrize(
    "end",
    [
        lambda store: store.remove(UUID(int=1)),
        lambda store: store.put([make_subscription(1, disabled="enough")]),
    ],
    ids=["removed", "disabled"],
)
def test_a_retry_for_a_subscription_that_has_ended_is_given_up_unsent(
    end: Callable[[MemoryStore], object],
) -> None:
    store, transport = store_with(make_subscription()), RecordingTransport(says_status(500))
    house = House(make_pipeline([transport], store=store))
    house.send()
    end(store)
    house.clock.advance(60)
    (record,) = house.engine.run_due()
    assert (record.kind, record.last.outcome.reason) == (OutcomeKind.FAILED, Reason.UNSUBSCRIBED)
    assert (record.last.number, record.last.detail) == (2, "the subscription was removed or disabled")
    assert len(transport.requests) == 1
    assert house.state(record) is DeliveryState.CANCELLED


def test_a_retry_goes_to_the_subscription_as_it_is_now() -> None:
    transport = RecordingTransport(failing_first(1))
    house = House(transport, make_subscription())
    house.send()
    house.store.put([make_subscription(1, url="https://moved.example/")])
    house.clock.advance(60)
    (record,) = house.engine.run_due()
    assert (record.kind, record.origin) == (OutcomeKind.DELIVERED, "https://moved.example")


def test_a_static_subscription_gets_its_retries_too() -> None:
    transport = RecordingTransport(failing_first(1))
    house = House(transport, static=[make_subscription(2), make_subscription(1)])
    house.send()
    house.clock.advance(60)
    assert [one.kind for one in house.engine.run_due()] == [OutcomeKind.DELIVERED]


def test_a_static_subscription_that_configuration_no_longer_names_gets_no_retry() -> None:
    house = House(RecordingTransport(says_status(500)), static=[make_subscription()])
    house.send()
    house.static = [make_subscription(2)]
    house.clock.advance(60)
    (record,) = house.engine.run_due()
    assert record.last.outcome.reason is Reason.UNSUBSCRIBED


# Replay


def test_a_replay_sends_what_ended_again_under_the_same_id() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription())
    (first,) = house.send()
    again = house.replay(first.id)
    assert (again.id, again.last.number, again.kind) == (first.id, 2, OutcomeKind.DELIVERED)
    assert [one.body for one in transport.requests] == [b"42", b"42"]


def test_a_replay_of_what_could_not_be_written_says_so_and_sends_nothing() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription(1, content_type="text/csv"))
    (first,) = house.send()
    again = house.replay(first.id)
    assert again.last.outcome.reason is Reason.NOT_SERIALIZABLE
    assert "it could not be written when it was sent" in again.last.detail
    assert transport.requests == []


def test_a_replay_for_a_subscription_that_is_gone_is_an_error_and_leaves_what_is_known() -> None:
    house = House(RecordingTransport(), make_subscription())
    (first,) = house.send()
    house.store.remove(UUID(int=1))
    with pytest.raises(NotFound, match=f"the subscription of the delivery, {UUID(int=1)}, is removed"):
        house.replay(first.id)
    assert house.state(first) is DeliveryState.DELIVERED


def test_what_is_pending_for_a_subscription_that_is_removed_is_given_up() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription(1), make_subscription(2))
    first, second = sorted(house.send(), key=lambda one: one.subscription_id)
    house.engine.give_up(UUID(int=1))
    assert (house.state(first), house.state(second)) == (DeliveryState.CANCELLED, DeliveryState.PENDING)


def test_a_retry_for_a_subscriber_and_an_event_that_are_not_known_here_stays_pending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    house.store.record(evolve(first, event="elsewhere.declared"))
    house.store.remove(UUID(int=1))
    house.clock.advance(60)
    (left,) = house.engine.run_due()
    assert (left.last.number, left.kind) == (1, OutcomeKind.RETRY)
    assert left.next_attempt_at == house.clock() + timedelta(seconds=60)
    assert house.state(first) is DeliveryState.PENDING
    assert [one.number for one in house.store.attempts(first.id)] == [1]
    assert "delivery.left" in caplog.text


def test_a_static_subscriber_that_breaks_costs_no_other_its_retry(caplog: pytest.LogCaptureFixture) -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription(1), make_subscription(2))
    house.send()
    house.store.remove(UUID(int=1))
    house.static = BrokenList()
    house.clock.advance(60)
    attempts = {one.subscription_id.int: one.last.number for one in house.engine.run_due()}
    assert attempts == {1: 1, 2: 2}
    assert "a callable broke" in caplog.text


def test_what_is_left_here_while_another_process_attempts_it_stays_with_that_one() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    taken = lost(house, lost(house, first))
    house.store.remove(UUID(int=1))
    house.static = BrokenList()
    (left,) = house.engine.resume([first])
    assert left.last.number == 1
    assert house.store.delivery(first.id) == taken


def test_what_is_attempted_when_its_subscription_is_removed_is_given_up_unless_it_arrives() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription(1), make_subscription(2))
    first, second = house.send()
    for one in (first, second):
        lost(house, one)
        house.engine.give_up(one.subscription_id)
    assert [house.state(one) for one in (first, second)] == [DeliveryState.CANCELLED] * 2
    house.store.record(evolve(first, last=evolve(make_record().last, number=2)))
    house.store.record(evolve(second, last=evolve(second.last, number=2)))
    assert [house.state(one) for one in (first, second)] == [DeliveryState.DELIVERED, DeliveryState.CANCELLED]


def test_410_disables_a_subscription_whose_callable_broke_since() -> None:
    house = House(RecordingTransport(says_status(410)), make_subscription(2), static=[make_subscription(1)])
    dispatch = house.dispatch()
    subscriptions = list(house.engine.matching(dispatch.audience))
    house.static = BrokenList()
    assert len(list(house.engine.deliver(dispatch, subscriptions))) == 2
    assert [one.active for one in house.store.subscriptions()] == [False, False]


# What a dispatcher in another process asks for


def lost(house: House, record: DeliveryRecord) -> DeliveryRecord:
    """Takes a delivery, as a worker does that then dies; gives what the store says of it."""
    assert record.next_attempt_at is not None
    assert house.engine.take(record.id, record.last.number + 1, timeout=3.0) is not None
    left = house.store.delivery(record.id)
    assert left is not None
    return left


def test_those_subscriptions_are_given_that_are_there_in_the_order_asked_for() -> None:
    stored = [make_subscription(1), make_subscription(2, disabled="enough"), make_subscription(3)]
    house = House(RecordingTransport(), *stored, static=[make_subscription(4)])
    asked = [UUID(int=number) for number in (4, 3, 2, 5, 1)]
    found = house.engine.subscriptions(asked, Audience(event="order.created"))
    assert [(one.id.int, one.active) for one in found] == [(4, True), (3, True), (2, False), (1, True)]


def test_static_subscriptions_are_not_asked_for_where_all_are_stored() -> None:
    house = House(RecordingTransport(), make_subscription(1))
    house.static = BrokenList()
    (found,) = house.engine.subscriptions([UUID(int=1)], Audience(event="order.created"))
    assert found.id.int == 1


def test_a_static_subscription_that_was_disabled_in_the_store_is_given_as_the_store_has_it() -> None:
    house = House(
        RecordingTransport(), make_subscription(1, disabled="enough"), static=[make_subscription(1)]
    )
    (found,) = house.engine.subscriptions([UUID(int=1)], Audience(event="order.created"))
    assert found.disabled == "enough"


def test_a_delivery_that_is_taken_counts_as_lost_until_it_is_told_what_came_of_it() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    left = lost(house, first)
    assert (left.state, left.last.outcome.reason) == (DeliveryState.LEASED, Reason.WORKER_LOST)
    assert (left.last.number, left.body) == (2, first.body)
    assert left.next_attempt_at == NOW + timedelta(seconds=3 + 60)


def test_who_takes_a_delivery_is_told_what_was_known_of_it() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    assert first.next_attempt_at is not None
    known = house.store.delivery(first.id)
    assert house.engine.take(first.id, 2, timeout=3.0) == known


def test_each_attempt_of_a_delivery_is_taken_once() -> None:
    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    assert first.next_attempt_at is not None
    left = lost(house, first)
    assert house.engine.take(first.id, 2, timeout=3.0) is None
    assert lost(house, left).last.number == 3


def test_a_delivery_that_ended_or_is_not_known_is_not_taken() -> None:
    house = House(RecordingTransport(), make_subscription())
    (ended,) = house.send()
    assert house.engine.take(ended.id, 2, timeout=3.0) is None
    assert house.engine.take(UUID(int=7), 1, timeout=3.0) is None
    assert house.state(ended) is DeliveryState.DELIVERED


class Contested(MemoryStore):
    """Another process takes each delivery between our look at it and our take."""

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        seen = super().delivery(delivery_id)
        self.claim_due(NOW + timedelta(days=1), 1, make_claim(NOW + timedelta(days=2)))
        return seen


def test_a_delivery_that_another_process_takes_first_is_not_taken() -> None:
    pipeline = make_pipeline([RecordingTransport(says_status(500))], store=Contested())
    house = House(pipeline, make_subscription())
    (first,) = house.send()
    assert first.next_attempt_at is not None
    assert house.engine.take(first.id, 2, timeout=3.0) is None


def test_an_attempt_that_was_lost_is_told_when_the_delivery_is_resumed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    observer = RecordingObserver()
    pipeline = make_pipeline([RecordingTransport(failing_first(1))], observers=[observer])
    house = House(pipeline, make_subscription())
    (first,) = house.send()
    left = lost(house, first)
    (again,) = house.engine.resume([left])
    assert (again.kind, again.last.number) == (OutcomeKind.DELIVERED, 3)
    assert observer.records == [first, left, again]
    assert "reason=worker_lost" in caplog.text


def test_what_is_resumed_has_the_terms_of_its_event_or_those_it_travelled_with() -> None:
    transport = RecordingTransport(says_status(500))
    house = House(transport, make_subscription())
    (first,) = house.send()
    list(house.engine.resume([first]))
    list(house.engine.resume([first], evolve(TERMS, timeout=1.5)))
    assert [one.timeout for one in transport.requests] == [3.0, 3.0, 1.5]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 10), (2, 10), (11, 12)])
def test_a_delivery_whose_attempts_are_lost_is_given_up_in_the_end(
    retries: int, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    transport = RecordingTransport()
    terms = Terms(timeout=3.0, retry=RetryPolicy.fixed(times=retries, delay=60))
    house = House(transport, make_subscription(), terms=terms)
    (left,) = house.engine.keep(house.dispatch(), "no broker")
    for _ in range(attempts):
        left = lost(house, left)
    (record,) = house.engine.resume([left])
    assert transport.requests == []
    assert (record.kind, record.last.outcome.reason) == (OutcomeKind.FAILED, Reason.WORKER_LOST)
    assert (record.last.number, house.state(record)) == (attempts + 1, DeliveryState.FAILED)
    assert "this may be what ends them" in caplog.text


@pytest.mark.parametrize("retries", [0, 11])
def test_a_delivery_is_attempted_as_long_as_fewer_attempts_were_lost(retries: int) -> None:
    terms = Terms(timeout=3.0, retry=RetryPolicy.fixed(times=retries, delay=60))
    house = House(RecordingTransport(), make_subscription(), terms=terms)
    (left,) = house.engine.keep(house.dispatch(), "no broker")
    for _ in range(max(retries + 1, 10) - 1):
        left = lost(house, left)
    assert [one.kind for one in house.engine.resume([left])] == [OutcomeKind.DELIVERED]


def test_a_replay_is_attempted_however_many_attempts_were_lost() -> None:
    house = House(RecordingTransport(), make_subscription())
    (left,) = house.engine.keep(house.dispatch(), "no broker")
    for _ in range(20):
        left = lost(house, left)
    assert house.replay(left.id).kind is OutcomeKind.DELIVERED


def test_what_cannot_be_queued_is_kept_for_each_subscription_and_is_due_at_once() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription(1), static=[make_subscription(2)])
    kept = list(house.engine.keep(house.dispatch({"id": 42}), "no broker"))
    assert [one.subscription_id.int for one in kept] == [1, 2]
    for record in kept:
        assert (record.kind, record.last.outcome.reason) == (OutcomeKind.RETRY, Reason.NOT_QUEUED)
        assert (record.last.number, record.next_attempt_at) == (0, NOW)
        assert record.last.detail == "no broker"
        assert house.store.delivery(record.id) == evolve(record, accepted_at=NOW)
    assert transport.requests == []


def test_what_was_kept_is_delivered_as_a_first_attempt() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription())
    (kept,) = house.engine.keep(house.dispatch({"id": 42}), "no broker")
    (record,) = house.engine.run_due()
    assert (record.id, record.kind, record.last.number) == (kept.id, OutcomeKind.DELIVERED, 1)
    assert [one.body for one in transport.requests] == [b'{"id":42}']


def test_a_message_that_is_kept_twice_is_delivered_once() -> None:
    house = House(RecordingTransport(), make_subscription())
    dispatch = house.dispatch()
    for _ in range(2):
        list(house.engine.keep(dispatch, "no broker"))
    assert len(list(house.engine.run_due())) == 1


def test_what_is_kept_in_a_content_type_that_cannot_be_written_ends_unsent() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription(1, content_type="text/csv"))
    (kept,) = house.engine.keep(house.dispatch(), "no broker")
    assert kept.last.outcome.reason is Reason.NOT_SERIALIZABLE
    list(house.engine.run_due())
    assert house.state(kept) is DeliveryState.FAILED
    assert transport.requests == []


def test_an_event_that_is_not_declared_here_has_the_general_terms() -> None:
    house = House(RecordingTransport())
    assert house.engine.terms("order.created") is house.engine.terms("elsewhere.declared") is house.terms


def test_the_engine_gives_its_store_and_its_clock() -> None:
    house = House(RecordingTransport())
    assert house.engine.store is house.store
    assert house.engine.clock() == NOW


def test_a_dispatcher_can_tell_something_in_the_delivery_log(caplog: pytest.LogCaptureFixture) -> None:
    House(RecordingTransport()).engine.tell(logging.WARNING, "task.held", {"task": "thornsdk.deliver"})
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("thornsdk", logging.WARNING)
    assert record.getMessage() == "task.held task=thornsdk.deliver"


# A thousand


def test_of_a_thousand_subscribers_three_are_bad_and_997_are_delivered(open_endpoint: OpenEndpoint) -> None:
    def behave(handler: Handler, seen: Seen) -> None:
        if seen.path == "/hooks/hang":
            handler.close()
            handler.wait(30)
        else:
            handler.answer(500 if seen.path == "/hooks/500" else 200, b"ok")

    endpoint = open_endpoint(behave)
    paths = {100: "hang", 500: "500"}
    subscriptions = [
        make_subscription(number, url=f"{endpoint.url}/{paths.get(number, number)}")
        for number in range(1, 1001)
    ]
    rules = AddressRules(["127.0.0.0/8"], ports={endpoint.port})
    pipeline = make_pipeline(
        [PooledTransport(concurrency=8)],
        signers=[BrokenSigner({UUID(int=900)})],
    )
    house = House(pipeline, *subscriptions, rules=rules, terms=evolve(TERMS, timeout=2.0))
    found = house.send()
    pipeline.close()
    assert Counter(one.kind for one in found)[OutcomeKind.DELIVERED] == 997
    bad = {one.subscription_id.int: one for one in found if one.kind is not OutcomeKind.DELIVERED}
    assert {number: one.last.outcome.reason for number, one in bad.items()} == {
        100: Reason.TIMEOUT,
        500: Reason.STATUS,
        900: Reason.STAGE_FAILED,
    }
    assert len(endpoint.seen) == 999


def test_what_cannot_be_written_fails_at_once_where_the_message_is_kept() -> None:
    transport = RecordingTransport()
    house = House(transport, make_subscription(1, content_type="text/csv"), make_subscription(2))
    failed, kept = sorted(house.engine.keep(house.dispatch(), "no broker"), key=lambda one: one.kind)
    assert (failed.kind, failed.last.outcome.reason) == (OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE)
    assert "no serializer writes text/csv" in failed.last.detail
    assert (kept.kind, kept.subscription_id.int) == (OutcomeKind.RETRY, 2)
    assert transport.requests == []


def test_an_attempt_of_what_is_due_counts_although_its_process_dies() -> None:
    def die(request: Request) -> Response:
        raise SystemExit

    house = House(RecordingTransport(says_status(500)), make_subscription())
    (first,) = house.send()
    house.clock.advance(60)
    dying = House(make_pipeline([RecordingTransport(die)], store=house.store), clock=house.clock)
    with pytest.raises(SystemExit):
        list(dying.engine.run_due())
    left = house.store.delivery(first.id)
    assert left is not None
    assert (left.last.number, left.last.outcome.reason) == (2, Reason.WORKER_LOST)


def test_an_attempt_that_was_lost_is_not_told_while_the_delivery_can_only_be_left() -> None:
    observer = RecordingObserver()
    house = House(make_pipeline([RecordingTransport(says_status(500))], observers=[observer]))
    record = evolve(make_record(OutcomeKind.RETRY), event="user.created")
    (left,) = house.engine.resume([house.engine.lost(record, NOW)])
    assert left.next_attempt_at == NOW + timedelta(seconds=60)
    assert observer.records == []
