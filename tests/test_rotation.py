from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from conftest import OpenThorn
from support.stages import NOW, make_pipeline, make_subscription
from thornsdk import OldSecret, Secret, Subscription, Thorn
from thornsdk.errors import InvalidSecret, InvalidSignature, InvalidValue, NotFound
from thornsdk.model import rotated
from thornsdk.receive import Scheme, verify
from thornsdk.testing import Endpoint, FakeClock, RecordingTransport
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner

HTTPS = "https://example.com/hooks"
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def thorn(transport: RecordingTransport, clock: FakeClock) -> Iterator[Thorn]:
    """A Thorn that sends nothing over the network."""
    pipeline = make_pipeline([transport], signers=[StandardWebhooksSigner()])
    with Thorn(pipeline=pipeline, clock=clock) as one:
        yield one


def rotate(one: Subscription, *secrets: str, after: timedelta = HOUR, keep: timedelta = DAY) -> Subscription:
    """Rotates to each of these in turn, with some time in between."""
    for number, secret in enumerate(secrets):
        now = NOW + number * after
        one = rotated(one, Secret(secret), now=now, until=now + keep)
    return one


def old(one: Subscription) -> list[tuple[str, timedelta]]:
    """The old secrets, and when they end."""
    return [(found.secret.reveal(), found.until - NOW) for found in one.old_secrets]


# What becomes of the secrets


def test_the_new_secret_is_the_current_one_and_those_before_it_get_an_end() -> None:
    one = rotate(make_subscription(secrets=["a", "b"]), "new")
    assert one.secrets == (Secret("new"),)
    assert old(one) == [("a", DAY), ("b", DAY)]


def test_the_latest_old_secret_comes_first() -> None:
    assert old(rotate(make_subscription(secrets="a"), "b", "c")) == [("b", HOUR + DAY), ("a", DAY)]


def test_an_end_that_was_set_is_never_later() -> None:
    once = rotate(make_subscription(secrets="a"), "b", keep=HOUR)
    assert old(rotate(once, "c", keep=DAY)) == [("b", DAY), ("a", HOUR)]


def test_an_earlier_end_is_that_of_all() -> None:
    once = rotate(make_subscription(secrets="a"), "b", keep=DAY)
    assert old(rotate(once, "c", keep=HOUR)) == [("b", HOUR), ("a", HOUR)]


def test_old_secrets_end_at_once_where_none_is_to_be_kept() -> None:
    once = rotate(make_subscription(secrets="a"), "b", keep=DAY)
    assert old(rotate(once, "c", keep=timedelta(0))) == []


def test_what_has_ended_is_left_out_by_the_next_rotation() -> None:
    assert old(rotate(make_subscription(secrets="a"), "b", "c", after=DAY)) == [("b", 2 * DAY)]


def test_no_more_than_the_latest_four_are_kept() -> None:
    one = rotate(make_subscription(secrets="a"), *"bcdefg")
    assert [secret for secret, _ in old(one)] == ["f", "e", "d", "c"]


def test_rotating_to_the_same_secret_again_changes_nothing() -> None:
    once = rotate(make_subscription(secrets="a"), "b")
    assert rotate(once, "b", "b") == once


def test_an_old_secret_that_is_current_again_has_no_end() -> None:
    one = rotate(make_subscription(secrets="a"), "b", "a")
    assert one.secrets == (Secret("a"),)
    assert old(one) == [("b", HOUR + DAY)]


def test_all_else_stays_as_it_was() -> None:
    whole = make_subscription(secrets="a", owner="acme", headers={"X-Key": "v"}, disabled="gone")
    assert rotate(whole, "b") == make_subscription(
        secrets="b",
        owner="acme",
        headers={"X-Key": "v"},
        disabled="gone",
        old_secrets=[OldSecret("a", NOW + DAY)],
    )


# What an application does


def test_who_rotates_without_a_secret_gets_a_new_one(thorn: Thorn, clock: FakeClock) -> None:
    before = thorn.subscribe("*", HTTPS)
    after = thorn.rotate_secret(before.id)
    assert after.secrets[0].reveal().startswith("whsec_")
    assert after.secrets != before.secrets
    assert after.old_secrets == (OldSecret(before.secrets[0], clock() + DAY),)
    assert list(thorn.subscriptions()) == [after]


@pytest.mark.parametrize("secret", ["new", b"new", Secret("new")])
def test_the_new_secret_may_be_given(thorn: Thorn, secret: str | bytes | Secret) -> None:
    one = thorn.subscribe("*", HTTPS, secret="old")
    assert thorn.rotate_secret(one.id, secret).secrets == (Secret("new"),)


def test_the_old_secret_signs_as_long_as_it_was_to(
    thorn: Thorn, transport: RecordingTransport, clock: FakeClock
) -> None:
    one = thorn.subscribe("*", HTTPS, secret="old")
    thorn.rotate_secret(one.id, "new", keep_old_for=HOUR)
    event = thorn.event("order.created")
    signatures = []
    for seconds in (0, 3599, 1):
        clock.advance(seconds)
        event.send({})
        signatures.append(len(dict(transport.requests[-1].headers)["webhook-signature"].split()))
    assert signatures == [2, 2, 1]


@pytest.mark.parametrize("keep", [timedelta(seconds=-1), timedelta(days=366), timedelta.max, timedelta.min])
def test_a_time_that_makes_no_sense_is_refused(thorn: Thorn, keep: timedelta) -> None:
    one = thorn.subscribe("*", HTTPS)
    with pytest.raises(InvalidValue, match=r"^keep_old_for is .*; it takes 0 to 365 days$"):
        thorn.rotate_secret(one.id, keep_old_for=keep)
    assert list(thorn.subscriptions()) == [one]


def test_a_secret_that_cannot_be_is_refused(thorn: Thorn) -> None:
    one = thorn.subscribe("*", HTTPS)
    with pytest.raises(InvalidSecret, match="a secret must not be empty"):
        thorn.rotate_secret(one.id, "")
    assert list(thorn.subscriptions()) == [one]


def test_the_secret_of_what_is_not_there_cannot_be_rotated(thorn: Thorn) -> None:
    with pytest.raises(NotFound, match=f"there is no subscription {UUID(int=7)}"):
        thorn.rotate_secret(UUID(int=7))
    assert list(thorn.subscriptions()) == []


def test_the_secret_of_a_static_subscriber_is_rotated_by_way_of_the_store() -> None:
    pipeline = make_pipeline([RecordingTransport()])
    with Thorn(pipeline=pipeline, subscribers={"*": make_subscription(1, secrets="old")}) as thorn:
        thorn.rotate_secret(UUID(int=1), "new")
        (one,) = thorn.subscriptions()
    assert [found.secret for found in one.old_secrets] == [Secret("old")]
    assert one.secrets == (Secret("new"),)


def test_what_another_process_changes_before_a_rotation_is_kept(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/thorn.db"
    with Thorn(store=store) as thorn, Thorn(store=store) as other:
        one = thorn.subscribe("*", HTTPS, secret="old")
        other.disable(one.id, why="they moved")
        thorn.rotate_secret(one.id, "new")
        (kept,) = other.subscriptions()
    assert (kept.disabled, kept.secrets) == ("they moved", (Secret("new"),))


# What a receiver sees


def verifies(endpoint: Endpoint, secret: str, clock: FakeClock, scheme: Scheme) -> bool:
    """Tells whether who knows this secret alone can verify what came last."""
    seen = endpoint.seen[-1]
    try:
        verify(seen.headers, seen.body, secrets=secret, now=clock(), accept=[scheme])
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(
    ("scheme", "meanwhile"), [(Scheme.STANDARD_WEBHOOKS, [True, True]), (Scheme.HOOK_HMAC, [False, True])]
)
def test_old_and_new_verify_meanwhile_and_afterwards_the_new_alone(
    endpoint: Endpoint, clock: FakeClock, open_thorn: OpenThorn, scheme: Scheme, meanwhile: list[bool]
) -> None:
    thorn = open_thorn(endpoint, clock=clock)
    one = thorn.subscribe("*", endpoint.url, secret="old")
    event = thorn.event("order.created")
    thorn.rotate_secret(one.id, "new")
    event.send({})
    assert [verifies(endpoint, secret, clock, scheme) for secret in ("old", "new")] == meanwhile
    clock.advance(DAY.total_seconds())
    event.send({})
    assert [verifies(endpoint, secret, clock, scheme) for secret in ("old", "new")] == [False, True]
