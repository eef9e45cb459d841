"""Subscriptions whose attempts all fail: warned of at half the time, disabled at the end of it."""

from datetime import timedelta

import pytest

from support.stages import (
    BrokenObserver,
    ProgrammedTransport,
    TimedTransport,
    make_pipeline,
    make_subscription,
    says_status,
)
from thornsdk import (
    DeliveryRecord,
    Observer,
    Reason,
    Request,
    Response,
    Settings,
    Store,
    SubscriptionNotice,
    SubscriptionObserver,
    Thorn,
)
from thornsdk.errors import TransportError
from thornsdk.testing import FakeClock, RecordingObserver
from thornsdk_plugins.memory import MemoryStore

DAY = 24 * 3600.0


class RecordingSubscriptionObserver(RecordingObserver):
    def __init__(self) -> None:
        super().__init__()
        self.notices: list[SubscriptionNotice] = []

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        self.notices.append(notice)


class BrokenSubscriptionObserver(RecordingObserver):
    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        raise LookupError("the text of this error is told nowhere")


class House:
    """An application that sends one event to one subscription, a day after the other."""

    def __init__(self, *observers: RecordingObserver | BrokenObserver, **options: object) -> None:
        self.clock = FakeClock()
        self.store: Store = MemoryStore()
        self.answers = says_status(503)
        self.transport = TimedTransport(self.answer, self.clock)
        pipeline = make_pipeline([self.transport], store=self.store, observers=observers)
        settings = Settings.from_mapping({"THORN_RETRY": False, **options})
        self.thorn = Thorn(settings=settings, pipeline=pipeline, clock=self.clock)
        self.event = self.thorn.event("order.created")
        self.subscription = make_subscription(owner="acme")
        self.store.put([self.subscription])

    def answer(self, request: Request) -> Response:
        return self.answers(request)

    def send(self, after: float = 0.0) -> None:
        self.clock.advance(after)
        self.event.send({}, sender="acme")

    def is_active(self) -> bool:
        return self.disabled is None

    @property
    def disabled(self) -> str | None:
        found = self.store.find(self.subscription.id)
        assert found is not None
        return found.disabled


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    fields = [vars(record)["thornsdk"] for record in caplog.records]
    return [one for one in fields if one["event"] == event]


def test_a_subscription_that_fails_for_five_days_is_disabled_at_the_next_failure() -> None:
    house = House()
    house.send()
    house.send(after=5 * DAY - 1)
    assert house.is_active()
    house.send(after=1)
    assert house.disabled == "every attempt has failed since 2026-01-02 03:04 UTC, the last with: status"
    house.send(after=1)
    assert len(house.transport.requests) == 3


def test_one_delivery_that_arrives_begins_the_time_anew() -> None:
    house = House()
    house.send()
    house.answers = says_status(204)
    house.send(after=4 * DAY)
    house.answers = says_status(503)
    house.send(after=DAY)
    house.send(after=5 * DAY - 1)
    assert house.is_active()
    house.send(after=1)
    assert not house.is_active()


def test_the_time_can_be_set_and_none_means_never() -> None:
    soon, never = House(THORN_DISABLE_AFTER="60"), House(THORN_DISABLE_AFTER="none")
    for house in (soon, never):
        house.send()
        house.send(after=60)
        house.send(after=365 * DAY)
    assert soon.disabled is not None
    assert never.disabled is None


def test_the_reason_says_how_the_last_attempt_failed() -> None:
    def refuses(request: Request) -> Response:
        raise TransportError(Reason.CONNECTION_REFUSED, "nothing listens there")

    house = House(THORN_DISABLE_AFTER=60)
    house.send()
    house.answers = refuses
    house.send(after=60)
    assert str(house.disabled).endswith("the last with: connection_refused")


def test_what_our_own_stages_fail_disables_nobody() -> None:
    pipeline = make_pipeline([ProgrammedTransport(lambda requests: iter(()))])
    clock = FakeClock()
    with Thorn(pipeline=pipeline, clock=clock, retry=False) as thorn:
        subscription = thorn.subscribe("order.*", "https://example.com/")
        for _ in range(3):
            thorn.event(f"order.number{clock.now.day}").send({})
            clock.advance(6 * DAY)
        assert next(thorn.subscriptions()) == subscription


def test_at_half_the_time_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    observer = RecordingSubscriptionObserver()
    house = House(observer)
    house.send()
    house.send(after=2.5 * DAY - 1)
    assert observer.notices == []
    since = house.store.failing_since(house.subscription.id)
    house.send(after=1)
    house.send(after=1)
    (notice,) = observer.notices
    assert (notice.failing_since, notice.disabled) == (since, None)
    assert notice.disable_at is not None
    assert notice.disable_at - timedelta(days=5) == since
    assert told(caplog, "subscription.failing") == [
        {
            "event": "subscription.failing",
            "subscription": str(house.subscription.id),
            "origin": "https://customer-1.example.com",
            "owner": "acme",
            "since": "2026-01-02T03:04:05+00:00",
            "disable_at": "2026-01-07T03:04:05+00:00",
        }
    ]


def test_observers_are_told_when_it_is_disabled(caplog: pytest.LogCaptureFixture) -> None:
    observer = RecordingSubscriptionObserver()
    house = House(observer, THORN_DISABLE_AFTER=60)
    house.send()
    house.send(after=60)
    assert observer.notices == [
        SubscriptionNotice(
            subscription_id=house.subscription.id,
            origin="https://customer-1.example.com",
            owner="acme",
            failing_since=house.clock.now - timedelta(seconds=60),
            disabled=house.disabled,
        )
    ]
    assert [one["reason"] for one in told(caplog, "subscription.disabled")] == [house.disabled]


def test_observers_are_told_of_a_subscription_that_is_gone() -> None:
    observer = RecordingSubscriptionObserver()
    house = House(observer)
    house.answers = says_status(410)
    house.send()
    (notice,) = observer.notices
    assert (notice.failing_since, notice.disable_at) == (None, None)
    assert notice.disabled == "answered 410 (gone) to order.created"


def test_an_observer_of_attempts_alone_is_an_observer_all_the_same() -> None:
    observer = RecordingObserver()
    assert isinstance(observer, Observer)
    assert not isinstance(observer, SubscriptionObserver)
    house = House(observer, THORN_DISABLE_AFTER=60)
    house.send()
    house.send(after=60)
    assert len(observer.records) == 2


def test_an_observer_that_raises_is_told_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    observer = RecordingSubscriptionObserver()
    house = House(BrokenSubscriptionObserver(), observer, THORN_DISABLE_AFTER=60)
    house.send()
    house.send(after=60)
    assert len(observer.notices) == 1
    (problem,) = told(caplog, "observer.failed")
    assert str(problem["problem"]).startswith("raised LookupError at ")


def test_of_two_processes_that_share_a_store_one_tells() -> None:
    first, second = RecordingSubscriptionObserver(), RecordingSubscriptionObserver()
    one, other = House(first), House(second)
    other.thorn = Thorn(
        pipeline=make_pipeline([other.transport], store=one.store, observers=[second]),
        clock=one.clock,
        retry=False,
    )
    other.event = other.thorn.event("order.created")
    one.send()
    one.send(after=3 * DAY)
    other.event.send({}, sender="acme")
    assert (len(first.notices), len(second.notices)) == (1, 0)


def test_a_record_that_a_receiver_failed_says_so() -> None:
    observer = RecordingObserver()
    house = House(observer)
    house.send()
    records: list[DeliveryRecord] = observer.records
    assert [one.last.receiver_failed for one in records] == [True]
