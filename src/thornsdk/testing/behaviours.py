"""What an endpoint does with requests: the good, the slow and the broken."""

import threading
from collections.abc import Mapping

from thornsdk.testing.endpoint import Behaviour, Handler, Seen

_LONG = 30.0
"""Seconds: longer than any deadline of a test."""


def answers(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answers with a status, and with more headers if they are given."""
    return lambda handler, _: handler.answer(status, body, headers or {})


def says(data: bytes) -> Behaviour:
    """Answers with these very bytes, HTTP or not, and closes the connection."""
    return lambda handler, _: handler.raw(data)


def waits(seconds: float, then: Behaviour) -> Behaviour:
    """Behaves in some way, after a while."""

    def behave(handler: Handler, seen: Seen) -> None:
        handler.wait(seconds)
        then(handler, seen)

    return behave


def drips(first: bytes, drop: bytes, every: float) -> Behaviour:
    """Sends something, and then a drop now and again for ever.

    Args:
        first: What is sent at once, such as the head of an answer.
        drop: What is sent then, again and again.
        every: After how many seconds each.
    """

    def behave(handler: Handler, _: Seen) -> None:
        handler.raw(first)
        while not handler.wait(every):
            handler.raw(drop)

    return behave


def hangs(handler: Handler, _: Seen) -> None:
    """Never answers."""
    handler.close()
    handler.wait(_LONG)


def never_answers(handler: Handler, _: Seen) -> None:
    """Waits until the sender gives up."""
    handler.wait_for_sender()


def closes(handler: Handler, _: Seen) -> None:
    """Closes the connection without an answer."""
    handler.close()


def resets(handler: Handler, _: Seen) -> None:
    """Resets the connection without an answer."""
    handler.reset()


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behaves in one way for the first request, in the next for the second; the last one stays."""
    left = list(behaviours)
    lock = threading.Lock()

    def behave(handler: Handler, seen: Seen) -> None:
        with lock:
            now = left.pop(0) if len(left) > 1 else left[0]
        now(handler, seen)

    return behave


def once_then(first: Behaviour, then: Behaviour) -> Behaviour:
    """Behaves in one way towards the first attempt of each delivery, and in another towards the others."""
    known: set[str] = set()

    def behave(handler: Handler, seen: Seen) -> None:
        key = seen.header("Hook-Delivery")
        now = then if key in known else first
        known.add(key)
        now(handler, seen)

    return behave
