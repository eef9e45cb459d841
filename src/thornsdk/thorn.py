"""The composition root: settings, stages and events of one application."""

import random as random_module
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from itertools import chain
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast, overload
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.buffers import Buffer, Buffers
from thornsdk.dispatching import (
    Bodies,
    Deliverer,
    Dispatch,
    RecipientValidator,
    Terms,
    check_receipt,
    is_json,
)
from thornsdk.engine import Engine, Sources, never
from thornsdk.errors import (
    ClosedError,
    ConfigurationError,
    InvalidHeader,
    InvalidValue,
    NotFound,
    PipelineError,
    RecipientRefused,
    SerializationError,
)
from thornsdk.events import Event, Transaction
from thornsdk.leases import Holder
from thornsdk.logs import DeliveryLog
from thornsdk.model import (
    URL,
    Attempt,
    Audience,
    Count,
    CountFilter,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Digest,
    EventPattern,
    Message,
    PatternsLike,
    Pruned,
    RateLimitLike,
    Receipt,
    ReceiptState,
    ScheduleLike,
    Secret,
    SecretLike,
    SecretsLike,
    Subscription,
    Tally,
    WhenFailed,
    as_patterns,
    as_rate_limit,
    as_secret,
    as_secrets,
    check_event_name,
    keyed_message_id,
    rotated,
    tally,
)
from thornsdk.outbox import Outbox
from thornsdk.outbox_documents import write_document
from thornsdk.pipeline import Pipeline, build_pipeline, build_store
from thornsdk.planned import Conditions, check_recipient
from thornsdk.plugins import PluginManager, Source
from thornsdk.policy.retry import RetryPolicy
from thornsdk.policy.traffic import TrafficPolicy
from thornsdk.reasons import Reason
from thornsdk.relaying import Relay, requirements_of
from thornsdk.replaying import Replays
from thornsdk.setting_kinds import full_name, read_timeout
from thornsdk.settings import Settings, SettingsOptions
from thornsdk.stages import Store, utc_now
from thornsdk.static import StaticSubscribers
from thornsdk.typing import Clock, HeadersLike, Random, Sleep
from thornsdk.version import VERSION

Payload = TypeVar("Payload")

PRODUCT = f"Thorn/{VERSION}"

_LONGEST_KEPT = timedelta(days=365)


class Thorn:
    """Webhooks of one application: its settings, its stages, its events and its subscriptions.

    A context manager: leaving it closes connections and stores. Share one between threads.

    Args:
        settings: What is given here counts most; then the keyword arguments; then the ``THORN_*`` variables
            of the environment; then the defaults.
        pipeline: The stages, assembled in code, in place of those that the settings name. Its store may be
            None: then the settings name the store.
        plugins: Plugins besides those that are installed.
        clock: Tells the time, in UTC.
        random: Gives the jitter of retries.
        sleep: Waits, where a replay has to wait for the limits of its subscription.
        options: Settings as keyword arguments, such as ``store="sqlite:///thorn.db"``.

    Raises:
        ConfigurationError: If a setting, a plugin or the pipeline cannot work.
        StoreError: If the store cannot be opened.

    Example:
        >>> with Thorn(store="sqlite:///thorn.db") as thorn:
        ...     created = thorn.event("order.created", payload_type=dict[str, int])
        ...     subscription = thorn.subscribe("order.*", "https://example.com/hooks")
        ...     receipt = created.send({"id": 42})
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        pipeline: Pipeline | None = None,
        plugins: Iterable[object] = (),
        clock: Clock = utc_now,
        random: Random = random_module.random,
        sleep: Sleep = time.sleep,
        **options: Unpack[SettingsOptions],
    ) -> None:
        self.settings: Settings = _resolve(settings, options)
        """The settings in effect."""
        self.plugins: PluginManager = PluginManager(VERSION, self.settings.plugins_block)
        """What is installed, and what it provides."""
        self.plugins.load()
        for plugin in plugins:
            self.plugins.register(plugin, Source(type(plugin).__qualname__, "the application"))
        self._clock = clock
        self._log = DeliveryLog()
        self._events: dict[str, Event[object]] = {}
        self._buffers = Buffers()
        self._static = StaticSubscribers(self.settings.subscribers, self.settings.secret, "THORN_SUBSCRIBERS")
        self.pipeline: Pipeline
        self._store: Store
        self.pipeline, self._store = self._assemble(pipeline)
        """The stages in effect."""
        self._check_fixed(self._static)
        self._engine = self._make_engine(random, sleep)
        self._replays = Replays(self._engine)
        self._closed = False

    # Events

    @overload
    def event(
        self,
        name: str,
        *,
        payload_type: type[Payload],
        subscribers: object = ...,
        timeout: float | None = ...,
        retry: RetryPolicy | None = ...,
        recipient_validators: Iterable[RecipientValidator] = ...,
    ) -> Event[Payload]: ...

    @overload
    def event(
        self,
        name: str,
        *,
        subscribers: object = ...,
        timeout: float | None = ...,
        retry: RetryPolicy | None = ...,
        recipient_validators: Iterable[RecipientValidator] = ...,
    ) -> Event[object]: ...

    def event(
        self,
        name: str,
        *,
        payload_type: type[Payload] | None = None,
        subscribers: object = (),
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        recipient_validators: Iterable[RecipientValidator] = (),
    ) -> Event[Payload] | Event[object]:
        """Declares an event.

        Args:
            name: Such as ``order.created``.
            payload_type: The type of its payloads, for the type checker; nothing checks it at run time.
            subscribers: Those that get it besides the subscriptions of store and settings: what an entry of
                ``THORN_SUBSCRIBERS`` takes.
            timeout: The deadline of an attempt in seconds, in place of ``THORN_EVENT_TIMEOUT``.
            retry: When attempts are repeated, in place of the ``THORN_RETRY*`` settings.
            recipient_validators: What may refuse a URL, besides ``THORN_RECIPIENT_VALIDATORS``.

        Raises:
            InvalidEventName: If an event cannot have that name.
            ConfigurationError: If it was declared before, or the timeout is not more than 0 and at most 3600.
            PipelineError: If a subscriber is ordered, and no serializer writes JSON, or has a header of its
                own that a stage writes.
        """
        check_event_name(name)
        if name in self._events:
            raise ConfigurationError(f"the event {name!r} is declared twice; share the first one")
        general = self.settings.terms
        event: Event[object] = Event(
            name=name,
            terms=Terms(
                timeout=general.timeout if timeout is None else _timeout(name, timeout),
                retry=general.retry if retry is None else retry,
                recipient_validators=(*general.recipient_validators, *recipient_validators),
            ),
            subscribers=StaticSubscribers({name: subscribers}, self.settings.secret, f"the event {name!r}"),
            send=self._send,
            buffers=lambda: self._buffers.current() is not None,
        )
        self._check_fixed(event.subscribers)
        self._events[name] = event
        return cast("Event[Payload]", event) if payload_type is not None else event

    def buffer(
        self, *, flush_every: int | None = None, flush_after: float | None = None
    ) -> AbstractContextManager[Buffer, None]:
        """Collects what this thread, or asyncio task, sends inside, and hands it over together at the end.

        With ``celery``, messages then travel many to a task; with ``default`` they are sent in turn. Inside
        another buffer, the outermost alone decides when messages go. What is inside is handed over after an
        error too: it was sent.

        Args:
            flush_every: After how many messages `thornsdk.Buffer.maybe_flush` hands them over.
            flush_after: How many seconds after the first message it does.

        Raises:
            ConfigurationError: If one of them is not more than 0.
            DispatchError: At the end, if the dispatcher could not take a message. Those that it has not
                taken still wait in the buffer: `thornsdk.Buffer.flush` tries again.

        Example:
            >>> with Thorn() as thorn:
            ...     created = thorn.event("order.created", payload_type=dict[str, int])
            ...     with thorn.buffer(flush_every=100) as buffer:
            ...         for number in range(1000):
            ...             receipt = created.send({"id": number})
            ...             receipts = buffer.maybe_flush()
        """
        opened = self._buffers.opened(self._hand_over, flush_every=flush_every, flush_after=flush_after)
        # It lets every error through, which type checkers do not know of a generator.
        return cast("AbstractContextManager[Buffer, None]", opened)

    def relay(self, outbox: Outbox, *, stop: Callable[[], bool] = never) -> int:
        """Hands over the messages of an outbox that are committed, in the order in which they were sent.

        A message is removed from the outbox when the dispatcher has taken it: with ``default``, when it was
        attempted; with ``celery``, when the broker has it. Several processes may do so side by side: each
        takes up to ``THORN_CHUNKSIZE`` messages at a time, and they keep their order among those. What a
        process had taken that is killed is handed over again five minutes later; what the store knows of it
        is not delivered twice.

        A process that relays has the settings and declares the events of those that send, so that their
        terms and subscribers are known. It commits on the connection of the outbox, which must not be in the
        middle of anything.

        Args:
            outbox: Where the messages are.
            stop: Is asked now and again whether to hand over no more of them.

        Returns:
            How many messages the dispatcher has taken.

        Raises:
            OutboxError: If the database refused, or a transaction is open on the connection. At the end, if a
                row cannot be read: it stays, and is looked at again a minute later.
            ConfigurationError: At the end, if a message cannot be handed over in this process: it stays, too.
            SerializationError: At the end, if a message is too large for the broker: it stays, too.
            StoreDamaged: At the end, if something that a message needs cannot be read in the store: it stays,
                too.
            DispatchError: If the dispatcher could not take a message. It stays, with all behind it.
            StoreError: If the store broke. The message stays, with all behind it.
            ClosedError: If this `Thorn` was closed.
        """
        self._open_store()
        return Relay(outbox, self._hand_over, self._engine, self._log, self.settings.chunksize).run(stop)

    # Subscriptions

    def subscribe(  # noqa: PLR0913 - what may be said of a subscription, by name
        self,
        patterns: PatternsLike,
        url: str | URL,
        *,
        secret: SecretsLike | None = None,
        owner: str | None = None,
        content_type: str | None = None,
        digest: Digest | str = Digest.SHA256,
        headers: HeadersLike = (),
        client_certificate: str | None = None,
        rate_limit: RateLimitLike | None = None,
        max_in_flight: int | None = None,
        ordered_by: str | None = None,
        when_failed: WhenFailed | str = WhenFailed.STOP,
        retry_schedule: ScheduleLike | None = None,
    ) -> Subscription:
        """Subscribes a URL to events.

        Args:
            patterns: The events that are wanted, one pattern or several, such as ``order.*``.
            url: Where the requests go.
            secret: What they are signed with; where there are several, the current one first. With None, one
                is made: ``subscription.secrets[0].reveal()`` gives it.
            owner: The tenant that the subscription belongs to.
            content_type: How payloads are written; by default the first content type of the pipeline.
            digest: The hash function of ``Hook-HMAC``.
            headers: What is sent besides the library's own headers.
            client_certificate: The name of the certificate that is shown to the receiver (mutual TLS), one of
                those of ``THORN_CLIENT_CERTIFICATES`` where the deliveries run.
            rate_limit: How fast attempts may follow each other: so many in a second, or a `RateLimit` with a
                burst. What comes faster is put off, and spends no attempt.
            max_in_flight: How many attempts may be under way at once, in all processes that share the store.
                What comes besides is put off, and spends no attempt.
            ordered_by: The field of the payload by which messages are ordered, such as ``order_id``, or a
                path to it, such as ``order.id``. Of those with one value, each waits until the one before
                has arrived; a message without it waits for none.
            when_failed: With ``ordered_by``, what becomes of those that wait when the one before is given
                up: ``stop``, they wait until it is replayed or cancelled; ``skip``, the next is delivered.
            retry_schedule: How many seconds pass between its attempts, each at most a year, in place of the
                schedule of the event; an empty one for one attempt alone.

        Returns:
            The subscription, which is in the store now.

        Raises:
            InvalidValue: If a part of it cannot be what it is given as, or a stage writes one of its headers.
            RecipientRefused: If policy does not allow the URL.
            PipelineError: If no serializer writes the content type, or none writes JSON for ``ordered_by``.
            StoreError: If it could not be kept.
        """
        subscription = Subscription(
            id=uuid4(),
            patterns=as_patterns(patterns),
            url=url,
            secrets=(Secret.generate(),) if secret is None else as_secrets(secret),
            content_type=content_type or self.pipeline.serializers[0].content_type,
            digest=digest,
            owner=owner,
            headers=headers,
            client_certificate=client_certificate,
            rate_limit=rate_limit,
            max_in_flight=max_in_flight,
            ordered_by=ordered_by,
            when_failed=when_failed,
            retry_schedule=retry_schedule,
        )
        self._check(subscription)
        self._open_store().put([subscription])
        return subscription

    def unsubscribe(self, subscription_id: UUID) -> None:
        """Removes a subscription from the store, and gives up what is to be attempted for it.

        Raises:
            NotFound: If there is none of that id in the store.
            StoreError: If the store broke.
        """
        if not self._open_store().remove(subscription_id):
            raise NotFound(f"there is no subscription {subscription_id} in the store")
        self._engine.give_up(subscription_id)

    def enable(self, subscription_id: UUID) -> Subscription:
        """Sends to a subscription again that was disabled. One that is active stays as it is.

        Returns:
            The subscription as it is now.

        Raises:
            NotFound: If there is none of that id, neither in the store nor among the static subscribers.
            StoreError: If the store broke.
        """
        return self._change(subscription_id, lambda known: evolve(known, disabled=None))

    def disable(self, subscription_id: UUID, why: str = "on request") -> Subscription:
        """Sends nothing more to a subscription, until it is enabled.

        A static subscriber is put into the store, and from then on the store's word counts; `unsubscribe`
        takes it out of there, and what is configured counts again. Those that a callable gives are not known
        here before they are in the store.

        Args:
            subscription_id: Which one.
            why: The reason, for logs and listings. It replaces that of one which is disabled already.

        Returns:
            The subscription as it is now.

        Raises:
            InvalidValue: If the reason is empty.
            NotFound: If there is none of that id, neither in the store nor among the static subscribers.
            StoreError: If the store broke.
        """
        return self._change(subscription_id, lambda known: evolve(known, disabled=why))

    def rotate_secret(
        self,
        subscription_id: UUID,
        secret: SecretLike | None = None,
        keep_old_for: timedelta = timedelta(hours=24),
    ) -> Subscription:
        """Gives a subscription a new secret; those before it sign for a while, and then no more.

        Meanwhile ``webhook-signature`` holds a signature of each, so that a receiver who knows the new secret
        or an old one can verify. ``Hook-HMAC`` is that of the new one from now on.

        No rotation prolongs the life of an old secret: one that has an end already keeps it, unless the new
        end is earlier. The four latest old secrets are kept at most; where there are more, the oldest end at
        once. A static subscriber is put into the store, as `disable` does it.

        Args:
            subscription_id: Which one.
            secret: The new one. With None, one is made: ``subscription.secrets[0].reveal()`` gives it.
            keep_old_for: How long those before it sign, at most 365 days. With ``timedelta(0)``, they end at
                once.

        Returns:
            The subscription as it is now.

        Raises:
            InvalidSecret: If the secret is empty or malformed.
            InvalidValue: If the time is less than 0 or more than 365 days.
            NotFound: If there is none of that id, neither in the store nor among the static subscribers.
            StoreError: If the store broke.
        """
        if not timedelta(0) <= keep_old_for <= _LONGEST_KEPT:
            raise InvalidValue(f"keep_old_for is {keep_old_for}; it takes 0 to 365 days")
        new = Secret.generate() if secret is None else as_secret(secret)
        now = self._clock()
        until = now + keep_old_for
        return self._change(subscription_id, lambda known: rotated(known, new, now=now, until=until))

    def set_limits(
        self,
        subscription_id: UUID,
        *,
        rate_limit: RateLimitLike | None = None,
        max_in_flight: int | None = None,
    ) -> Subscription:
        """Limits how fast, and how many at once, a subscription is called. What is not given has no limit.

        What was put off by the limits before is due at once, and asks anew. A static subscriber is put into
        the store, as `disable` does it.

        Args:
            subscription_id: Which one.
            rate_limit: How fast attempts may follow each other: so many in a second, or a `RateLimit` with a
                burst.
            max_in_flight: How many attempts may be under way at once, in all processes that share the store.

        Returns:
            The subscription as it is now.

        Raises:
            InvalidValue: If a limit is not one.
            NotFound: If there is none of that id, neither in the store nor among the static subscribers.
            StoreError: If the store broke.

        Example:
            >>> with Thorn(store="sqlite:///thorn.db") as thorn:
            ...     subscription = thorn.subscribe("order.*", "https://example.com/hooks")
            ...     subscription = thorn.set_limits(subscription.id, rate_limit=10, max_in_flight=2)
        """
        limits = TrafficPolicy(as_rate_limit(rate_limit), max_in_flight)
        self._open_store()
        changed = self._engine.recipients.change_limits(subscription_id, limits, self._fixed(subscription_id))
        return self._found(subscription_id, changed)

    def subscriptions(self) -> Iterator[Subscription]:
        """Gives all subscriptions, those of the settings first, then those of the store by origin.

        Callables among the static subscribers are not asked: what they give depends on the message.
        """
        store = self._open_store()
        static = (one for one in self._static.fixed() if store.find(one.id) is None)
        return chain(static, store.subscriptions())

    # Deliveries

    def deliveries(
        self,
        wanted: DeliveryFilter | DeliveryState | Iterable[DeliveryState] | None = None,
        *,
        event: EventPattern | str | None = None,
        subscription_id: UUID | None = None,
        owner: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[DeliveryRecord]:
        """Gives the deliveries that the store knows, the latest attempt first.

        Args:
            wanted: Only those in this state, or in one of these, or that this filter admits. What is given
                besides counts in place of that part of the filter.
            event: Only those of events that this pattern matches, such as ``order.*``.
            subscription_id: Only those to this subscription.
            owner: Only those to subscriptions of this tenant.
            since: Only those whose latest attempt began at this moment or later.
            before: Only those whose latest attempt began before this moment.

        Raises:
            InvalidValue: If no event can match the pattern, or a moment has no time zone.

        Example:
            >>> with Thorn(store="sqlite:///thorn.db") as thorn:
            ...     failed = list(thorn.deliveries(DeliveryState.FAILED, event="order.*"))
        """
        around = _as_filter(wanted)
        return self._open_store().deliveries(
            DeliveryFilter(
                states=around.states,
                event=around.event if event is None else event,
                subscription_id=around.subscription_id if subscription_id is None else subscription_id,
                owner=around.owner if owner is None else owner,
                since=around.since if since is None else since,
                before=around.before if before is None else before,
            )
        )

    def delivery(self, delivery_id: UUID) -> DeliveryRecord:
        """Gives what the store knows of a delivery.

        Raises:
            NotFound: If it knows none of that id.
        """
        record = self._open_store().delivery(delivery_id)
        if record is None:
            raise NotFound(f"there is no delivery {delivery_id} in the store")
        return record

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """Gives the attempts of a delivery that the store knows, the first one first.

        Where one is under way, it is the last, with the reason ``worker_lost``: that is what came of it,
        unless its process tells otherwise.
        """
        return self._open_store().attempts(delivery_id)

    def run_due(self, *, stop: Callable[[], bool] = never) -> Tally:
        """Attempts every delivery that is due now. Several processes may do so side by side.

        A process that does so declares the events it sends, so that their terms and subscribers are known: a
        delivery to a subscriber that is not known here, of an event that is not declared here, stays pending.

        Args:
            stop: Is asked before each attempt whether to begin no more of them. What is in flight is
                finished, and what was taken besides is put back.
        """
        self._open_store()
        return tally(self._engine.run_due(stop))

    def cancel(self, delivery_id: UUID) -> DeliveryRecord:
        """Attempts a delivery no more that has not arrived. A replay attempts it all the same.

        Where its subscription is ordered, those that wait behind it go on. One that is cancelled stays so.

        Returns:
            What is known of it now.

        Raises:
            NotFound: If the store knows no delivery of that id.
            InvalidValue: If it has arrived, or is being attempted at this moment.
            StoreError: If the store broke.
        """
        record = self.delivery(delivery_id)
        if record.state is DeliveryState.CANCELLED:
            return record
        if record.state is DeliveryState.DELIVERED:
            raise InvalidValue(f"the delivery {delivery_id} has arrived; there is nothing to cancel")
        cancelled = self._engine.cancel(record)
        if cancelled is None:
            raise InvalidValue(
                f"the delivery {delivery_id} is being attempted at this moment; try again when that has ended"
            )
        return cancelled

    def replay(self, delivery_id: UUID, *, new_id: bool = False) -> DeliveryRecord:
        """Attempts a delivery now, whatever became of it, out of turn too. The body is the one sent before.

        Where its subscription has limits, it waits for its turn.

        Args:
            delivery_id: The delivery's id.
            new_id: Attempt it as a new delivery of the same message, so that a receiver that drops doubles
                takes it. Otherwise it keeps its id.

        Raises:
            NotFound: If the store does not know the delivery, or its subscription is removed or disabled.
        """
        return self._replays.one(self.delivery(delivery_id), new_id=new_id)

    def replay_all(self, wanted: DeliveryFilter, *, new_ids: bool = False) -> Tally:
        """Attempts deliveries again that have ended; what is pending or leased is attempted anyway.

        Those whose subscriptions have limits wait for their turn, so this may take long.

        One whose subscription is removed or disabled counts as failed, and stays in the store as it was. One
        that is ordered and did not arrive goes back to its place in its line, and counts as ``retry``:
        `run_due` attempts it when its turn comes. With a new id, its place is at the end.

        Args:
            wanted: Which ones, of those that have ended.
            new_ids: Attempt each as a new delivery of the same message, so that a receiver that drops doubles
                takes it. Otherwise they keep their ids.

        Example:
            >>> with Thorn(store="sqlite:///thorn.db") as thorn:
            ...     wanted = DeliveryFilter(states=frozenset({DeliveryState.FAILED}), event="order.*")
            ...     outcomes = thorn.replay_all(wanted)
        """
        self._open_store()
        return tally(self._replays.all(wanted, new_ids=new_ids))

    def next_due(self) -> datetime | None:
        """Gives when the next delivery is due, or the lease of one is over; None where nothing is pending."""
        return self._open_store().next_due()

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        states: DeliveryState | Iterable[DeliveryState] | None = None,
    ) -> Pruned:
        """Removes deliveries that have ended from the store, with their attempts and their bodies.

        What is pending or leased is never removed, and nothing that stops a line in which others wait. It
        works in short steps, so that it can run beside what sends. What is removed stays counted: `counts`
        gives how many there were.

        Args:
            older_than: Those whose latest attempt began longer ago than this.
            keep: Those besides so many whose latest attempts began last.
            states: Only those in this state, or in one of these; the others are neither removed nor counted
                among those to keep. With None, those in any state that has ended.

        Returns:
            How many were removed.

        Raises:
            InvalidValue: If neither age nor number is given, or one is less than 0, or the calendar does not
                go back so far, or a delivery in one of the states has not ended.

        Example:
            >>> with Thorn(store="sqlite:///thorn.db") as thorn:
            ...     pruned = thorn.prune(older_than=timedelta(hours=1), states=DeliveryState.DELIVERED)
        """
        if older_than is None and keep is None:
            raise InvalidValue("prune takes older_than, keep, or both; nothing was removed")
        if keep is not None and keep < 0:
            raise InvalidValue(f"keep is {keep}; it takes 0 or more deliveries")
        before = None if older_than is None else self._ago(older_than)
        return self._open_store().prune(before, keep, None if states is None else _ended_states(states))

    def counts(
        self,
        *,
        event: EventPattern | str | None = None,
        subscription_id: UUID | None = None,
        since: date | None = None,
        before: date | None = None,
    ) -> Iterator[Count]:
        """Gives how many deliveries there are and were in each state, those that were pruned too.

        They are counted by subscription, day, event and state, and given in this order.

        Args:
            event: Only those of events that this pattern matches, such as ``order.*``.
            subscription_id: Only those to this subscription; it may have been removed since.
            since: Only those of this day or later. A day is one in UTC, and a delivery belongs to that on
                which its latest attempt began.
            before: Only those of days before this one.

        Raises:
            InvalidValue: If no event can match the pattern, or a day is a moment.

        Example:
            >>> with Thorn(store="sqlite:///thorn.db") as thorn:
            ...     counts = thorn.counts(event="order.*")
            ...     delivered = sum(one.deliveries for one in counts if one.state is DeliveryState.DELIVERED)
        """
        wanted = CountFilter(event=event, subscription_id=subscription_id, since=since, before=before)
        return self._open_store().counts(wanted)

    @property
    def deliverer(self) -> Deliverer:
        """The rest of the pipeline, for a dispatcher whose work goes on in another process."""
        return self._engine

    # Life

    def close(self) -> None:
        """Closes connections and stores. Closing twice does no harm."""
        self._closed = True
        self.pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _assemble(self, pipeline: Pipeline | None) -> tuple[Pipeline, Store]:
        whole = build_pipeline(self.settings, self.plugins, self._clock) if pipeline is None else pipeline
        store = build_store(self.settings, self.plugins, self._clock) if whole.store is None else whole.store
        return evolve(whole, store=store), store

    def _make_engine(self, random: Random, sleep: Sleep) -> Engine:
        conditions = Conditions(
            pipeline=self.pipeline,
            rules=self.settings.address_rules,
            product=PRODUCT,
            clock=self._clock,
            random=random,
            log=self._log,
            disable_after=self.settings.disabling_time,
            breaker=self.settings.breaker_policy,
            sleep=sleep,
        )
        sources = Sources(
            store=self._store,
            static=self._static_wanting,
            fixed=self._fixed_wanting,
            terms=self._declared_terms,
            general_terms=self.settings.terms,
            requirements=self._requirements,
            holder=Holder(),
            durable=self._durable(),
        )
        return Engine(sources, conditions)

    def _durable(self) -> bool:
        lasts = self._store.identity is not None
        if self.settings.durable and not lasts:
            raise ConfigurationError(
                "THORN_DURABLE is on, but the store lives in this process alone: set THORN_STORE to one that "
                "outlives the process, such as sqlite:///thorn.db, or leave THORN_DURABLE out"
            )
        return lasts if self.settings.durable is None else self.settings.durable

    def _send(
        self,
        event: str,
        payload: object,
        *,
        sender: str | None,
        broadcast: bool,
        transaction: Transaction | None,
        idempotency_key: str | None,
    ) -> Receipt:
        self._open_store()
        audience = Audience(event=event, sender=sender, broadcast=broadcast)
        if isinstance(transaction, Outbox):
            # A relay may die before it can note that it handed a message over; by its key it is known then.
            return self._keep_in(transaction, payload, audience, idempotency_key or str(uuid4()))
        dispatch = self._prepare(payload, audience, idempotency_key)
        if transaction is None:
            return self._take(dispatch)
        dispatch.bodies.in_all_types()  # The payload may change until then.
        taken: list[Receipt] = []
        transaction(lambda: taken.append(self._take(dispatch)))
        # Outside of a transaction, it may have been called already.
        return taken[0] if taken else self._waits(dispatch, ReceiptState.WAITING)

    def _prepare(self, payload: object, audience: Audience, key: str | None) -> Dispatch:
        event, sender = audience.event, audience.sender
        message = Message(
            id=uuid4() if key is None else keyed_message_id(event, sender, key),
            event=event,
            payload=payload,
            created_at=self._clock(),
            sender=sender,
            idempotency_key=key,
        )
        bodies = Bodies(self.pipeline.by_content_type, message)
        first = bodies.in_type(self.pipeline.serializers[0].content_type)
        if isinstance(first, SerializationError):
            raise first
        return Dispatch(message=message, audience=audience, bodies=bodies, terms=self._events[event].terms)

    def _keep_in(self, outbox: Outbox, payload: object, audience: Audience, key: str) -> Receipt:
        dispatch = self._prepare(payload, audience, key)
        document = write_document(dispatch, requirements_of(audience.event, self._engine))
        outbox.add(document, dispatch.message.created_at)
        return self._waits(dispatch, ReceiptState.WAITING)

    def _take(self, dispatch: Dispatch) -> Receipt:
        buffer = self._buffers.current()
        if buffer is None:
            (receipt,) = self._hand_over([dispatch])
            return receipt
        dispatch.bodies.in_all_types()  # The payload may change until it is flushed.
        buffer.add(dispatch)
        return self._waits(dispatch, ReceiptState.BUFFERED)

    def _waits(self, dispatch: Dispatch, state: ReceiptState) -> Receipt:
        message, dispatcher = dispatch.message, self.pipeline.dispatcher
        return Receipt(message_id=message.id, event=message.event, dispatcher=dispatcher.name, state=state)

    def _hand_over(self, dispatches: Sequence[Dispatch]) -> Iterator[Receipt]:
        self._open_store()
        dispatcher = self.pipeline.dispatcher
        for receipt in dispatcher.dispatch_many(dispatches, self._engine):
            check_receipt(dispatcher, receipt)
            if receipt.state is not ReceiptState.ENDED:
                self._log.message_taken(receipt)
            yield receipt

    def _requirements(self, event: str) -> frozenset[str]:
        terms = self._engine.terms(event)
        declared = self._events.get(event)
        return frozenset(
            (
                *self._static.requirements(event),
                *(declared.subscribers.requirements(event) if declared else ()),
                *(f"the recipient validator {full_name(one)}" for one in terms.recipient_validators),
                *(
                    f"the headers that {full_name(type(one))} adds to {content_type}"
                    for content_type, one in self.pipeline.header_serializers.items()
                ),
            )
        )

    def _declared_terms(self, event: str) -> Terms | None:
        declared = self._events.get(event)
        return None if declared is None else declared.terms

    def _static_wanting(self, event: str, sender: str | None) -> Iterator[Subscription]:
        yield from self._static.wanting(event, sender)
        if event in self._events:
            yield from self._events[event].subscribers.wanting(event, sender)

    def _fixed_wanting(self, event: str) -> Iterator[Subscription]:
        declared = self._events.get(event)
        configured = (self._static,) if declared is None else (self._static, declared.subscribers)
        return (one for source in configured for one in source.fixed() if one.wants(event))

    def _check(self, subscription: Subscription) -> None:
        url = subscription.url
        if url.scheme not in self.pipeline.by_scheme:
            served = ", ".join(sorted(self.pipeline.by_scheme))
            raise RecipientRefused(
                f"no transport serves the scheme {url.scheme!r}; there are: {served}", Reason.SCHEME_FORBIDDEN
            )
        check_recipient(url, self.settings.address_rules, self.settings.recipient_validators)
        if subscription.content_type not in self.pipeline.by_content_type:
            known = ", ".join(self.pipeline.by_content_type)
            raise PipelineError(f"no serializer writes {subscription.content_type!r}; there are: {known}")
        self._check_stages(subscription)

    def _check_fixed(self, static: StaticSubscribers) -> None:
        for one in static.fixed():
            try:
                self._check_stages(one)
            except InvalidHeader as exc:
                patterns = ", ".join(map(str, one.patterns))
                raise PipelineError(f"{static.where}: in a subscriber of {patterns}, {exc}") from None

    def _check_stages(self, subscription: Subscription) -> None:
        """Refuses a subscription that the stages could never serve, before anything is sent."""
        self.pipeline.check_headers(subscription)
        self._check_order(subscription)

    def _check_order(self, subscription: Subscription) -> None:
        if subscription.ordered_by is not None and not any(map(is_json, self.pipeline.by_content_type)):
            raise PipelineError(
                f"ordered_by is {subscription.ordered_by!r}, a field of the JSON body, and no serializer of "
                f"the pipeline writes JSON: add one, such as json"
            )

    def _change(self, subscription_id: UUID, change: Callable[[Subscription], Subscription]) -> Subscription:
        self._open_store()
        changed = self._engine.recipients.change(subscription_id, change, self._fixed(subscription_id))
        return self._found(subscription_id, changed)

    def _found(self, subscription_id: UUID, changed: Subscription | None) -> Subscription:
        if changed is None:
            raise NotFound(
                f"there is no subscription {subscription_id}, neither in the store nor among the static "
                f"subscribers"
            )
        return changed

    def _fixed(self, subscription_id: UUID) -> Subscription | None:
        configured = (self._static, *(event.subscribers for event in self._events.values()))
        fixed = chain.from_iterable(one.fixed() for one in configured)
        return next((one for one in fixed if one.id == subscription_id), None)

    def _ago(self, age: timedelta) -> datetime:
        if age < timedelta(0):
            raise InvalidValue(f"older_than is {age}; it takes 0 or more")
        try:
            return self._clock() - age
        except OverflowError:
            raise InvalidValue(f"older_than is {age}; the calendar does not go back so far") from None

    def _open_store(self) -> Store:
        if self._closed:
            raise ClosedError("this Thorn was closed; make a new one")
        return self._store


def _resolve(settings: Settings | None, options: SettingsOptions) -> Settings:
    below = Settings.from_options(options).over(Settings.from_environ())
    return below if settings is None else settings.over(below)


def _as_filter(wanted: DeliveryFilter | DeliveryState | Iterable[DeliveryState] | None) -> DeliveryFilter:
    if isinstance(wanted, DeliveryFilter):
        return wanted
    if isinstance(wanted, DeliveryState):
        return DeliveryFilter(states=frozenset({wanted}))
    return DeliveryFilter(states=None if wanted is None else frozenset(wanted))


def _ended_states(states: DeliveryState | Iterable[DeliveryState]) -> frozenset[DeliveryState]:
    several = frozenset([states] if isinstance(states, DeliveryState) else states)
    for one in sorted(several):
        if not one.has_ended:
            raise InvalidValue(f"what is {one} has not ended, and is never pruned; nothing was removed")
    return several


def _timeout(event: str, timeout: float) -> float:
    try:
        return read_timeout(timeout)
    except (ValueError, TypeError, OverflowError):
        raise ConfigurationError(
            f"the timeout of the event {event!r} is {timeout!r}; it takes seconds, more than 0 and at most "
            f"3600"
        ) from None
