"""Prints how much memory one message to a million SQLite subscriptions takes, against one to a thousand.

All subscriptions match; the transport counts requests and sends nothing. Each size runs in a process of its
own, and the peak is what the operating system says of it. Takes some minutes for a million.

    python benchmarks/memory.py [SUBSCRIPTIONS]
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from thornsdk import Exchange, Pipeline, Request, Response, Subscription, Thorn, Transport, exchange
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.sqlite import SqliteStore
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner

SMALL = 1_000
LARGE = 1_000_000
LIMIT_MB = 15


class CountingTransport(Transport):
    """Answers every request with 200, and sends none."""

    schemes = frozenset({"https"})
    user_agent = "none"

    def __init__(self) -> None:
        self.count = 0

    def send(self, request: Request) -> Response:
        self.count += 1
        return Response(status=200)

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return (exchange(self.send, request) for request in requests)


def subscriptions(count: int) -> Iterator[Subscription]:
    for number in range(count):
        yield Subscription(
            id=UUID(int=number + 1),
            patterns="order.*",
            url=f"https://customer-{number % 1000}.example.com/hooks/{number}",
            secrets="a secret",
        )


def fill(path: Path, count: int) -> None:
    store = SqliteStore(path)
    store.put(subscriptions(count))
    store.close()


def send(path: Path) -> None:
    transport = CountingTransport()
    pipeline = Pipeline(
        serializers=[JsonSerializer()],
        signers=[HookHmacSigner(), StandardWebhooksSigner()],
        transports=[transport],
        dispatcher=DefaultDispatcher(),
        store=SqliteStore(path),
    )
    begin = time.perf_counter()
    with Thorn(pipeline=pipeline) as thorn:
        receipt = thorn.event("order.created").send({"id": 42})
    took = time.perf_counter() - begin
    if receipt.outcomes.delivered != transport.count:
        raise SystemExit(f"{receipt.outcomes.delivered} delivered, but {transport.count} sent")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(transport.count, peak, took)


def peak_of(count: int) -> tuple[float, float]:
    """Gives the peak in MB and the seconds of a send to so many subscriptions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thorn.db"
        subprocess.run([sys.executable, __file__, "fill", str(path), str(count)], check=True)
        run = subprocess.run(
            [sys.executable, __file__, "send", str(path)], check=True, capture_output=True, text=True
        )
    sent, peak, took = run.stdout.split()
    if int(sent) != count:
        raise SystemExit(f"{sent} of {count} were sent")
    return float(peak), float(took)


def main(large: int) -> None:
    small_peak, _ = peak_of(SMALL)
    large_peak, took = peak_of(large)
    print(f"{SMALL:>9,} subscriptions: peak {small_peak:6.1f} MB")
    print(f"{large:>9,} subscriptions: peak {large_peak:6.1f} MB, {took / large * 1e6:.0f} µs each")
    print(f"growth {large_peak - small_peak:.1f} MB; at most {LIMIT_MB} MB is the aim")
    if large_peak - small_peak > LIMIT_MB:
        raise SystemExit(1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", path, count]:
            fill(Path(path), int(count))
        case ["send", path]:
            send(Path(path))
        case [count]:
            main(int(count.replace("_", "")))
        case _:
            main(LARGE)
