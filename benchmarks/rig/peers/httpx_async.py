"""httpx by hand: ready bytes, no signature, some requests in flight."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from httpx import AsyncClient, Limits

from rig.peers.common import HEADERS, check, over
from rig.way import Deliver, Target


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    body, in_flight = target.body.encode(), int(target.options["in_flight"])
    verify = ssl.create_default_context(cafile=target.ca_bundle) if target.ca_bundle else True
    limits = Limits(max_connections=in_flight, max_keepalive_connections=in_flight, keepalive_expiry=60)

    async def deliver(client: AsyncClient, count: int) -> None:
        urls = over(target.urls, count)

        async def post() -> None:
            for url in urls:  # Each takes the next one.
                answer = await client.post(url, content=body, headers=HEADERS)
                check(answer.status_code)

        await asyncio.gather(*(post() for _ in range(in_flight)))

    with asyncio.Runner() as runner:
        client = AsyncClient(limits=limits, timeout=10, verify=verify)
        yield lambda count: runner.run(deliver(client, count))
        runner.run(client.aclose())
