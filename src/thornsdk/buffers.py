"""Buffers: messages that are collected first and handed over together."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from thornsdk.dispatching import Dispatch
from thornsdk.errors import ConfigurationError, DispatchError, ThornError
from thornsdk.model import Receipt
from thornsdk.typing import Timer

HandOver: TypeAlias = Callable[[Sequence[Dispatch]], Iterator[Receipt]]
"""Takes messages in their order, and gives each receipt when it is known."""

_Owner: TypeAlias = tuple[int, object]


class Buffer:
    """Messages that wait to be handed over together; made with `Thorn.buffer`.

    It belongs to the thread, or the asyncio task, that opened it.

    Args:
        hand_over: Takes the messages.
        flush_every: After how many messages `maybe_flush` flushes; None for any number.
        flush_after: How many seconds after the first message `maybe_flush` flushes; None for never.
        timer: Counts seconds.
    """

    def __init__(
        self, hand_over: HandOver, *, flush_every: int | None, flush_after: float | None, timer: Timer
    ) -> None:
        self._hand_over = hand_over
        self._flush_every = flush_every
        self._flush_after = flush_after
        self._timer = timer
        self._process = os.getpid()
        self._waiting: deque[Dispatch] = deque()
        self._since = 0.0

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def add(self, dispatch: Dispatch) -> None:
        """Takes a message."""
        if not self._waiting:
            self._since = self._timer()
        self._waiting.append(dispatch)

    def maybe_flush(self) -> list[Receipt]:
        """Flushes if there are enough messages, or the first one has waited for long enough.

        Returns:
            What `flush` returns; nothing where it is not time yet.
        """
        return self.flush() if self._is_time() else []

    def flush(self) -> list[Receipt]:
        """Hands over what waits, in the order in which it was sent.

        Returns:
            The receipt of each message.

        Raises:
            ThornError: If the dispatcher could not take a message: the first such error. Those messages that
                it has not taken still wait here: flush again. The others were handed over all the same,
                unless it is a `DispatchError`, which is the trouble of all of them.
        """
        if os.getpid() != self._process:
            return []  # A process that was forked has a copy; what waits is its parent's.
        receipts: list[Receipt] = []
        problems: list[ThornError] = []
        refused: list[Dispatch] = []
        left = deque(self._waiting)
        self._waiting.clear()
        try:
            while left:
                try:
                    self._flush_some(left, receipts)
                except DispatchError:
                    raise
                except ThornError as exc:
                    problems.append(exc)
                    refused.append(left.popleft())
        finally:
            self._waiting.extendleft(reversed((*refused, *left)))
        if problems:
            raise problems[0]
        return receipts

    def _flush_some(self, left: deque[Dispatch], receipts: list[Receipt]) -> None:
        """Hands over messages until one is refused."""
        for receipt in self._hand_over(tuple(left)):
            left.popleft()
            receipts.append(receipt)

    def _is_time(self) -> bool:
        if not self._waiting:
            return False
        enough = self._flush_every is not None and len(self._waiting) >= self._flush_every
        late = self._flush_after is not None and self._timer() - self._since >= self._flush_after
        return enough or late


class _Inner(Buffer):
    """A buffer inside another one: the outermost holds the messages, and alone decides when they go."""

    def __init__(self, outer: Buffer) -> None:
        super().__init__(lambda _: iter(()), flush_every=None, flush_after=None, timer=time.monotonic)
        self._waiting = outer._waiting  # noqa: SLF001 - its own kind

    def flush(self) -> list[Receipt]:
        """Leaves it to the outermost."""
        return []


class Buffers:
    """The buffers that are open, one for each thread or asyncio task that opened one."""

    def __init__(self) -> None:
        self._open: dict[_Owner, Buffer] = {}

    def current(self) -> Buffer | None:
        """Gives the buffer of this thread or task, or None."""
        # Most applications have none, and most of the time nobody has one open.
        return self._open.get(_owner()) if self._open else None

    @contextmanager
    def opened(
        self,
        hand_over: HandOver,
        *,
        flush_every: int | None,
        flush_after: float | None,
        timer: Timer = time.monotonic,
    ) -> Iterator[Buffer]:
        """Opens a buffer for this thread or task. Leaving it flushes it, after an error too.

        Raises:
            ConfigurationError: If the number of messages or of seconds is not more than 0.
        """
        for name, value in (("flush_every", flush_every), ("flush_after", flush_after)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value!r}; it takes a number above 0, or None")
        owner = _owner()
        outer = self._open.get(owner)
        if outer is not None:
            yield _Inner(outer)
            return
        buffer = Buffer(hand_over, flush_every=flush_every, flush_after=flush_after, timer=timer)
        self._open[owner] = buffer
        try:
            yield buffer
        finally:
            del self._open[owner]
            buffer.flush()


def _owner() -> _Owner:
    # What a thread or task starts may run when the buffer is long gone: it has none of it.
    try:
        task: object = asyncio.current_task()
    except RuntimeError:  # No loop runs in this thread.
        task = None
    return os.getpid(), task or threading.get_ident()
