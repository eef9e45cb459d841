"""thornsdk: `Event.send` through the dispatcher ``default``, signed twice, logged, and kept in memory."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rig.peers.common import SECRET
from rig.way import Deliver, Target
from thornsdk import Thorn


@contextmanager
def logged(*, written: bool = True) -> Iterator[None]:
    """Writes the log as an application does: an event at INFO for every attempt, a line of text each.

    Args:
        written: Whether a handler makes text of the events; else one takes them and does nothing.
    """
    logger = logging.getLogger("thornsdk")
    with Path(os.devnull).open("w", encoding="utf-8") as file:
        handler = logging.StreamHandler(file) if written else logging.NullHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)


def sends(thorn: Thorn, target: Target) -> Deliver:
    """Subscribes all URLs to an event, and gives what sends it until so many deliveries are made."""
    event = thorn.event("order.created", payload_type=dict[str, str])
    for url in target.urls:
        thorn.subscribe("order.*", url, secret=SECRET)

    def deliver(count: int) -> None:
        times, rest = divmod(count, len(target.urls))
        assert rest == 0
        for _ in range(times):
            if event.send(target.payload).outcomes.delivered != len(target.urls):
                raise SystemExit("a delivery did not arrive")

    return deliver


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    thorn = Thorn(
        dispatcher="default",
        store="memory",
        signers=("hook-hmac", "standard-webhooks"),
        allow_networks=["127.0.0.0/8"],
        allow_ports={port for url in target.urls if (port := urlsplit(url).port) is not None},
        ca_bundle=target.ca_bundle or None,
        **target.options,
    )
    with logged(), thorn:
        yield sends(thorn, target)
