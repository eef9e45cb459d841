import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPSConnection

import pytest

from mutants import EVERYTHING, Mutant
from thornsdk import DeliveryRecord, Observer, SubscriptionNotice
from thornsdk.testing import Authority, Endpoint
from thornsdk.testing.suites import ObserverSuite


class Sound(Mutant):
    """Breaks nothing."""

    def observe(self, record: DeliveryRecord) -> None:
        pass

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        pass


class NoObserver(Mutant):
    breaks = "test_is_an_observer"
    also = EVERYTHING


class Forgetful(Mutant, Observer):
    """Inherits its method from the protocol, where it does nothing."""

    breaks = "test_is_an_observer"


class WantsAnAnswer(Sound):
    breaks = "test_takes_any_record"

    def observe(self, record: DeliveryRecord) -> None:
        if record.last.number > 1:
            _ = record.last.status // 100  # type: ignore[operator]  # on purpose


class WantsATime(Sound):
    breaks = "test_takes_any_record"

    def observe(self, record: DeliveryRecord) -> None:
        if record.skipped:
            _ = record.next_attempt_at.isoformat()  # type: ignore[union-attr]  # on purpose


class Chatty(Sound):
    breaks = "test_gives_nothing"

    def observe(self, record: DeliveryRecord) -> bool:  # type: ignore[override]  # on purpose
        return True


class NotForThreads(Sound):
    breaks = "test_serves_several_threads"
    busy = False

    def observe(self, record: DeliveryRecord) -> None:
        if self.busy:
            raise RuntimeError("two at once")
        self.busy = True
        time.sleep(0)
        self.busy = False


class Slow(Sound):
    breaks = "test_does_not_hold_up_deliveries"

    def observe(self, record: DeliveryRecord) -> None:
        time.sleep(0.01)


class Reporting(Sound):
    breaks = "test_sends_nothing"

    def observe(self, record: DeliveryRecord) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"delivered:1|c", ("127.0.0.1", 9))


class ReportingOverAConnection(Sound):
    """Has connected before, so nothing but the sending is seen."""

    breaks = "test_sends_nothing"

    def __init__(self) -> None:
        self.far, self.near = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        self.far.bind(("127.0.0.1", 0))
        self.near.connect(self.far.getsockname())

    def observe(self, record: DeliveryRecord) -> None:
        self.near.send(b"delivered:1|c")

    def close(self) -> None:
        self.near.close()
        self.far.close()


class ReportingOverTls(Sound):
    """Has connected before, and shaken hands; it tells of many at once."""

    breaks = "test_sends_nothing"
    waiting = 0

    def __init__(self) -> None:
        self.far = Endpoint(tls=Authority().context("127.0.0.1"))
        self.far.__enter__()
        self.near = HTTPSConnection(self.far.host, self.far.port, context=ssl._create_unverified_context())
        self.near.connect()
        self.lock = threading.Lock()

    def observe(self, record: DeliveryRecord) -> None:
        with self.lock:
            self.waiting += 1
            if self.waiting % 50 == 0:
                self.near.request("POST", "/", b"delivered:50|c")
                self.near.getresponse().read()

    def close(self) -> None:
        self.near.close()
        self.far.__exit__()


class Fetching(Sound):
    """Looks whether there is anything new."""

    breaks = "test_sends_nothing"

    def __init__(self) -> None:
        self.near = socket.socket(type=socket.SOCK_DGRAM)
        self.near.bind(("127.0.0.1", 0))
        self.near.setblocking(False)

    def observe(self, record: DeliveryRecord) -> None:
        with suppress(BlockingIOError):
            self.near.recv(1)

    def close(self) -> None:
        self.near.close()


class ReportingSomeAtOnce(Sound):
    breaks = "test_sends_nothing"
    waiting = 0

    def observe(self, record: DeliveryRecord) -> None:
        self.waiting += 1
        if self.waiting % 5 == 0:
            Reporting().observe(record)


class LookingUpANameInTheOldWay(Sound):
    breaks = "test_sends_nothing"

    def observe(self, record: DeliveryRecord) -> None:
        socket.gethostbyname("localhost")


class WakingAThread(Sound):
    """Wakes a thread over a pair of sockets, as event loops do, and breaks nothing."""

    def observe(self, record: DeliveryRecord) -> None:
        here, there = socket.socketpair()
        with here, there:
            here.send(b"\0")


class ReportingInTime(Sound):
    """Reports in a thread of its own, and breaks nothing."""

    def observe(self, record: DeliveryRecord) -> None:
        thread = threading.Thread(target=Reporting().observe, args=(record,))
        thread.start()
        thread.join()


class WantsADeadline(Sound):
    breaks = "test_takes_any_notice"

    def observe_subscription(self, notice: SubscriptionNotice) -> None:
        _ = notice.disable_at.isoformat()  # type: ignore[union-attr]  # on purpose


class ChattyOfSubscriptions(Sound):
    breaks = "test_takes_any_notice"

    def observe_subscription(self, notice: SubscriptionNotice) -> bool:  # type: ignore[override]  # on purpose
        return True


MUTANTS = [
    Sound,
    NoObserver,
    Forgetful,
    WantsAnAnswer,
    WantsATime,
    Chatty,
    NotForThreads,
    Slow,
    Reporting,
    ReportingOverAConnection,
    ReportingOverTls,
    Fetching,
    ReportingSomeAtOnce,
    LookingUpANameInTheOldWay,
    WakingAThread,
    ReportingInTime,
    WantsADeadline,
    ChattyOfSubscriptions,
]


class TestMutants(ObserverSuite):
    patience = 0.5

    @pytest.fixture(params=MUTANTS)
    def observer(self, request: pytest.FixtureRequest) -> Iterator[Observer]:
        made: Observer = request.param()
        yield made
        getattr(made, "close", lambda: None)()
