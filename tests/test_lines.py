"""Ordered subscriptions: of the messages with one value of a field, each waits for the one before."""

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import delivery
from support.stages import (
    NOW,
    CountingSerializer,
    ProgrammedTransport,
    TimedTransport,
    answered,
    make_dispatch,
    make_message,
    make_pipeline,
    make_subscription,
)
from thornsdk import (
    Bodies,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Exchange,
    OutcomeKind,
    Reason,
    Receipt,
    Request,
    Response,
    Serializer,
    Store,
    Subscription,
    Tally,
    Thorn,
    Transport,
)
from thornsdk.engine import Engine
from thornsdk.errors import PipelineError, StoreDamaged
from thornsdk.lines import LONGEST_WAIT, SHORTEST_WAIT
from thornsdk.replaying import Replays
from thornsdk.testing import FakeClock, RecordingObserver, RecordingTransport
from thornsdk_plugins.cloudevents import StructuredCloudEventsSerializer
from thornsdk_plugins.form import FormSerializer
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

MINUTE = 60.0
HOUR = 3600.0
DAY = timedelta(days=1)
URL = "https://customer.example.com/"
CLOUD_EVENT = "application/cloudevents+json"


@define
class Receiver:
    """Answers each message as its script says, then with 200; keeps the names of those that came."""

    script: dict[str, list[int]] = field(factory=dict)
    came: list[str] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)

    def __call__(self, request: Request) -> Response:
        name = json.loads(request.body)["name"]
        with self.lock:
            self.came.append(name)
            left = self.script.get(name, [])
            return Response(status=left.pop(0) if left else 200)


class Shop:
    """A Thorn with an ordered subscription; a message is called by its order and a number, such as a1."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        receiver: Receiver,
        transport: Transport | None = None,
        **options: Any,
    ) -> None:
        self.receiver = receiver
        self.store = store
        self.clock = clock
        ours: dict[str, Any] = {"retry_schedule": [MINUTE], "breaker_failures": 0, **options}
        self.thorn = Thorn(
            pipeline=make_pipeline([transport or TimedTransport(receiver, clock)], store=store),
            clock=clock,
            random=lambda: 0.0,
            **ours,
        )
        self.changed = self.thorn.event("order.changed")

    def subscribe(self, **parts: Any) -> Subscription:
        return self.thorn.subscribe("order.*", URL, **{"ordered_by": "order", **parts})

    def send(self, *names: str) -> list[Receipt]:
        return [self.changed.send({"order": name[0], "name": name}) for name in names]

    def run_due(self, after: float = 0.0) -> Tally:
        self.clock.advance(after)
        return self.thorn.run_due()

    def record(self, name: str) -> DeliveryRecord:
        (found,) = [one for one in self.thorn.deliveries() if json.loads(one.body)["name"] == name]
        return found


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture(params=["accepted first", "not"])
def shop(
    request: pytest.FixtureRequest, store: Store, clock: FakeClock, receiver: Receiver
) -> Iterator[Shop]:
    """Over each store, also where messages are not accepted before they are sent."""
    durable = request.param == "accepted first" and store.identity is not None
    one = Shop(store, clock, receiver, durable=durable)
    with one.thorn:
        yield one


# The key


@pytest.mark.parametrize(
    ("payload", "path", "key"),
    [
        ({"id": "42"}, "id", '"42"'),
        ({"id": 42}, "id", "42"),
        ({"id": True}, "id", "true"),
        ({"order": {"id": "ö"}}, "order.id", '"\\u00f6"'),
        ({"id": None}, "id", None),
        ({"id": 1.5}, "id", None),
        ({"id": [1]}, "id", None),
        ({"id": {"a": 1}}, "id", None),
        ({"id": 1}, "other", None),
        ({"id": 1}, "id.other", None),
        ([1], "id", None),
        (42, "id", None),
    ],
)
def test_the_key_is_a_text_a_whole_number_or_a_boolean_of_the_payload(
    payload: object, path: str, key: str | None
) -> None:
    assert Bodies({"application/json": JsonSerializer()}, make_message(payload)).order_key(path) == key


def test_the_body_is_read_once_for_all_keys() -> None:
    serializer = CountingSerializer()
    bodies = Bodies({"application/json": serializer}, make_message())
    assert [bodies.order_key(path) for path in ("a", "b")] == [None, None]
    assert serializer.count == 1


@pytest.mark.parametrize("content_type", ["application/JSON; charset=utf-8", "application/vnd.acme+json"])
def test_json_is_json_under_any_of_its_names(content_type: str) -> None:
    assert (
        Bodies({content_type: JsonSerializer(content_type)}, make_message({"id": 1})).order_key("id") == "1"
    )


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_no_json_has_no_key(body: bytes) -> None:
    assert Bodies.written({"application/json": body}).order_key("id") is None


def test_what_cannot_be_written_as_json_has_no_key() -> None:
    assert Bodies({"application/json": JsonSerializer()}, make_message(object())).order_key("id") is None
    assert Bodies({}, make_message()).order_key("id") is None


@pytest.mark.parametrize("written_here", [True, False])
@pytest.mark.parametrize("content_type", [CLOUD_EVENT, "Application/CloudEvents+JSON; charset=utf-8"])
def test_the_payload_of_a_cloud_event_is_its_data(content_type: str, written_here: bool) -> None:
    serializer = StructuredCloudEventsSerializer(content_type, source="/shop")
    bodies = Bodies({content_type: serializer}, make_message({"order": {"id": 7}, "source": "web"}))
    given = bodies if written_here else Bodies.written(bodies.in_all_types())
    assert [given.order_key(path) for path in ("order.id", "source")] == ["7", '"web"']
    assert [given.order_key(path) for path in ("data.order.id", "id")] == [None, None]


@pytest.mark.parametrize("body", [b"42", b"{}", b'{"data":null}', b'{"data":"7"}'])
def test_what_is_no_cloud_event_with_an_object_as_its_data_has_no_key(body: bytes) -> None:
    assert Bodies.written({CLOUD_EVENT: body}).order_key("id") is None


def test_a_member_of_plain_json_that_is_called_data_is_a_part_of_the_payload() -> None:
    body = {"application/json": b'{"data":{"id":7},"id":8}'}
    assert [Bodies.written(body).order_key(path) for path in ("id", "data.id")] == ["8", "7"]


def test_a_pipeline_without_json_takes_no_ordered_subscription(clock: FakeClock) -> None:
    form: Serializer = FormSerializer()
    pipeline = make_pipeline([RecordingTransport()], serializers=[form])
    ordered = make_subscription(content_type=form.content_type, ordered_by="id")
    with Thorn(pipeline=pipeline, clock=clock) as thorn:
        with pytest.raises(PipelineError, match="ordered_by is 'id', a field of the JSON body"):
            thorn.subscribe("order.*", URL, ordered_by="id")
        with pytest.raises(PipelineError, match="writes JSON"):
            thorn.event("order.created", subscribers=ordered)
        thorn.event("order.created")
    with pytest.raises(PipelineError, match="writes JSON"):
        Thorn(pipeline=pipeline, subscribers={"order.*": ordered})


# The order


def test_what_is_sent_in_turn_arrives_at_once_and_keeps_its_key(shop: Shop) -> None:
    shop.subscribe()
    receipts = shop.send("a1", "a2", "b1")
    assert [one.outcomes.delivered for one in receipts] == [1, 1, 1]
    assert (shop.record("a1").order_key, shop.record("b1").order_key) == ('"a"', '"b"')


def test_those_behind_one_that_is_tried_again_wait_for_it(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    receipts = shop.send("a1", "a2", "a3")
    assert [one.outcomes.retry for one in receipts] == [1, 1, 1]
    assert shop.receiver.came == ["a1"]
    assert shop.run_due().total == 0
    assert shop.run_due(after=MINUTE).delivered == 3
    assert shop.receiver.came == ["a1", "a1", "a2", "a3"]


def test_one_run_goes_on_with_a_line_though_the_transport_has_asked_for_all_that_is_due(
    store: Store, clock: FakeClock, receiver: Receiver
) -> None:
    def all_at_once(requests: Iterable[Request]) -> Iterator[Exchange]:
        return iter([answered(one, receiver) for one in list(requests)])

    receiver.script["a1"] = [500]
    shop = Shop(store, clock, receiver, transport=ProgrammedTransport(all_at_once))
    shop.subscribe()
    shop.send("a1", "a2", "a3")
    assert shop.run_due(after=MINUTE).delivered == 3
    assert receiver.came == ["a1", "a1", "a2", "a3"]
    assert shop.run_due().total == 0
    shop.thorn.close()


def test_one_that_waits_says_why_and_has_spent_no_attempt(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1", "a2")
    waiting = shop.record("a2")
    assert (waiting.state, waiting.held, waiting.last.number) == (
        DeliveryState.PENDING,
        Reason.OUT_OF_TURN,
        0,
    )
    assert waiting.last.outcome.reason is Reason.OUT_OF_TURN
    assert waiting.next_attempt_at == shop.record("a1").next_attempt_at
    assert shop.thorn.attempts(waiting.id) == []
    shop.run_due(after=MINUTE)
    assert shop.record("a2").last.number == 1


def test_no_wait_is_longer_than_an_hour(store: Store, clock: FakeClock, receiver: Receiver) -> None:
    receiver.script["a1"] = [500]
    with Shop(store, clock, receiver, retry_schedule=[5 * HOUR]).thorn as thorn:
        changed = thorn.event("order.moved")
        thorn.subscribe("order.*", URL, ordered_by="order")
        for name in ("a1", "a2"):
            changed.send({"order": "a", "name": name})
        for _ in range(4):
            (waiting,) = (one for one in thorn.deliveries() if one.last.number == 0)
            assert waiting.next_attempt_at == clock.now + LONGEST_WAIT
            clock.advance(HOUR)
            assert thorn.run_due().retry == 1


def test_behind_one_that_is_due_already_the_wait_is_long_enough_not_to_spin(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1")
    shop.clock.advance(HOUR)
    shop.send("a2")
    due_at = shop.record("a2").next_attempt_at
    assert due_at is not None
    assert due_at >= shop.clock.now + SHORTEST_WAIT


def test_keys_and_subscriptions_wait_for_none_but_their_own(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1")
    shop.subscribe()
    outcomes = [one.outcomes for one in shop.send("a2", "b1")]
    assert [(one.delivered, one.retry) for one in outcomes] == [(1, 1), (2, 0)]


def test_a_message_without_the_field_waits_for_none(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1")
    for order in (None, ["a"], {"a": 1}):
        assert shop.changed.send({"order": order, "name": "free"}).outcomes.delivered == 1
    assert shop.changed.send({"name": "free"}).outcomes.delivered == 1


def test_those_that_wait_wait_no_more_when_their_subscription_is_ordered_no_more(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500]
    one = shop.subscribe()
    shop.send("a1", "a2")
    shop.store.change(one.id, lambda known: evolve(known, ordered_by=None))
    assert shop.send("a3")[0].outcomes.delivered == 1
    assert shop.run_due(after=MINUTE).delivered == 1
    assert shop.receiver.came == ["a1", "a3", "a1", "a2"]


def test_buffered_messages_keep_their_order(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    with shop.thorn.buffer():
        shop.send("a1", "a2", "b1", "a3")
    shop.run_due(after=MINUTE)
    assert shop.receiver.came == ["a1", "b1", "a1", "a2", "a3"]


def test_what_is_kept_without_an_attempt_is_delivered_in_order(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    for name in ("a1", "a2", "a3"):
        dispatch = make_dispatch({"order": "a", "name": name}, at=shop.clock.now)
        assert len(list(shop.thorn.deliverer.keep(dispatch, "no broker"))) == 1
    shop.run_due()
    assert shop.receiver.came == ["a1"]
    shop.run_due(after=MINUTE)
    assert shop.receiver.came == ["a1", "a1", "a2", "a3"]


def test_sent_again_with_its_key_a_message_keeps_its_place(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    for name in ("a1", "a2", "a1"):
        shop.changed.send({"order": "a", "name": name}, idempotency_key=name)
    assert len(list(shop.thorn.deliveries())) == 2
    shop.run_due(after=MINUTE)
    assert shop.receiver.came == ["a1", "a1", "a2"]


# When one is given up


def test_behind_one_that_failed_a_line_that_stops_waits_until_it_is_replayed(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500, 500]
    shop.subscribe(when_failed="stop")
    shop.send("a1", "a2", "a3")
    assert shop.run_due(after=MINUTE).failed == 1
    for _ in range(30):
        assert shop.run_due(after=HOUR).delivered == 0
    assert shop.receiver.came == ["a1", "a1"]
    failed = shop.record("a1").id
    assert shop.thorn.replay(failed).kind is OutcomeKind.FAILED
    assert shop.run_due().delivered == 0
    assert shop.thorn.replay(failed).kind is OutcomeKind.DELIVERED
    assert shop.run_due().delivered == 2
    assert shop.receiver.came == ["a1"] * 4 + ["a2", "a3"]


def test_behind_one_that_failed_a_line_that_skips_goes_on(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500]
    shop.subscribe(when_failed="skip")
    shop.send("a1", "a2", "a3")
    assert shop.run_due(after=MINUTE).delivered == 2
    assert shop.receiver.came == ["a1", "a1", "a2", "a3"]
    assert shop.send("a4")[0].outcomes.delivered == 1


def test_a_subscription_that_skips_from_now_on_frees_those_that_wait(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500]
    one = shop.subscribe(when_failed="stop")
    shop.send("a1", "a2")
    shop.run_due(after=MINUTE)
    shop.store.change(one.id, lambda known: evolve(known, when_failed="skip"))
    assert shop.run_due(after=HOUR).delivered == 1


def test_a_line_that_is_stopped_for_long_does_not_disable_its_subscription(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500]
    one = shop.subscribe(when_failed="stop")
    shop.send("a1", "a2")
    shop.run_due(after=MINUTE)
    shop.run_due(after=30 * 24 * HOUR)
    known = shop.store.find(one.id)
    assert known is not None
    assert known.active
    assert shop.record("a2").state is DeliveryState.PENDING


def test_what_was_cancelled_is_in_nobodys_way(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    one = shop.subscribe()
    shop.send("a1", "a2")
    shop.thorn.disable(one.id)
    assert shop.run_due(after=MINUTE).failed == 2
    assert shop.record("a2").state is DeliveryState.CANCELLED
    shop.thorn.enable(one.id)
    assert shop.send("a3")[0].outcomes.delivered == 1


# Crashes, races, and rows that cannot be read


def test_after_a_crash_between_an_end_and_the_next_the_line_goes_on_in_time(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1", "a2")
    first = shop.record("a1")
    arrived = evolve(shop.record("a1").last, number=2, outcome=evolve(first.last.outcome, retry_at=None))
    ended = evolve(arrived, outcome=evolve(arrived.outcome, kind=OutcomeKind.DELIVERED))
    shop.store.record(evolve(first, last=ended))  # And nothing else: the process is dead.
    assert shop.run_due().total == 0
    assert shop.run_due(after=MINUTE).delivered == 1
    assert shop.receiver.came == ["a1", "a2"]


def test_a_process_that_died_over_an_attempt_lets_none_pass_before_its_lease_is_over(shop: Shop) -> None:
    shop.subscribe()
    first = shop.send("a1")
    shop.send("a2")
    assert first[0].outcomes.delivered == 1
    lost = shop.thorn.deliverer.lost(shop.record("a2"), shop.clock.now + timedelta(seconds=MINUTE))
    shop.store.accept([evolve(lost, id=UUID(int=7), message_id=UUID(int=8), accepted_at=None)])
    assert shop.send("a3")[0].outcomes.retry == 1
    assert shop.run_due(after=MINUTE).delivered == 2
    assert shop.receiver.came == ["a1", "a2", "a2", "a3"]


def test_an_attempt_that_was_lost_is_told_once_however_often_its_delivery_waits(
    clock: FakeClock, receiver: Receiver
) -> None:
    receiver.script["a1"] = [500] * 9
    observer = RecordingObserver()
    pipeline = make_pipeline([TimedTransport(receiver, clock)], observers=[observer])
    with Thorn(pipeline=pipeline, clock=clock, retry_schedule=[MINUTE] * 9, breaker_failures=0) as thorn:
        thorn.subscribe("order.*", URL, ordered_by="order")
        changed = thorn.event("order.changed")
        for name in ("a1", "a2"):
            changed.send({"order": "a", "name": name})
        clock.advance(HOUR)
        lost_at = clock.now + timedelta(seconds=MINUTE)
        store, deliverer = thorn.deliverer.store, thorn.deliverer
        assert len(store.claim_due(clock.now, 2, lambda one: deliverer.lost(one, lost_at))) == 2
        for _ in range(3):
            clock.advance(2 * MINUTE)
            thorn.run_due()
    lost = [one.id for one in observer.records if one.last.outcome.reason is Reason.WORKER_LOST]
    assert len(lost) == len(set(lost)) == 2


class Overtaken(MemoryStore):
    """What is ahead ends in the moment after it was found there."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = False

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        found = super().ahead_of(delivery_id, stop=stop)
        if found is not None and self.ends:
            gone = evolve(found.last.outcome, kind=OutcomeKind.DELIVERED, retry_at=None)
            self.record(evolve(found, last=evolve(found.last, outcome=gone)))
        return found


def test_one_that_was_held_back_too_late_to_be_called_is_due_at_once(
    clock: FakeClock, receiver: Receiver
) -> None:
    store = Overtaken()
    receiver.script["a1"] = [500]
    shop = Shop(store, clock, receiver)
    shop.subscribe()
    shop.send("a1")
    store.ends = True
    assert shop.send("a2")[0].outcomes.retry == 1
    assert shop.run_due().delivered == 1
    shop.thorn.close()


class Contested(MemoryStore):
    """Another process takes the next in line, in the moment after it was found."""

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        found = super().next_in_line(delivery_id)
        if found is not None:
            self.record(found.due_at(NOW + DAY))
        return found


def test_one_that_another_process_takes_at_its_turn_is_left_to_that(
    clock: FakeClock, receiver: Receiver
) -> None:
    receiver.script["a1"] = [500]
    shop = Shop(Contested(), clock, receiver)
    shop.subscribe()
    shop.send("a1", "a2")
    assert shop.thorn.replay(shop.record("a1").id).kind is OutcomeKind.DELIVERED
    assert shop.record("a2").next_attempt_at == NOW + DAY
    shop.thorn.close()


class Damaged(MemoryStore):
    """Its lines can be read so many times, and no more."""

    def __init__(self, good_for: int = 0) -> None:
        super().__init__()
        self.good_for = good_for

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        self.break_in_time()
        return super().ahead_of(delivery_id, stop=stop)

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        self.break_in_time()
        return super().next_in_line(delivery_id)

    def break_in_time(self) -> None:
        self.good_for -= 1
        if self.good_for < 0:
            raise StoreDamaged("a row cannot be read")


def test_a_line_that_cannot_be_read_waits_and_holds_up_nothing_else(
    clock: FakeClock, receiver: Receiver
) -> None:
    shop = Shop(Damaged(), clock, receiver)
    shop.subscribe()
    shop.thorn.subscribe("order.*", URL)
    (receipt,) = shop.send("a1")
    assert (receipt.outcomes.delivered, receipt.outcomes.retry) == (1, 1)
    (waiting,) = shop.thorn.deliveries(DeliveryState.PENDING)
    assert waiting.next_attempt_at == clock.now + LONGEST_WAIT
    assert shop.thorn.replay(waiting.id).kind is OutcomeKind.DELIVERED
    shop.thorn.close()


def test_one_that_is_held_back_stays_so_where_its_line_cannot_be_read_any_more(
    clock: FakeClock, receiver: Receiver
) -> None:
    receiver.script["a1"] = [500]
    shop = Shop(Damaged(good_for=2), clock, receiver)
    shop.subscribe()
    shop.send("a1")
    assert shop.send("a2")[0].outcomes.retry == 1
    assert shop.record("a2").next_attempt_at == shop.record("a1").next_attempt_at
    shop.thorn.close()


# Replays


def replay_all(shop: Shop, *states: DeliveryState, new_ids: bool = False) -> Tally:
    shop.clock.advance(1)
    return shop.thorn.replay_all(DeliveryFilter(states=frozenset(states) or None), new_ids=new_ids)


def test_a_replay_is_made_at_once_whoever_is_before_it(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    shop.subscribe()
    shop.send("a1", "a2")
    assert shop.thorn.replay(shop.record("a2").id).kind is OutcomeKind.DELIVERED
    assert shop.receiver.came == ["a1", "a2"]


@pytest.mark.parametrize("when_failed", ["stop", "skip"])
def test_many_that_failed_go_back_into_their_line_in_the_order_in_which_they_were_sent(
    when_failed: str, shop: Shop
) -> None:
    shop.subscribe(when_failed="skip")
    for name in ("a1", "a2", "a3"):
        shop.receiver.script[name] = [500, 500]
        shop.send(name)
        shop.run_due(after=MINUTE)
        shop.clock.advance(1)
    (one,) = shop.thorn.subscriptions()
    shop.store.change(one.id, lambda known: evolve(known, when_failed=when_failed))
    assert replay_all(shop, DeliveryState.FAILED).retry == 3
    assert {record.state for record in shop.thorn.deliveries()} == {DeliveryState.PENDING}
    shop.receiver.came.clear()
    assert shop.run_due().delivered == 3
    assert shop.receiver.came == ["a1", "a2", "a3"]


def test_they_go_back_those_first_that_were_sent_first(shop: Shop) -> None:
    shop.subscribe(when_failed="skip")
    for name in ("a1", "b1", "a2"):
        shop.receiver.script[name] = [500, 500]
        shop.send(name)
        shop.run_due(after=MINUTE)
    engine = shop.thorn.deliverer
    assert isinstance(engine, Engine)
    back = list(Replays(engine).all(DeliveryFilter(), new_ids=False))
    assert [json.loads(one.body)["name"] for one in back] == ["a1", "b1", "a2"]


def test_what_was_cancelled_is_attempted_when_it_is_back_in_its_line(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500]
    one = shop.subscribe()
    shop.send("a1", "a2")
    shop.thorn.disable(one.id)
    shop.run_due(after=MINUTE)
    shop.thorn.enable(one.id)
    assert replay_all(shop, DeliveryState.CANCELLED).retry == 2
    assert shop.run_due().delivered == 2
    assert shop.receiver.came == ["a1", "a1", "a2"]


def test_what_arrived_is_sent_again_at_once_and_in_no_order(shop: Shop) -> None:
    shop.subscribe()
    shop.send("a1", "a2")
    assert replay_all(shop).delivered == 2
    assert sorted(shop.receiver.came) == ["a1", "a1", "a2", "a2"]


def test_as_new_deliveries_they_are_at_the_end_of_their_line(shop: Shop) -> None:
    shop.receiver.script["a3"] = [500]
    shop.subscribe()
    for name in ("a1", "a2"):
        shop.send(name)
        shop.clock.advance(1)
    shop.send("a3")
    assert replay_all(shop, new_ids=True).retry == 2
    assert shop.run_due().delivered == 0
    assert shop.run_due(after=MINUTE).delivered == 3
    assert shop.receiver.came == ["a1", "a2", "a3", "a3", "a1", "a2"]
    assert len(list(shop.thorn.deliveries(DeliveryState.DELIVERED))) == 5


def test_what_is_gone_when_its_turn_comes_is_not_put_back(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500] * 4
    shop.subscribe(when_failed="skip")
    shop.thorn.subscribe("order.*", URL)
    shop.send("a1")
    shop.run_due(after=MINUTE)
    engine = shop.thorn.deliverer
    assert isinstance(engine, Engine)
    replayed = Replays(engine).all(DeliveryFilter(), new_ids=False)
    assert next(replayed).kind is OutcomeKind.DELIVERED
    shop.store.prune(keep=0)
    assert list(replayed) == []


@pytest.mark.parametrize("new_ids", [False, True])
def test_what_has_no_body_to_send_fails_again_in_its_line(
    new_ids: bool, clock: FakeClock, receiver: Receiver
) -> None:
    form = CountingSerializer(content_type="text/x", problem=KeyError("a"))
    pipeline = make_pipeline([RecordingTransport(receiver)], serializers=[JsonSerializer(), form])
    with Thorn(pipeline=pipeline, clock=clock) as thorn:
        thorn.subscribe("order.*", URL, content_type="text/x", ordered_by="order", when_failed="skip")
        changed = thorn.event("order.changed")
        assert changed.send({"order": "a"}).outcomes.failed == 1
        clock.advance(1)
        assert thorn.replay_all(DeliveryFilter(), new_ids=new_ids).retry == 1
        assert [one.last.outcome.reason for one in thorn.run_due().problems] == [Reason.NOT_SERIALIZABLE]
        assert receiver.came == []


def test_what_stops_a_line_is_not_pruned_while_others_wait(shop: Shop) -> None:
    shop.receiver.script["a1"] = [500, 500]
    shop.subscribe()
    shop.send("a1", "a2")
    shop.run_due(after=MINUTE)
    shop.clock.advance(30 * 24 * HOUR)
    assert shop.thorn.prune(older_than=DAY, keep=0).total == 0
    assert shop.run_due().delivered == 0
    shop.thorn.replay(shop.record("a1").id)
    shop.run_due()
    assert shop.thorn.prune(keep=0).delivered == 2


def test_what_a_line_skips_is_pruned_though_others_wait(shop: Shop) -> None:
    shop.receiver.script |= {"a1": [500, 500], "a2": [500]}
    shop.subscribe(when_failed="skip")
    shop.send("a1", "a2")
    shop.run_due(after=MINUTE)
    assert shop.record("a2").state is DeliveryState.PENDING
    assert shop.thorn.prune(keep=0).failed == 1
    assert shop.run_due(after=MINUTE).delivered == 1


def test_what_is_dropped_of_a_long_line_in_memory_is_found_at_once() -> None:
    count = 300
    store, subscription = MemoryStore(limit=count), make_subscription(1, ordered_by="order")
    failed = [evolve(delivery(OutcomeKind.FAILED), order_key="a") for _ in range(count)]
    behind = evolve(delivery(due=NOW), order_key="a")
    line = [evolve(one, subscription_id=subscription.id) for one in (*failed, behind)]
    store.accept(line)
    looks = 0

    class Looked(OrderedDict[UUID, DeliveryRecord]):
        def __contains__(self, key: object) -> bool:
            nonlocal looks
            looks += 1
            return super().__contains__(key)

    store._open = Looked(store._open)
    store.record(delivery())
    assert looks <= 2 * count


# Whatever happens


SENT = [f"{key}{number}" for number in range(1, 5) for key in "ab"]
scripts = st.fixed_dictionaries({name: st.lists(st.sampled_from([200, 500]), max_size=3) for name in SENT})


def per_key(came: Sequence[str]) -> Mapping[str, list[int]]:
    lines: dict[str, list[int]] = defaultdict(list)
    for name in came:
        lines[name[0]].append(int(name[1:]))
    return lines


def assert_in_order(came: Sequence[str]) -> None:
    """None came after one that was sent later: that a message came again is no matter."""
    for numbers in per_key(came).values():
        assert all(before <= after for before, after in pairwise(numbers)), came


@settings(max_examples=15, deadline=None)
@given(
    script=scripts,
    when_failed=st.sampled_from(["stop", "skip"]),
    sent_by=st.lists(st.integers(0, 2), max_size=8),
)
def test_processes_side_by_side_keep_the_order_whatever_fails(
    script: dict[str, list[int]], when_failed: str, sent_by: list[int]
) -> None:
    clock, receiver = FakeClock(), Receiver(script)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        shops = [Shop(SqliteStore(Path(folder) / "thorn.db"), clock, receiver) for _ in range(3)]
        for one in shops:
            stack.enter_context(one.thorn)
        pool = stack.enter_context(ThreadPoolExecutor(3))
        shops[0].subscribe(when_failed=when_failed)
        for number, name in enumerate(SENT):
            shops[sent_by[number] if number < len(sent_by) else 0].send(name)
        for _ in range(40):
            clock.advance(HOUR)
            list(pool.map(Shop.run_due, shops))
        assert_in_order(receiver.came)
        left = list(shops[0].thorn.deliveries(DeliveryState.PENDING))
        failed = {one.order_key for one in shops[0].thorn.deliveries(DeliveryState.FAILED)}
        assert {one.order_key for one in left} <= (failed if when_failed == "stop" else set())


SENDERS = range(3)
SENT_AT_ONCE = [f"{key}{sender}{number}" for sender in SENDERS for number in range(4) for key in "ab"]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=10, deadline=None)
@given(
    script=st.fixed_dictionaries(
        {name: st.lists(st.sampled_from([200, 500]), max_size=3) for name in SENT_AT_ONCE}
    )
)
def test_what_each_of_several_senders_sends_in_turn_arrives_in_turn(
    kind: str, script: dict[str, list[int]]
) -> None:
    clock, receiver = FakeClock(), Receiver(script)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store: Store = MemoryStore() if kind == "memory" else SqliteStore(Path(folder) / "thorn.db")
        shops = [Shop(store, clock, receiver, retry_schedule=[0, 0, 0]) for _ in SENDERS]
        for one in shops:
            stack.enter_context(one.thorn)
        shops[0].subscribe()

        def send_and_run(sender: int) -> None:
            names = [name for name in SENT_AT_ONCE if name[1] == str(sender)]
            for number in range(0, len(names), 4):
                shops[sender].send(*names[number : number + 4])
                shops[sender].run_due()

        with ThreadPoolExecutor(len(SENDERS)) as pool:
            list(pool.map(send_and_run, SENDERS))
        for _ in range(3):
            shops[0].run_due(after=HOUR)
        for sender in map(str, SENDERS):
            assert_in_order([name[0] + name[2:] for name in receiver.came if name[1] == sender])
        assert set(receiver.came) == set(SENT_AT_ONCE)


# Cancelling


def test_a_delivery_that_stops_a_line_can_be_cancelled_and_the_line_goes_on(shop: Shop) -> None:
    shop.receiver.script["a1"] = [503, 503]
    shop.subscribe()
    shop.send("a1", "a2")
    shop.clock.advance(MINUTE)
    shop.thorn.run_due()
    (failed,) = shop.thorn.deliveries(DeliveryState.FAILED)
    cancelled = shop.thorn.cancel(failed.id)
    assert (cancelled.state, cancelled.last.outcome.reason) == (DeliveryState.CANCELLED, Reason.CANCELLED)
    assert shop.thorn.run_due().delivered == 1
    assert shop.receiver.came == ["a1", "a1", "a2"]


def test_what_was_sent_while_it_was_disabled_is_replayed_in_order(shop: Shop) -> None:
    one = shop.subscribe()
    shop.thorn.disable(one.id)
    shop.send("a1", "a2", "a3")
    shop.thorn.enable(one.id)
    assert shop.thorn.replay_all(DeliveryFilter(states=frozenset({DeliveryState.CANCELLED}))).retry == 3
    assert {record.state for record in shop.thorn.deliveries()} == {DeliveryState.PENDING}
    assert shop.thorn.run_due().delivered == 3
    assert shop.receiver.came == ["a1", "a2", "a3"]
