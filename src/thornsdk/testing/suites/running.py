"""How suites run what may hang, and what happens in several threads at once."""

import threading
from collections.abc import Callable
from typing import TypeVar

from thornsdk.testing.suites.promises import broken, keeps

_R = TypeVar("_R")


def within(seconds: float, do: Callable[[], _R], what: str) -> _R:
    """Gives what a call gives; one that does not end in this time breaks the promise.

    The call runs in a thread of its own, which is left behind if it never ends.

    Args:
        seconds: How long it may take; far longer than it should.
        do: The call. What it raises is raised.
        what: What the call is, such as ``the send``.
    """
    __tracebackhide__ = True
    results: list[_R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(do())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else broken(f"{what} did not end within {seconds:g} seconds")


def side_by_side(threads: int, do: Callable[[int], _R], seconds: float = 60.0) -> list[_R]:
    """Calls something from several threads at once.

    Args:
        threads: How many.
        do: The call, which is given the number of its thread: 0, 1, and so on.
        seconds: How long all of it may take.

    Returns:
        What each gave, in the order of their numbers.
    """
    __tracebackhide__ = True
    ready = threading.Barrier(threads)
    results: dict[int, _R] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            ready.wait(seconds)
            results[number] = do(number)
        except BaseException as exc:
            errors.append(exc)

    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(seconds)
    if errors:
        raise errors[0]
    keeps(len(results) == threads, f"{len(results)} of {threads} threads ended within {seconds:g} seconds")
    return [results[number] for number in range(threads)]
