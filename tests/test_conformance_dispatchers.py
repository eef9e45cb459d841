"""The built-in dispatchers keep what every dispatcher promises; so does the one that keeps its messages."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from support.celery_tasks import Worker
from thornsdk import Dispatcher, Thorn
from thornsdk.testing import RecordingDispatcher
from thornsdk.testing.suites import DispatcherSuite
from thornsdk_plugins.celery import CeleryDispatcher
from thornsdk_plugins.celery.names import DELIVER, FAN_OUT
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.disabled import DisabledDispatcher


class TestDefault(DispatcherSuite):
    @pytest.fixture
    def dispatcher(self) -> Dispatcher:
        return DefaultDispatcher()


class TestDisabled(DispatcherSuite):
    @pytest.fixture
    def dispatcher(self) -> Dispatcher:
        return DisabledDispatcher()


class TestRecordingDispatcher(DispatcherSuite):
    @pytest.fixture
    def dispatcher(self) -> RecordingDispatcher:
        return RecordingDispatcher()

    @pytest.fixture
    def unable(self) -> Dispatcher:
        return RecordingDispatcher(room=0)

    @pytest.fixture
    def drain(self, dispatcher: RecordingDispatcher, thorn: Thorn) -> Callable[[], None]:
        def deliver_all() -> None:
            for one in dispatcher.taken:
                for _ in thorn.deliverer.deliver_all(one):
                    pass

        return deliver_all


@pytest.fixture
def no_broker() -> Iterator[str]:
    """The URL of a port that is taken, and where no broker listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{nobody.getsockname()[1]}/"


class TestCelery(DispatcherSuite):
    """Over each broker, with the tasks of a worker."""

    @pytest.fixture
    def dispatcher(self, broker_url: str) -> Iterator[Dispatcher]:
        with closing(CeleryDispatcher(broker_url=broker_url)) as dispatcher:
            yield dispatcher

    @pytest.fixture
    def unable(self, no_broker: str) -> Iterator[Dispatcher]:
        with closing(CeleryDispatcher(broker_url=no_broker)) as dispatcher:
            yield dispatcher

    @pytest.fixture
    def drain(self, broker_url: str, thorn: Thorn) -> Iterator[Callable[[], None]]:
        worker = Worker(thorn, broker_url)

        def work() -> None:
            todo = worker.published()
            while todo:
                # The other tasks are for what is attempted again, later.
                due = [one for one in todo if one.task in {FAN_OUT, DELIVER}]
                todo = [more for one in due for more in worker.do(one)]

        yield work
        worker.publisher.close()
