"""The policy of rate limits and of limits in flight: values, without a clock."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from support.stages import NOW
from thornsdk import RateLimit, Reason, Traffic
from thornsdk.policy.traffic import TrafficPolicy, Turn

A, B, C = (UUID(int=number) for number in (1, 2, 3))
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
TIME = timedelta(seconds=50)
TWO_A_SECOND = TrafficPolicy(RateLimit(per_second=2, burst=2), None)
ONE_AT_ONCE = TrafficPolicy(None, 1)

rates = st.builds(RateLimit, per_second=st.floats(0.1, 1000), burst=st.integers(1, 20))


def ask(
    policy: TrafficPolicy, known: Traffic, now: datetime = NOW, key: UUID = A, *, waited: bool = False
) -> Turn:
    return policy.ask(known, key, now, TIME, has_waited=waited)


def begun(policy: TrafficPolicy, *keys: UUID, now: datetime = NOW) -> Traffic:
    """What is known after these have been let through at a moment."""
    known = Traffic()
    for key in keys:
        turn = ask(policy, known, now, key)
        assert turn.until is None
        known = turn.traffic
    return known


def most_in_a_window(times: list[float], limit: RateLimit) -> float:
    """By how many, at most, the attempts of any time exceed what the rate allows in it."""
    return max(
        number - first + 1 - limit.per_second * (at - times[first])
        for number, at in enumerate(times)
        for first in range(number + 1)
    )


# The rate


def test_a_burst_may_go_at_once_and_the_next_when_the_bucket_has_room() -> None:
    turn = ask(TWO_A_SECOND, begun(TWO_A_SECOND, A, B), key=C)
    assert (turn.until, turn.reason) == (NOW + SECOND / 2, Reason.RATE_LIMITED)


@given(
    rates,
    st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=60),
)
def test_in_no_time_are_more_begun_than_the_burst_and_what_the_rate_allows(
    limit: RateLimit, asked: list[tuple[float, bool]]
) -> None:
    policy, known, passed = TrafficPolicy(limit, None), Traffic(), 0.0
    times: list[float] = []
    for wait, waited in asked:
        passed += wait
        turn = ask(policy, known, NOW + timedelta(seconds=passed), waited=waited)
        known = turn.traffic
        times.extend([passed] if turn.until is None else [])
    if times:
        assert most_in_a_window(times, limit) <= limit.burst + 0.001


@given(
    rates,
    st.lists(st.tuples(st.floats(0, 2), st.floats(-4000, 0)), max_size=60),
)
def test_a_clock_that_goes_backwards_lets_no_more_through(
    limit: RateLimit, asked: list[tuple[float, float]]
) -> None:
    policy, known, passed, behind = TrafficPolicy(limit, None), Traffic(), 0.0, 0.0
    times: list[float] = []
    for wait, jump in asked:
        passed, behind = passed + wait, behind + jump
        turn = ask(policy, known, NOW + timedelta(seconds=passed + behind), waited=True)
        known = turn.traffic
        times.extend([passed] if turn.until is None else [])
    if times:
        assert most_in_a_window(times, limit) <= limit.burst + 0.001


def test_after_a_clock_has_gone_far_back_the_bucket_is_empty_and_fills_again() -> None:
    before = NOW - timedelta(hours=1)
    turn = ask(TWO_A_SECOND, begun(TWO_A_SECOND, A), now=before)
    assert turn.until == before + SECOND / 2
    assert ask(TWO_A_SECOND, turn.traffic, now=turn.until, waited=True).until is None


def waits(policy: TrafficPolicy, known: Traffic, *, waited: bool) -> timedelta:
    """How long a delivery waits until it is let through."""
    turn, now = ask(policy, known, waited=waited), NOW
    for _ in range(10):
        if turn.until is None:
            break
        now = turn.until
        turn = ask(policy, turn.traffic, now, waited=True)
    assert turn.until is None
    return now - NOW


@given(rates, st.integers(0, 40), st.floats(2 * 86400, 10**9), st.booleans(), st.booleans())
def test_a_clock_that_was_far_ahead_holds_nobody_up(
    limit: RateLimit, count: int, ahead: float, before: bool, waited: bool
) -> None:
    policy, known = TrafficPolicy(limit, 5), Traffic()
    for number in range(count):
        known = ask(
            policy, known, NOW + timedelta(seconds=ahead), UUID(int=number + 9), waited=before
        ).traffic
    assert waits(policy, known, waited=waited) <= timedelta(seconds=1.1 / limit.per_second)


@given(rates, st.integers(0, 40), st.floats(0, 86400), st.booleans(), st.booleans())
def test_a_clock_that_was_ahead_holds_nobody_up_for_longer_than_that_and_a_day(
    limit: RateLimit, count: int, ahead: float, before: bool, waited: bool
) -> None:
    policy, known, moment = TrafficPolicy(limit, None), Traffic(), NOW + timedelta(seconds=ahead)
    for number in range(count):
        known = ask(policy, known, moment, UUID(int=number + 9), waited=before).traffic
    assert waits(policy, known, waited=waited) <= moment - NOW + DAY


def test_what_a_gate_behind_it_holds_back_was_not_begun() -> None:
    known = TWO_A_SECOND.take_back(begun(TWO_A_SECOND, A, B), B)
    assert known == begun(TWO_A_SECOND, A)
    assert ask(TWO_A_SECOND, known).until is None


def test_a_slow_rate_puts_nothing_off_for_more_than_a_day() -> None:
    policy, known = TrafficPolicy(RateLimit(per_second=1 / 3600, burst=1), None), Traffic()
    slots: list[datetime] = []
    for _ in range(40):
        turn = ask(policy, known)
        known = turn.traffic
        slots.extend([turn.until] if turn.until else [])
    assert slots[:24] == [NOW + timedelta(hours=hours) for hours in range(1, 25)]
    assert set(slots[24:]) == {NOW + DAY}


# The queue


def test_those_that_are_put_off_get_slots_one_after_the_other() -> None:
    known, slots = begun(TWO_A_SECOND, A, B), []
    for _ in range(4):
        turn = ask(TWO_A_SECOND, known)
        known = turn.traffic
        slots.append(turn.until)
    assert slots == [NOW + SECOND * number / 2 for number in (1, 2, 3, 4)]


def test_a_newcomer_does_not_overtake_those_that_wait_though_there_is_room() -> None:
    known = evolve(Traffic(), queue_until=NOW + SECOND)
    turn = ask(TWO_A_SECOND, known)
    assert (turn.until, turn.reason) == (NOW + SECOND * 3 / 2, Reason.RATE_LIMITED)
    assert ask(TWO_A_SECOND, known, now=NOW + SECOND).until is None


def test_one_that_comes_back_goes_when_there_is_room_whoever_waits() -> None:
    known = evolve(Traffic(), queue_until=NOW + SECOND, late_until=NOW + SECOND)
    assert ask(TWO_A_SECOND, known, waited=True).until is None


def test_those_that_come_late_together_get_slots_before_the_end_of_the_queue() -> None:
    known, slots = evolve(begun(TWO_A_SECOND, A, B), queue_until=NOW + 100 * SECOND), []
    for _ in range(3):
        turn = ask(TWO_A_SECOND, known, waited=True)
        known = turn.traffic
        slots.append(turn.until)
    assert slots == [NOW + SECOND * number / 2 for number in (1, 2, 3)]


@given(rates, st.integers(1, 60))
def test_who_comes_back_at_their_slots_are_let_through(limit: RateLimit, count: int) -> None:
    policy, known, slots = TrafficPolicy(limit, None), Traffic(), []
    for _ in range(count):
        turn = ask(policy, known)
        known = turn.traffic
        slots.extend([turn.until] if turn.until else [])
    for slot in slots:
        turn = ask(policy, known, now=slot, waited=True)
        assert turn.until is None
        known = turn.traffic


# What is in flight


def test_as_many_as_allowed_are_in_flight_and_the_next_waits() -> None:
    policy = TrafficPolicy(None, 2)
    turn = ask(policy, begun(policy, A, B), key=C)
    assert turn.reason is Reason.TOO_MANY_IN_FLIGHT
    assert turn.until is not None
    assert turn.until > NOW


def test_an_attempt_that_has_ended_makes_room() -> None:
    known = ONE_AT_ONCE.ended(begun(ONE_AT_ONCE, A), A, 0.2)
    assert ask(ONE_AT_ONCE, known, key=B).until is None


def test_the_end_of_an_attempt_that_has_no_place_makes_no_room() -> None:
    known = ONE_AT_ONCE.ended(begun(ONE_AT_ONCE, A), C, 0.2)
    assert ask(ONE_AT_ONCE, known, key=B).until is not None


def test_a_delivery_that_asks_again_takes_no_second_place() -> None:
    policy = TrafficPolicy(None, 2)
    turn = ask(policy, begun(policy, A, B), key=A)
    assert (turn.until, len(turn.traffic.in_flight)) == (None, 2)


def test_what_a_process_that_died_had_in_flight_makes_room_in_time() -> None:
    known = begun(ONE_AT_ONCE, A)
    assert ask(ONE_AT_ONCE, known, now=NOW + TIME - SECOND, key=B).until is not None
    assert ask(ONE_AT_ONCE, known, now=NOW + TIME, key=B).until is None


@pytest.mark.parametrize(
    ("durations", "spacing"),
    [([], 0.05), ([0.4], 0.2), ([0.4, 0.9], 0.25), ([0.0], 0.05), ([0.000001], 0.005), ([10.0], 0.5)],
)
def test_slots_are_as_far_apart_as_attempts_end(durations: list[float], spacing: float) -> None:
    policy = TrafficPolicy(None, 2)
    known = Traffic()
    for duration in durations:
        known = policy.ended(known, A, duration)
    known = evolve(known, in_flight=begun(policy, A, B).in_flight)
    first = ask(policy, known, key=C)
    second = ask(policy, first.traffic, key=C)
    assert first.until == NOW + timedelta(seconds=spacing)
    assert second.until == NOW + timedelta(seconds=2 * spacing)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=80))
def test_never_are_more_in_flight_than_allowed(most: int, steps: list[tuple[int, bool]]) -> None:
    policy, known = TrafficPolicy(None, most), Traffic()
    in_flight: set[UUID] = set()
    for number, waited in steps:
        key = UUID(int=number)
        if key in in_flight:
            known = policy.ended(known, key, 0.1)
            in_flight.remove(key)
            continue
        turn = ask(policy, known, key=key, waited=waited)
        known = turn.traffic
        in_flight.update([key] if turn.until is None else [])
        assert len(in_flight) <= most


def test_one_that_finds_no_place_spends_nothing_of_the_rate() -> None:
    policy = TrafficPolicy(RateLimit(per_second=1, burst=2), 1)
    known = begun(policy, A)
    turn = ask(policy, known, key=B)
    assert turn.reason is Reason.TOO_MANY_IN_FLIGHT
    assert turn.traffic.full_at == known.full_at


def test_where_limits_have_changed_nobody_waits_but_what_is_in_flight_still_is() -> None:
    known = evolve(
        begun(TrafficPolicy(RateLimit(per_second=1), 1), A), queue_until=NOW, late_until=NOW, duration=0.5
    )
    assert known.anew() == Traffic(duration=0.5, in_flight=((A, NOW + TIME),))
