"""What every store promises of subscriptions."""

from collections.abc import Iterator
from functools import partial
from typing import Final
from uuid import uuid4

from attrs import evolve

from thornsdk.model import Audience, Digest, OldSecret, RateLimit, Secret, Subscription, WhenFailed
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import (
    Deliberate,
    check_given,
    check_is,
    check_raises_that,
    check_same_set,
    fails,
)
from thornsdk.testing.suites.stores.samples import EVENT, MINUTE, NOW, subscription
from thornsdk.testing.suites.stores.stage import StoreTests, promised

_AUDIENCE: Final = Audience(event=EVENT)


class SubscriptionTests(StoreTests):
    """What every store promises of subscriptions, one by one."""

    @promised
    def test_gives_subscriptions_back_whole(self, store: Store) -> None:
        """A store gives a subscription back as it was put, with all that a subscription may have."""
        several = [subscription("plain"), *_with_everything()]
        store.put(several)
        for one in several:
            found = store.find(one.id)
            check_is(found, one, "the subscription")
            keeps(found is not None and _texts(found) == _texts(one), "its secrets are others")

    @promised
    def test_finds_what_is_there_alone(self, store: Store) -> None:
        """A store that knows no subscription of an id gives None."""
        store.put([subscription()])
        found = store.find(uuid4())
        keeps(found is None, f"of an id that nobody has, it gave {found!r}")

    @promised
    def test_replaces_subscriptions(self, store: Store) -> None:
        """A store replaces a subscription of the same id, and what it was found by before."""
        before = subscription("before", ["order.*", "user.*"], owner="acme", ordered_by="id")
        after = evolve(subscription("after", "user.*"), id=before.id)
        store.put([before])
        store.put([after])
        check_given(store.subscriptions(), [after])
        check_given(store.matching(Audience(event=EVENT, broadcast=True)), [])
        check_given(store.matching(Audience(event="user.created")), [after])
        check_given(store.ordered(Audience(event="user.created")), [])

    @promised
    def test_puts_all_or_none(self, store: Store) -> None:
        """A store puts all subscriptions that it is given or, where reading them raises, none."""
        check_raises_that(partial(store.put, _breaking_off()))
        check_given(store.subscriptions(), [])
        store.put([])
        store.put([one := subscription()])
        check_given(store.subscriptions(), [one])

    @promised
    def test_puts_what_it_reads(self, store: Store) -> None:
        """A store takes subscriptions that are made from those that it gives meanwhile."""
        store.put(subscription(host) for host in "abc")
        store.put(evolve(one, disabled="all") for one in store.subscriptions())
        active = [one for one in store.subscriptions() if one.active]
        check_given(active, [])

    @promised
    def test_changes_subscriptions(self, store: Store) -> None:
        """A store changes a subscription as it is told, gives what became of it, and changes no other."""
        one, other = subscription("a"), subscription("b")
        store.put([one, other])
        seen: list[Subscription] = []

        def change(known: Subscription) -> Subscription:
            seen.append(known)
            return evolve(known, patterns="user.*", disabled="changed")

        changed = store.change(one.id, change)
        check_is(seen[-1] if seen else None, one, "what it gave to the change")
        check_is(changed, evolve(one, patterns="user.*", disabled="changed"), "what became of it")
        check_is(store.find(one.id), changed, "the subscription")
        check_is(store.find(other.id), other, "the other one")
        check_given(store.matching(_AUDIENCE), [other])

    @promised
    def test_changes_what_is_there_alone(self, store: Store) -> None:
        """A store changes nothing and gives None where it has no subscription of that id, and no default."""
        changed = store.change(uuid4(), _disabled)
        keeps(changed is None, f"it gave {changed!r}")
        check_given(store.subscriptions(), [])

    @promised
    def test_changes_a_default(self, store: Store) -> None:
        """A store changes and keeps the default where it has no subscription of that id."""
        one = subscription()
        changed = store.change(one.id, _disabled, one)
        check_is(changed, _disabled(one), "what became of the default")
        check_is(store.find(one.id), changed, "the subscription")
        again = store.change(one.id, partial(evolve, owner="acme"), one)
        check_is(again, evolve(_disabled(one), owner="acme"), "what became of it then")

    @promised
    def test_keeps_no_default_without_a_change(self, store: Store) -> None:
        """A store gives a default that needs no change, and does not keep it."""
        one = subscription()
        check_is(store.change(one.id, lambda known: known, one), one, "what became of it")
        keeps(store.find(one.id) is None, "it is in the store")

    @promised
    def test_changes_nothing_where_a_change_raises(self, store: Store) -> None:
        """A store changes nothing where the change raises, and can be used as before."""
        one = subscription()
        store.put([one])
        check_raises_that(lambda: store.change(one.id, fails))
        check_is(store.find(one.id), one, "the subscription")
        later = store.change(one.id, _disabled)
        check_is(later, _disabled(one), "what became of it later")

    @promised
    def test_removes_subscriptions(self, store: Store) -> None:
        """A store that has removed a subscription gives it no more, and says whether there was one."""
        one, off, other = subscription("a"), subscription("b", disabled="enough"), subscription("c")
        store.put([one, off, other])
        told = [store.remove(known) for known in (one.id, off.id, one.id, uuid4())]
        keeps(
            told == [True, True, False, False],
            f"of two that were there and two that were not, it said {told}",
        )
        keeps(store.find(one.id) is None, "it is found")
        check_given(store.subscriptions(), [other])
        check_same_set(store.matching(_AUDIENCE), [other])
        check_same_set(store.disabled(_AUDIENCE), [])


def _with_everything() -> list[Subscription]:
    """Two subscriptions that together have all that a subscription may have."""
    first = evolve(
        subscription(
            "all", ["order.*", "*.created"], owner="tenant 'ü\"", ordered_by="order.id", disabled="it's 410"
        ),
        url="https://all.example:8443/hooks?key=1",
        secrets=["whsec_c2VjcmV0", "plain ü"],
        old_secrets=[OldSecret("öld", NOW), OldSecret("whsec_b2xk", NOW + MINUTE)],
        ordered_by="order.id",
        content_type="application/x-www-form-urlencoded",
        digest=Digest.SHA512,
        headers={"X-Key": "one; two", "X-Other": ""},
        client_certificate="acme",
        rate_limit=RateLimit(per_second=0.5, burst=3),
        max_in_flight=4,
        when_failed=WhenFailed.SKIP,
        retry_schedule=[1, 2.5],
    )
    second = evolve(subscription("none"), url="http://[2001:db8::1]/", retry_schedule=[], rate_limit=7)
    return [first, second]


def _texts(one: Subscription) -> list[str]:
    secrets: list[Secret] = [*one.secrets, *(old.secret for old in one.old_secrets)]
    return [secret.reveal() for secret in secrets]


def _disabled(known: Subscription) -> Subscription:
    return evolve(known, disabled="changed")


def _breaking_off() -> Iterator[Subscription]:
    yield subscription()
    raise Deliberate
