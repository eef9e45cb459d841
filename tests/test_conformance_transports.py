"""The built-in transports keep what every transport promises; so does the one that keeps what it is given."""

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from conftest import OpenTransport
from support.nats import Stream
from support.queues import Queues
from thornsdk import Reason, Request, Response, Transport
from thornsdk.errors import TransportError
from thornsdk.testing import RecordingTransport
from thornsdk.testing.suites import Arrived, FarSide, HttpFarSide, HttpTransportSuite, TransportSuite
from thornsdk_plugins.nats import NatsTransport
from thornsdk_plugins.queue import QueueTransport


class TestHttp(HttpTransportSuite):
    """Over HTTP, with each of the HTTP transports."""

    @pytest.fixture
    def trusting(self, open_transport: OpenTransport) -> Callable[[str], Transport]:
        return lambda file: open_transport(ca_bundle=file)

    @pytest.fixture
    def far_side(self) -> Iterator[HttpFarSide]:
        with HttpFarSide() as far_side:
            yield far_side

    @pytest.fixture
    def transport(self, far_side: HttpFarSide, open_transport: OpenTransport) -> Transport:
        return open_transport()


class TestHttps(TestHttp):
    """Over TLS, with each of the HTTP transports."""

    @pytest.fixture
    def far_side(self, tls: ssl.SSLContext) -> Iterator[HttpFarSide]:
        with HttpFarSide(tls) as far_side:
            yield far_side

    @pytest.fixture
    def transport(self, far_side: HttpFarSide, open_transport: OpenTransport, ca_bundle: str) -> Transport:
        return open_transport(ca_bundle=ca_bundle)


class Loft:
    """The far side of a recording transport: what it keeps, and what it raises."""

    url = "pigeon://loft.example/"
    nobody = "pigeon://nobody.example/"
    silent = "pigeon://silent.example/"
    breaking = "pigeon://breaking.example/"
    refusing = "pigeon://refusing.example/"
    dripping = "pigeon://dripping.example/"

    def __init__(self) -> None:
        self.transport = RecordingTransport(self.answer, schemes=["pigeon"])

    def answer(self, request: Request) -> Response:
        if request.url.host == "nobody.example":
            raise TransportError(Reason.CONNECTION_REFUSED, "nobody.example refuses connections")
        if request.url.host in {"silent.example", "dripping.example"}:
            raise TransportError(Reason.TIMEOUT, f"{request.url.host} did not answer in time")
        if request.url.host == "breaking.example":
            raise TransportError(Reason.CONNECTION_LOST, "breaking.example has hung up")
        if request.url.host == "refusing.example":
            return Response(status=503)
        return Response(status=200)

    def arrived(self) -> Sequence[Arrived]:
        came = (one for one in self.transport.requests if one.url.host != "nobody.example")
        return [Arrived(body=one.body, headers=one.headers) for one in came]


class TestRecordingTransport(TransportSuite):
    why_unguarded = "it connects to no address"
    why_not_forked = "what it keeps stays in its own process"

    @pytest.fixture
    def far_side(self) -> Loft:
        return Loft()

    @pytest.fixture
    def transport(self, far_side: Loft) -> Transport:
        return far_side.transport


class Subjects:
    """A subject of a stream, and servers that are not there, or say nothing."""

    breaking = None
    dripping = None

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.url = stream.to()
        self.refusing = f"nats://events/no-stream-{stream.word}"
        self.nobody = stream.to(server="nobody")
        self.silent = stream.to(server="silent")

    def arrived(self) -> Sequence[Arrived]:
        return [Arrived(body=one.body, headers=tuple(one.headers.items())) for one in self._stream.stored()]


class TestNats(TransportSuite):
    why_unguarded = "it connects only where the operator has said"

    @pytest.fixture
    def far_side(self, stream: Stream) -> FarSide:
        return Subjects(stream)

    @pytest.fixture
    def transport(self, nats_url: str) -> Iterator[Transport]:
        here = ("127.0.0.1", 0)
        with socket.socket() as nobody, socket.create_server(here) as silent:
            nobody.bind(here)
            servers = {"events": nats_url, "nobody": at(nobody), "silent": at(silent)}
            with closing(NatsTransport(servers=servers)) as transport:
                yield transport


class Consumer:
    """A queue with a consumer that keeps what it takes, and brokers that are not there, or say nothing."""

    breaking = None
    dripping = None

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._taken: list[Arrived] = []
        self.url = f"{queues.scheme}://events/orders"
        # What is pushed to a list of Redis makes the list.
        self.refusing = "amqp://events/nowhere" if queues.scheme == "amqp" else None
        self.nobody = f"{queues.scheme}://nobody/orders"
        self.silent = f"{queues.scheme}://silent/orders"

    def arrived(self) -> Sequence[Arrived]:
        new = self._queues.take("orders")
        # An empty body, py-amqp gives as text.
        self._taken += [Arrived(body=one.body or b"", headers=tuple(one.headers.items())) for one in new]
        return self._taken


class TestQueue(TransportSuite):
    """With each of the brokers."""

    why_unguarded = "it connects only where the operator has said"

    @pytest.fixture
    def far_side(self, queues: Queues) -> FarSide:
        return Consumer(queues)

    @pytest.fixture
    def transport(self, queues: Queues) -> Iterator[Transport]:
        here = ("127.0.0.1", 0)
        with socket.socket() as nobody, socket.create_server(here) as silent:
            nobody.bind(here)
            brokers = {name: at(one, queues.scheme) for name, one in (("nobody", nobody), ("silent", silent))}
            with closing(QueueTransport({"events": queues.url, **brokers})) as transport:
                yield transport


def at(server: socket.socket, scheme: str = "nats") -> str:
    return f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
