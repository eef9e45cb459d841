"""What every store promises of the subscriptions that it gives as streams."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from attrs import evolve

from thornsdk.model import Audience, Subscription
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.running import within
from thornsdk.testing.suites.stores.comparing import check_given, check_same_set
from thornsdk.testing.suites.stores.samples import EVENT, accepted, delivery, subscription
from thornsdk.testing.suites.stores.stage import StoreTests, promised

_AUDIENCE: Final = Audience(event=EVENT)
_URLS: Final = (
    "https://b.example/",
    "http://b.example/",
    "https://a.example:10000/",
    "https://a.example:9000/",
    "https://a.example/2",
    "https://aa.example/",
    "https://a.example/1",
    "http://[2001:db8::1]/",
)
_PATTERNS: Final = (
    *("*", "order", "order.*", "*.created", "order.created", "order.*.created", "*.item.*", "*.*"),
    *("Order.*", "user.*", "order.created.*", "order.created.x", "created", "order-created"),
)
_EVENTS: Final = ("order", "order.created", "order.item.created", "user.created", "created")
_AUDIENCES: Final = (
    Audience(event=EVENT),
    Audience(event=EVENT, sender="acme"),
    Audience(event=EVENT, sender="nobody's"),
    Audience(event=EVENT, broadcast=True),
    Audience(event=EVENT, sender="acme", broadcast=True),
)


class StreamTests(StoreTests):
    """What every store promises of the subscriptions that it gives as streams."""

    @promised
    def test_gives_subscriptions_by_origin(self, store: Store) -> None:
        """A store gives subscriptions sorted by origin: by scheme, host, and port as a number."""
        store.put(evolve(subscription(), url=url, ordered_by="id") for url in _URLS)
        store.put(evolve(subscription(disabled="off"), url=url) for url in _URLS)
        for listed, count in (
            (store.subscriptions(), 2),
            (store.matching(_AUDIENCE), 1),
            (store.disabled(_AUDIENCE), 1),
            (store.ordered(_AUDIENCE), 1),
        ):
            origins = [one.url.origin for one in listed]
            keeps(len(origins) == count * len(_URLS), f"it gave {len(origins)} of {count * len(_URLS)}")
            keeps(origins == sorted(origins), f"it gave {', '.join(map(str, origins))}")

    @promised
    def test_gives_who_wants_the_event(self, store: Store) -> None:
        """A store gives exactly those subscriptions of which a pattern matches the event."""
        several = [subscription(f"n{number}", one) for number, one in enumerate(_PATTERNS)]
        store.put(several)
        for event in _EVENTS:
            _check(store.matching, Audience(event=event), several, f"of {event}, ")

    @promised
    def test_gives_each_once(self, store: Store) -> None:
        """A store gives a subscription once, however many of its patterns match."""
        one = subscription(patterns=["*", "order.*", "*.created", "order.created"], ordered_by="id")
        off = evolve(one, id=subscription().id, disabled="off")
        store.put([one, off])
        for audience in (_AUDIENCE, Audience(event=EVENT, broadcast=True)):
            check_given(store.matching(audience), [one])
            check_given(store.ordered(audience), [one])
            check_given(store.disabled(audience), [off])

    @promised
    def test_gives_to_tenants_their_own(self, store: Store) -> None:
        """A store gives the subscriptions of the sender and of nobody, and in a broadcast those of all."""
        several = [
            subscription(host, owner=owner, ordered_by="id", disabled=off)
            for host, owner in (("nobody", None), ("acme", "acme"), ("other", "other"))
            for off in (None, "off")
        ]
        store.put(several)
        for audience in _AUDIENCES:
            _check_all(store, audience, several)

    @promised
    def test_leaves_out_the_disabled(self, store: Store) -> None:
        """A store does not give a disabled subscription to a message, and lists it all the same."""
        gone = subscription(disabled="it answered 410", ordered_by="id")
        store.put([gone])
        check_given(store.matching(_AUDIENCE), [])
        check_given(store.ordered(_AUDIENCE), [])
        check_given(store.subscriptions(), [gone])

    @promised
    def test_gives_the_disabled_that_are_missed(self, store: Store) -> None:
        """A store gives the disabled subscriptions that are missed, until they are enabled or removed."""
        off, back, gone = (subscription(host, disabled="off") for host in ("off", "back", "gone"))
        store.put([off, back, gone, subscription("on"), subscription("unwanted", "user.*", disabled="off")])
        check_given(store.disabled(_AUDIENCE), [back, gone, off])
        store.change(back.id, lambda known: evolve(known, disabled=None))
        store.remove(gone.id)
        check_given(store.disabled(_AUDIENCE), [off])

    @promised
    def test_gives_the_ordered(self, store: Store) -> None:
        """A store gives those that are reached and ordered, until they are not."""
        one = subscription("one", ordered_by="id")
        unordered, unwanted = subscription("unordered"), subscription("unwanted", "user.*", ordered_by="id")
        store.put([one, unordered, unwanted])
        check_given(store.ordered(_AUDIENCE), [one])
        store.put([evolve(one, ordered_by=None), evolve(unordered, ordered_by="order.id")])
        check_given(store.ordered(_AUDIENCE), [evolve(unordered, ordered_by="order.id")])

    @promised
    def test_gives_all_that_were_there(self, store: Store) -> None:
        """A store gives each subscription that is there from the start to the end of a stream, once.

        Meanwhile, those that were given are changed, and so are others.
        """
        several = [subscription(f"n{number:04}") for number in range(self.many)]
        store.put(several)
        given: list[Subscription] = []
        # A stream that finds what is written behind it again and again has no end.
        for one in islice(store.matching(_AUDIENCE), 3 * self.many):
            given.append(one)
            store.put([evolve(one, disabled="seen"), *([] if len(given) % 3 else [subscription("a")])])
        met = {one.id for one in several}
        check_same_set((one for one in given if one.id in met), several)
        keeps(len(given) == len({one.id for one in given}), "it gave one twice")

    @promised
    def test_gives_iterators(self, store: Store) -> None:
        """A store gives streams as iterators: they are read once, and not as a whole."""
        store.put([subscription()])
        for method, stream in _streams(store).items():
            keeps(isinstance(stream, Iterator), f"`{method}` gave a {type(stream).__name__}")

    @promised
    def test_holds_nothing_for_a_stream(self, store: Store) -> None:
        """A store holds no lock while a stream is read, or left unread."""
        store.put([subscription("a"), subscription("b"), subscription("c", disabled="off")])
        store.accept([accepted("a"), accepted("b")])
        streams = _streams(store)
        for stream in streams.values():
            next(iter(stream), None)

        def write() -> None:
            store.put([subscription("d")])
            store.record(delivery("d"))

        within(self.patience / 2, write, "to write while streams are read")
        for stream in streams.values():
            list(stream)


def _streams(store: Store) -> dict[str, Iterator[object]]:
    """Opens each stream, by the method that gives it."""
    return {
        "subscriptions": store.subscriptions(),
        "matching": store.matching(_AUDIENCE),
        "disabled": store.disabled(_AUDIENCE),
        "ordered": store.ordered(_AUDIENCE),
        "deliveries": store.deliveries(),
        "counts": store.counts(),
    }


def _check_all(store: Store, audience: Audience, several: Iterable[Subscription]) -> None:
    """Checks who is given to a message of an audience, and who is missed."""
    known = list(several)
    who = f"from {audience.sender or 'nobody'}{' to all' if audience.broadcast else ''}, "
    _check(store.matching, audience, known, who)
    _check(store.ordered, audience, known, who)
    missed = [one for one in known if audience.misses(one)]
    check_same_set(store.disabled(audience), missed, f"of those that miss a message {who}")


def _check(
    give: Callable[[Audience], Iterator[Subscription]],
    audience: Audience,
    known: Iterable[Subscription],
    where: str,
) -> None:
    wanted = [one for one in known if audience.admits(one)]
    check_same_set(give(audience), wanted, f"{where}")
