"""How the tests of plugins use the suites, with the types that they must see. Never run."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from thornsdk import (
    Delivery,
    Dispatcher,
    Observer,
    Secret,
    Serializer,
    Signer,
    Store,
    Thorn,
    Transport,
    hook_hmac,
)
from thornsdk.testing import Endpoint, RecordingDispatcher, RecordingObserver, RecordingTransport
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
from thornsdk.typing import Headers
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.urllib3 import PooledTransport


class TestSerializer(SerializerSuite):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return JsonSerializer()

    def payloads(self) -> Sequence[object]:
        return (1, [2])

    def unwritable(self) -> Sequence[object]:
        return (object(),)

    def read(self, body: bytes) -> object:
        return json.loads(body)


class TestSigner(SignerSuite):
    randomised = False
    signs_with_secrets = True
    signs_with_old_secrets = False

    @pytest.fixture
    def signer(self) -> HookHmacSigner:
        return HookHmacSigner()

    def secret(self, number: int) -> bytes:
        return b"%d" % number

    def verify(self, came: Delivery, headers: Headers, secret: Secret) -> bool:
        return dict(headers)["Hook-HMAC"] == hook_hmac(secret.key, came.body)


class TestAnotherSigner(TestSigner):
    @pytest.fixture
    def signer(self) -> Signer:
        return HookHmacSigner()


class TestTransport(TransportSuite):
    patience = 10
    largest_body = 200_000
    reads_ahead = 10
    headers = (("Content-Type", "application/json"),)
    why_unguarded = "it connects to no address"
    why_not_forked = "its library forbids it"

    @pytest.fixture
    def far_side(self) -> Iterator[FarSide]:
        with HttpFarSide() as far_side:
            yield far_side

    @pytest.fixture
    def transport(self, far_side: FarSide) -> Iterator[Transport]:
        with closing(PooledTransport()) as transport:
            yield transport


class TestHttpTransport(HttpTransportSuite):
    longest_answer = 64 * 1024

    @pytest.fixture
    def far_side(self) -> Iterator[HttpFarSide]:
        with HttpFarSide() as far_side:
            yield far_side

    @pytest.fixture
    def transport(self, far_side: HttpFarSide) -> Iterator[Transport]:
        with closing(PooledTransport()) as transport:
            yield transport

    @pytest.fixture
    def trusting(self) -> Callable[[str], Transport]:
        return lambda file: PooledTransport(ca_bundle=file)


class Loft:
    """A far side that inherits from nothing."""

    url = "pigeon://loft.example/"
    nobody = "pigeon://nobody.example/"
    silent = None
    breaking = None
    refusing = None
    dripping = None

    def arrived(self) -> list[Arrived]:
        return [Arrived(body=b"{}"), Arrived(body=b"", headers=())]


class TestTransportToALoft(TransportSuite):
    @pytest.fixture
    def far_side(self) -> FarSide:
        return Loft()

    @pytest.fixture
    def transport(self) -> RecordingTransport:
        return RecordingTransport(schemes=["pigeon"])


class TestDispatcher(DispatcherSuite):
    patience = 5.0

    @pytest.fixture
    def thorn(self, subscribers: Sequence[Endpoint]) -> Iterator[Thorn]:
        with Thorn(store="memory", allow_ports=[one.port for one in subscribers]) as thorn:
            yield thorn

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
                list(thorn.deliverer.deliver_all(one))

        return deliver_all


class TestObserver(ObserverSuite):
    patience = 1

    @pytest.fixture
    def observer(self) -> Observer:
        return RecordingObserver()


class TestStoreOfOneProcess(StoreSuite):
    many = 20
    patience = 5

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        self.path = tmp_path / "thorn.db"
        with closing(SqliteStore(self.path)) as store:
            yield store

    def another(self, store: Store) -> SqliteStore:
        return SqliteStore(self.path)
