"""Lives of deliveries: failures, crashes, clocks that jump, replays. None is lost, and none doubled."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.stages import TimedTransport, make_pipeline, make_subscription
from thornsdk import (
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Event,
    Reason,
    Request,
    Response,
    Thorn,
    delivery_id,
)
from thornsdk.errors import TransportError
from thornsdk.testing import FakeClock
from thornsdk_plugins.sqlite import SqliteStore

SUBSCRIPTIONS = [make_subscription(number) for number in range(1, 4)]
SCHEDULE = [60, 600, 3600]
processes = st.integers(0, 1)
seconds = st.sampled_from([0, 1, 30, 61, 200, 700, 4000])


class Killed(BaseException):
    """Ends a process as ``kill -9`` does: nobody catches it."""


class Fate(Enum):
    """What becomes of a request."""

    ARRIVES = auto()
    REFUSED = auto()
    TIMES_OUT = auto()
    SENDER_DIES_BEFORE = auto()
    SENDER_DIES_AFTER = auto()
    """It arrives, and nobody lives to tell."""
    OTHERS_WORK_MEANWHILE = auto()
    """Before it arrives, another process attempts what is due."""
    LEASE_ENDS_MEANWHILE = auto()
    """It takes so long that another process takes it for lost."""


class Lives(RuleBasedStateMachine):
    """Two processes on one store. A third party, the receivers, keeps count of what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.path = Path(self.stack.enter_context(TemporaryDirectory())) / "thorn.db"
        self.clock = FakeClock()
        self.fates: list[Fate] = []
        self.received: Counter[UUID] = Counter()
        self.accepted: set[UUID] = set()
        self.wanted_again: set[UUID] = set()
        self.doubled: set[UUID] = set()
        self.nested = False
        self.events: dict[Thorn, Event[object]] = {}
        with closing(SqliteStore(self.path)) as store:
            store.put(SUBSCRIPTIONS)
        self.thorns = [self.start(), self.start()]

    def start(self) -> Thorn:
        transport = TimedTransport(self.receive, self.clock)
        pipeline = make_pipeline([transport], store=SqliteStore(self.path))
        thorn = Thorn(pipeline=pipeline, clock=self.clock, random=lambda: 0.5, retry_schedule=SCHEDULE)
        self.events[thorn] = thorn.event("order.created")
        return thorn

    def teardown(self) -> None:
        try:
            self.everything_comes_to_its_end()
        finally:
            for one in self.thorns:
                one.close()
            self.stack.close()

    # What happens outside

    def receive(self, request: Request) -> Response:
        if self.stored(request.id) is DeliveryState.DELIVERED and request.id not in self.wanted_again:
            self.doubled.add(request.id)
        fate = self.fates.pop(0) if self.fates and not self.nested else Fate.ARRIVES
        if fate is Fate.REFUSED:
            return Response(status=503)
        if fate is Fate.TIMES_OUT:
            self.clock.advance(10)
            raise TransportError(Reason.TIMEOUT, "10 s")
        if fate is Fate.SENDER_DIES_BEFORE:
            raise Killed
        if fate in {Fate.OTHERS_WORK_MEANWHILE, Fate.LEASE_ENDS_MEANWHILE}:
            self.others_work(3600 if fate is Fate.LEASE_ENDS_MEANWHILE else 0)
        self.received[request.id] += 1
        if fate is Fate.SENDER_DIES_AFTER:
            raise Killed
        return Response(status=200)

    def others_work(self, later: float) -> None:
        self.nested = True
        self.clock.advance(later)
        other = self.start()
        other.run_due()
        other.close()
        self.nested = False

    @contextmanager
    def process(self, number: int, fates: list[Fate]) -> Iterator[Thorn]:
        """Gives a process to work with. Where it dies, another one takes its place."""
        self.fates = list(fates)
        thorn = self.thorns[number]
        try:
            yield thorn
        except Killed:
            thorn.close()
            self.thorns[number] = self.start()
        self.fates = []

    # What people do

    @rule(number=processes, key=st.integers(1, 4), fates=st.lists(st.sampled_from(Fate), max_size=4))
    def send(self, number: int, key: int, fates: list[Fate]) -> None:
        with self.process(number, fates) as thorn:
            self.events[thorn].send({"key": key}, idempotency_key=str(key))
        self.accepted |= {one.id for one in self.records()}
        assert self.accepted >= {
            delivery_id(message, one.id) for message in self.messages() for one in SUBSCRIPTIONS
        }

    @rule(number=processes, fates=st.lists(st.sampled_from(Fate), max_size=4))
    def run_due(self, number: int, fates: list[Fate]) -> None:
        with self.process(number, fates) as thorn:
            thorn.run_due()

    @rule(number=processes, fates=st.lists(st.sampled_from(Fate), max_size=4))
    def replay(self, number: int, fates: list[Fate]) -> None:
        states = frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED})
        self.wanted_again = {one.id for one in self.records() if one.state in states}
        with self.process(number, fates) as thorn:
            thorn.replay_all(DeliveryFilter(states=states))
        self.wanted_again = set()

    @rule(by=seconds)
    def time_passes(self, by: int) -> None:
        self.clock.advance(by)

    @rule(by=seconds)
    def the_clock_is_set_back(self, by: int) -> None:
        self.clock.advance(-by)

    # What must hold

    @invariant()
    def nothing_that_was_accepted_is_forgotten(self) -> None:
        assert {one.id for one in self.records()} == self.accepted

    @invariant()
    def what_was_acknowledged_as_delivered_is_not_sent_again(self) -> None:
        assert self.doubled == set()

    @invariant()
    def what_counts_as_delivered_has_arrived(self) -> None:
        for one in self.records():
            assert one.state is not DeliveryState.DELIVERED or self.received[one.id] > 0

    def everything_comes_to_its_end(self) -> None:
        """Whatever was done before, what is owed arrives as soon as receivers and processes are well."""
        thorn = self.thorns[0]
        for _ in range(40):
            due = thorn.next_due()
            if due is None:
                break
            self.clock.now = max(self.clock.now, due)
            thorn.run_due()
        assert thorn.next_due() is None
        for one in self.records():
            given_up = one.state is DeliveryState.FAILED and one.last.number > len(SCHEDULE)
            assert one.state is DeliveryState.DELIVERED or given_up

    def records(self) -> list[DeliveryRecord]:
        return list(self.thorns[0].deliveries())

    def messages(self) -> set[UUID]:
        return {one.message_id for one in self.records()}

    def stored(self, key: UUID) -> DeliveryState:
        return self.thorns[0].delivery(key).state


Lives.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestLives = Lives.TestCase
