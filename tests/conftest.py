"""Fixtures that many tests use."""

import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from support.brokers import (
    TESTED,
    amqp_for_tests,
    are_shared,
    check_unused,
    empty_redis,
    redis_for_tests,
    remove_queues,
    told,
)
from support.commands import Commands, store_url
from support.nats import Stream, nats_for_tests, open_stream
from support.queues import Queues
from support.tls import NAME
from support.transports import each_kind, make_transport
from support.wire import Listener
from thornsdk import Store, Thorn, Transport
from thornsdk.testing import Authority, Endpoint, reaching
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.queue import QueueTransport
from thornsdk_plugins.sqlite import SqliteStore

OpenThorn = Callable[..., Thorn]
OpenTransport = Callable[..., Transport]
Listen = Callable[..., Listener]
OpenQueue = Callable[..., QueueTransport]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees no THORN_ setting but its own, and no width of a terminal."""
    for name in list(os.environ):
        if name.startswith("THORN_") or name == "COLUMNS":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A test leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive(), f"{thread.name} was left running"


@pytest.fixture
def open_thorn(open_endpoint: OpenEndpoint) -> Iterator[OpenThorn]:
    """Makes Thorns that may send to the loopback ports of the endpoints given.

    They close with the test, before the endpoints do.
    """
    with ExitStack() as stack:

        def open_one(*endpoints: Endpoint, **options: Any) -> Thorn:
            return stack.enter_context(Thorn(**{**reaching(*endpoints), **options}))

        yield open_one


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    """What a server needs to be hooks.example.test and 127.0.0.1."""
    return authority.context(NAME, "127.0.0.1")


@pytest.fixture(scope="session", params=each_kind())
def transport_kind(request: pytest.FixtureRequest) -> str:
    """Each HTTP transport in turn."""
    kind: str = request.param
    return kind


@pytest.fixture
def open_transport(transport_kind: str, open_endpoint: OpenEndpoint) -> Iterator[OpenTransport]:
    """Makes transports of each kind; they close before the endpoints do."""
    with ExitStack() as stack:

        def open_one(**options: Any) -> Transport:
            transport = make_transport(transport_kind, **options)
            stack.callback(transport.close)
            return transport

        yield open_one


@pytest.fixture
def transport(open_transport: OpenTransport) -> Transport:
    return open_transport()


@pytest.fixture
def trusting(open_transport: OpenTransport, ca_bundle: str) -> Transport:
    """A transport that trusts the private authority, and finds all names at 127.0.0.1."""
    return open_transport(ca_bundle=ca_bundle, resolver=lambda host, port: [ip_address("127.0.0.1")])


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Opens bare listeners; they end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Listener(*args, **options))


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """A real Redis, for the whole run: one of our own, or the one that THORN_TEST_REDIS_URL names."""
    with redis_for_tests() as url:
        yield url


@pytest.fixture(scope="session")
def amqp_server_url() -> Iterator[str]:
    """A real RabbitMQ, for the whole run; where there is none, the tests that ask for it are skipped."""
    with amqp_for_tests() as url:
        check_unused(url)
        yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A real NATS with JetStream, for the whole run; where there is none, who asks for it is skipped."""
    with nats_for_tests() as url:
        yield url


@pytest.fixture
def stream(nats_url: str) -> Iterator[Stream]:
    """A stream of the test's own."""
    with open_stream(nats_url) as stream:
        yield stream


@pytest.fixture
def redis_url(redis_server_url: str) -> Iterator[str]:
    """The broker Redis, with nothing in it."""
    yield redis_server_url
    empty_redis(redis_server_url)


@pytest.fixture
def amqp_url(amqp_server_url: str) -> Iterator[str]:
    """The broker RabbitMQ, with none of our queues in it."""
    yield amqp_server_url
    remove_queues(amqp_server_url)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    url: str = request.getfixturevalue("redis_url" if request.param == "redis" else "amqp_url")
    return url


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Tests run side by side, unless they would share a broker; half of the time, they wait for something."""
    return 0 if are_shared() else 2 * (os.cpu_count() or 1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that runs a part of the tests says which brokers it has used."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["brokers"] = TESTED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The process that gathers the results hears which brokers the others have used."""
    TESTED.update(getattr(node, "workeroutput", {}).get("brokers", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which brokers were tested, where some were."""
    if TESTED:
        terminalreporter.write_line(told())


@pytest.fixture(params=["redis", "rabbitmq"])
def queues(request: pytest.FixtureRequest) -> Iterator[Queues]:
    """The queues of each broker in turn; there is one called ``orders``."""
    with Queues(request.getfixturevalue("redis_url" if request.param == "redis" else "amqp_url")) as queues:
        queues.declare("orders")
        yield queues


@pytest.fixture
def rabbit(amqp_url: str) -> Iterator[Queues]:
    """The queues of a RabbitMQ."""
    with Queues(amqp_url) as queues:
        yield queues


@pytest.fixture
def open_queue() -> Iterator[OpenQueue]:
    """Makes transports with a broker called ``events``, and others; they close with the test."""
    made: list[QueueTransport] = []

    def open_one(broker: str, others: Mapping[str, str] | None = None, **options: Any) -> QueueTransport:
        made.append(QueueTransport({"events": broker, **(others or {})}, **options))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each of the built-in stores."""
    kinds: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "thorn.db"),
    }
    with closing(kinds[request.param]()) as one:
        yield one


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Runs commands of thornsdk in this process."""
    return Commands(monkeypatch)


@pytest.fixture
def cli_settings(tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands have a store in a file, may send to the endpoint, and attempt again at once."""
    monkeypatch.setenv("THORN_STORE", store_url(tmp_path))
    monkeypatch.setenv("THORN_ALLOW_NETWORKS", "127.0.0.1")
    monkeypatch.setenv("THORN_ALLOW_PORTS", f"443,{endpoint.port}")
    monkeypatch.setenv("THORN_RETRY_SCHEDULE", "0,0")


@pytest.fixture
def thorn(cli_settings: None) -> Iterator[Thorn]:
    """What a command works with."""
    with Thorn() as thorn:
        yield thorn
