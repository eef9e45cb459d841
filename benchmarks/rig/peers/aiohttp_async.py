"""aiohttp by hand: ready bytes, no signature, some requests in flight."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from rig.peers.common import HEADERS, check, over
from rig.way import Deliver, Target


async def _session(ca_bundle: str) -> ClientSession:
    context = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else True
    connector = TCPConnector(limit=0, keepalive_timeout=60, ssl=context)
    return ClientSession(connector=connector, timeout=ClientTimeout(total=10))


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    body, in_flight = target.body.encode(), int(target.options["in_flight"])

    async def deliver(session: ClientSession, count: int) -> None:
        urls = over(target.urls, count)

        async def post() -> None:
            for url in urls:  # Each takes the next one.
                async with session.post(url, data=body, headers=HEADERS) as answer:
                    await answer.read()
                    check(answer.status)

        await asyncio.gather(*(post() for _ in range(in_flight)))

    with asyncio.Runner() as runner:
        session = runner.run(_session(target.ca_bundle))
        yield lambda count: runner.run(deliver(session, count))
        runner.run(session.close())
