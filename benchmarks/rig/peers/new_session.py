"""What Thorn does: for each delivery a signature, and a POST with a new session of requests."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from rig.peers.common import check, over, signed
from rig.way import Deliver, Target


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    body, verify = target.body.encode(), target.ca_bundle or True

    def deliver(count: int) -> None:
        for url in over(target.urls, count):
            with requests.Session() as session:
                answer = session.post(url, data=body, headers=signed(body), timeout=10, verify=verify)
                check(answer.status_code)

    yield deliver
