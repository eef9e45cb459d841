"""Prints how many connections workers open for 1,000 deliveries, with lanes and without.

A few workers of one process each take the batches of many small messages; each message goes to one of several
origins, in turn. Without lanes every worker takes batches of all origins. With ``THORN_LANES`` each has its
own lane besides the common queue, and thereby its own origins, whose connections it keeps warm.

What that is worth hangs on how long receivers keep an idle connection, and how often an origin gets
something. So the table says it for a receiver that never closes one, where each connection that a worker
needs is opened once, and for one that closes it after a while. All ways are measured in turn, round by round.

    python benchmarks/celery_connections.py [--deliveries 2000] [--rounds 3]
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from attrs import frozen
from rig.broker import redis
from rig.receiver import Receiver
from rig.worker import Worker

from thornsdk import Event, Subscription, Thorn
from thornsdk_plugins.sqlite import SqliteStore

APP = "thornsdk_plugins.celery"


@frozen
class Way:
    """What is compared.

    Attributes:
        lanes: How many lanes there are; 1 is none.
        idle: After how many seconds the receiver closes an idle connection; never with 0.
    """

    lanes: int
    idle: float


@frozen
class Result:
    """What a run has shown: how many connections were opened, for how many deliveries, at which rate."""

    connections: int
    deliveries: int
    rate: float

    @property
    def per_thousand(self) -> float:
        return self.connections * 1000 / self.deliveries


def measure(options: argparse.Namespace, way: Way, broker: str) -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = stack.enter_context(Receiver(options.origins, idle=way.idle))
        store = f"sqlite:///{_filled(folder / 'thorn.db', receiver)}"
        environ = {
            "THORN_BROKER_URL": broker,
            "THORN_STORE": store,
            "THORN_LANES": str(way.lanes),
            "THORN_RETRY_SCHEDULE": "0.1",
            "THORN_ALLOW_NETWORKS": "127.0.0.0/8",
            "THORN_ALLOW_PORTS": ",".join(str(port) for port in receiver.ports),
        }
        workers = [
            stack.enter_context(Worker(f"w{number}", folder, app=APP, options=given, environ=environ))
            for number, given in enumerate(_queues(options.workers, way.lanes))
        ]
        for worker in workers:
            worker.wait_ready(broker)
        thorn = stack.enter_context(Thorn(dispatcher="celery", broker_url=broker, store=store))
        begin = time.monotonic()
        _send(thorn.event("order.created"), options)

        def check() -> None:
            for worker in workers:
                # A receiver may close a connection at the moment when it is used again.
                worker.check(expected="delivery.retry")

        counts = receiver.wait_for(options.deliveries, check)
        rate = options.deliveries / (counts.latest - begin)
        return Result(counts.connections, counts.requests, rate)


def _queues(workers: int, lanes: int) -> Iterator[tuple[str, ...]]:
    for number in range(workers):
        lane = ("-Q", f"thornsdk,thornsdk.{number % lanes + 1}") if lanes > 1 else ()
        yield ("--concurrency", "1", *lane)


def _filled(path: Path, receiver: Receiver) -> Path:
    store = SqliteStore(path)
    store.put(
        Subscription(id=uuid4(), patterns="order.*", url=url, secrets="a secret", owner=str(number))
        for number, url in enumerate(receiver.urls(len(receiver.ports)))
    )
    store.close()
    return path


def _send(event: Event[object], options: argparse.Namespace) -> None:
    """Sends each message to the next origin, evenly over time."""
    begin = time.monotonic()
    for number in range(options.deliveries):
        time.sleep(max(0.0, begin + number / options.rate - time.monotonic()))
        event.send({"id": number}, sender=str(number % options.origins))


def show(options: argparse.Namespace, results: dict[Way, list[Result]]) -> None:
    every = options.origins / options.rate
    print(
        f"{options.deliveries:,} deliveries to {options.origins} origins, {options.rounds} rounds; "
        f"{options.workers} workers of one process; {options.rate:g} messages per second are sent, so that "
        f"an origin gets one every {every:g} s; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'an idle connection is closed':<30} {'lanes':<8} {'connections per 1,000 deliveries':>34}")
    for way, found in results.items():
        closed = f"after {way.idle:g} s" if way.idle else "never"
        lanes = str(way.lanes) if way.lanes > 1 else "none"
        print(f"{closed:<30} {lanes:<8} {statistics.median(one.per_thousand for one in found):>34,.0f}")
    slowest = min(one.rate for found in results.values() for one in found)
    print(f"\nthe slowest run delivered {slowest:,.0f} per second")


def main(options: argparse.Namespace) -> None:
    idles = dict.fromkeys((0.0, options.idle))
    ways = [Way(lanes, idle) for idle in idles for lanes in (1, options.workers)]
    results: dict[Way, list[Result]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            with redis() as broker:
                results[way].append(measure(options, way, f"{broker}/0"))
    show(options, results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--deliveries", type=int, default=2000, help="how many there are in a run")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    parser.add_argument("--origins", type=int, default=20, help="to how many origins they go")
    parser.add_argument("--workers", type=int, default=4, help="how many workers, and how many lanes")
    parser.add_argument("--rate", type=float, default=100.0, help="how many messages are sent per second")
    parser.add_argument("--idle", type=float, default=0.5, help="seconds until idle connections are closed")
    return parser.parse_args()


if __name__ == "__main__":
    # Who is told to end ends the workers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(arguments())
