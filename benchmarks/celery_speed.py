"""Prints how much faster the dispatcher celery delivers than a Celery task for each delivery.

The naive way publishes a task for each delivery, which makes a new session of requests and sends one POST
with an HMAC, and keeps nothing. Ours is one ``event.send``; the subscriptions are in a SQLite store, where
each result is kept too. Both have workers of the same kind, with as many processes, and the same Redis on
this machine. The deliveries go to several origins on loopback: to a receiver that answers at once, and to one
that takes 50 ms.

A rate counts from the send until the receiver has answered the last delivery; the workers were started and
warmed before. All ways are measured in turn, round by round, and a ratio is the median of the rounds' ratios.
The CPU is what the worker and its pool have used for a delivery to the receiver that answers at once.

    python benchmarks/celery_speed.py [--deliveries 2000] [--rounds 3]
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from attrs import frozen
from celery import Celery
from rig.broker import redis
from rig.receiver import Receiver
from rig.worker import Worker

from thornsdk import Settings, Subscription, Thorn
from thornsdk_plugins.sqlite import SqliteStore

NAIVE = "a task per delivery"
AIMED_SIZE = 100
AIMS = {"fast": 10, "slow": 25}
SLOW_SECONDS = 0.05
# What sends one request at a time is slow where answers take time; fewer of them tell as much.
_FEWER = 10


@frozen(kw_only=True, eq=False)
class Bench:
    """What all ways have in common."""

    options: argparse.Namespace
    folder: Path
    broker: str
    receivers: Mapping[str, Receiver]
    stack: ExitStack

    def worker(self, name: str, app: str, environ: dict[str, str]) -> Worker:
        given = ("--pool", self.options.pool, "--concurrency", str(self.options.concurrency))
        return self.stack.enter_context(Worker(name, self.folder, app=app, options=given, environ=environ))

    def urls(self, size: int) -> dict[str, list[str]]:
        """Gives where a way that sends so many requests from a task delivers to, by receiver."""
        many: int = self.options.deliveries
        count = {"fast": many, "slow": many if size > 1 else max(many // _FEWER, 1)}
        return {name: receiver.urls(count[name]) for name, receiver in self.receivers.items()}


@frozen(kw_only=True, eq=False)
class Way:
    """A way to deliver, with its worker.

    Attributes:
        name: What the table calls it.
        worker: The worker.
        send: Sends everything to a receiver.
        count: How many deliveries that are, by receiver.
    """

    name: str
    worker: Worker
    send: Callable[[str], object]
    count: Mapping[str, int]


@frozen
class Result:
    """What a run has shown: deliveries per second, and seconds of CPU per delivery."""

    rate: float
    cpu: float


def naive_way(bench: Bench) -> Way:
    broker = f"{bench.broker}/0"
    app = bench.stack.enter_context(Celery("naive", broker=broker, set_as_current=False))
    urls = bench.urls(1)

    def send(receiver: str) -> None:
        for url in urls[receiver]:
            app.send_task("naive.deliver", (url, '{"id":42}', "a secret"), ignore_result=True)

    worker = bench.worker("naive", "rig.naive", {"NAIVE_BROKER_URL": broker})
    return Way(name=NAIVE, worker=worker, send=send, count=_lengths(urls))


def our_way(bench: Bench, database: int, size: int) -> Way:
    broker, path, urls = f"{bench.broker}/{database}", bench.folder / f"{size}.db", bench.urls(size)
    store = SqliteStore(path)
    store.put(_subscriptions(urls))
    store.close()
    thorn = bench.stack.enter_context(
        Thorn(dispatcher="celery", broker_url=broker, store=f"sqlite:///{path}")
    )
    events = {name: thorn.event(f"{name}.sent") for name in urls}
    environ = {
        "THORN_BROKER_URL": broker,
        "THORN_STORE": f"sqlite:///{path}",
        "THORN_CHUNKSIZE": str(size),
        "THORN_CONCURRENCY": str(bench.options.in_flight),
        "THORN_ALLOW_NETWORKS": "127.0.0.0/8",
        "THORN_ALLOW_PORTS": ",".join(str(port) for one in bench.receivers.values() for port in one.ports),
    }
    return Way(
        name=f"chunk size {size:,}",
        worker=bench.worker(f"chunk-{size}", "thornsdk_plugins.celery", environ),
        send=lambda receiver: events[receiver].send({"id": 42}),
        count=_lengths(urls),
    )


def _subscriptions(urls: Mapping[str, list[str]]) -> Iterator[Subscription]:
    for name, some in urls.items():
        for url in some:
            yield Subscription(id=uuid4(), patterns=f"{name}.sent", url=url, secrets="a secret")


def _lengths(urls: Mapping[str, list[str]]) -> dict[str, int]:
    return {name: len(some) for name, some in urls.items()}


def measure(way: Way, name: str, receiver: Receiver) -> Result:
    count = way.count[name]
    before, used = receiver.counts(), way.worker.cpu()
    begin = time.monotonic()
    way.send(name)
    after = receiver.wait_for(before.requests + count, way.worker.check)
    used = way.worker.cpu() - used
    return Result(rate=count / (after.latest - begin), cpu=used / count)


def run_all(bench: Bench) -> dict[str, dict[str, list[Result]]]:
    """Gives the results of all rounds, by way and receiver."""
    ways = [naive_way(bench)]
    ways += [our_way(bench, number, size) for number, size in enumerate(bench.options.chunk_sizes, start=1)]
    results: dict[str, dict[str, list[Result]]] = {way.name: {} for way in ways}
    for measured in [False] + [True] * bench.options.rounds:
        for name, receiver in bench.receivers.items():
            for way in ways:
                result = measure(way, name, receiver)
                if measured:
                    results[way.name].setdefault(name, []).append(result)
    return results


def show(options: argparse.Namespace, results: Mapping[str, Mapping[str, list[Result]]]) -> None:
    print(
        f"{options.deliveries:,} deliveries to {options.origins} origins, {options.rounds} rounds; workers: "
        f"pool {options.pool}, concurrency {options.concurrency}; requests in flight {options.in_flight}; "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'':<20} {'fast receiver':^23}   {'answers after 50 ms':^23}   {'CPU of the worker':^23}")
    print(f"{'':<20} {'per second':>12} {'ratio':>10}   {'per second':>12} {'ratio':>10}   {'µs each':>12}")
    for name, found in results.items():
        cells = [f"{_median(found[one], _rate):12,.0f} {_ratio(results, name, one):10.1f}" for one in AIMS]
        cpu = _median(found["fast"], lambda one: one.cpu) * 1e6
        share = cpu / (_median(results[NAIVE]["fast"], lambda one: one.cpu) * 1e6)
        print(f"{name:<20} {cells[0]}   {cells[1]}   {cpu:12,.0f} {share:10.2f}")
    aimed = f"chunk size {AIMED_SIZE}"
    if aimed in results:
        fast, slow = (f"{_ratio(results, aimed, one):.1f} (aim {aim})" for one, aim in AIMS.items())
        print(f"\n{aimed}: times the naive rate {fast} on a fast receiver, {slow} on one that takes 50 ms")


def _rate(result: Result) -> float:
    return result.rate


def _median(results: list[Result], value: Callable[[Result], float]) -> float:
    return statistics.median(value(one) for one in results)


def _ratio(results: Mapping[str, Mapping[str, list[Result]]], name: str, receiver: str) -> float:
    pairs = zip(results[name][receiver], results[NAIVE][receiver], strict=True)
    return statistics.median(ours.rate / naive.rate for ours, naive in pairs)


def main(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        bench = Bench(
            options=options,
            folder=Path(stack.enter_context(tempfile.TemporaryDirectory())),
            broker=stack.enter_context(redis()),
            receivers={
                "fast": stack.enter_context(Receiver(options.origins)),
                "slow": stack.enter_context(Receiver(options.origins, delay=SLOW_SECONDS)),
            },
            stack=stack,
        )
        results = run_all(bench)
    show(options, results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--deliveries", type=int, default=2000, help="how many there are in a run")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    parser.add_argument("--origins", type=int, default=10, help="to how many origins they go")
    parser.add_argument("--concurrency", type=int, default=2, help="the processes of a worker")
    parser.add_argument("--pool", default="prefork", help="the pool of the workers")
    parser.add_argument("--in-flight", type=int, default=Settings().concurrency, help="THORN_CONCURRENCY")
    parser.add_argument("--chunk-sizes", type=int, nargs="+", default=[1, 10, 100, 1000])
    return parser.parse_args()


if __name__ == "__main__":
    # Who is told to end ends the workers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(arguments())
