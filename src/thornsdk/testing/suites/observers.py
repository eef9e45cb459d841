"""What every observer promises."""

import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial

import pytest

from thornsdk.model import DeliveryRecord, SubscriptionNotice
from thornsdk.stages import Observer, SubscriptionObserver
from thornsdk.testing.suites.promises import broken, check_stage, fixture_wanted, keeps, not_tested, promise
from thornsdk.testing.suites.records import each_notice, each_record
from thornsdk.testing.suites.running import side_by_side, within
from thornsdk.testing.values import make_record

_THREADS = 8
_MANY = 100
_SENDING = ("connect", "connect_ex", "send", "sendall", "sendto", "sendmsg")
_RECEIVING = ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")
# Over TLS, what is sent and received passes the methods of sockets by.
_OVER_TLS = ("send", "sendall", "write", "recv", "recv_into", "read")
_LOOKING_UP = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


class ObserverSuite:
    """What every observer promises; `observer` is given by the class of tests that inherits it.

    Example:
        >>> import pytest
        >>> from thornsdk import Observer
        >>> from thornsdk.testing import RecordingObserver
        >>> from thornsdk.testing.suites import ObserverSuite
        >>> class TestRecordingObserver(ObserverSuite):
        ...     @pytest.fixture
        ...     def observer(self) -> Observer:
        ...         return RecordingObserver()
    """

    patience: float = 2.0
    """How many seconds it may take for a hundred records, which is far longer than it should."""

    @pytest.fixture
    def observer(self) -> Observer:
        """The observer under test."""
        fixture_wanted(self, "observer")

    @promise
    def test_is_an_observer(self, observer: Observer) -> None:
        """An observer has a way to observe of its own."""
        check_stage(observer, Observer)

    @promise
    def test_takes_any_record(self, observer: Observer) -> None:
        """An observer takes any record: each outcome and reason, held or skipped, with or without an answer.

        What it raises harms no delivery, but is one that nobody will find in its figures.
        """
        for record in each_record():
            try:
                observer.observe(record)
            except Exception as exc:
                broken(f"of {_named(record)} it raised {type(exc).__name__}: {exc}", exc)

    @promise
    def test_gives_nothing(self, observer: Observer) -> None:
        """An observer gives None: nobody reads what it gives."""
        observe: Callable[[DeliveryRecord], object] = observer.observe
        told = observe(make_record())
        keeps(told is None, f"it gave a {type(told).__name__}")

    @promise
    def test_serves_several_threads(self, observer: Observer) -> None:
        """An observer serves several threads at once: each is one that sends."""

        def observe(_: int) -> None:
            for _ in range(_MANY):
                observer.observe(make_record())

        side_by_side(_THREADS, observe)

    @promise
    def test_does_not_hold_up_deliveries(self, observer: Observer) -> None:
        """An observer is soon through with a record: meanwhile, whoever sends waits for it."""

        def observe() -> None:
            for _ in range(_MANY):
                observer.observe(make_record())

        within(self.patience, observe, f"to observe {_MANY} records")

    @promise
    def test_sends_nothing(self, observer: Observer, sent: list[str]) -> None:
        """An observer sends nothing in the thread that delivers: only a transport touches the network there.

        One that reports to elsewhere does so in a thread of its own.
        """
        for _ in range(_MANY):  # One that collects sends after several.
            observer.observe(make_record())
        keeps(not sent, f"it called {', '.join(dict.fromkeys(sent))}")

    @promise
    def test_takes_any_notice(self, observer: Observer) -> None:
        """An observer that is told of subscriptions takes any notice, and gives None."""
        if not isinstance(observer, SubscriptionObserver):
            not_tested(self, "the observer has no `observe_subscription`, and need not")
        observe: Callable[[SubscriptionNotice], object] = observer.observe_subscription
        for notice in each_notice():
            told = observe(notice)
            keeps(told is None, f"it gave a {type(told).__name__}")

    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the thread of the test has asked of the network."""
        asked: list[str] = []
        thread = threading.get_ident()
        asking: dict[object, tuple[str, ...]] = {
            socket: _LOOKING_UP,
            socket.socket: (*_SENDING, *_RECEIVING),
            ssl.SSLSocket: _OVER_TLS,
        }
        for owner, names in asking.items():
            for name in filter(partial(hasattr, owner), names):  # Not every system has all of them.
                monkeypatch.setattr(owner, name, _noted(getattr(owner, name), name, asked, thread))
        return asked


def _named(record: DeliveryRecord) -> str:
    """Says what is special about a record, so that its like can be made in a test."""
    last = record.last
    return (
        f"a record with kind={record.kind}, reason={last.outcome.reason}, number={last.number}, "
        f"status={last.status}, held={record.held}, sender={record.sender!r}, event={record.event}"
    )


def _noted(call: Callable[..., object], name: str, asked: list[str], thread: int) -> Callable[..., object]:
    def noted(*args: object, **kwargs: object) -> object:
        if threading.get_ident() == thread and not _is_local(args):
            asked.append(name)
        return call(*args, **kwargs)

    return noted


def _is_local(args: tuple[object, ...]) -> bool:
    """Tells whether a call is that of a local socket: threads wake each other with such."""
    return any(isinstance(one, socket.socket) and one.family.name == "AF_UNIX" for one in args[:1])
