"""The client of nats-py, taught not to tell secrets without TLS and not to try again behind our back."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from nats.aio.client import Client
from nats.errors import NoServersError, ProtocolError

from thornsdk import Reason
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress
from thornsdk_plugins.nats.servers import Server

FOR_EVER: Final = 1_000_000
"""A time limit in seconds that never passes: whoever waits has one of its own."""
_CLOSING: Final = 1.0
"""For how many seconds it is waited until a connection has closed in order."""

_PING_INTERVAL = 20
"""After how many seconds an idle connection is asked whether it lives; the third silence ends it."""

Told: TypeAlias = Callable[[Exception], Awaitable[None]]
Lost: TypeAlias = Callable[[], Awaitable[None]]

# The client logs what a server sends that it cannot make sense of. Where the application listens to no logs,
# Python would write that to stderr; what came of each message is told as its result.
logging.getLogger("nats").addHandler(logging.NullHandler())


class CarefulClient(Client):
    """A client for one connection, that logs in over TLS alone where that is a must.

    The client by itself takes ``tls://`` for a wish: a server that offers no TLS would be told the password
    in the clear, and so would somebody in between.

    Args:
        server: The server.
        context: What TLS needs.
        address: Where the server is.

    Attributes:
        address: The address.
    """

    def __init__(self, server: Server, context: ssl.SSLContext, address: IPAddress) -> None:
        super().__init__()
        self.address = address
        self._server = server
        self._context = context
        self._speaks_tls = False

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What TLS needs. It is asked for when TLS begins, and not before."""
        self._speaks_tls = True
        return self._context

    async def open(self, told: Told, lost: Lost) -> None:
        """Connects and logs in.

        Args:
            told: Is given the errors that the client meets, and those that the server tells later.
            lost: Is called when the connection has ended.

        Raises:
            Exception: What nats-py or the system raises, or our own error.
        """
        met: list[Exception] = []

        async def noted(error: Exception) -> None:
            met.append(error)
            await told(error)

        try:
            await self._connect(noted, lost)
        except NoServersError:
            # This says no more than that it was not the first try. What it met is what we want.
            raise met[0] from None
        self._check_security()
        if not self.is_connected:
            raise ProtocolError

    async def lives(self) -> bool:
        """Asks the server, and tells whether it has answered. It is waited for as long as it takes."""
        before = self._pongs_received
        await self.flush(FOR_EVER)
        # Where nobody reads any more what the server says, a flush does not wait for the pong.
        return self._pongs_received > before

    async def _connect(self, told: Told, lost: Lost) -> None:
        host = f"[{self.address}]" if self.address.version == 6 else self.address  # noqa: PLR2004
        user, password = self._server.user, self._server.password
        await self.connect(
            f"{'tls' if self._server.must_be_secure else 'nats'}://{host}:{self._server.port}",
            name="thornsdk",
            tls_hostname=self._server.host,
            user=self._over_tls(user) if user and password else None,
            password=self._over_tls(password) if user and password else None,
            token=self._over_tls(user) if user and not password else None,
            error_cb=told,
            closed_cb=lost,
            # A connection that is lost is lost: the next message opens another.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=FOR_EVER,
            ping_interval=_PING_INTERVAL,
        )

    def _over_tls(self, secret: str) -> Callable[[], str]:
        def tell() -> str:
            self._check_security()
            return secret

        return tell

    def _check_security(self) -> None:
        if self._server.must_be_secure and not self._speaks_tls:
            raise TransportError(
                Reason.TLS_FAILED, "its URL begins with tls://, and the server asks for no TLS"
            )


async def shut(client: Client) -> None:
    """Closes a connection, in order if that can be done soon."""
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait({closing}, timeout=_CLOSING)
    closing.cancel()
