"""What every dispatcher promises of what arrives."""

from datetime import timedelta
from uuid import uuid4

from attrs import evolve

from thornsdk.dispatching import Dispatcher
from thornsdk.errors import RecipientRefused
from thornsdk.model import URL, Attempt, ReceiptState, Subscription, delivery_id
from thornsdk.policy.retry import RetryPolicy
from thornsdk.reasons import Reason
from thornsdk.testing.behaviours import answers, waits
from thornsdk.testing.suites.dispatcher_tests import DispatcherTests
from thornsdk.testing.suites.promises import broken, keeps, promise
from thornsdk.testing.suites.sites import Site
from thornsdk.testing.values import EVENT

_BRIEFLY, _LONGER = 0.05, 1.0
"""A time limit in seconds, and after how many there is an answer."""
_LATER, _AN_HOUR = timedelta(hours=2), timedelta(hours=1)
_RETRY = RetryPolicy([_LATER.total_seconds()], jitter=0)


class ArrivalPromises(DispatcherTests):
    """What every dispatcher promises of what arrives."""

    @promise
    def test_sends_the_message_as_it_is(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher has the message delivered as it is: its payload, its event, its id and its time."""
        subscriptions, dispatch = site.subscribe(), site.dispatch({"id": 42}, sender="acme")
        message, body = dispatch.message, dispatch.bodies.in_type(subscriptions[0].content_type)
        self._deliver(dispatcher, site, dispatch)
        for subscriber, subscription in zip(site.subscribers, subscriptions, strict=True):
            wanted = str(delivery_id(message.id, subscription.id))
            for seen in subscriber.seen:
                keeps(seen.body == body, f"{body!r} arrived as {seen.body!r}")
                event, delivery = (seen.header(name) for name in ("Hook-Event", "Hook-Delivery"))
                keeps(event == message.event, f"it arrived as {event!r}, and is {message.event!r}")
                keeps(delivery == wanted, f"the delivery {wanted} arrived as {delivery}")
        known = (message.id, message.event, message.created_at, message.sender)
        for one in site.thorn.deliveries():
            told = (one.message_id, one.event, one.created_at, one.sender)
            keeps(told == known, f"of a message {known!r}, there is a delivery of {told!r}")

    @promise
    def test_reaches_those_alone_whom_the_sender_may_reach(self, dispatcher: Dispatcher, site: Site) -> None:
        """A message reaches the subscriptions of its sender and of nobody, in a broadcast those of all."""
        site.subscribe(owners=(None, "acme", "other"))
        for broadcast, reached in ((False, [1, 1, 0]), (True, [2, 2, 1])):
            self._deliver(dispatcher, site, site.dispatch(sender="acme", broadcast=broadcast))
            came = [len(one.came(EVENT)) for one in site.subscribers]  # It may arrive twice.
            told = "in a broadcast" if broadcast else "of the tenant acme"
            keeps(came == reached, f"{told}, nobody, acme and other have {came} messages, not {reached}")

    @promise
    def test_keeps_the_terms_of_the_event(self, dispatcher: Dispatcher, site: Site) -> None:
        """Messages are delivered on the terms of their event: time limit, retries, recipient validators."""
        slow, refused, _ = site.subscribers
        slow.behave(waits(_LONGER, answers(200)))

        def validate(url: URL) -> None:
            if url.port == refused.port:
                raise RecipientRefused("the test refuses it")

        event = f"order.e{uuid4().hex}"  # The application may be that of other tests, too.
        site.thorn.event(event, timeout=_BRIEFLY, retry=_RETRY, recipient_validators=[validate])
        of_slow, of_refused, _ = site.subscribe(event)
        self._deliver(dispatcher, site, site.dispatch(event=event))
        _check_is_late(_attempt(site, of_slow))
        keeps(not refused.seen, "it was sent where a recipient validator refuses it")
        told = _attempt(site, of_refused).outcome.reason
        keeps(told is Reason.RECIPIENT_REFUSED, f"a recipient validator refuses it, and the reason is {told}")

    @promise
    def test_sends_what_waits_as_it_was(self, dispatcher: Dispatcher, site: Site) -> None:
        """What waits goes out as it was when it was sent, in each content type: payloads change."""
        payload = {"id": 42}
        dispatch, subscriber = site.dispatch(payload), site.subscribe_in_each_type()
        same = evolve(dispatch.message, payload=dict(payload))
        written = site.bodies(same).in_all_types().values()
        wanted = {one for one in written if isinstance(one, bytes)}
        receipt = self._taken(dispatcher, site, ReceiptState.QUEUED, ReceiptState.STORED, dispatch=dispatch)
        payload["id"] = 43
        site.finish([receipt])
        came = {one.body for one in subscriber.seen}
        keeps(came == wanted, f"{sorted(wanted)} arrived as {sorted(came)}")


def _attempt(site: Site, subscription: Subscription) -> Attempt:
    """Gives the latest attempt to deliver to a subscription of which there is one message."""
    record = next(site.thorn.deliveries(subscription_id=subscription.id), None)
    return record.last if record else broken("the store knows of no delivery to a subscriber")


def _check_is_late(attempt: Attempt) -> None:
    """Breaks the promise of the test unless an attempt has ended at its time limit, and waits as it is to."""
    reason, retry_at = attempt.outcome.reason, attempt.outcome.retry_at
    seen = f"after {_LONGER:g} seconds there was an answer, the time limit is {_BRIEFLY:g}, and the reason"
    keeps(reason is Reason.TIMEOUT, f"{seen} is {reason}")
    waits = None if retry_at is None else retry_at - attempt.started_at
    kept = waits is not None and abs(waits - _LATER) < _AN_HOUR
    keeps(kept, f"it is to be attempted again after {_LATER}, and will be after {waits}")
