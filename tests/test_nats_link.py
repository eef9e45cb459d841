"""What a link to a NATS server waits for, in moments that no server can be made to meet each time."""

import asyncio
from typing import cast

import pytest
from attrs import define
from nats.errors import ConnectionClosedError

from thornsdk_plugins.nats.client import CarefulClient
from thornsdk_plugins.nats.link import first


@define
class Connection:
    """What is asked of a client: whether it is connected."""

    is_connected: bool = True


def waits_for(connection: Connection, *awaited: "asyncio.Future[object]") -> "asyncio.Task[None]":
    return asyncio.create_task(first(cast("CarefulClient", connection), *awaited))


def test_the_end_of_a_connection_ends_the_wait_though_nobody_tells_of_it() -> None:
    async def run() -> None:
        connection = Connection()
        waiting = waits_for(connection, asyncio.get_running_loop().create_future())
        await asyncio.sleep(0)
        connection.is_connected = False
        with pytest.raises(ConnectionClosedError):
            await waiting

    asyncio.run(run())


def test_what_came_before_the_end_counts() -> None:
    async def run() -> None:
        came: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        came.set_result("it came")
        await waits_for(Connection(is_connected=False), came)

    asyncio.run(run())


def test_one_of_several_is_enough() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        one, other = loop.create_future(), loop.create_future()
        waiting = waits_for(Connection(), one, other)
        await asyncio.sleep(0)
        other.set_result("it came")
        await waiting

    asyncio.run(run())
