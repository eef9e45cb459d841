"""The stages that the docs write keep what their kinds promise."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from support.beanstalk import Beanstalkd
from support.example_files import names_in_examples
from thornsdk import Delivery, Dispatcher, Secret, Signer, Thorn, Transport
from thornsdk.testing.suites import Arrived, DispatcherSuite, FarSide, SignerSuite, TransportSuite
from thornsdk.typing import Headers

TRANSPORT = names_in_examples(
    "how-to/write-a-transport",
    "Speak the protocol",
    "Say what was answered",
    "Keep the deadline",
    "Ask the guard",
    "Put it together",
)
SIGNER = names_in_examples("how-to/write-a-signer", "The signer", "What a receiver does")
DISPATCHER = names_in_examples("how-to/write-a-dispatcher", "The dispatcher")


class Tube:
    """A tube of a beanstalkd, and two places where there is none."""

    breaking = None
    refusing = None
    dripping = None

    def __init__(self, beanstalkd: Beanstalkd, nobody: socket.socket, silent: socket.socket) -> None:
        self._jobs = beanstalkd.jobs("orders")
        self.url, self.nobody, self.silent = (
            f"beanstalk://127.0.0.1:{port}/orders"
            for port in (beanstalkd.port, nobody.getsockname()[1], silent.getsockname()[1])
        )

    def arrived(self) -> Sequence[Arrived]:
        return [arrived(job) for job in self._jobs]


def arrived(job: bytes) -> Arrived:
    head, _, body = job.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n"))
    return Arrived(body=body, headers=tuple((name, value) for name, _, value in lines))


class TestBeanstalkTransport(TransportSuite):
    @pytest.fixture
    def far_side(self) -> Iterator[FarSide]:
        with (
            Beanstalkd() as beanstalkd,
            socket.socket() as nobody,
            socket.create_server(("127.0.0.1", 0)) as silent,
        ):
            nobody.bind(("127.0.0.1", 0))
            yield Tube(beanstalkd, nobody, silent)

    @pytest.fixture
    def transport(self, far_side: FarSide) -> Iterator[Transport]:
        with closing(TRANSPORT["BeanstalkTransport"]()) as transport:
            yield transport


class TestShopSigner(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        made: Signer = SIGNER["ShopSigner"]()
        return made

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        header, age = dict(headers)["Shop-Signature"], float("inf")
        return bool(SIGNER["is_authentic"](header, came.body, secret.key, tolerance=age))


class TestStoreDispatcher(DispatcherSuite):
    @pytest.fixture
    def dispatcher(self) -> Dispatcher:
        made: Dispatcher = DISPATCHER["StoreDispatcher"]()
        return made

    @pytest.fixture
    def drain(self, thorn: Thorn) -> Callable[[], None]:
        def work() -> None:
            thorn.run_due()

        return work
