"""Opens connections to a server: look-up, addresses in turn, log-in."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress

from nats.errors import Error

from thornsdk import LookUp, LookUps, literal_address
from thornsdk.typing import IPAddress
from thornsdk_plugins.nats.answers import refusal
from thornsdk_plugins.nats.client import CarefulClient, Lost, Told, shut
from thornsdk_plugins.nats.servers import Server


class Dialer:
    """Opens connections to a server.

    Args:
        server: The server.
        context: What TLS needs.
        look_ups: Looks up the server's name.
    """

    def __init__(self, server: Server, context: ssl.SSLContext, look_ups: LookUps) -> None:
        self._server = server
        self._context = context
        self._look_ups = look_ups

    async def open(self, give_up_at: float, told: Told, lost: Lost) -> CarefulClient:
        """Opens a connection to the first address of the server where that is possible, and logs in.

        Args:
            give_up_at: Until when all addresses but the last are to have had their turn, by the time of the
                loop. The last one may take longer.
            told: Is given the errors that the client meets, and those that the server tells later.
            lost: Is called when the connection has ended.

        Raises:
            Exception: What went wrong: `Refused`, our own error, or what the client or the system raise.
        """
        *others, last = await self._addresses()
        loop = asyncio.get_running_loop()
        for left, address in zip(range(len(others) + 1, 1, -1), others, strict=True):
            with suppress(OSError):
                # Each address gets its share of what is left, so that a dead one does not use up all.
                async with asyncio.timeout((give_up_at - loop.time()) / left):
                    return await self._connect(address, told, lost)
        return await self._connect(last, told, lost)

    async def _addresses(self) -> Sequence[IPAddress]:
        literal = literal_address(self._server.host)
        if literal is not None:
            return [literal]
        look_up = self._look_ups.begin(self._server.host, self._server.port)
        await _done(look_up)
        return look_up.addresses()

    async def _connect(self, address: IPAddress, told: Told, lost: Lost) -> CarefulClient:
        client = CarefulClient(self._server, self._context, address)
        try:
            await client.open(told, lost)
        except BaseException as exc:  # A deadline, too.
            await shut(client)
            refused = refusal(exc) if isinstance(exc, Error) else None
            if refused is not None:
                raise refused from exc
            raise
        return client


async def _done(look_up: LookUp) -> None:
    """Waits until a look-up is done, in the loop."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # The loop may have ended meanwhile.
            loop.call_soon_threadsafe(done.set)

    look_up.tell(tell)
    await done.wait()
