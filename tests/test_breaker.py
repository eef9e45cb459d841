"""The policy of circuit breakers: values, without a clock."""

from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.stages import NOW, make_record
from thornsdk import Breaker, BreakerPolicy, BreakerState, Outcome, OutcomeKind, Reason
from thornsdk.policy.breaker import LONGEST_PAUSE, verdict

A, B = UUID(int=1), UUID(int=2)
SECOND = timedelta(seconds=1)
POLICY = BreakerPolicy(failures=3, pause=60)
TIME = timedelta(seconds=50)


def failed(policy: BreakerPolicy, times: int, known: Breaker | None = None) -> Breaker:
    breaker = known or Breaker()
    for _ in range(times):
        breaker = policy.ended(breaker, A, False, NOW)
    return breaker


OPEN = failed(POLICY, 3)
PROBING = POLICY.begun(OPEN, A, NOW + 60 * SECOND, TIME)


@given(st.integers(1, 20), st.floats(1, 3600))
def test_it_opens_at_the_last_of_so_many_failures_in_a_row(failures: int, pause: float) -> None:
    policy = BreakerPolicy(failures=failures, pause=pause)
    assert failed(policy, failures - 1).state(NOW) is BreakerState.CLOSED
    breaker = failed(policy, failures)
    assert breaker.state(NOW) is BreakerState.OPEN
    assert breaker.until == NOW + timedelta(seconds=pause)
    assert breaker.state(NOW + timedelta(seconds=pause)) is BreakerState.HALF_OPEN


@pytest.mark.parametrize("known", [Breaker(), failed(POLICY, 2), OPEN, PROBING])
def test_a_success_closes_it_whatever_was_before(known: Breaker) -> None:
    assert POLICY.ended(known, B, True, NOW) == Breaker()


def test_what_shows_nothing_of_the_origin_changes_nothing() -> None:
    for known in (Breaker(), failed(POLICY, 2), OPEN, PROBING):
        assert POLICY.ended(known, B, None, NOW) == known


def test_while_it_is_open_nothing_is_let_through_and_older_failures_do_not_count() -> None:
    assert POLICY.begun(OPEN, A, NOW + 59 * SECOND, TIME) == OPEN
    assert not POLICY.admits(OPEN, A)
    assert POLICY.ended(OPEN, A, False, NOW + 59 * SECOND) == OPEN


def test_after_the_pause_one_probe_is_let_through_and_no_other() -> None:
    assert PROBING.state(NOW + 60 * SECOND) is BreakerState.HALF_OPEN
    assert POLICY.admits(PROBING, A)
    after = POLICY.begun(PROBING, B, NOW + 61 * SECOND, TIME)
    assert (after, POLICY.admits(after, B)) == (PROBING, False)


def test_a_probe_that_does_not_come_back_is_followed_by_another() -> None:
    after = POLICY.begun(PROBING, B, NOW + 60 * SECOND + TIME, TIME)
    assert (POLICY.admits(after, A), POLICY.admits(after, B)) == (False, True)
    assert POLICY.ended(after, A, False, NOW + 200 * SECOND) == after


def test_a_probe_that_shows_nothing_makes_way_for_another() -> None:
    after = POLICY.ended(PROBING, A, None, NOW + 61 * SECOND)
    assert POLICY.admits(POLICY.begun(after, B, NOW + 61 * SECOND, TIME), B)


def test_a_clock_that_was_a_year_ahead_pauses_no_origin_for_a_year() -> None:
    before = NOW - timedelta(days=365)
    assert OPEN.state(before) is BreakerState.HALF_OPEN
    assert POLICY.admits(POLICY.begun(OPEN, A, before, TIME), A)


@given(st.integers(1, 12), st.floats(1, LONGEST_PAUSE))
def test_the_pause_doubles_with_each_probe_that_fails_up_to_an_hour(probes: int, pause: float) -> None:
    policy = BreakerPolicy(failures=1, pause=pause)
    breaker, now = policy.ended(Breaker(), A, False, NOW), NOW
    for _ in range(probes):
        assert breaker.until is not None
        now = breaker.until
        breaker = policy.ended(policy.begun(breaker, A, now, TIME), A, False, now)
    assert breaker.pause == min(pause * 2**probes, LONGEST_PAUSE)
    assert breaker.until == now + timedelta(seconds=breaker.pause)


@given(st.floats(0, 1, exclude_max=True))
def test_what_is_put_off_is_due_when_the_pause_is_over_and_up_to_a_tenth_later(share: float) -> None:
    due = POLICY.put_off(OPEN, NOW, lambda: share, timeout=10)
    assert NOW + 60 * SECOND <= due <= NOW + 66 * SECOND


def test_what_is_put_off_while_a_probe_is_under_way_is_due_when_that_should_have_ended() -> None:
    now = NOW + 61 * SECOND
    assert POLICY.put_off(PROBING, now, lambda: 0.0, timeout=10) == now + 10 * SECOND


@pytest.mark.parametrize(("failures", "pause"), [(-1, 60.0), (10, 0.0), (10, 3601.0)])
def test_a_policy_that_makes_no_sense_is_refused(failures: int, pause: float) -> None:
    with pytest.raises(ValueError):
        BreakerPolicy(failures, pause)


@pytest.mark.parametrize(
    ("reason", "status", "well"),
    [
        (Reason.ACCEPTED, 200, True),
        (Reason.STATUS, 404, True),
        (Reason.STATUS, 429, True),
        (Reason.REDIRECT, 302, True),
        (Reason.GONE, 410, True),
        (Reason.PROTOCOL_ERROR, None, True),
        (Reason.ANSWER_TOO_LARGE, None, True),
        (Reason.STATUS, 500, False),
        (Reason.STATUS, 503, False),
        (Reason.TIMEOUT, None, False),
        (Reason.NAME_NOT_RESOLVED, None, False),
        (Reason.CONNECTION_REFUSED, None, False),
        (Reason.CONNECTION_LOST, None, False),
        (Reason.UNREACHABLE, None, False),
        (Reason.TLS_EXPIRED, None, False),
        (Reason.TLS_CLIENT_CERTIFICATE, None, None),
        (Reason.PROXY_REFUSED, None, None),
        (Reason.ADDRESS_FORBIDDEN, None, None),
        (Reason.STAGE_FAILED, None, None),
        (Reason.NOT_SERIALIZABLE, None, None),
        (Reason.UNSUBSCRIBED, None, None),
        (Reason.WORKER_LOST, None, None),
    ],
)
def test_an_attempt_shows_whether_its_origin_is_well(
    reason: Reason, status: int | None, well: bool | None
) -> None:
    attempt = make_record(status=status, outcome=Outcome(OutcomeKind.FAILED, reason)).last
    assert verdict(attempt) is well
    assert verdict(evolve(attempt, number=0)) is None


class Breakers(RuleBasedStateMachine):
    """Several deliveries to one origin, whose attempts begin and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = NOW
        self.under_way: set[UUID] = set()
        self.in_a_row = 0
        self.probe_since = NOW

    @rule(seconds=st.sampled_from([1, 30, 60, 120, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(delivery=st.integers(1, 4).map(lambda number: UUID(int=number)))
    def begin(self, delivery: UUID) -> None:
        if delivery in self.under_way:
            return
        before = self.breaker
        self.breaker = POLICY.begun(before, delivery, self.now, TIME)
        if POLICY.admits(self.breaker, delivery):
            assert before.state(self.now) is not BreakerState.OPEN
            self.under_way.add(delivery)
            if self.breaker != before:
                # Nobody else probes, or has not come back in time.
                assert before.probe is None or self.now - self.probe_since >= TIME
                self.probe_since = self.now

    @rule(well=st.sampled_from([True, False, None]), number=st.integers(0, 3))
    def end(self, well: bool | None, number: int) -> None:
        if not self.under_way:
            return
        delivery = sorted(self.under_way)[number % len(self.under_way)]
        self.under_way.remove(delivery)
        before = self.breaker
        self.breaker = POLICY.ended(before, delivery, well, self.now)
        if well is not None:
            self.in_a_row = 0 if well else self.in_a_row + 1
        if well:
            assert self.breaker == Breaker()
        if before.until is None and self.breaker.until is not None:
            assert self.in_a_row == POLICY.failures

    @invariant()
    def it_is_open_for_an_hour_at_most_and_closed_with_few_failures_alone(self) -> None:
        if self.breaker.until is None:
            assert self.breaker.failures < POLICY.failures
            assert (self.breaker.pause, self.breaker.probe) == (0.0, None)
        else:
            assert self.breaker.until <= self.now + timedelta(seconds=LONGEST_PAUSE)
            assert POLICY.pause <= self.breaker.pause <= LONGEST_PAUSE


TestBreakers = Breakers.TestCase
