import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from support.stages import CountingTransport, make_pipeline
from thornsdk import DeliveryFilter, Subscription, Thorn
from thornsdk_plugins.sqlite import SqliteStore

MB = 1024 * 1024

FEW, MANY = 2_000, 7_000
"""With fewer, what is held at most, and what waits for the garbage collector, has not come together yet."""


def subscriptions(count: int) -> Iterator[Subscription]:
    return (
        Subscription(
            id=UUID(int=number + 1),
            patterns="order.*",
            url=f"https://customer-{number % 100}.example.com/hooks/{number}",
            secrets="a secret",
        )
        for number in range(count)
    )


def peak_of_sending_to(count: int, path: Path) -> int:
    """Gives the most memory, in bytes, that one message to so many subscriptions takes."""
    store, transport = SqliteStore(path), CountingTransport()
    store.put(subscriptions(count))
    with Thorn(pipeline=make_pipeline([transport], store=store)) as thorn:
        event = thorn.event("order.created", payload_type=dict[str, int])
        gc.collect()
        tracemalloc.start()
        try:
            receipt = event.send({"id": 42})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        kept = sum(1 for _ in thorn.deliveries())
    assert (receipt.outcomes.delivered, transport.count, kept) == (count, count, count)
    return peak


def test_more_subscriptions_take_no_more_memory(tmp_path: Path) -> None:
    few = peak_of_sending_to(FEW, tmp_path / "few.db")
    many = peak_of_sending_to(MANY, tmp_path / "many.db")
    # Seventy bytes kept for each delivery would be more than this: no object is that small.
    assert many - few < 0.3 * MB


def peak_of_replaying(count: int, path: Path) -> int:
    """Gives the most memory, in bytes, that the replay of so many deliveries takes."""
    store, transport = SqliteStore(path), CountingTransport()
    store.put(subscriptions(count))
    with Thorn(pipeline=make_pipeline([transport], store=store)) as thorn:
        thorn.event("order.created", payload_type=dict[str, int]).send({"id": 42})
        gc.collect()
        tracemalloc.start()
        try:
            outcomes = thorn.replay_all(DeliveryFilter())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (outcomes.delivered, transport.count) == (count, 2 * count)
    return peak


def test_more_deliveries_take_no_more_memory_to_replay(tmp_path: Path) -> None:
    few = peak_of_replaying(FEW, tmp_path / "few.db")
    many = peak_of_replaying(MANY, tmp_path / "many.db")
    assert many - few < 0.3 * MB
