"""The limits of subscriptions at work: what is too fast or too much is put off, and nothing is lost."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from conftest import OpenThorn
from support.stages import (
    TERMS,
    BrokenSigner,
    TimedTransport,
    accepts,
    answered,
    make_pipeline,
    make_subscription,
    raises,
    says_status,
)
from thornsdk import (
    Breaker,
    Delivery,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Exchange,
    OutcomeKind,
    Planned,
    RateLimit,
    Reason,
    Request,
    Response,
    Store,
    Subscription,
    Tally,
    Thorn,
    Traffic,
)
from thornsdk.errors import InvalidValue, NotFound, StoreDamaged, StoreError, TransportError
from thornsdk.limits import Limits
from thornsdk.testing import Answer, FakeClock, Handler, RecordingSigner, Seen
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk.turns import InTurn
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

SLOW = RateLimit(per_second=10, burst=5)
KEY = UUID(int=1)


class KeepingTransport(TimedTransport):
    """Keeps all that it is given in flight, until there is no more; then each is answered after a while."""

    most = 0

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in list(requests):
            yield answered(one, self.send)


class House:
    """A process that sends to one subscription."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        answer: Answer = accepts,
        transport: Callable[[Answer, FakeClock], TimedTransport] = TimedTransport,
        signer: RecordingSigner | None = None,
    ) -> None:
        self.answer = answer
        self.clock = clock
        self.store = store
        self.began: list[datetime] = []
        self.slept: list[float] = []
        self.before_waking: Callable[[], object] = lambda: None
        self.transport = transport(self._answer, clock)
        self.thorn = Thorn(
            pipeline=make_pipeline([self.transport], store=store, signers=[signer or RecordingSigner()]),
            clock=clock,
            random=lambda: 0.0,
            sleep=self._sleep,
            retry_schedule=[1] * 20,
            breaker_failures=3,
        )
        self.event = self.thorn.event("order.created", timeout=10)

    def _answer(self, request: Request) -> Response:
        self.began.append(self.clock.now)
        return self.answer(request)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.before_waking()

    def send(self, times: int = 1) -> list[DeliveryRecord]:
        """Sends so many messages, and gives those that were not delivered."""
        receipts = [self.event.send({}) for _ in range(times)]
        return [one for receipt in receipts for one in receipt.outcomes.problems]

    def run_due(self, after: float = 0.0) -> Tally:
        self.clock.advance(after)
        return self.thorn.run_due()

    def run_to_the_end(self) -> int:
        """Attempts all that is due, whenever it is, and gives how often something was put off again."""
        put_off = 0
        while (due_at := self.thorn.next_due()) is not None:
            self.clock.now = max(due_at, self.clock.now)
            put_off += self.thorn.run_due().retry
        return put_off

    @property
    def requests(self) -> int:
        return len(self.transport.requests)

    @property
    def traffic(self) -> Traffic:
        return self.store.change_traffic(KEY, lambda known: known)

    def in_state(self, state: DeliveryState) -> list[DeliveryRecord]:
        return list(self.thorn.deliveries(state))


def limited(**limits: object) -> Subscription:
    return make_subscription(KEY.int, **limits)


def keeps(began: list[datetime], limit: RateLimit) -> bool:
    """Whether no time has more attempts than the burst and what the rate allows in it."""
    times = [(at - began[0]).total_seconds() for at in began]
    # The largest excess of any window, in one pass.
    least, most = 0.0, 0.0
    for number, at in enumerate(times):
        level = number - limit.per_second * at
        least = min(least, level)
        most = max(most, level + 1 - least)
    return most <= limit.burst + 0.001


# The rate


def test_what_is_faster_than_the_rate_is_put_off_without_an_attempt(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=SLOW)])
    waiting = house.send(8)
    assert house.requests == 5
    assert [(one.kind, one.last.number, one.last.outcome.reason, one.held) for one in waiting] == [
        (OutcomeKind.RETRY, 0, Reason.RATE_LIMITED, Reason.RATE_LIMITED)
    ] * 3
    due = [one.next_attempt_at for one in waiting]
    assert due == [clock.now + timedelta(milliseconds=100) * number for number in (1, 2, 3)]


def test_a_thousand_deliveries_arrive_at_the_rate_and_few_are_put_off_again(
    store: Store, clock: FakeClock
) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=SLOW)])
    assert len(house.send(1000)) == 995
    put_off = house.run_to_the_end()
    assert len(house.in_state(DeliveryState.DELIVERED)) == 1000
    assert keeps(house.began, SLOW)
    assert house.began[-1] - house.began[0] == timedelta(seconds=99.5)
    assert put_off == 0


def test_a_thousand_that_are_all_overdue_are_put_off_a_few_times_each(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.store.put([limited(rate_limit=SLOW)])
    house.send(1000)
    clock.advance(3600)
    put_off = house.run_to_the_end()
    assert len(house.in_state(DeliveryState.DELIVERED)) == 1000
    assert keeps(house.began, SLOW)
    # Five go at once, and each of the others is put off once more.
    assert put_off == 990


def test_of_attempts_that_are_only_made_now_and_then_the_work_is_bounded(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.store.put([limited(rate_limit=SLOW)])
    house.send(200)
    put_off = 0
    while house.in_state(DeliveryState.PENDING):
        put_off += house.run_due(after=1.0).retry
    assert keeps(house.began, SLOW)
    # Ten come in a second, and the bucket holds five.
    assert put_off <= 2 * 200


def test_an_attempt_that_is_due_keeps_its_number_and_its_reason(store: Store, clock: FakeClock) -> None:
    house = House(store, clock, says_status(500))
    store.put([limited(rate_limit=RateLimit(per_second=0.1, burst=1))])
    house.send()
    assert house.run_due(after=1).retry == 1
    (one,) = house.in_state(DeliveryState.PENDING)
    assert (one.last.number, one.last.outcome.reason, one.held) == (1, Reason.STATUS, Reason.RATE_LIMITED)
    assert (house.requests, len(store.attempts(one.id))) == (1, 1)


def test_those_put_off_come_before_what_is_sent_later(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=RateLimit(per_second=1, burst=1))])
    house.send(3)
    clock.advance(1)
    assert [one.held for one in house.send()] == [Reason.RATE_LIMITED]
    assert house.run_due().delivered == 1


def test_two_processes_keep_one_rate_together(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "thorn.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        first, second = House(one, clock), House(other, clock)
        one.put([limited(rate_limit=SLOW)])
        for _ in range(20):
            first.send(2)
            second.send(2)
            clock.advance(0.05)
        while (due_at := first.thorn.next_due()) is not None:
            clock.now = max(due_at, clock.now)
            first.run_due()
            second.send()
            second.run_due()
            if first.requests + second.requests > 150:
                break
        assert min(first.requests, second.requests) > 0
        assert keeps(sorted(first.began + second.began), SLOW)


def test_a_subscription_without_limits_costs_no_statement(tmp_path: Path, clock: FakeClock) -> None:
    with closing(SqliteStore(tmp_path / "thorn.db")) as store:
        house = House(store, clock)
        store.put([make_subscription(1), make_subscription(2)])
        statements: list[str] = []
        connection = store._database._connection
        assert connection is not None
        connection.set_trace_callback(statements.append)
        house.send()
        assert [one for one in statements if "traffic" in one] == []
        store.put([limited(max_in_flight=5)])
        house.send()
        assert [one for one in statements if "traffic" in one] != []


# What is in flight


def test_no_more_are_in_flight_than_allowed_though_the_transport_could(
    store: Store, clock: FakeClock
) -> None:
    house = House(store, clock, says_status(404), transport=KeepingTransport)
    store.put([limited(max_in_flight=2)])
    house.send(50)
    house.answer = accepts
    # All are due at once, and the transport takes all that it gets before it answers the first.
    first = house.run_due(after=60)
    assert (first.delivered, first.retry) == (2, 48)
    assert house.run_to_the_end() <= 50
    assert len(house.in_state(DeliveryState.DELIVERED)) == 50


def test_what_finds_no_place_is_put_off_and_all_arrive(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(max_in_flight=2)])

    def meanwhile(request: Request) -> Response:
        house.answer = accepts
        # Another thread sends, while this one is in flight: one place is left.
        second = House(store, clock, third)
        second.send()
        return accepts(request)

    def third(request: Request) -> Response:
        (waiting,) = House(store, clock).send()
        assert (waiting.held, waiting.last.number) == (Reason.TOO_MANY_IN_FLIGHT, 0)
        return accepts(request)

    house.answer = meanwhile
    assert house.send() == []
    assert house.traffic.in_flight == ()
    assert house.run_to_the_end() == 0
    assert len(house.in_state(DeliveryState.DELIVERED)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        accepts,
        says_status(500),
        says_status(302),
        says_status(410),
        raises(TransportError(Reason.TIMEOUT, "10 s")),
        raises(TransportError(Reason.ADDRESS_FORBIDDEN, "10.0.0.1")),
        raises(LookupError("a defect")),
    ],
)
def test_whatever_comes_of_an_attempt_its_place_is_free(
    answer: Answer, store: Store, clock: FakeClock
) -> None:
    house = House(store, clock, answer)
    store.put([limited(max_in_flight=1)])
    house.send()
    assert (house.requests, house.traffic.in_flight) == (1, ())


def test_a_request_that_cannot_be_built_frees_its_place(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock, signer=BrokenSigner({KEY}))
    house.store.put([limited(max_in_flight=1)])
    house.send()
    assert (house.requests, house.traffic.in_flight) == (0, ())


def test_a_transport_that_loses_a_request_frees_its_place(clock: FakeClock) -> None:
    class Losing(TimedTransport):
        def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
            list(requests)
            return iter(())

    house = House(MemoryStore(), clock, transport=Losing)
    house.store.put([limited(max_in_flight=1)])
    assert [one.last.outcome.reason for one in house.send()] == [Reason.STAGE_FAILED]
    assert house.traffic.in_flight == ()


def test_a_result_that_cannot_be_kept_frees_its_place(clock: FakeClock) -> None:
    class Full(MemoryStore):
        def record(self, delivery: DeliveryRecord) -> None:
            raise StoreError("no room")

    house = House(Full(), clock)
    house.store.put([limited(max_in_flight=1)])
    with pytest.raises(StoreError, match="no room"):
        house.send()
    assert house.traffic.in_flight == ()


def test_what_a_paused_origin_holds_back_has_no_place_and_spends_nothing_of_the_rate(
    clock: FakeClock,
) -> None:
    house = House(MemoryStore(), clock, says_status(500))
    house.store.put([limited(max_in_flight=1, rate_limit=RateLimit(per_second=1, burst=4))])
    waiting = house.send(6)
    assert [one.held for one in waiting] == [None] * 3 + [Reason.ORIGIN_PAUSED] * 3
    assert house.traffic.in_flight == ()
    assert house.traffic.full_at == clock.now + timedelta(seconds=3)


def test_what_a_limit_holds_back_does_not_become_the_probe_of_its_origin(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock, says_status(500))
    house.store.put([limited(max_in_flight=1)])
    house.send(3)
    elsewhere = Traffic(in_flight=((UUID(int=9), clock.now + timedelta(hours=1)),))
    house.store.change_traffic(KEY, lambda known: elsewhere)
    assert house.run_due(after=60).retry == 3
    assert {one.held for one in house.in_state(DeliveryState.PENDING)} == {Reason.TOO_MANY_IN_FLIGHT}
    assert [one.probe for one in house.store.breakers().values()] == [None]


def test_where_a_later_gate_breaks_the_place_is_free(clock: FakeClock) -> None:
    class Broken(MemoryStore):
        def breakers(self) -> dict[str, Breaker]:
            raise StoreError("no disk")

    house = House(Broken(), clock)
    house.store.put([limited(max_in_flight=1)])
    with pytest.raises(StoreError, match="no disk"):
        house.send()
    assert (house.requests, house.traffic.in_flight) == (0, ())


def test_where_an_earlier_gate_breaks_over_an_end_the_place_is_free(clock: FakeClock) -> None:
    class Broken(MemoryStore):
        def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
            raise StoreError("locked")

    house = House(Broken(), clock)
    house.store.put([limited(max_in_flight=1, ordered_by="order")])
    with pytest.raises(StoreError, match="locked"):
        house.event.send({"order": 7})
    assert (house.requests, house.traffic.in_flight) == (1, ())


def test_a_process_that_dies_with_places_leaves_them_to_others_in_time(
    tmp_path: Path, clock: FakeClock
) -> None:
    class Killed(BaseException):
        pass

    path = tmp_path / "thorn.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        dying, living = House(one, clock, raises(Killed())), House(other, clock)  # type: ignore[arg-type]  # it ends all
        one.put([limited(max_in_flight=1)])
        with pytest.raises(Killed):
            dying.send()
        (waiting,) = living.send()
        assert waiting.held is Reason.TOO_MANY_IN_FLIGHT
        assert living.run_due(after=49).retry == 1
        assert living.run_due(after=1).delivered == 1
        # What it was about to attempt itself is due when its lease is over.
        living.run_to_the_end()
        assert len(living.in_state(DeliveryState.DELIVERED)) == 2


def test_results_that_nobody_reads_are_not_remembered_for_ever(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.store.put([limited(max_in_flight=100)])
    limits = house.thorn._engine._limits
    for _ in range(3):
        house.answer = raises(KeyboardInterrupt())  # type: ignore[arg-type]  # as Ctrl-C does
        with pytest.raises(KeyboardInterrupt):
            house.send()
    assert len(limits._in_flight) == 3
    clock.advance(50)
    house.answer = accepts
    house.send()
    assert len(limits._in_flight) == 0


# Replays


def failed(house: House, count: int) -> list[DeliveryRecord]:
    """Sends what fails for good, before there are limits."""
    house.store.put([limited()])
    house.answer = says_status(302)
    problems = house.send(count)
    house.answer = accepts
    house.began.clear()
    return problems


FAILED = DeliveryFilter(states=frozenset({DeliveryState.FAILED}))


def test_replays_wait_for_their_turn_and_are_put_off_by_no_limit(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    failed(house, 150)
    house.thorn.set_limits(KEY, rate_limit=SLOW)
    assert house.thorn.replay_all(FAILED) == Tally(delivered=150)
    assert keeps(house.began, SLOW)
    assert sum(house.slept) == pytest.approx(14.5, abs=0.01)


def test_while_one_subscriber_has_to_wait_others_are_sent_their_replays(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    failed(house, 20)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=1, burst=1))
    house.store.put([make_subscription(2, url="https://other.example/")])
    clock.advance(-60)  # It comes last.
    house.answer = says_status(302)
    house.send()
    clock.advance(60)
    house.answer = accepts
    before = house.requests
    assert house.thorn.replay_all(FAILED).delivered == 22
    hosts = [one.url.host for one in house.transport.requests[before:]]
    assert hosts.index("other.example") == 1


def test_replays_through_few_places_wait_until_they_are_free(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock, transport=KeepingTransport)
    failed(house, 6)
    house.thorn.set_limits(KEY, max_in_flight=2)
    assert house.thorn.replay_all(FAILED) == Tally(delivered=6)
    assert house.slept


def test_no_more_replays_are_read_than_may_wait(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    read = 0

    def planned() -> Iterator[Planned]:
        nonlocal read
        for _ in range(1000):
            read += 1
            delivery = Delivery(
                message_id=uuid4(),
                event="order.created",
                created_at=clock.now,
                sender=None,
                subscription=limited(rate_limit=RateLimit(per_second=1, burst=1)),
                content_type="application/json",
                body=b"{}",
            )
            yield Planned(delivery=delivery, number=2, terms=TERMS)

    engine = house.thorn._engine
    in_turn = InTurn(planned(), Limits(house.store, clock), engine._conditions, lambda one: one)
    assert (len(list(in_turn)), read, in_turn.ended) == (1, 101, False)
    in_turn.wait()
    assert (len(list(in_turn)), read, in_turn.ended) == (1, 102, False)


@pytest.mark.parametrize("gone", [False, True])
def test_a_replay_that_waits_is_not_sent_to_a_subscription_that_is_switched_off_meanwhile(
    gone: bool, store: Store, clock: FakeClock
) -> None:
    house = House(store, clock)
    failed(house, 5)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=0.5, burst=1))
    house.before_waking = lambda: house.store.remove(KEY) if gone else house.thorn.disable(KEY)
    outcomes = house.thorn.replay_all(FAILED)
    assert (outcomes.delivered, outcomes.failed) == (1, 4)
    assert {one.last.outcome.reason for one in outcomes.problems} == {Reason.UNSUBSCRIBED}
    assert {one.last.outcome.reason for one in house.in_state(DeliveryState.FAILED)} == {Reason.REDIRECT}
    assert house.traffic.in_flight == ()


def test_a_replay_that_waits_for_a_subscription_that_cannot_be_read_any_more_is_not_sent(
    clock: FakeClock,
) -> None:
    class Damaged(MemoryStore):
        damaged = False

        def find(self, subscription_id: UUID) -> Subscription | None:
            if self.damaged:
                raise StoreDamaged("a row cannot be read")
            return super().find(subscription_id)

    store = Damaged()
    house = House(store, clock)
    failed(house, 2)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=0.5, burst=1))
    house.before_waking = lambda: setattr(store, "damaged", True)
    (problem,) = house.thorn.replay_all(FAILED).problems
    assert "its subscription was switched off (a row cannot be read)" in problem.last.detail


def test_a_replay_that_waits_goes_where_its_subscription_points_by_then(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    failed(house, 2)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=0.5, burst=1))
    moved = make_subscription(KEY.int, url="https://moved.example/")
    house.before_waking = lambda: house.store.put([moved])
    assert house.thorn.replay_all(FAILED).delivered == 2
    assert house.transport.requests[-1].url.host == "moved.example"


def test_one_replay_waits_for_its_turn(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    one, two = failed(house, 2)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=0.5, burst=1))
    assert house.thorn.replay(one.id).kind is OutcomeKind.DELIVERED
    assert house.thorn.replay(two.id).kind is OutcomeKind.DELIVERED
    assert house.slept == [2.0]


def test_a_replay_of_what_cannot_be_written_waits_for_nothing(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.store.put([limited(rate_limit=RateLimit(per_second=0.01, burst=1), content_type="text/plain")])
    (one,) = house.send()
    for _ in range(3):
        assert house.thorn.replay(one.id).last.outcome.reason is Reason.NOT_SERIALIZABLE
    assert house.slept == []


# Changing them


def test_limits_can_be_set_and_taken_away(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited()])
    changed = house.thorn.set_limits(KEY, rate_limit={"per_second": 10, "burst": 5}, max_in_flight=2)
    assert (changed.rate_limit, changed.max_in_flight) == (SLOW, 2)
    assert store.find(KEY) == changed
    changed = house.thorn.set_limits(KEY)
    assert (changed.rate_limit, changed.max_in_flight) == (None, None)


def test_limits_that_are_none_are_refused_and_change_nothing(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=SLOW)])
    with pytest.raises(InvalidValue):
        house.thorn.set_limits(KEY, rate_limit=0)
    with pytest.raises(InvalidValue):
        house.thorn.set_limits(KEY, max_in_flight=0)
    assert store.find(KEY) == limited(rate_limit=SLOW)


def test_what_is_not_there_gets_no_limits(store: Store, clock: FakeClock) -> None:
    with pytest.raises(NotFound, match=str(KEY)):
        House(store, clock).thorn.set_limits(KEY, max_in_flight=1)


def test_what_was_put_off_is_due_when_the_limit_is_lifted(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=RateLimit(per_second=1 / 3600, burst=1))])
    house.send(50)
    house.thorn.set_limits(KEY)
    assert house.run_due().delivered == 49


def test_what_waits_for_something_else_is_not_due_when_a_limit_is_lifted(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock, says_status(500))
    house.store.put([limited(rate_limit=SLOW)])
    house.send()
    house.thorn.set_limits(KEY)
    assert house.run_due() == Tally()


def test_where_a_limit_is_changed_nobody_waits_behind_the_old_queue(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.store.put([limited(rate_limit=RateLimit(per_second=1 / 3600, burst=1))])
    house.send(50)
    house.thorn.set_limits(KEY, rate_limit=RateLimit(per_second=100, burst=10))
    assert house.send() == []
    house.run_to_the_end()
    assert house.began[-1] - house.began[0] < timedelta(seconds=1)


def test_a_subscription_that_is_enabled_again_begins_anew(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    store.put([limited(rate_limit=RateLimit(per_second=1, burst=1))])
    house.send(10)
    house.thorn.disable(KEY)
    house.thorn.enable(KEY)
    assert house.send() == []


def test_a_static_subscriber_gets_limits_by_way_of_the_store(clock: FakeClock) -> None:
    transport = TimedTransport(accepts, clock)
    store = MemoryStore()
    static = {"url": "https://shop.example/", "secret": "s"}
    thorn = Thorn(
        pipeline=make_pipeline([transport], store=store), clock=clock, subscribers={"order.*": [static]}
    )
    (one,) = thorn.subscriptions()
    thorn.set_limits(one.id, max_in_flight=3)
    (stored,) = store.subscriptions()
    assert (stored.id, stored.max_in_flight) == (one.id, 3)


# Over real sockets


def test_a_receiver_never_has_more_to_do_at_once_than_it_takes(
    transport_kind: str, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    lock, now, most, seen = threading.Lock(), 0, 0, 0

    def behave(handler: Handler, _: Seen) -> None:
        nonlocal now, most, seen
        with lock:
            now, seen = now + 1, seen + 1
            most = max(most, now)
            first = seen <= 20
        handler.wait(0.01)
        with lock:
            now -= 1
        handler.answer(500 if first else 200)

    endpoint = open_endpoint(behave)
    thorn = open_thorn(endpoint, transport=transport_kind, retry_schedule=[0], breaker_failures=0)
    subscription = thorn.subscribe("order.*", endpoint.url, secret="s")
    event = thorn.event("order.created")
    for _ in range(20):
        event.send({})
    assert most == 1
    thorn.set_limits(subscription.id, max_in_flight=3)
    while thorn.next_due() is not None:
        thorn.run_due()
    assert most <= 3
    assert len(list(thorn.deliveries(DeliveryState.DELIVERED))) == 20
