"""Cuts the subscriptions that match a message into batches."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from zlib import crc32

from thornsdk import Origin, Subscription
from thornsdk_plugins.celery.apps import lane_queue


def lane_of(origin: Origin | str, lanes: int) -> int:
    """Gives the lane of an origin: a number from 0, the same in every process."""
    return crc32(str(origin).encode()) % lanes


def cut(
    subscriptions: Iterable[Subscription], size: int, lanes: int
) -> Iterator[tuple[str, list[Subscription]]]:
    """Cuts subscriptions into batches, so that each keeps to few connections.

    A batch holds one origin; only origins that have too few for a batch share one, with others of their lane.
    No more are held at once than a batch of each lane, and one besides.

    Args:
        subscriptions: A stream sorted by origin.
        size: How many a batch holds at most.
        lanes: How many lanes there are.

    Yields:
        Each batch, with the queue of its lane.
    """
    few: dict[str, list[Subscription]] = {}
    for origin, group in groupby(subscriptions, key=lambda one: one.url.origin):
        queue = lane_queue(lane_of(origin, lanes), lanes)
        chunk = list(islice(group, size))
        if len(chunk) < size:
            if len(few.get(queue, ())) + len(chunk) > size:
                yield queue, few.pop(queue)
            few.setdefault(queue, []).extend(chunk)
            continue
        while chunk:
            yield queue, chunk
            chunk = list(islice(group, size))  # noqa: B031 - it goes on where it stopped
    yield from few.items()
