"""Runs the examples of README and docs, against real servers on loopback.

An example may send to `https://example.com/hooks`: the connection is opened to a server of ours, which has a
certificate for that name from an authority of ours. Nothing else is changed, and nothing leaves the machine.
"""

import doctest
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
import trustme
from attrs import define, field
from nats.aio.client import Client
from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

from support.brokers import RedisServer
from support.console import evaluate_console
from support.nats import NatsServer, open_stream, run_with
from thornsdk import AddressRules, LookUps, Thorn, literal_address
from thornsdk.testing import Behaviour, Endpoint
from thornsdk_plugins.urllib3.dial import Dialer
from thornsdk_plugins.urllib3.watch import Watch, WatchedSocket

ROOT = Path(__file__).parents[2]
WEB_PORTS = {80, 443}
PATTERNS = ["README.md", "docs/*.md", "docs/*/*.md", "docs/*/*/*.md"]
"""The pages whose examples run."""
LOOPBACK = AddressRules(allow=["127.0.0.0/8"])

T = TypeVar("T")

_dial = Dialer.dial


@define
class Web:
    """The hosts that examples send to."""

    stack: ExitStack
    patch: pytest.MonkeyPatch
    authority: trustme.CA
    servers: dict[tuple[str, int], int] = field(factory=dict)
    example: Endpoint = field(init=False)
    strays: list[str] = field(factory=list)
    nats_url: str = ""

    def open(self, host: str = "example.com", port: int = 443, behave: Behaviour | None = None) -> Endpoint:
        tls = None
        if port == 443:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.authority.issue_cert(host).configure_cert(tls)
        endpoint = self.stack.enter_context(Endpoint(behave, tls))
        self.servers[host, port] = endpoint.port
        return endpoint

    def at(self, host: str, port: int, server_port: int) -> None:
        """From now on, a server of the example itself listens there."""
        self.servers[host, port] = server_port

    def close(self, host: str = "example.com", port: int = 443) -> None:
        """From now on, nothing listens there."""
        del self.servers[host, port]

    def open_broker(self) -> None:
        """From now on, THORN_BROKER_URL names a Redis that is there."""
        self.patch.setenv("THORN_BROKER_URL", self.stack.enter_context(RedisServer()).url)

    def open_nats(self) -> bool:
        """From now on, the server called events has a stream for orders; tells whether there is one."""
        if not NatsServer.is_here():
            return False
        server = self.stack.enter_context(NatsServer())
        self.stack.enter_context(open_stream(server.url, word="orders"))
        self.patch.setenv("THORN_TRANSPORT", "urllib3,nats")
        self.patch.setenv("THORN_OPTIONS", json.dumps({"nats": {"servers": {"events": server.url}}}))
        self.nats_url = server.url
        return True

    def with_nats(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Does something with a client of that server."""
        return run_with(self.nats_url, work)

    def dial(self, dialer: Dialer, host: str, port: int, watch: Watch) -> WatchedSocket:
        if (server_port := self.servers.get((host, port))) is not None:
            return _dial(Dialer(LookUps(), LOOPBACK.forbidden), "127.0.0.1", server_port, watch)
        address = literal_address(host)
        on_loopback = address is not None and address.is_loopback and port not in WEB_PORTS
        if on_loopback or host.endswith(".test"):
            return _dial(dialer, host, port, watch)  # The example has opened an endpoint there.
        if host in {"example.com", "localhost"} or (address is not None and address.is_loopback):
            raise ConnectionRefusedError
        if address is None or dialer.guard(address) is None:
            self.strays.append(f"{host}:{port}")
            raise ConnectionRefusedError
        return _dial(dialer, host, port, watch)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web as the examples of one document see it, and an empty folder to work in."""
    folder = tmp_path_factory.mktemp("example")
    thorns: list[Thorn] = []
    make_thorn = Thorn.__init__

    def make(self: Thorn, **options: object) -> None:
        make_thorn(self, **options)  # type: ignore[arg-type]  # passed on as they came
        thorns.append(self)

    def dial(self: Dialer, host: str, port: int, watch: Watch) -> WatchedSocket:
        return one.dial(self, host, port, watch)

    def close_thorns() -> None:
        for thorn in thorns:
            thorn.close()

    with pytest.MonkeyPatch.context() as patch, ExitStack() as servers, ExitStack() as stack:
        one = Web(servers, patch, trustme.CA())
        one.authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        patch.setattr(Thorn, "__init__", make)
        patch.setattr(Dialer, "dial", dial)
        patch.chdir(folder)
        stack.callback(structlog.reset_defaults)
        level = logging.getLogger("thornsdk").level
        stack.callback(lambda: logging.getLogger("thornsdk").setLevel(level))
        stack.callback(close_thorns)
        one.example = one.open()
        yield one
        stack.close()
        assert not one.strays, f"examples would have left this machine for {one.strays}"


collect = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS),
        CodeBlockParser("console", evaluate_console),
        SkipParser(),
    ],
    patterns=PATTERNS,
    excludes=["docs/_build/**"],
    path=str(ROOT),
    fixtures=["web"],
).pytest()
