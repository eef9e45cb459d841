"""A transport of thornsdk alone: requests that were built and signed before, none told, none kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from uuid import uuid4

from rig.peers.common import check, signed
from rig.way import Deliver, Target
from thornsdk import URL, AddressRules, Request, Response, Transport
from thornsdk_plugins.curl import CurlTransport
from thornsdk_plugins.urllib3 import PooledTransport


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    rules = AddressRules(allow=["127.0.0.0/8"])
    body = target.body.encode()
    headers = tuple(signed(body).items())
    requests = [
        Request(id=uuid4(), url=URL.parse(url), headers=headers, body=body, timeout=10, guard=rules.forbidden)
        for url in target.urls
    ]
    transport: Transport = {"urllib3": PooledTransport, "curl": CurlTransport}[target.options["transport"]]()

    def deliver(count: int) -> None:
        for one in transport.send_many(islice(cycle(requests), count)):
            check(one.result.status if isinstance(one.result, Response) else 0)

    yield deliver
    transport.close()
