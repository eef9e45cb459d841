"""One session of requests for all deliveries, or one for each of some threads; and a signature each."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests

from rig.peers.common import check, over, signed
from rig.way import Deliver, Target


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    body, threads = target.body.encode(), int(target.options["threads"])
    own = threading.local()

    def post(url: str) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        check(own.session.post(url, data=body, headers=signed(body), timeout=10).status_code)

    def deliver_in_turn(count: int) -> None:
        for url in over(target.urls, count):
            post(url)

    if threads == 1:
        yield deliver_in_turn
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda count: list(pool.map(post, over(target.urls, count)))
