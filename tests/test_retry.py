from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import Outcome, OutcomeKind, Reason, Response, RetryPolicy
from thornsdk.errors import TransportError
from thornsdk.model import MAX_WAIT
from thornsdk.policy.retry import judge, retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BLOCKING = {
    Reason.ADDRESS_FORBIDDEN,
    Reason.PORT_FORBIDDEN,
    Reason.RECIPIENT_REFUSED,
    Reason.SCHEME_FORBIDDEN,
}
AFTER_A_MINUTE = RetryPolicy((60,))
seconds = st.floats(0, MAX_WAIT)
chances = st.floats(0, 1, exclude_max=True)


def judged(
    result: Response | TransportError, *, policy: RetryPolicy = AFTER_A_MINUTE, number: int = 1
) -> Outcome:
    return judge(result, number=number, policy=policy, now=NOW, random=lambda: 0.0)


def retry_in(wait: float, reason: Reason = Reason.STATUS) -> Outcome:
    return Outcome(OutcomeKind.RETRY, reason, NOW + timedelta(seconds=wait))


def asks(value: str, status: int = 503) -> Response:
    return Response(status=status, headers=(("Retry-After", value),))


@given(wait=seconds, jitter=st.floats(0, 1), chance=chances)
def test_jitter_only_adds_and_never_more_than_its_share(wait: float, jitter: float, chance: float) -> None:
    got = RetryPolicy((wait,), jitter=jitter).wait_after(1, lambda: chance)
    assert got is not None
    assert wait <= got <= wait + wait * jitter


@given(waits=st.lists(seconds, max_size=5), number=st.integers(1, 10))
def test_each_attempt_has_its_wait_and_after_the_last_the_delivery_is_given_up(
    waits: list[float], number: int
) -> None:
    got = RetryPolicy(waits).wait_after(number, lambda: 0.0)
    assert got == (waits[number - 1] if number <= len(waits) else None)


@given(wait=seconds, asked=st.floats(0, 1e12), cap=seconds, chance=chances)
def test_a_wait_is_what_was_asked_for_but_never_shorter_than_ours_nor_beyond_the_cap(
    wait: float, asked: float, cap: float, chance: float
) -> None:
    policy = RetryPolicy((wait,), max_retry_after=cap)
    ours = policy.wait_after(1, lambda: chance)
    assert ours is not None
    assert policy.wait_after(1, lambda: chance, asked) == max(ours, min(asked, cap))


@given(waits=st.lists(seconds, min_size=1, max_size=3), jitter=st.floats(0, 1), asked=st.integers(0, 10**12))
def test_every_wait_that_a_policy_can_give_is_a_date(waits: list[float], jitter: float, asked: int) -> None:
    policy = RetryPolicy(waits, jitter=jitter, max_retry_after=MAX_WAIT)
    outcome = judge(asks(str(asked)), number=1, policy=policy, now=NOW, random=lambda: 0.999)
    assert outcome.retry_at is not None
    assert outcome.retry_at >= NOW


def test_the_default_schedule_is_that_of_standard_webhooks() -> None:
    hour = 3600
    assert RetryPolicy().schedule == (
        5,
        300,
        1800,
        2 * hour,
        5 * hour,
        10 * hour,
        14 * hour,
        20 * hour,
        24 * hour,
    )


def test_a_fixed_policy_waits_equally_long_before_each_attempt() -> None:
    assert RetryPolicy.fixed(times=3, delay=60) == RetryPolicy((60.0, 60.0, 60.0))


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [(RetryPolicy.never(), 1), (RetryPolicy.fixed(times=3, delay=60), 4), (RetryPolicy(), 10)],
)
def test_a_policy_says_how_many_attempts_it_allows(policy: RetryPolicy, attempts: int) -> None:
    assert policy.attempts == attempts
    assert policy.wait_after(attempts, lambda: 0.0) is None


def test_a_policy_that_never_retries_gives_up_at_once() -> None:
    assert judged(Response(status=500), policy=RetryPolicy.never()) == Outcome(
        OutcomeKind.FAILED, Reason.STATUS
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy((-1,)),
        lambda: RetryPolicy((MAX_WAIT + 1,)),
        lambda: RetryPolicy((float("nan"),)),
        lambda: RetryPolicy((float("inf"),)),
        lambda: RetryPolicy(jitter=-0.1),
        lambda: RetryPolicy(jitter=1.1),
        lambda: RetryPolicy(max_retry_after=-1),
        lambda: RetryPolicy(max_retry_after=float("inf")),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(make: type[RetryPolicy]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert judged(Response(status=status)) == Outcome(OutcomeKind.DELIVERED, Reason.ACCEPTED)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_3xx_is_a_failure_for_good(status: int) -> None:
    assert judged(asks("1", status)) == Outcome(OutcomeKind.FAILED, Reason.REDIRECT)


def test_410_is_a_failure_for_good() -> None:
    assert judged(Response(status=410)) == Outcome(OutcomeKind.FAILED, Reason.GONE)


@pytest.mark.parametrize(
    "status", [100, 199, 400, 401, 404, 408, 409, 411, 422, 429, 499, 500, 502, 503, 599, 600]
)
def test_any_other_status_is_retried(status: int) -> None:
    assert judged(Response(status=status)) == retry_in(60)


def test_a_status_that_the_policy_lists_as_permanent_is_given_up_at_once() -> None:
    policy = RetryPolicy((60,), permanent=[400, 422])
    assert judged(Response(status=422), policy=policy) == Outcome(OutcomeKind.FAILED, Reason.STATUS)
    assert judged(Response(status=404), policy=policy) == retry_in(60)


@pytest.mark.parametrize("reason", sorted(BLOCKING))
def test_what_policy_blocks_stays_blocked(reason: Reason) -> None:
    assert judged(TransportError(reason, "no")) == Outcome(OutcomeKind.BLOCKED, reason)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in BLOCKING])
def test_any_other_error_is_retried_until_the_schedule_ends(reason: Reason) -> None:
    error = TransportError(reason, "no answer")
    assert judged(error) == retry_in(60, reason)
    assert judged(error, number=2) == Outcome(OutcomeKind.FAILED, reason)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_retry_after_makes_the_wait_longer(status: int) -> None:
    assert judged(asks("120", status)) == retry_in(120)


def test_retry_after_never_makes_the_wait_shorter() -> None:
    assert judged(asks("1")) == retry_in(60)


def test_retry_after_is_followed_up_to_the_cap_only() -> None:
    assert judged(asks("9999"), policy=RetryPolicy((60,), max_retry_after=100)) == retry_in(100)


def test_retry_after_brings_no_attempt_beyond_the_schedule() -> None:
    assert judged(asks("1"), number=2) == Outcome(OutcomeKind.FAILED, Reason.STATUS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120\t", 120.0),
        ("999999999999", 999999999999.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60.0),
        ("Fri, 02 Jan 2026 04:05:05 +0100", 60.0),
        ("Friday, 02-Jan-26 03:05:05 GMT", 60.0),
        ("Fri Jan  2 03:05:05 2026", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        (" ", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("+1", None),
        ("٣", None),
        ("soon", None),
        ("120, 130", None),
        ("Fri, 99 Jan 2026 03:05:05 GMT", None),
        ("Fri, 02 Jan 99999999999999999999 03:05:05 GMT", None),
        ("Fri, 02 Jan 2026 03:05:05 +99999999999999999999", None),
        ("1" * 5000, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_garbage_is_ignored(
    value: str | None, expected: float | None
) -> None:
    assert retry_after(value, NOW) == expected


@given(moment=st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_any_date_is_read_as_seconds_from_now(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    got = retry_after(format_datetime(whole, usegmt=True), NOW)
    assert got == max(0.0, (whole - NOW).total_seconds())


DATE_PARTS = st.sampled_from(
    [
        "Mon,",
        "Mon",
        "01",
        "Jan",
        "2026",
        "00:00:00",
        "GMT",
        "+0000",
        "-",
        "+",
        ":",
        ".",
        ",",
        "0",
        "99",
        "1:2",
        "(",
        ")",
        "31-Dec-26",
        "999999999999",
        "+" + "9" * 20,
        "",
    ]
)


@given(value=st.one_of(st.text(max_size=20), st.lists(DATE_PARTS, max_size=8).map(" ".join)))
def test_no_garbage_in_retry_after_raises(value: str) -> None:
    got = retry_after(value, NOW)
    assert got is None or got >= 0
