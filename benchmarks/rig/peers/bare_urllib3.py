"""urllib3 by hand: ready bytes, no signature, one after the other, over a pool that keeps its connections."""

from collections.abc import Iterator
from contextlib import contextmanager

from urllib3 import PoolManager

from rig.peers.common import HEADERS, check, over
from rig.way import Deliver, Target


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    body = target.body.encode()
    with PoolManager() as pool:

        def deliver(count: int) -> None:
            for url in over(target.urls, count):
                check(pool.request("POST", url, body=body, headers=HEADERS, timeout=10).status)

        yield deliver
