"""Prints what one dead endpoint out of a hundred costs the other ninety-nine.

A backlog is due, equally much for each endpoint, in a SQLite store; one process attempts it with `run_due`.
In turn, all endpoints are well, one refuses connections, and one takes connections and never answers. What
counts is when a delivery to one of the others arrives, from the start of `run_due`. Takes two minutes or so.

    python benchmarks/dead_endpoint.py [DELIVERIES_PER_ENDPOINT [ROUNDS]]
"""

import logging
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from attrs import define, field, frozen
from rig.backlog import waiting
from rig.receiver import Receiver

from thornsdk import (
    DeliveryRecord,
    HookContext,
    Observer,
    OutcomeKind,
    Plugin,
    Provided,
    Subscription,
    Thorn,
    hookimpl,
)
from thornsdk_plugins.sqlite import SqliteStore

ENDPOINTS = 100
DELIVERIES = 200
ROUNDS = 3
TIMEOUT = 1.0
"""How many seconds an attempt may take: what each attempt to an endpoint that never answers does take."""
LIMIT = 1.2
"""How many times as long as without a dead endpoint the others may wait."""
KINDS = ("all are well", "one refuses", "one never answers")


@frozen
class Result:
    """What came of a backlog.

    Attributes:
        arrived: How many deliveries to the others arrived.
        median: After how many seconds half of them had arrived.
        last: After how many seconds all of them had.
        wasted: How many attempts went to the dead endpoint.
    """

    arrived: int
    median: float
    last: float
    wasted: int


@define
class Arrivals:
    """An observer that notes when the deliveries arrive, and counts those that do not."""

    begin: float = 0.0
    times: list[float] = field(factory=list)
    failed: int = 0

    def observe(self, record: DeliveryRecord) -> None:
        if record.kind is OutcomeKind.DELIVERED:
            self.times.append(time.perf_counter() - self.begin)
        else:
            self.failed += 1


@frozen
class ArrivalsPlugin(Plugin):
    """Provides the observer ``arrivals``."""

    arrivals: Arrivals

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[Observer]]:
        """Provides it."""
        return [Provided("arrivals", lambda stage: self.arrivals, "Notes when deliveries arrive.")]


@contextmanager
def dead_port(kind: str) -> Iterator[int]:
    """Gives a port that refuses connections, or one that takes them and never answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == "one never answers":
            sock.listen(1024)
        yield int(sock.getsockname()[1])


def subscriptions(ports: Iterable[int]) -> list[Subscription]:
    return [
        Subscription(
            id=UUID(int=number), patterns="*", url=f"http://127.0.0.1:{port}/hooks", secrets="a secret"
        )
        for number, port in enumerate(ports, 1)
    ]


def backlog(to: Iterable[Subscription], each: int) -> Iterator[DeliveryRecord]:
    """Gives deliveries that are due, first one to every subscription, then the next."""
    now = datetime.now(UTC)
    receivers = list(to)
    for number in range(each):
        for subscription in receivers:
            yield waiting(
                number * len(receivers) + subscription.id.int,
                message=number + 1,
                subscription=subscription.id.int,
                origin=str(subscription.url.origin),
                due=now - timedelta(seconds=each - number),
            )


def attempt(path: Path, ports: list[int]) -> Arrivals:
    """Attempts what is due in a store, and gives when it arrived."""
    arrivals = Arrivals()
    with Thorn(
        store=f"sqlite:///{path}",
        plugins=[ArrivalsPlugin(arrivals)],
        observers=["arrivals"],
        allow_networks=["127.0.0.1"],
        allow_ports=ports,
        event_timeout=TIMEOUT,
    ) as thorn:
        arrivals.begin = time.perf_counter()
        thorn.run_due()
    return arrivals


def measure(kind: str, each: int) -> Result:
    with (
        tempfile.TemporaryDirectory() as folder,
        Receiver(ENDPOINTS) as receiver,
        dead_port(kind) as dead,
    ):
        well = kind == KINDS[0]
        ports = receiver.ports if well else [*receiver.ports[:-1], dead]
        path = Path(folder, "thorn.db")
        with closing(SqliteStore(path)) as store:
            store.put(to := subscriptions(ports))
            store.accept(backlog(to, each))
        arrivals = attempt(path, ports)
    expected = each * (ENDPOINTS if well else ENDPOINTS - 1)
    if len(arrivals.times) != expected:
        raise SystemExit(f"{kind}: {len(arrivals.times):,} deliveries arrived, and {expected:,} were to")
    median, last = statistics.median(arrivals.times), max(arrivals.times)
    return Result(len(arrivals.times), median, last, arrivals.failed)


def main(each: int, rounds: int) -> None:
    found: dict[str, list[Result]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            found[kind].append(measure(kind, each))
    print(f"{ENDPOINTS} endpoints, {each:,} deliveries each, {rounds} rounds, medians of them")
    print(f"{'':<18}{'half there':>11}{'all there':>11}{'ratio':>7}{'wasted':>8}")
    base = statistics.median(one.last for one in found[KINDS[0]])
    worst = 0.0
    for kind, results in found.items():
        half = statistics.median(one.median for one in results)
        last = statistics.median(one.last for one in results)
        wasted = max(one.wasted for one in results)
        worst = max(worst, last / base)
        print(f"{kind:<18}{half:>9.2f} s{last:>9.2f} s{last / base:>7.2f}{wasted:>8,}")
    print(f"at most {worst:.2f} times as long as without; {LIMIT:g} is the aim")


if __name__ == "__main__":
    logging.disable()
    # Who ends this ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(DELIVERIES, ROUNDS)[len(given) :])
