"""Keeps several requests in flight: each in a thread, all results in the caller's."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from thornsdk import Exchange, Request


def fan_out(
    requests: Iterable[Request], send: Callable[[Request], Exchange], width: int
) -> Iterator[Exchange]:
    """Sends requests, at most so many at once, and gives each result as soon as it is known.

    The requests are read, and the results given, in the caller's thread. Threads are started as they are
    needed and have ended when this ends; one that is left early leaves each thread to its current request.

    Args:
        requests: What to send; no more of them are read than are in flight.
        send: Sends one request; it never raises.
        width: How many are in flight at most.
    """
    todo: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
    threads: list[threading.Thread] = []
    in_flight = 0

    def work() -> None:
        while (request := todo.get()) is not None:
            done.put(send(request))

    try:
        for request in requests:
            if in_flight == len(threads):
                thread = threading.Thread(target=work, name="thornsdk-send", daemon=True)
                thread.start()
                threads.append(thread)
            todo.put(request)
            in_flight += 1
            while in_flight == width or (in_flight and not done.empty()):
                result = done.get()
                in_flight -= 1
                yield result
        while in_flight:
            result = done.get()
            in_flight -= 1
            yield result
    finally:
        for _ in threads:
            todo.put(None)
        if not in_flight:
            for thread in threads:
                thread.join()
