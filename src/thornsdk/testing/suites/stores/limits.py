"""What every store promises of circuit breakers, and of the traffic to subscriptions."""

from typing import Final
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.policy.breaker import Breaker
from thornsdk.policy.traffic import Traffic
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import check_is, check_raises_that, fails
from thornsdk.testing.suites.stores.samples import MINUTE, NOW, subscription
from thornsdk.testing.suites.stores.stage import StoreTests, promised

_ORIGIN: Final = "https://example.com"
_OPEN: Final = Breaker(failures=3, pause=60.5, until=NOW + MINUTE)
_BREAKERS: Final = (Breaker(failures=1), _OPEN, evolve(_OPEN, probe=UUID(int=7)))
_FULL: Final = Traffic(
    full_at=NOW + MINUTE,
    queue_until=NOW + 2 * MINUTE,
    late_until=NOW + 3 * MINUTE,
    duration=0.25,
    in_flight=((UUID(int=8), NOW + MINUTE), (UUID(int=7), NOW + 2 * MINUTE)),
)
_TRAFFIC: Final = (Traffic(full_at=NOW), Traffic(duration=0.5), _FULL)


class LimitTests(StoreTests):
    """What every store promises of circuit breakers, and of the traffic to subscriptions."""

    @promised
    def test_keeps_breakers(self, store: Store) -> None:
        """A store gives the circuit breaker of an origin as it was left, and of others as new."""
        for breaker in _BREAKERS:
            check_is(_set_breaker(store, breaker), breaker, "what became of the breaker")
            check_is(store.breakers().get(_ORIGIN), breaker, "the breaker")
            check_is(_breaker(store), breaker, "what it gave to the next change")
        check_is(_breaker(store, "http://example.com"), Breaker(), "what it gave of another origin")

    @promised
    def test_lists_what_is_bad(self, store: Store) -> None:
        """A store lists the breakers of which something bad is known, and no others."""
        _set_breaker(store, _OPEN)
        store.change_breaker("https://other.example", lambda known: known)
        found = dict(store.breakers())
        keeps(found == {_ORIGIN: _OPEN}, f"it gave {', '.join(found) or 'none'}, not {_ORIGIN}")
        check_is(_set_breaker(store, Breaker()), Breaker(), "what became of the breaker")
        found = dict(store.breakers())
        keeps(not found, f"it gave {', '.join(found)}, of which nothing bad is known")

    @promised
    def test_leaves_a_breaker_where_a_change_raises(self, store: Store) -> None:
        """A store leaves a circuit breaker as it is where the change raises, and can be used as before."""
        _set_breaker(store, _OPEN)
        check_raises_that(lambda: store.change_breaker(_ORIGIN, fails))
        check_is(_breaker(store), _OPEN, "the breaker")

    @promised
    def test_keeps_traffic(self, store: Store) -> None:
        """A store gives the traffic to a subscription as it was left, be it in the store or not."""
        one = uuid4()
        for traffic in (*_TRAFFIC, Traffic()):
            check_is(_set_traffic(store, one, traffic), traffic, "what became of the traffic")
            check_is(_traffic(store, one), traffic, "what it gave to the next change")
            check_is(_traffic(store, uuid4()), Traffic(), "what it gave of another subscription")

    @promised
    def test_leaves_traffic_where_a_change_raises(self, store: Store) -> None:
        """A store leaves traffic as it is where the change raises, and can be used as before."""
        one = uuid4()
        _set_traffic(store, one, _FULL)
        check_raises_that(lambda: store.change_traffic(one, fails))
        check_is(_traffic(store, one), _FULL, "the traffic")

    @promised
    def test_removes_traffic_with_its_subscription(self, store: Store) -> None:
        """A store that removes a subscription removes its traffic, and that of no other."""
        one, other = subscription("a"), subscription("b")
        store.put([one, other])
        for known in (one, other):
            _set_traffic(store, known.id, _FULL)
        store.remove(one.id)
        check_is(_traffic(store, one.id), Traffic(), "what it gave of the one that was removed")
        check_is(_traffic(store, other.id), _FULL, "what it gave of another one")


def _set_breaker(store: Store, breaker: Breaker) -> Breaker:
    return store.change_breaker(_ORIGIN, lambda _: breaker)


def _breaker(store: Store, origin: str = _ORIGIN) -> Breaker:
    """Gives what a change is given."""
    seen: list[Breaker] = []

    def look(known: Breaker) -> Breaker:
        seen.append(known)
        return known

    store.change_breaker(origin, look)
    return seen[-1]


def _set_traffic(store: Store, subscription_id: UUID, traffic: Traffic) -> Traffic:
    return store.change_traffic(subscription_id, lambda _: traffic)


def _traffic(store: Store, subscription_id: UUID) -> Traffic:
    """Gives what a change is given."""
    seen: list[Traffic] = []

    def look(known: Traffic) -> Traffic:
        seen.append(known)
        return known

    store.change_traffic(subscription_id, look)
    return seen[-1]
