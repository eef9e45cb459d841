"""Circuit breakers at work: an origin that keeps failing costs no attempt, no time and no request."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from conftest import OpenThorn
from support.stages import (
    TERMS,
    TimedTransport,
    accepts,
    make_pipeline,
    make_subscription,
    raises,
    says_status,
)
from thornsdk import (
    Breaker,
    BreakerState,
    Delivery,
    DeliveryRecord,
    DeliveryState,
    OutcomeKind,
    Planned,
    Reason,
    Request,
    Response,
    Store,
    Thorn,
)
from thornsdk.errors import StoreError, TransportError
from thornsdk.gates import Hold
from thornsdk.planned import held_back
from thornsdk.testing import Answer, FakeClock, Handler, Seen, never_answers
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

ORIGIN = "https://shop.example"
UNAVAILABLE = says_status(503)
TIMED_OUT = raises(TransportError(Reason.TIMEOUT, "10 s"))


class House:
    """A process with a breaker that opens at the third failure, for 60 seconds."""

    def __init__(self, store: Store, clock: FakeClock, answer: Answer = UNAVAILABLE, **options: int) -> None:
        self.answer = answer
        self.clock = clock
        self.store = store
        self.transport = TimedTransport(self._answer, clock)
        self.thorn = Thorn(
            pipeline=make_pipeline([self.transport], store=store),
            clock=clock,
            random=lambda: 0.0,
            retry_schedule=[1] * 20,
            **{"breaker_failures": 3, **options},  # type: ignore[arg-type]  # as given
        )
        self.event = self.thorn.event("order.created")

    def _answer(self, request: Request) -> Response:
        return self.answer(request)

    def subscribe(self, count: int, origin: str = ORIGIN) -> None:
        first = len(list(self.store.subscriptions())) + 1
        self.store.put(make_subscription(number, url=f"{origin}/") for number in range(first, first + count))

    def send(self) -> list[DeliveryRecord]:
        return list(self.event.send({}).outcomes.problems)

    def run_due(self, after: float = 0.0) -> int:
        """Attempts what is due some seconds later, and gives how many requests that made."""
        self.clock.advance(after)
        before = self.requests
        self.thorn.run_due()
        return self.requests - before

    @property
    def requests(self) -> int:
        return len(self.transport.requests)

    @property
    def breaker(self) -> Breaker:
        return self.store.breakers().get(ORIGIN, Breaker())

    def pending(self) -> list[DeliveryRecord]:
        return list(self.thorn.deliveries(DeliveryState.PENDING))


def told(caplog: pytest.LogCaptureFixture, part: str) -> list[dict[str, object]]:
    fields = [vars(record)["thornsdk"] for record in caplog.records if record.name == "thornsdk"]
    return [one for one in fields if str(one["event"]).startswith(part)]


def held(records: list[DeliveryRecord]) -> list[DeliveryRecord]:
    return [one for one in records if one.held is not None]


# Opening


@pytest.mark.parametrize("answer", [says_status(503), TIMED_OUT])
def test_after_so_many_failures_the_rest_of_a_message_is_put_off_without_a_request(
    answer: Answer, store: Store, clock: FakeClock
) -> None:
    house = House(store, clock, answer)
    house.subscribe(8)
    problems = house.send()
    assert house.requests == 3
    assert [one.kind for one in problems] == [OutcomeKind.RETRY] * 8
    waiting = held(problems)
    assert [(one.last.number, one.last.outcome.reason, one.held) for one in waiting] == [
        (0, Reason.ORIGIN_PAUSED, Reason.ORIGIN_PAUSED)
    ] * 5
    assert {one.next_attempt_at for one in waiting} == {clock.now + timedelta(seconds=60)}
    assert {one.id for one in held(house.pending())} == {one.id for one in waiting}


def test_other_origins_are_not_paused(store: Store, clock: FakeClock) -> None:
    house = House(
        store, clock, lambda request: accepts(request) if "good" in str(request.url) else TIMED_OUT(request)
    )
    house.subscribe(5)
    house.subscribe(2, "https://the.good.example")
    assert house.event.send({}).outcomes.delivered == 2


def test_a_success_in_between_begins_the_row_anew(store: Store, clock: FakeClock) -> None:
    statuses = iter([500, 500, 204, 500, 500, 404, 500, 500, 200])
    house = House(store, clock, lambda request: Response(status=next(statuses)))
    house.subscribe(9)
    house.send()
    assert (house.requests, house.breaker) == (9, Breaker())


def test_with_zero_failures_nothing_is_ever_paused(store: Store, clock: FakeClock) -> None:
    house = House(store, clock, breaker_failures=0)
    house.subscribe(30)
    house.send()
    assert (house.requests, house.store.breakers()) == (30, {})


def test_a_payload_that_cannot_be_written_fails_though_its_origin_is_paused(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.subscribe(3)
    house.send()
    house.store.put([make_subscription(9, url=f"{ORIGIN}/", content_type="text/plain")])
    reasons = [one.last.outcome.reason for one in house.send()]
    assert sorted(reasons) == [Reason.NOT_SERIALIZABLE] + [Reason.ORIGIN_PAUSED] * 3


# While it is open


def test_while_an_origin_is_paused_an_attempt_that_was_due_keeps_its_number_and_its_reason(
    store: Store, clock: FakeClock
) -> None:
    house = House(store, clock)
    house.subscribe(3)
    house.send()
    assert house.run_due(after=1) == 0
    for one in house.pending():
        assert (one.last.number, one.last.outcome.reason, one.held, one.lease) == (
            1,
            Reason.STATUS,
            Reason.ORIGIN_PAUSED,
            None,
        )
        assert one.next_attempt_at == clock.now + timedelta(seconds=59)
        assert [attempt.number for attempt in store.attempts(one.id)] == [1]


def test_another_process_knows_from_its_start_what_is_paused(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "thorn.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        first = House(one, clock)
        first.subscribe(3)
        first.send()
        second = House(other, clock)
        assert (len(held(second.send())), second.requests) == (3, 0)


def test_what_another_process_has_closed_is_sent_to_with_the_next_message(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "thorn.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        first, second = House(one, clock), House(other, clock, accepts)
        first.subscribe(3)
        problems = first.send()
        second.send()
        assert second.requests == 0
        first.answer = accepts
        first.thorn.replay(problems[0].id)
        second.send()
        assert second.requests == 3


def test_a_replay_is_sent_though_the_origin_is_paused_and_may_close_it(
    store: Store, clock: FakeClock
) -> None:
    house = House(store, clock)
    house.subscribe(3)
    problems = house.send()
    house.thorn.replay(problems[0].id)
    assert (house.requests, house.breaker.state(clock.now)) == (4, BreakerState.OPEN)
    house.answer = accepts
    assert house.thorn.replay(problems[0].id).kind is OutcomeKind.DELIVERED
    assert house.breaker == Breaker()


def test_a_subscription_that_has_failed_for_long_is_disabled_though_its_origin_is_paused(
    clock: FakeClock,
) -> None:
    house = House(MemoryStore(), clock, disable_after=3600)
    house.subscribe(3)
    house.send()
    for _ in range(8):
        house.run_due(after=3600)
    assert [one.active for one in house.store.subscriptions()] == [False] * 3


def test_an_attempt_that_was_lost_and_is_held_back_counts_as_lost_all_the_same(clock: FakeClock) -> None:
    delivery = Delivery(
        message_id=UUID(int=99),
        event="order.created",
        created_at=clock.now,
        sender=None,
        subscription=make_subscription(),
        content_type="application/json",
        body=b"{}",
    )
    due = clock.now + timedelta(seconds=60)
    planned = Planned(delivery=delivery, number=2, terms=TERMS, lost=True)
    record = held_back(planned, Hold(Reason.ORIGIN_PAUSED, due), clock.now)
    assert (record.last.number, record.last.outcome.reason) == (1, Reason.WORKER_LOST)
    assert (record.next_attempt_at, record.held) == (due, Reason.ORIGIN_PAUSED)


# The probe


def test_after_the_pause_one_probe_is_sent_and_the_pause_doubles_while_it_fails(
    store: Store, clock: FakeClock
) -> None:
    house = House(store, clock)
    house.subscribe(5)
    house.send()
    assert house.run_due(after=60) == 1
    assert house.breaker.until == clock.now + timedelta(seconds=120)
    assert house.run_due(after=119) == 0
    assert house.run_due(after=1) == 1
    assert house.breaker.pause == 240


def test_a_probe_that_arrives_closes_it_and_all_others_follow(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    house.subscribe(6)
    house.send()
    house.answer = accepts
    assert house.run_due(after=60) == 6
    assert (house.breaker, house.pending()) == (Breaker(), [])


def test_of_two_processes_one_sends_the_probe(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "thorn.db"
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as other:
        first, second = House(one, clock), House(other, clock)
        first.subscribe(6)
        first.send()

        def meanwhile(request: Request) -> Response:
            assert second.run_due() == 0
            return Response(status=503)

        first.answer = meanwhile
        assert first.run_due(after=60) == 1
        assert second.run_due(after=10) == 0
        assert second.run_due(after=120) == 1


def test_a_process_that_dies_with_the_probe_leaves_it_to_another(store: Store, clock: FakeClock) -> None:
    house = House(store, clock)
    house.subscribe(3)
    house.send()
    clock.advance(60)
    dead = UUID(int=99)
    house.store.change_breaker(
        ORIGIN,
        lambda known: Breaker(failures=3, pause=60, until=clock.now + timedelta(seconds=50), probe=dead),
    )
    assert house.run_due() == 0
    assert house.run_due(after=50) == 1


def test_a_probe_that_policy_blocks_makes_way_for_another(clock: FakeClock) -> None:
    house = House(MemoryStore(), clock)
    house.subscribe(3)
    house.send()
    house.answer = raises(TransportError(Reason.ADDRESS_FORBIDDEN, "10.0.0.1"))
    assert house.run_due(after=60) == 3
    assert house.breaker.state(clock.now) is BreakerState.HALF_OPEN


# What is told, and what it costs


def test_a_pause_is_told_once_and_so_is_its_end(
    store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "thornsdk")
    house = House(store, clock)
    house.subscribe(6)
    house.send()
    until = (clock.now + timedelta(seconds=60)).isoformat()
    house.run_due(after=60)
    house.answer = accepts
    house.run_due(after=120)
    assert told(caplog, "origin.") == [
        {"event": "origin.paused", "origin": ORIGIN, "failures": 3, "reason": "status", "until": until},
        {"event": "origin.resumed", "origin": ORIGIN},
    ]
    assert len(told(caplog, "delivery.")) == house.requests


def test_what_arrives_costs_no_statement(tmp_path: Path, clock: FakeClock) -> None:
    with closing(SqliteStore(tmp_path / "thorn.db")) as store:
        house = House(store, clock, accepts)
        house.subscribe(5)
        house.send()
        statements: list[str] = []
        connection = store._database._connection
        assert connection is not None
        connection.set_trace_callback(statements.append)
        house.send()
        of_ours = [one for one in statements if not one.startswith("--")]
        assert [one for one in of_ours if "breakers" in one or "failing" in one] == []


def test_a_store_that_breaks_ends_the_pass_and_is_told(clock: FakeClock) -> None:
    class Broken(MemoryStore):
        def breakers(self) -> dict[str, Breaker]:
            raise StoreError("no disk")

    house = House(Broken(), clock)
    house.subscribe(2)
    with pytest.raises(StoreError, match="no disk"):
        house.event.send({})
    assert house.requests == 0


# Over real sockets


def test_an_origin_that_hangs_does_not_hold_up_those_that_come_after_it(
    transport_kind: str, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    hanging_port = 0

    def behave(handler: Handler, seen: Seen) -> None:
        if seen.header("Host").endswith(f":{hanging_port}"):
            never_answers(handler, seen)
        else:
            handler.answer(200)

    hanging, good = sorted((open_endpoint(behave) for _ in range(2)), key=lambda one: one.port)
    hanging_port = hanging.port
    thorn = open_thorn(
        hanging,
        good,
        transport=transport_kind,
        event_timeout=0.5,
        breaker_failures=5,
        concurrency=16,
        concurrency_per_origin=8,
    )
    for endpoint, count in ((hanging, 1000), (good, 5)):
        for _ in range(count):
            thorn.subscribe("order.*", endpoint.url, secret="s")
    outcomes = thorn.event("order.created").send({}).outcomes
    assert (outcomes.delivered, outcomes.retry) == (5, 1000)
    assert len(good.seen) == 5
    # Those that had a place, waited for one, or followed before the fifth one failed; it would be all 1000.
    assert len(hanging.seen) <= 8 + 16 + 5
    records = list(thorn.deliveries(DeliveryState.PENDING))
    assert len(held(records)) >= 1000 - (8 + 16 + 5)
    assert {one.last.number for one in held(records)} == {0}
