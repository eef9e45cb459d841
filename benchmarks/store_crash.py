"""Prints what is lost, and what comes twice, while who sends and who tries again are killed with kill -9.

Everything is real: a process that sends events from several threads, three processes of ``thornsdk retry
--follow``, one SQLite store that all of them share, and a receiver in a process of its own that counts each
delivery by its Hook-Delivery. At random moments one of the four is killed, and started again. In the end,
every delivery that the store has accepted must have arrived. Exits with 1 if one has not, if a message that
``send`` has taken is not in the store, or if the database is damaged. Takes about four minutes.

    python benchmarks/store_crash.py [--events 10000] [--seconds 120] [--seed 1]
"""

import argparse
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

from attrs import Factory, define, frozen
from faults.programs import Program
from faults.receiver import Counted, Receiver

from thornsdk import DeliveryFilter, DeliveryState, Settings, Thorn

ENDPOINTS = 5
RETRIERS = 3
TIMEOUT = 2.0
"""The deadline of an attempt, in seconds: a lease is over after six of them and ten seconds more."""
PATIENCE = 120.0
"""After how many seconds in which nothing arrives what is missing counts as lost."""
_OPEN = frozenset({DeliveryState.PENDING, DeliveryState.LEASED})


@define(eq=False, kw_only=True)
class Rig:
    """The processes, the store, and the receiver.

    Attributes:
        killed: How many processes were killed.
    """

    thorn: Thorn
    sender: Program
    retriers: list[Program]
    receiver: Receiver
    events: int
    random: random.Random
    killed: int = 0
    taken: set[UUID] = Factory(set)

    def step(self, *, kill: bool) -> None:
        """Lets some time pass, kills one of the processes, and starts again what has ended too early."""
        time.sleep(self.random.uniform(0.3, 1.5))
        if kill:
            self.random.choice([self.sender, *self.retriers]).kill()
            self.killed += 1
        self._hear()
        if not self.sender.is_running() and len(self.taken) < self.events:
            self.sender.start(str(self.events - len(self.taken)))
        for one in self.retriers:
            if not one.is_running():
                one.start()

    def is_done(self) -> bool:
        return (
            len(self.taken) >= self.events
            and next(self.thorn.deliveries(DeliveryFilter(states=_OPEN)), None) is None
        )

    def _hear(self) -> None:
        self.taken.update(map(UUID, self.sender.heard()))


@frozen(kw_only=True)
class Result:
    """What came of it.

    Attributes:
        killed: How many processes were killed.
        messages: How many messages `send` has taken.
        accepted: How many deliveries the store has accepted.
        missing: How many messages `send` has taken and the store does not know.
        lost: How many deliveries did not arrive.
        doubles: How many came more than once.
        sound: What SQLite says of the database.
        seconds: How long it took.
    """

    killed: int
    messages: int
    accepted: int
    missing: int
    lost: int
    doubles: int
    sound: str
    seconds: float

    @property
    def good(self) -> bool:
        return self.lost == self.missing == 0 and self.sound == "ok"

    def __str__(self) -> str:
        return (
            "killed messages deliveries lost missing doubles database  secs\n"
            f"{self.killed:>6} {self.messages:>8,} {self.accepted:>10,} {self.lost:>4,} {self.missing:>7,} "
            f"{self.doubles:>7,} {self.sound:<8} {self.seconds:>5.0f}"
        )


def run(options: argparse.Namespace, folder: Path) -> Result:
    began_at = time.monotonic()
    path = folder / "thorn.db"
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(ENDPOINTS, trouble=False))
        environ = _environ(path, receiver)
        thorn = stack.enter_context(Thorn(settings=Settings.from_mapping(environ)))
        for port in receiver.ports:
            thorn.subscribe("order.*", f"http://127.0.0.1:{port}/hooks")
        programs = [Program(folder, "sender", ["-m", "faults.sender"], environ)]
        retry = ["-m", "thornsdk", "retry", "--follow", "--json"]
        programs += [Program(folder, f"retry-{number}", retry, environ) for number in range(RETRIERS)]
        for one in programs:
            stack.callback(one.kill)
        rig = Rig(
            thorn=thorn,
            sender=programs[0],
            retriers=programs[1:],
            receiver=receiver,
            events=options.events,
            random=random.Random(options.seed),
        )
        _work(rig, options.seconds)
        return _result(rig, receiver.counted(), path, time.monotonic() - began_at)


def _work(rig: Rig, seconds: float) -> None:
    stop_killing_at = time.monotonic() + seconds
    arrived, changed_at = -1, time.monotonic()
    while not rig.is_done():
        rig.step(kill=time.monotonic() < stop_killing_at)
        if (now_arrived := rig.receiver.accepted()) != arrived:
            arrived, changed_at = now_arrived, time.monotonic()
        if time.monotonic() - changed_at > PATIENCE:
            return


def _result(rig: Rig, counted: Counted, path: Path, seconds: float) -> Result:
    accepted = {one.id: one.message_id for one in rig.thorn.deliveries(DeliveryFilter())}
    known = set(accepted.values())
    with closing(sqlite3.connect(path)) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    return Result(
        killed=rig.killed,
        messages=len(rig.taken),
        accepted=len(accepted),
        missing=len(rig.taken - known),
        lost=sum(str(one) not in counted.accepted for one in accepted),
        doubles=sum(count > 1 for count in counted.accepted.values()),
        sound=str(sound),
        seconds=seconds,
    )


def _environ(path: Path, receiver: Receiver) -> dict[str, str]:
    return {
        "THORN_STORE": f"sqlite:///{path}",
        "THORN_ALLOW_NETWORKS": "127.0.0.0/8",
        "THORN_ALLOW_PORTS": ",".join(map(str, receiver.ports)),
        "THORN_EVENT_TIMEOUT": str(TIMEOUT),
        "THORN_RETRY_SCHEDULE": "1,2,4,8",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000, help="how many events are sent")
    parser.add_argument("--seconds", type=float, default=120, help="for how long processes are killed")
    parser.add_argument("--seed", type=int, default=1, help="what the moments are made of")
    # Who ends this ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        result = run(parser.parse_args(), Path(folder))
    print(result)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
