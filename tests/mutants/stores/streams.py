from collections.abc import Iterator

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Audience, Count, CountFilter, Subscription
from thornsdk.testing.suites.stores.streams import StreamTests


class SortsPortsAsText(Sound):
    breaks = "test_gives_subscriptions_by_origin"

    def subscriptions(self) -> Iterator[Subscription]:
        return iter(sorted(super().subscriptions(), key=lambda one: str(one.url.origin)))


class SortsNoDisabled(Sound):
    breaks = "test_gives_subscriptions_by_origin"

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        found = list(super().disabled(audience))
        return iter(sorted(found, key=lambda one: one.url.port or 0))


class MatchesByPrefix(Sound):
    breaks = "test_gives_who_wants_the_event"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        for one in self.subscriptions():
            wanted = any(audience.event.startswith(str(each).partition("*")[0]) for each in one.patterns)
            if wanted and audience.admits(evolve(one, patterns="*")):
                yield one


class GivesOneForEachPattern(Sound):
    breaks = "test_gives_each_once"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        for one in super().matching(audience):
            yield from (one for each in one.patterns if each.matches(audience.event))


class GivesToTenantsWhatIsOfAll(Sound):
    breaks = "test_gives_to_tenants_their_own"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        return super().matching(evolve(audience, broadcast=True))


class BroadcastsToTheSenderAlone(Sound):
    breaks = "test_gives_to_tenants_their_own"

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        return super().disabled(evolve(audience, broadcast=False))


class GivesTheDisabled(Sound):
    breaks = "test_leaves_out_the_disabled"

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        one = next(self.subscriptions())
        return iter([one]) if len(self._subscriptions) == 1 and one.disabled else super().ordered(audience)


class HidesTheDisabled(Sound):
    breaks = "test_leaves_out_the_disabled"

    def subscriptions(self) -> Iterator[Subscription]:
        return (one for one in super().subscriptions() if one.disabled != "it answered 410")


class MissesEverything(Sound):
    breaks = "test_gives_the_disabled_that_are_missed"

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        return (one for one in self._sorted(active=False) if audience.misses(evolve(one, patterns="*")))


class GivesTheUnordered(Sound):
    breaks = "test_gives_the_ordered"

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        return super().matching(audience)


class CountsPagesFromTheStart(Sound):
    """Reads page by page, and forgets that what it has given may have left the pages before."""

    breaks = "test_gives_all_that_were_there"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        given = 0
        while page := list(super().matching(audience))[given : given + 5]:
            yield from page
            given += len(page)


class GivesLists(Sound):
    breaks = "test_gives_iterators"

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        return list(super().matching(audience))  # type: ignore[return-value]  # on purpose


class LocksWhileItIsRead(Sound):
    breaks = "test_holds_nothing_for_a_stream"

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        several = list(super().counts(wanted))
        with self._lock:
            yield from several


MUTANTS = [
    Sound,
    SortsPortsAsText,
    SortsNoDisabled,
    MatchesByPrefix,
    GivesOneForEachPattern,
    GivesToTenantsWhatIsOfAll,
    BroadcastsToTheSenderAlone,
    GivesTheDisabled,
    HidesTheDisabled,
    MissesEverything,
    GivesTheUnordered,
    CountsPagesFromTheStart,
    GivesLists,
    LocksWhileItIsRead,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, StreamTests):
    pass
