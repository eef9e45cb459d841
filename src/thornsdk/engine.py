"""The delivery engine: from a message, or from what is due in the store, to settled attempts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeAlias, cast
from uuid import UUID

from attrs import evolve, frozen

from thornsdk.breakers import Breakers
from thornsdk.claims import PAGE, Claim, Due
from thornsdk.dispatching import Dispatch, Planned, Terms
from thornsdk.errors import ConfigurationError, StoreDamaged
from thornsdk.failing import Failing
from thornsdk.gates import Gates
from thornsdk.leases import lease_time, time_needed
from thornsdk.limits import Limits
from thornsdk.lines import Lines
from thornsdk.model import (
    Attempt,
    Audience,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Lease,
    Outcome,
    OutcomeKind,
    Subscription,
)
from thornsdk.planned import Conditions, held_back, plan, plan_again, with_problem_of
from thornsdk.reasons import Reason
from thornsdk.recipients import Recipients, place_of
from thornsdk.run import Run
from thornsdk.skips import Skips
from thornsdk.stages import Store
from thornsdk.turns import InTurn
from thornsdk.typing import Clock

_LEFT_FOR = 60.0
"""After how many seconds a delivery that could not be attempted here is due again."""
_TAKE_MARGIN = 60.0

_OPEN = frozenset({DeliveryState.PENDING, DeliveryState.LEASED})

Find: TypeAlias = Callable[[DeliveryRecord], Subscription | None]
Prepare: TypeAlias = Callable[[DeliveryRecord], Planned | DeliveryRecord]
Take: TypeAlias = Callable[[Callable[[DeliveryRecord], DeliveryRecord]], list[DeliveryRecord]]
TermsOf: TypeAlias = Callable[[DeliveryRecord], Terms]
Stop: TypeAlias = Callable[[], bool]


def never() -> bool:
    """Tells not to stop."""
    return False


@frozen(kw_only=True, eq=False)
class Sources:
    """Where the engine finds whom to deliver to, and on which terms.

    Attributes:
        store: Keeps subscriptions and deliveries.
        static: Gives the subscriptions that configuration makes and whose patterns match an event, by the
            event's name and the sender, whoever owns them.
        fixed: Gives those of them that are known without asking a callable, by the event's name.
        terms: Gives the terms of an event by its name; None for an event that is not declared here.
        general_terms: The terms of such an event.
        requirements: Names what configuration and code add to an event.
        holder: Names this process, as the holder of leases.
        durable: Whether the deliveries of a message are written to the store before the first is attempted.
    """

    store: Store
    static: Callable[[str, str | None], Iterable[Subscription]]
    fixed: Callable[[str], Iterable[Subscription]]
    terms: Callable[[str], Terms | None]
    general_terms: Terms
    requirements: Callable[[str], frozenset[str]]
    holder: Callable[[], str]
    durable: bool


class Engine:
    """Delivers messages; what a dispatcher asks, it does.

    Args:
        sources: Where it finds whom to deliver to.
        conditions: What every attempt has in common.
    """

    def __init__(self, sources: Sources, conditions: Conditions) -> None:
        self._store = sources.store
        self._sources = sources
        self._conditions = conditions
        self._breakers = Breakers(self._store, conditions)
        self._limits = Limits(self._store, conditions.clock)
        self._lines = Lines(self._store, conditions.clock)
        self._gates = Gates([self._lines, self._limits, self._breakers])
        self.recipients: Recipients = Recipients(
            self._store, sources.static, sources.fixed, self._limits, conditions
        )
        """Whom it delivers to."""
        self._failing = Failing(self._store, conditions, self.recipients.disable)
        self._skips = Skips(self._store, conditions.clock, self.tell_attempt)

    @property
    def store(self) -> Store:
        """Keeps subscriptions and deliveries."""
        return self._store

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        return self._conditions.clock

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that get a message, stored and static, as a stream sorted by origin."""
        return self.recipients.matching(audience)

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that a message would reach, were they active, sorted by origin."""
        return self.recipients.disabled(audience)

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the ordered subscriptions that a message may reach, without asking a callable."""
        return self.recipients.ordered(audience)

    def subscriptions(self, ids: Sequence[UUID], audience: Audience) -> list[Subscription]:
        """Gives those of these subscriptions that are there, active or not, in this order."""
        return self.recipients.some(ids, audience)

    def deliver(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> Iterator[DeliveryRecord]:
        """Makes the first attempt to deliver to each subscription, and gives each result when it is known."""
        return self.attempt(map(self._in_line, self._new(dispatch, subscriptions)))

    def deliver_all(self, dispatch: Dispatch) -> Iterator[DeliveryRecord]:
        """Makes the first attempt to deliver a message to all who are to get it, and gives each result."""
        if self._sources.durable:
            return self._accept_and_deliver(dispatch)
        # In this order: one that is disabled meanwhile is among the first, the second, or both.
        active, disabled = self.matching(dispatch.audience), self._missing(dispatch)
        return chain(self.skip(disabled), self.deliver(dispatch, active))

    def attempt(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery, and gives each result when it is known."""
        self._breakers.look_again()
        return Run(self._conditions, self._settled, self._held).attempt(planned)

    def attempt_anyway(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Attempts each delivery, though its origin may be paused: somebody has asked for it.

        What its subscription limits waits here for its turn. If it is removed or disabled by then, nothing is
        sent; in the store, the delivery stays as it was.
        """
        in_turn = InTurn(planned, self._limits, self._conditions, self._as_it_is_now)
        while not in_turn.ended:
            yield from Run(self._conditions, self._settled, self._refused).attempt(in_turn)
            in_turn.wait()

    def refuse(self, record: DeliveryRecord, reason: Reason, why: str) -> DeliveryRecord:
        """Tells of a delivery that it is not replayed, and gives it as failed; the store is told nothing."""
        attempt = Attempt(
            number=record.last.number,
            started_at=self.clock(),
            duration=0.0,
            outcome=Outcome(OutcomeKind.FAILED, reason),
            detail=f"it was not replayed: {why}",
        )
        refused = evolve(record, last=attempt)
        self.tell_attempt(refused)
        return refused

    def skip(self, planned: Iterable[Planned]) -> Iterator[DeliveryRecord]:
        """Puts deliveries to disabled subscriptions into the store as cancelled, and gives each."""
        return self._skips.keep(planned)

    def resume(
        self, records: Iterable[DeliveryRecord], terms: Terms | None = None
    ) -> Iterator[DeliveryRecord]:
        """Attempts deliveries again that are pending, and gives each result when it is known."""
        planned: list[Planned] = []
        for record in records:
            prepared = self._prepared(record, self.recipients.of, terms or self.terms(record.event))
            if isinstance(prepared, Planned):
                planned.append(prepared)
            else:
                yield prepared
        planned.sort(key=lambda one: place_of(one.delivery.subscription))
        yield from self.attempt(planned)

    def take(self, delivery_id: UUID, number: int, timeout: float) -> DeliveryRecord | None:
        """Takes a pending delivery from the store, to attempt it."""
        record = self._store.delivery(delivery_id)
        due_at = None if record is None else record.next_attempt_at
        if record is None or due_at is None or record.last.number + 1 != number:
            return None
        taken = self.lost(record, self.clock() + timedelta(seconds=timeout + _TAKE_MARGIN))
        return record if self._store.take(delivery_id, due_at, taken) else None

    def lost(self, record: DeliveryRecord, until: datetime) -> DeliveryRecord:
        """Gives what is true of a delivery if the process that attempts it now dies.

        Args:
            record: What is known of it.
            until: When it is due again, unless it ended before.
        """
        # That there is no body to send has to be known to whoever comes next, too.
        unwritten = record.last.outcome.reason is Reason.NOT_SERIALIZABLE
        reason = Reason.NOT_SERIALIZABLE if unwritten else Reason.WORKER_LOST
        attempt = Attempt(
            number=record.last.number + 1,
            started_at=self.clock(),
            duration=0.0,
            outcome=Outcome(OutcomeKind.RETRY, reason, until),
            detail="the process that made the attempt has not told what came of it",
        )
        return evolve(record, last=attempt, lease=Lease(self._sources.holder()), held=None)

    def keep(self, dispatch: Dispatch, why: str) -> Iterator[DeliveryRecord]:
        """Puts the deliveries of a message into the store, due now, without an attempt."""
        now = self.clock()
        for planned in self._new(dispatch, self.matching(dispatch.audience)):
            if planned.problem is not None:
                yield from self.attempt([planned])  # It fails, whenever it is attempted.
                continue
            record = _owed(planned, now, Reason.NOT_QUEUED, why)
            self._store.accept([record])
            yield record
        yield from self.skip(self._missing(dispatch))

    def line_up(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> list[UUID]:
        """Puts the deliveries of a message at the ends of their lines; gives the ids of the new ones."""
        ids: list[UUID] = []

        def noted(record: DeliveryRecord) -> DeliveryRecord:
            ids.append(record.id)
            return record

        accepted = self._accepted(dispatch, subscriptions)
        ordered = (one for one in accepted if one.order_key is not None)
        new = (one for one in ordered if self._store.delivery(one.id) is None)
        first = next(new, None)
        if first is not None:  # Mostly, there is nothing to write.
            self._store.accept(map(noted, chain([first], new)))
        return ids

    def terms(self, event: str) -> Terms:
        """Gives the terms of an event as it is declared here, or else those of the settings."""
        return self._sources.terms(event) or self._sources.general_terms

    def requirements(self, event: str) -> frozenset[str]:
        """Names what configuration and code add to an event here."""
        return self._sources.requirements(event)

    def tell(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        """Tells something in the delivery log."""
        self._conditions.log.tell(level, event, fields)

    def tell_attempt(self, record: DeliveryRecord) -> None:
        """Tells an attempt to the log and the observers."""
        self._conditions.log.attempted(record)
        for observer in self._conditions.pipeline.observers:
            try:
                observer.observe(record)
            except Exception as exc:
                # An observer is a guest: its trouble is told and harms no delivery.
                self._conditions.log.observer_failed(observer, exc)

    def run_due(self, stop: Stop = never) -> Iterator[DeliveryRecord]:
        """Attempts every stored delivery that is due when this begins, and gives each result.

        They are claimed as the transport asks for them, so that a receiver that hangs holds up no other. What
        waits in a line, and was accepted before this begins, is attempted as its turn comes.

        Args:
            stop: Tells whether to begin no more attempts. What is in flight then is finished.
        """

        def terms_of(record: DeliveryRecord) -> Terms:
            return self.terms(record.event)

        def prepare(record: DeliveryRecord) -> Planned | DeliveryRecord:
            return self._prepared(record, self.recipients.of, terms_of(record))

        begin = self.clock()
        self._breakers.refresh()

        def take(claim: Callable[[DeliveryRecord], DeliveryRecord]) -> list[DeliveryRecord]:
            return [] if stop() else self._store.claim_due(begin, PAGE, claim)

        def one_pass() -> Iterator[DeliveryRecord]:
            return self._attempt_claimed(self._claims(take, terms_of), prepare, terms_of, stop)

        return self._while_released(one_pass)

    def give_up(self, subscription_id: UUID) -> None:
        """Gives up what is open for a subscription that is being removed."""
        wanted = DeliveryFilter(states=_OPEN, subscription_id=subscription_id)
        for record in self._store.deliveries(wanted):
            self._given_up(record)

    def _new(self, dispatch: Dispatch, subscriptions: Iterable[Subscription]) -> Iterator[Planned]:
        """Plans the deliveries of a message, without those that were made when it was sent before."""
        for subscription in subscriptions:
            planned = plan(dispatch, subscription)
            if dispatch.message.idempotency_key is None or self._store.delivery(planned.delivery.id) is None:
                yield planned

    def _missing(self, dispatch: Dispatch) -> Iterator[Planned]:
        """Plans what disabled subscriptions would get."""
        return self._new(dispatch, self.recipients.disabled(dispatch.audience))

    def _in_line(self, planned: Planned) -> Planned:
        """Accepts a delivery that has an order key, so that those after it find it in the store."""
        if planned.delivery.order_key is None:
            return planned
        now = self.clock()
        known = _owed(planned, now, Reason.NOT_ATTEMPTED)
        self._store.accept([self.lost(known, now + lease_time(planned.terms.timeout))])
        return evolve(planned, known=known)

    def _accept_and_deliver(self, dispatch: Dispatch) -> Iterator[DeliveryRecord]:
        """Writes all deliveries of a message to the store at once, then claims and attempts them.

        Until they are claimed they are leased to this process too, so that none that looks for what is due
        takes its own message from it.
        """
        static, message_id = self.recipients.static(dispatch.audience), dispatch.message.id

        def find(record: DeliveryRecord) -> Subscription | None:
            return self._store.find(record.subscription_id) or static.get(record.subscription_id)

        def prepare(record: DeliveryRecord) -> Planned | DeliveryRecord:
            prepared = self._prepared(record, find, dispatch.terms)
            return with_problem_of(dispatch, prepared) if isinstance(prepared, Planned) else prepared

        def terms_of(_: DeliveryRecord) -> Terms:
            return dispatch.terms

        accepted = self._accepted(dispatch, self.recipients.together(static, dispatch.audience))
        yield from self._skips.accept_with(accepted, self._missing(dispatch), message_id)
        claims = self._claims(lambda claim: self._store.claim_new(message_id, PAGE, claim), terms_of)
        yield from self._attempt_claimed(claims, prepare, terms_of)

    def _accepted(
        self, dispatch: Dispatch, subscriptions: Iterable[Subscription]
    ) -> Iterator[DeliveryRecord]:
        now, lease = self.clock(), Lease(self._sources.holder())
        until = now + lease_time(dispatch.terms.timeout)
        for one in subscriptions:
            record = _owed(plan(dispatch, one), now, Reason.NOT_ATTEMPTED)
            yield evolve(record.due_at(until), lease=lease)

    def _while_released(self, one_pass: Callable[[], Iterator[DeliveryRecord]]) -> Iterator[DeliveryRecord]:
        """Makes a pass, and others while it is the turn of more."""
        anything = True
        while anything:
            released, anything = self._lines.released, False
            for record in one_pass():
                anything = True
                yield record
            anything = anything and self._lines.released != released

    def _claims(self, take: Take, terms_of: TermsOf) -> Iterator[Claim]:
        """Claims deliveries, a page whenever the one before was read."""
        leased_until: dict[UUID, datetime] = {}

        def claim(record: DeliveryRecord) -> DeliveryRecord:
            # From now on the store counts the attempt, even if this process dies with it.
            until = self.clock() + lease_time(terms_of(record).timeout)
            leased_until[record.id] = until
            return self.lost(record, until)

        while page := take(claim):
            yield from (Claim(known=one, leased_until=leased_until[one.id]) for one in page)
            leased_until.clear()

    def _attempt_claimed(
        self, claims: Iterator[Claim], prepare: Prepare, terms_of: TermsOf, stop: Stop = never
    ) -> Iterator[DeliveryRecord]:
        def prepare_in_time(claim: Claim) -> Planned | DeliveryRecord | None:
            # An attempt that begins too late would go on when its lease is over.
            too_late = claim.leased_until - self.clock() < time_needed(terms_of(claim.known).timeout)
            if too_late or stop():
                self._put_back(claim.known)
                return None
            return prepare(claim.known)

        return Due(claims, prepare_in_time).results(self.attempt)

    def _prepared(self, record: DeliveryRecord, find: Find, terms: Terms) -> Planned | DeliveryRecord:
        """Plans the next attempt of a delivery, or settles it without one."""
        try:
            subscription = find(record)
        except (ConfigurationError, StoreDamaged) as exc:
            # It is the trouble of this delivery alone: a callable among the static subscribers broke, or the
            # row of its subscription cannot be read.
            return self._left(record, str(exc))
        if subscription is None and self._sources.terms(record.event) is None:
            # The subscriber may be one of an event that another process declares: it is not ours to end.
            return self._left(record, "its subscription and event are not known here")
        if record.last.outcome.reason is Reason.WORKER_LOST and record.held is None:
            # Who made that attempt did not live to tell it. Of one that was held back since, it was told.
            self.tell_attempt(record)
        if subscription is None or not subscription.active:
            return self._given_up(record)
        return plan_again(record, subscription, terms)

    def _left(self, record: DeliveryRecord, why: str) -> DeliveryRecord:
        """Leaves a delivery pending, as it was; it counts as one that will be attempted again."""
        self._conditions.log.delivery_left(record, why)
        later = evolve(record.due_at(self.clock() + timedelta(seconds=_LEFT_FOR)), lease=None)
        self._put_back(later)
        return later

    def _put_back(self, record: DeliveryRecord) -> None:
        """Takes back that an attempt was begun, unless somebody else has begun the next one since."""
        leased = self._store.delivery(record.id)
        if leased is None:
            self._store.record(record)  # It came from elsewhere, such as a broker.
        elif leased.last.number <= record.last.number + 1 and leased.next_attempt_at is not None:
            self._store.take(record.id, leased.next_attempt_at, record)

    def cancel(self, record: DeliveryRecord) -> DeliveryRecord | None:
        """Cancels a delivery that has not arrived; gives None where somebody is attempting it."""
        now, due_at = self.clock(), record.next_attempt_at
        if due_at is not None:
            is_taken = record.lease is not None and due_at > now
            own = self.lost(record, now + lease_time(self.terms(record.event).timeout))
            if is_taken or not self._store.take(record.id, due_at, own):
                return None
        cancelled = self._ended(record, Reason.CANCELLED, "on request")
        self._gates.settled(cancelled)
        return cancelled

    def _given_up(self, record: DeliveryRecord) -> DeliveryRecord:
        return self._ended(record, Reason.UNSUBSCRIBED, "the subscription was removed or disabled")

    def _ended(self, record: DeliveryRecord, reason: Reason, detail: str) -> DeliveryRecord:
        """Ends a delivery without an attempt."""
        attempt = Attempt(
            number=record.last.number + 1,
            started_at=self._conditions.clock(),
            duration=0.0,
            outcome=Outcome(OutcomeKind.FAILED, reason),
            detail=detail,
        )
        settled = evolve(record, last=attempt, lease=None, held=None)
        self._keep(settled)
        return settled

    def _as_it_is_now(self, planned: Planned) -> Planned:
        """Gives a delivery that has waited, its subscription as it is now: disabled, where it is gone."""
        delivery = planned.delivery
        try:
            # What is replayed is known.
            found = self.recipients.of(cast("DeliveryRecord", planned.known))
        except (ConfigurationError, StoreDamaged) as exc:
            return evolve(
                planned, delivery=evolve(delivery, subscription=_off(delivery.subscription, str(exc)))
            )
        now = found or _off(delivery.subscription, "removed")
        return evolve(planned, delivery=evolve(delivery, subscription=now))

    def _refused(self, planned: Planned) -> DeliveryRecord | None:
        """Refuses a replay whose subscription was disabled while it waited for its turn."""
        subscription, known = planned.delivery.subscription, planned.known
        if known is None or subscription.active:
            return None
        why = f"while it waited, its subscription was switched off ({subscription.disabled})"
        return self.refuse(known, Reason.UNSUBSCRIBED, why)

    def _held(self, planned: Planned) -> DeliveryRecord | None:
        """Holds a delivery back that does not pass the gates, and gives what is then known of it."""
        if planned.problem is not None:
            return None  # It fails without a request.
        hold = self._gates.hold(planned)
        if hold is None:
            return None
        record = held_back(planned, hold, self.clock())
        if planned.known is None:
            self._store.accept([record])
        else:
            self._put_back(record)
        if hold.reason is Reason.OUT_OF_TURN:
            return self._lines.look_again(planned, record)
        if hold.reason is Reason.ORIGIN_PAUSED:
            # No attempt is made that would show for how long the subscription has been failing.
            self._failing.check(record, planned.delivery.subscription)
        return record

    def _settled(self, record: DeliveryRecord, subscription: Subscription) -> None:
        try:
            self._keep(record)
        finally:
            # It has ended even where that cannot be kept: others wait for its place.
            self._gates.settled(record)
        if record.last.outcome.reason is Reason.GONE:
            self.recipients.disable(record, subscription, f"answered 410 (gone) to {record.event}")
        elif record.last.receiver_failed:
            self._failing.check(record, subscription)

    def _keep(self, record: DeliveryRecord) -> None:
        try:
            self._store.record(record)
        finally:
            # What happened is told even where it cannot be kept.
            self.tell_attempt(record)


def _off(subscription: Subscription, why: str) -> Subscription:
    return evolve(subscription, disabled=why)


def _owed(planned: Planned, now: datetime, reason: Reason, why: str = "") -> DeliveryRecord:
    """Gives what is to be kept of a delivery before its first attempt. It is due at once."""
    if planned.problem is not None:
        reason, why = Reason.NOT_SERIALIZABLE, str(planned.problem)
    outcome = Outcome(OutcomeKind.RETRY, reason, now)
    attempt = Attempt(number=0, started_at=now, duration=0.0, outcome=outcome, detail=why)
    return DeliveryRecord.of(planned.delivery, attempt)
