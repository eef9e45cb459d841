"""The dispatcher ``celery``: what happens in the process that sends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from attrs import evolve
from celery import Celery

from thornsdk import Deliverer, Dispatch, Dispatcher, Receipt, ReceiptState, tally
from thornsdk.errors import ConfigurationError, DispatchError, SerializationError, ThornError
from thornsdk_plugins.celery.apps import QUEUE, app_for, current_app
from thornsdk_plugins.celery.codec import travelling_size, write_envelopes
from thornsdk_plugins.celery.documents import Envelope, Needs
from thornsdk_plugins.celery.names import FAN_OUT
from thornsdk_plugins.celery.publisher import MAX_BYTES, Publisher


class CeleryDispatcher(Dispatcher):
    """Publishes one task for each message; workers find its subscribers and deliver it in batches.

    For ordered subscriptions, the store is told of the message before it is published.

    Args:
        app: The Celery app whose broker is used. With None, one for ``broker_url``; without that too, the
            application's current app: that of now, or if there is none, of when the first message is sent.
        broker_url: The broker, where no app is given.
        chunk_size: How many buffered messages travel in one task.
        fallback_to_store: What happens to a message that the broker cannot take: with True, its deliveries
            go to the store, due at once; with False, or with a store that no worker sees, `send` raises
            `~thornsdk.errors.DispatchError`.
    """

    def __init__(
        self,
        app: Celery | None = None,
        *,
        broker_url: str | None = None,
        chunk_size: int = 100,
        fallback_to_store: bool = False,
    ) -> None:
        if app is None and broker_url is None:
            app = current_app()  # The thread that sends may see another one, or none.
        self._publisher = Publisher(lambda: app_for(broker_url) if app is None else app)
        self._chunk_size = chunk_size
        self._fallback_to_store = fallback_to_store

    @property
    def name(self) -> str:
        """``celery``."""
        return "celery"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Publishes the task of a message."""
        (receipt,) = self.dispatch_many([dispatch], deliverer)
        return receipt

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        """Publishes messages, several in one task, in the order in which they were sent."""
        chunk: list[tuple[Dispatch, Envelope]] = []
        size = 0
        for dispatch in dispatches:
            try:
                envelope = _envelope(dispatch, deliverer)
            except ThornError:
                # It is the trouble of this message; those before it are on their way.
                yield from self._hand_over(chunk, deliverer)
                raise
            length = travelling_size(envelope)
            if len(chunk) == self._chunk_size or size + length > MAX_BYTES:
                yield from self._hand_over(chunk, deliverer)
                chunk, size = [], 0
            chunk.append((dispatch, envelope))
            size += length
        yield from self._hand_over(chunk, deliverer)

    def close(self) -> None:
        """Closes the connections to the broker."""
        self._publisher.close()

    def _hand_over(
        self, chunk: Sequence[tuple[Dispatch, Envelope]], deliverer: Deliverer
    ) -> Iterator[Receipt]:
        if not chunk:
            return
        try:
            with _lined_up([dispatch for dispatch, _ in chunk], deliverer):
                task_id = self._publish([envelope for _, envelope in chunk])
        except DispatchError as exc:
            # What is kept in this process alone, no worker would ever find.
            if not self._fallback_to_store or deliverer.store.identity is None:
                raise
            for dispatch, _ in chunk:
                yield self._keep(dispatch, deliverer, exc.problem)
            return
        for dispatch, _ in chunk:
            yield self._receipt(dispatch, ReceiptState.QUEUED, task_id=task_id)

    def _publish(self, envelopes: Sequence[Envelope]) -> str:
        events = ", ".join(sorted({one.needs.event for one in envelopes}))
        return self._publisher.publish(
            FAN_OUT,
            write_envelopes(envelopes),
            queue=QUEUE,
            about=f"{len(envelopes)} messages of {events}" if len(envelopes) > 1 else events,
        )

    def _keep(self, dispatch: Dispatch, deliverer: Deliverer, why: str) -> Receipt:
        kept = tally(deliverer.keep(dispatch, why))
        return evolve(self._receipt(dispatch, ReceiptState.STORED), outcomes=kept)

    def _receipt(self, dispatch: Dispatch, state: ReceiptState, task_id: str | None = None) -> Receipt:
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=state,
            task_id=task_id,
        )


@contextmanager
def _lined_up(dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[None]:
    """Puts messages at the ends of the lines that they belong to; takes them out again after an error.

    Workers take messages up in any order; the store knows in which they were sent.
    """
    new: list[UUID] = []
    try:
        for one in dispatches:
            new.extend(deliverer.line_up(one, deliverer.ordered(one.audience)))
        yield
    except Exception:
        # The broker has nothing, as `send` says, or at least no place in a line.
        if new:
            deliverer.store.withdraw(new)
        raise


def _envelope(dispatch: Dispatch, deliverer: Deliverer) -> Envelope:
    """Makes what travels of a message.

    Raises:
        ConfigurationError: If workers could not find its subscribers.
        SerializationError: If it is too large for a broker.
    """
    store = deliverer.store
    identity = store.identity
    if identity is None and any(store.matching(dispatch.audience)):
        raise ConfigurationError(
            "the subscriptions are in a store that lives in this process alone, where no worker finds them: "
            "set THORN_STORE to one that both can open, such as sqlite:////var/lib/app/thorn.db"
        )
    if identity is None and any(True for _ in deliverer.ordered(dispatch.audience)):
        raise ConfigurationError(
            "an ordered subscription needs a store that the workers share, to know what was sent before: set "
            "THORN_STORE to one, such as sqlite:////var/lib/app/thorn.db"
        )
    keyed = dispatch.message.idempotency_key is not None
    if identity is None and keyed:
        raise ConfigurationError(
            "an idempotency key needs a store that the workers share, to know what was sent before: set "
            "THORN_STORE to one, such as sqlite:////var/lib/app/thorn.db"
        )
    event = dispatch.message.event
    envelope = Envelope(
        message_id=dispatch.message.id,
        created_at=dispatch.message.created_at,
        audience=dispatch.audience,
        bodies=dispatch.bodies.in_all_types(),
        terms=dispatch.terms,
        needs=Needs(event=event, store=identity, requirements=tuple(sorted(deliverer.requirements(event)))),
        again=keyed,
    )
    length = travelling_size(envelope)
    if length > MAX_BYTES:
        raise SerializationError(
            "$",
            f"its bodies are {length} bytes long together, and a task takes {MAX_BYTES}: send where "
            f"the data can be fetched, in place of the data",
        )
    return envelope
