"""What is sent while a subscription is disabled: it is kept, told, counted, and can be replayed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from weakref import WeakSet

import pytest
from attrs import evolve

from support.stages import BrokenObserver, CountingTransport, make_dispatch, make_pipeline, make_subscription
from thornsdk import (
    Audience,
    DeliveryFilter,
    DeliveryState,
    OutcomeKind,
    Reason,
    Request,
    Response,
    Settings,
    Store,
    Subscription,
    Tally,
    Thorn,
    Transport,
)
from thornsdk.errors import NotFound, StoreFull
from thornsdk.testing import FakeClock, RecordingObserver, RecordingTransport
from thornsdk_plugins.sqlite import SqliteStore

CANCELLED = DeliveryFilter(states=frozenset({DeliveryState.CANCELLED}))
OFF = make_subscription(2, disabled="they are moving house")

Open = Callable[..., Thorn]


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def open_over(store: Store, clock: FakeClock, observer: RecordingObserver) -> Iterator[Open]:
    """Makes a Thorn over each kind of store; with SQLite, it writes messages down before it sends them."""
    with ExitStack() as stack:

        def open_one(transport: Transport, **settings: object) -> Thorn:
            pipeline = make_pipeline([transport], store=store, observers=[BrokenObserver(), observer])
            made = Thorn(pipeline=pipeline, clock=clock, settings=Settings(**settings))  # type: ignore[arg-type]
            return stack.enter_context(made)

        yield open_one


@pytest.fixture
def thorn(open_over: Open, transport: RecordingTransport) -> Thorn:
    return open_over(transport)


def send(thorn: Thorn, *, key: str | None = None, payload: object = 42) -> Tally:
    declared = thorn._events.get("order.created") or thorn.event("order.created")
    return declared.send(payload, idempotency_key=key).outcomes


def test_what_a_disabled_subscription_would_have_got_is_kept_as_cancelled(
    thorn: Thorn, store: Store, clock: FakeClock, transport: RecordingTransport
) -> None:
    store.put([make_subscription(1), OFF, make_subscription(3, patterns="user.*", disabled="enough")])
    assert send(thorn) == Tally(delivered=1, disabled=1)
    (kept,) = store.deliveries(CANCELLED)
    assert (kept.subscription_id, kept.body, kept.skipped) == (OFF.id, b"42", True)
    assert (kept.last.number, kept.last.started_at) == (0, clock.now)
    assert (kept.last.outcome.kind, kept.last.outcome.reason) == (
        OutcomeKind.FAILED,
        Reason.SUBSCRIPTION_DISABLED,
    )
    assert kept.last.detail == "they are moving house"
    assert store.attempts(kept.id) == []
    assert len(transport.requests) == 1


def test_it_is_no_failure_and_no_problem(thorn: Thorn, store: Store) -> None:
    store.put([OFF])
    outcomes = send(thorn)
    assert (outcomes.total, outcomes.failed, outcomes.problems, outcomes.disabled) == (0, 0, (), 1)
    assert store.failing_since(OFF.id) is None


def test_once_the_subscription_is_enabled_a_replay_makes_the_first_attempt(
    thorn: Thorn, store: Store, transport: RecordingTransport
) -> None:
    store.put([OFF])
    send(thorn)
    thorn.enable(OFF.id)
    assert thorn.run_due() == Tally()
    assert thorn.replay_all(CANCELLED) == Tally(delivered=1)
    (arrived,) = store.deliveries()
    assert (arrived.state, arrived.last.number) == (DeliveryState.DELIVERED, 1)
    assert [one.body for one in transport.requests] == [b"42"]


def test_while_it_is_disabled_it_cannot_be_replayed_and_stays_as_it_was(thorn: Thorn, store: Store) -> None:
    store.put([OFF])
    send(thorn)
    (kept,) = store.deliveries()
    assert thorn.replay_all(CANCELLED).failed == 1
    with pytest.raises(NotFound):
        thorn.replay(kept.id)
    assert list(store.deliveries()) == [kept]


def test_it_is_told_once_and_raises_no_alarm(
    thorn: Thorn, store: Store, observer: RecordingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "thornsdk")
    store.put([OFF])
    send(thorn)
    (told,) = [one for one in caplog.records if one.getMessage().startswith("delivery.")]
    assert told.levelno == logging.INFO
    assert told.getMessage().startswith("delivery.skipped ")
    assert "attempt=0 outcome=failed reason=subscription_disabled" in told.getMessage()
    assert "detail=they are moving house" in told.getMessage()
    assert [one.skipped for one in observer.records] == [True]


def test_a_message_that_is_sent_again_with_its_key_keeps_and_tells_nothing_more(
    thorn: Thorn, store: Store, observer: RecordingObserver
) -> None:
    store.put([OFF])
    assert send(thorn, key="order 42") == Tally(disabled=1)
    assert send(thorn, key="order 42") == Tally()
    assert len(list(store.deliveries())) == len(observer.records) == 1


def test_of_two_messages_of_one_moment_each_tells_its_own(thorn: Thorn, store: Store) -> None:
    store.put([OFF])
    assert [send(thorn), send(thorn)] == [Tally(disabled=1)] * 2


def test_one_that_was_enabled_meanwhile_is_not_sent_what_it_missed_with_the_same_key(
    thorn: Thorn, store: Store, transport: RecordingTransport
) -> None:
    store.put([OFF])
    send(thorn, key="order 42")
    thorn.enable(OFF.id)
    assert send(thorn, key="order 42") == Tally()
    assert transport.requests == []


def test_what_cannot_be_written_has_failed_for_no_replay_would_find_a_body(
    thorn: Thorn, store: Store
) -> None:
    store.put([evolve(OFF, content_type="text/csv")])
    outcomes = send(thorn)
    assert (outcomes.failed, outcomes.disabled) == (1, 0)
    (kept,) = store.deliveries()
    assert (kept.state, kept.last.outcome.reason) == (DeliveryState.FAILED, Reason.NOT_SERIALIZABLE)
    thorn.enable(OFF.id)
    assert thorn.replay(kept.id).last.outcome.reason is Reason.NOT_SERIALIZABLE


def test_a_static_subscriber_that_was_disabled_is_kept_once(open_over: Open, store: Store) -> None:
    static = {"url": "https://example.com/hooks", "secret": "s", "id": str(OFF.id)}
    thorn = open_over(RecordingTransport(), subscribers={"order.*": [static, static]})
    thorn.disable(OFF.id, why="enough")
    assert send(thorn) == Tally(disabled=1)
    thorn.unsubscribe(OFF.id)
    assert send(thorn) == Tally(delivered=1)


def test_who_answers_410_to_a_message_misses_the_next_one_and_not_this_one(
    open_over: Open, store: Store
) -> None:
    thorn = open_over(RecordingTransport(lambda request: Response(status=410)))
    store.put([make_subscription(1)])
    first = send(thorn)
    assert (first.failed, first.disabled) == (1, 0)
    assert send(thorn) == Tally(disabled=1)
    assert len(list(store.deliveries())) == 2


def test_what_a_broker_could_not_take_is_kept_for_them_too(thorn: Thorn, store: Store) -> None:
    store.put([make_subscription(1), OFF])
    kept = list(thorn.deliverer.keep(make_dispatch(), "no broker"))
    assert [(one.subscription_id.int, one.state) for one in kept] == [(1, "pending"), (2, "cancelled")]
    assert len(list(store.deliveries())) == 2


def test_one_that_is_disabled_while_a_message_is_sent_is_not_forgotten(open_over: Open, store: Store) -> None:
    def disables(request: Request) -> Response:
        store.put([evolve(one, disabled="meanwhile") for one in store.subscriptions()])
        return Response(status=200)

    thorn = open_over(RecordingTransport(disables))
    store.put(make_subscription(number) for number in range(1, 4))
    outcomes = send(thorn)
    states = [one.state for one in store.deliveries()]
    assert len(states) == 3
    assert outcomes.total + outcomes.disabled == 3


class FullStore(SqliteStore):
    """Breaks in the middle of a message."""

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        yield OFF
        raise StoreFull("the disk is full")


def test_with_a_store_that_lasts_all_of_a_message_is_kept_or_nothing(
    tmp_path: Path, transport: RecordingTransport
) -> None:
    with closing(FullStore(tmp_path / "thorn.db")) as store:
        store.put([make_subscription(1), OFF])
        thorn = Thorn(pipeline=make_pipeline([transport], store=store))
        with pytest.raises(StoreFull):
            send(thorn)
        assert list(store.deliveries()) == []
    assert transport.requests == []


@pytest.mark.parametrize("durable", [True, False])
def test_a_message_to_many_disabled_subscriptions_holds_few_of_them_at_a_time(
    tmp_path: Path, durable: bool
) -> None:
    alive: WeakSet[Subscription] = WeakSet()
    most = 0

    class CrowdedStore(SqliteStore):
        """Has many disabled subscriptions, and knows how many of them are held."""

        def disabled(self, audience: Audience) -> Iterator[Subscription]:
            nonlocal most
            for number in range(3000):
                one = make_subscription(number, disabled="enough")
                alive.add(one)
                most = max(most, len(alive))
                yield one

    with closing(CrowdedStore(tmp_path / "thorn.db")) as store:
        pipeline = make_pipeline([CountingTransport()], store=store)
        outcomes = send(Thorn(pipeline=pipeline, settings=Settings(durable=durable)))
        assert outcomes == Tally(disabled=3000)
        assert len(list(store.deliveries(CANCELLED))) == 3000
    assert most <= 300
