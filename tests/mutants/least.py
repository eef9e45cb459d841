"""What a suite says where it is given little: no fixture, or only what it cannot do without."""

import secrets
import socket
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from attrs import evolve

from mutants import dispatchers, serializers, transports
from thornsdk import Delivery, Dispatcher, Exchange, Observer, Request, Serializer, Signer, Store, Transport
from thornsdk.testing import RecordingObserver
from thornsdk.testing.suites import (
    Arrived,
    DispatcherSuite,
    FarSide,
    HttpFarSide,
    HttpTransportSuite,
    ObserverSuite,
    SerializerSuite,
    SignerSuite,
    StoreSuite,
    TransportSuite,
)
from thornsdk.typing import Headers, IPAddress
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.urllib3 import PooledTransport


class TestNoSerializer(SerializerSuite):
    pass


class TestNoSigner(SignerSuite):
    pass


class TestNoTransport(TransportSuite):
    pass


class TestNoDispatcher(DispatcherSuite):
    pass


class TestNoStore(StoreSuite):
    pass


class TestNoObserver(ObserverSuite):
    pass


class TestSerializer(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        made = serializers.WritesAnything()
        made.content_type = "text/x-json"
        return made

    def unwritable(self) -> Sequence[object]:
        return ()


class Random:
    """A signer that gives another signature each time."""

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        return (("Shop-Signature", secrets.token_hex()),)


class TestSigner(SignerSuite):
    randomised = True

    @pytest.fixture
    def signer(self) -> Signer:
        return Random()

    def secret(self, number: int) -> bytes:
        return bytes([255, number])


class FarLoft(transports.Loft):
    """A far side of which little is known."""

    nobody = None  # type: ignore[assignment]  # a far side may have none
    silent = None  # type: ignore[assignment]
    breaking = None  # type: ignore[assignment]
    refusing = None  # type: ignore[assignment]
    dripping = None  # type: ignore[assignment]

    def arrived(self) -> Sequence[Arrived]:
        return [evolve(one, headers=None) for one in super().arrived()]


class Mapped(transports.Sound):
    """Gives an iterator that is no generator."""

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return map(self.exchange, requests)

    def exchange(self, request: Request) -> Exchange:
        (one,) = super().send_many([request])
        return one


class TestTransport(TransportSuite):
    why_unguarded = "it sends only where the operator has said"
    why_not_forked = "its library forbids it"

    @pytest.fixture
    def far_side(self, tmp_path: Path) -> FarSide:
        return FarLoft(tmp_path)

    @pytest.fixture
    def transport(self, far_side: transports.Loft) -> Transport:
        return Mapped(far_side)


def here(_: str, port: int) -> Sequence[IPAddress]:
    """Finds every name on this machine; an address is no name that is looked up."""
    found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
    return [ip_address(str(one[4][0])) for one in found]


class TestHttpTransport(HttpTransportSuite):
    """With a resolver of its own, and where somebody counts memory already."""

    @pytest.fixture(autouse=True)
    def counting(self) -> Iterator[None]:
        tracemalloc.start()
        yield
        assert tracemalloc.is_tracing()
        tracemalloc.stop()

    @pytest.fixture
    def far_side(self) -> Iterator[HttpFarSide]:
        with HttpFarSide() as far_side:
            yield far_side

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        with closing(PooledTransport(resolver=here)) as transport:
            yield transport


class TestDispatcher(DispatcherSuite):
    @pytest.fixture
    def dispatcher(self) -> Dispatcher:
        return dispatchers.Queueing(able=True)


class TestObserver(ObserverSuite):
    @pytest.fixture
    def observer(self) -> Observer:
        return RecordingObserver()


class TestStore(StoreSuite):
    """In one process alone."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
