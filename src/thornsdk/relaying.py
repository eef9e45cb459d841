"""Relays: what is committed in an outbox is handed over to the dispatcher."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

from thornsdk.buffers import HandOver
from thornsdk.dispatching import Dispatch
from thornsdk.engine import Engine
from thornsdk.errors import ConfigurationError, OutboxError, SerializationError, StoreDamaged, ThornError
from thornsdk.logs import DeliveryLog
from thornsdk.model import Message, ReceiptState
from thornsdk.outbox import FREE, Outbox, Row
from thornsdk.outbox_documents import Kept, read_document

LEASE = timedelta(minutes=5)
"""For how long a relay has to itself what it has taken, unless it takes it anew."""
LEFT_FOR = timedelta(minutes=1)
"""For how long a row is left that could not be handed over."""


def requirements_of(event: str, engine: Engine) -> frozenset[str]:
    """Names what the process that relays a message of an event must know, as the one that sends it does."""
    identity = engine.store.identity
    store = () if identity is None else (f"the store whose identity is {identity} (THORN_STORE)",)
    return engine.requirements(event).union(store)


class Relay:
    """One run over an outbox.

    A row is taken first, then handed over, then removed. Who dies in between leaves it to another relay, once
    the lease is over; the message has an idempotency key, by which what was sent before is known.

    Args:
        outbox: Where the messages are.
        hand_over: Takes them.
        engine: Knows the terms and requirements of events, and the time.
        log: Is told of what is left.
        limit: How many rows are taken at a time.
    """

    def __init__(
        self, outbox: Outbox, hand_over: HandOver, engine: Engine, log: DeliveryLog, limit: int
    ) -> None:
        self._outbox = outbox
        self._hand_over = hand_over
        self._engine = engine
        self._log = log
        self._limit = limit
        self._left: deque[tuple[Row, Dispatch]] = deque()
        self._renew_at = engine.clock()
        self._problems: list[ThornError] = []
        self._taken = 0

    def run(self, stop: Callable[[], bool]) -> int:
        """Hands over what is committed, and tells how many messages the dispatcher has taken.

        Raises:
            ThornError: If some could not be handed over: the first such error.
        """
        self._outbox.check_idle()
        pages = self._outbox.pages(self._engine.clock, LEASE, self._limit)
        while not stop() and (page := next(pages, None)) is not None:
            self._relay(page, stop)
        if self._problems:
            raise self._problems[0]
        return self._taken

    def _relay(self, page: Iterable[Row], stop: Callable[[], bool]) -> None:
        """Hands over a page; what is left of it then is free again."""
        self._renew_at = self._engine.clock() + LEASE / 2
        try:
            self._left.extend(self._readable(page))
            while self._left and not self._hand_over_some(stop):
                pass
        except BaseException:
            with suppress(OutboxError):  # The first error counts; the lease ends by itself.
                self._give_back()
            raise
        self._give_back()

    def _hand_over_some(self, stop: Callable[[], bool]) -> bool:
        """Hands over messages until one is refused; tells whether it was told to stop."""
        try:
            for receipt in self._hand_over([dispatch for _, dispatch in self._left]):
                row, _ = self._left.popleft()
                self._outbox.remove(row)
                self._taken += 1
                # Who only queues messages does so quickly, and may have queued the next ones already.
                if receipt.state is ReceiptState.ENDED and stop():
                    return True
                self._renew()
        except (ConfigurationError, SerializationError, StoreDamaged) as exc:
            # It is the trouble of this message, or of the row of one of its subscriptions; those behind it
            # may be taken.
            row, dispatch = self._left.popleft()
            self._leave(row, exc, dispatch.message)
        return False

    def _readable(self, page: Iterable[Row]) -> Iterator[tuple[Row, Dispatch]]:
        for row in page:
            try:
                kept = read_document(row.id, row.document)
                self._check(kept)
            except (OutboxError, ConfigurationError) as exc:
                self._leave(row, exc)
            else:
                yield row, kept.on(self._engine.terms(kept.message.event))

    def _check(self, kept: Kept) -> None:
        event = kept.message.event
        missing = kept.requirements - requirements_of(event, self._engine)
        if missing:
            raise ConfigurationError(
                f"a message of {event!r} was sent with what is not known where it is relayed: "
                f"{', '.join(sorted(missing))}. Relay with the same settings and declared events"
            )

    def _leave(self, row: Row, problem: ThornError, message: Message[object] | None = None) -> None:
        self._problems.append(problem)
        self._log.outbox_left(row.id, problem, message)
        self._outbox.take([row], self._engine.clock() + LEFT_FOR)

    def _renew(self) -> None:
        """Takes what is left anew, where handing over the rest of the page has taken long."""
        now = self._engine.clock()
        if now >= self._renew_at:
            held = {one.id: one for one in self._outbox.take([row for row, _ in self._left], now + LEASE)}
            self._left = deque((held.get(row.id, row), dispatch) for row, dispatch in self._left)
            self._renew_at = now + LEASE / 2

    def _give_back(self) -> None:
        rows = [row for row, _ in self._left]
        self._left.clear()
        if rows:
            self._outbox.take(rows, FREE)
