import json
import os
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from conftest import OpenThorn
from thornsdk import URL, Digest, EventPattern, Secret, Subscription
from thornsdk.errors import ConfigurationError
from thornsdk.static import StaticSubscribers
from thornsdk.testing import Endpoint

SECRET = Secret("hunter2")
URL_TEXT = "https://a.example/hooks"
ID = UUID("00000000-0000-4000-8000-000000000001")
WHOLE = Subscription(id=ID, patterns="cart", url=URL_TEXT, secrets="own")
TAKES = (
    "client_certificate, content_type, digest, headers, id, max_in_flight, ordered_by, owner, rate_limit, "
    "retry_schedule, secret, secrets, url, when_failed"
)

ASKED: list[tuple[str, str | None]] = []


def by_tenant(event: str, sender: str | None) -> object:
    ASKED.append((event, sender))
    return None if sender is None else {"url": f"https://{sender}.example/", "owner": sender}


def static(subscriber: object, secret: Secret | None = SECRET, pattern: str = "order.*") -> StaticSubscribers:
    return StaticSubscribers({pattern: subscriber}, secret, "THORN_SUBSCRIBERS")


def only(subscriber: object, secret: Secret | None = SECRET) -> Subscription:
    (made,) = static(subscriber, secret).wanting("order.created", None)
    return made


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


PRINT_THEM = """
import json
from thornsdk.settings import Settings
from thornsdk.static import StaticSubscribers
settings = Settings.from_environ()
static = StaticSubscribers(settings.subscribers, settings.secret, "THORN_SUBSCRIBERS")
print(json.dumps([[str(one.id), one.secrets[0].reveal()] for one in static.fixed()]))
"""


def in_a_process_of_its_own(seed: str) -> list[list[str]]:
    configured = {
        "order.*": ["https://a.example/hooks", {"url": "https://a.example/hooks", "owner": "acme"}],
        "cart": "https://a.example/hooks",
    }
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("THORN_")},
        "THORN_SUBSCRIBERS": json.dumps(configured),
        "THORN_SECRET": "hunter2",
        "PYTHONHASHSEED": seed,
    }
    command = [sys.executable, "-c", PRINT_THEM]
    done = subprocess.run(command, env=environ, capture_output=True, check=True, text=True)
    made: list[list[str]] = json.loads(done.stdout)
    return made


def test_ids_and_secrets_are_the_same_in_every_process_and_differ_between_subscribers() -> None:
    first, second = in_a_process_of_its_own("1"), in_a_process_of_its_own("2")
    assert first == second
    assert len({made_id for made_id, _ in first}) == len({secret for _, secret in first}) == 3


def test_ids_and_secrets_do_not_change_between_releases() -> None:
    made = only(URL_TEXT)
    assert str(made.id) == "fa85b8f1-d861-54ac-991f-183695fd6e7f"
    assert made.secrets[0].reveal() == "whsec_Zm5fgehIEsEfeilIGcrtw4tevu/Gikvsa2JjPYmWNac="


def test_another_general_secret_gives_the_same_ids_and_other_secrets() -> None:
    one, other = only(URL_TEXT), only(URL_TEXT, Secret("another"))
    assert one.id == other.id
    assert one.secrets != other.secrets


@pytest.mark.parametrize(
    "subscriber",
    [URL_TEXT, URL.parse(URL_TEXT), {"url": URL_TEXT}, [URL_TEXT], ({"url": URL_TEXT},), {URL_TEXT}],
)
def test_a_url_a_mapping_and_a_list_of_one_are_the_same_subscriber(subscriber: object) -> None:
    assert only(subscriber) == only(URL_TEXT)
    assert only(subscriber).patterns == (EventPattern("order.*"),)


def test_lists_may_be_nested_and_hold_nothing() -> None:
    urls = ["https://a.example/", "https://b.example/", "https://c.example/"]
    made = static([urls[0], [urls[1], (urls[2], None)], []]).wanting("order.created", None)
    assert [str(one.url) for one in made] == urls
    assert list(static(None).wanting("order.created", None)) == []


def test_a_mapping_takes_what_subscribe_takes() -> None:
    made = only(
        {
            "url": URL_TEXT,
            "id": str(ID),
            "secrets": ["new", "old"],
            "owner": "acme",
            "headers": {"X-Key": "1"},
            "content_type": "text/plain",
            "digest": "sha512",
        },
        secret=None,
    )
    assert made == Subscription(
        id=ID,
        patterns="order.*",
        url=URL_TEXT,
        secrets=["new", "old"],
        owner="acme",
        headers={"X-Key": "1"},
        content_type="text/plain",
        digest=Digest.SHA512,
    )


def test_one_secret_of_its_own_needs_no_general_one() -> None:
    assert only({"url": URL_TEXT, "secret": "own"}, secret=None).secrets == (Secret("own"),)


def test_a_subscription_is_taken_as_it_is() -> None:
    assert only(WHOLE, secret=None) is WHOLE


def test_a_callable_is_asked_anew_with_event_and_sender() -> None:
    ASKED.clear()
    subscribers = static(by_tenant)
    assert list(subscribers.wanting("order.created", None)) == []
    (made,) = subscribers.wanting("order.paid", "acme")
    assert (made.owner, str(made.url)) == ("acme", "https://acme.example/")
    assert list(subscribers.wanting("cart", "acme")) == []
    assert ASKED == [("order.created", None), ("order.paid", "acme")]


def test_a_callable_may_be_given_by_its_name() -> None:
    (made,) = static(f"{__name__}:by_tenant").wanting("order.created", "acme")
    assert made.owner == "acme"


def test_a_callable_may_give_several_in_any_form() -> None:
    subscribers = static(lambda event, sender: [URL_TEXT, [WHOLE]])
    assert list(subscribers.wanting("order.created", None)) == [only(URL_TEXT), WHOLE]


def test_fixed_subscribers_are_known_without_asking_callables() -> None:
    ASKED.clear()
    assert list(static([by_tenant, URL_TEXT]).fixed()) == [only(URL_TEXT)]
    assert ASKED == []


def test_only_subscribers_of_matching_patterns_want_an_event() -> None:
    subscribers = StaticSubscribers(
        {"order.*": "https://a.example/", "cart": "https://b.example/"}, SECRET, "THORN_SUBSCRIBERS"
    )
    assert [one.url.host for one in subscribers.wanting("cart", None)] == ["b.example"]
    assert [one.url.host for one in subscribers.fixed()] == ["a.example", "b.example"]


def test_what_an_event_requires_is_named_by_ids_and_callables_without_asking_them() -> None:
    ASKED.clear()
    subscribers = static([URL_TEXT, by_tenant, {"url": URL_TEXT, "owner": "acme", "id": str(ID)}])
    assert list(subscribers.requirements("order.created")) == [
        f"the static subscriber {only(URL_TEXT).id}",
        f"the callable {__name__}:by_tenant",
        f"the static subscriber {ID}",
    ]
    assert ASKED == []


def test_an_event_requires_nothing_of_subscribers_of_other_events() -> None:
    assert list(static([URL_TEXT, by_tenant]).requirements("cart")) == []


def test_subscribers_can_be_added() -> None:
    subscribers = StaticSubscribers({}, SECRET, "THORN_SUBSCRIBERS")
    subscribers.add("order.*", URL_TEXT)
    assert list(subscribers.fixed()) == [only(URL_TEXT)]


@pytest.mark.parametrize(
    ("subscriber", "problem"),
    [
        (5, "a int cannot be a subscriber of order.*; give a URL, a mapping, a callable, or a list of these"),
        ([URL_TEXT, 5], "a int cannot be a subscriber of order.*; give a URL"),
        ({}, f"in a subscriber of order.*, 'url' is missing; it takes {TAKES}"),
        ({"url": URL_TEXT, "secrte": "hunter2"}, f"'secrte' is not known; it takes {TAKES}"),
        ({"url": URL_TEXT, 5: 1, "x": 2}, "in a subscriber of order.*, '5' is not known"),
        ("https://user:hunter2@a.example/", "this URL cannot be used: it has a user name or password in it"),
        ({"url": "a.example/hunter2"}, "this URL cannot be used: it must start with a scheme"),
        ({"url": URL_TEXT, "secret": ""}, "in a subscriber of order.*, a secret must not be empty"),
        ({"url": URL_TEXT, "secrets": []}, "a subscription needs at least one secret"),
        ({"url": URL_TEXT, "secret": "whsec_hunter2!"}, "must go on as base64"),
        ({"url": URL_TEXT, "digest": "md5"}, "'md5' is not a digest"),
        ({"url": URL_TEXT, "owner": ""}, "the owner must not be empty"),
        ({"url": URL_TEXT, "headers": {"X-Key": "hunter2\n"}}, "the header 'X-Key' cannot be sent"),
        ({"url": 5}, "a value is of the wrong kind"),
        ({"url": URL_TEXT, "id": "hunter2"}, "a value is of the wrong kind"),
        ({"url": URL_TEXT, "secret": 5}, "a value is of the wrong kind"),
        ({"url": URL_TEXT, "secrets": [5]}, "a value is of the wrong kind"),
        ({"url": URL_TEXT, "owner": 5}, "a value is of the wrong kind"),
        ({"url": URL_TEXT, "headers": 5}, "a value is of the wrong kind"),
        ("a.example/?key=hunter2", "what was given is neither a callable nor the module:name of one"),
        ("user:hunter2@a.example", "what was given is neither a callable nor the module:name of one"),
        ("no_such_module:name", "no_such_module:name cannot be imported: No module named 'no_such_module'"),
        (f"{__name__}:SECRET", f"{__name__}:SECRET is not callable"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_subscriber_is_an_error_that_names_the_setting(
    subscriber: object, problem: str
) -> None:
    told = refused(lambda: static(subscriber))
    assert told.startswith("THORN_SUBSCRIBERS: ")
    assert problem in told


def test_a_pattern_that_can_never_match_is_an_error_that_names_the_setting() -> None:
    told = refused(lambda: static(URL_TEXT, pattern="order.cre*"))
    assert told == (
        "THORN_SUBSCRIBERS: no event can match the pattern 'order.cre*': "
        "in 'cre*', a * must stand alone between dots"
    )


def test_a_subscriber_without_secret_needs_a_general_one() -> None:
    told = refused(lambda: static(URL_TEXT, secret=None))
    assert told == (
        "THORN_SUBSCRIBERS: in a subscriber of order.*, a secret is missing: give the subscriber of order.* "
        "one, or set THORN_SECRET, from which the secrets of static subscribers are derived"
    )


def test_what_a_callable_gives_is_checked_when_it_is_asked() -> None:
    subscribers = static(lambda event, sender: 5)
    told = refused(lambda: list(subscribers.wanting("order.created", None)))
    assert told.startswith("THORN_SUBSCRIBERS: a int cannot be a subscriber of order.*")


def test_static_subscribers_get_what_is_sent(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint, subscribers={"order.*": endpoint.url}, secret="hunter2")
    assert thorn.event("order.created").send({}).outcomes.delivered == 1
    (known,) = thorn.subscriptions()
    assert endpoint.seen[0].header("Hook-Subscription") == str(known.id)


def test_two_different_subscribers_of_one_url_need_ids_of_their_own() -> None:
    url = "https://example.com/hooks"
    both = [{"url": url, "secret": "one"}, {"url": url, "secret": "two"}]
    with pytest.raises(ConfigurationError, match=r"two different subscribers of order\.\* have the same URL"):
        StaticSubscribers({"order.*": both}, None, "THORN_SUBSCRIBERS")


def test_a_callable_that_raises_is_named() -> None:
    def broken(event: str, sender: str | None) -> list[str]:
        raise LookupError("told nowhere")

    subscribers = StaticSubscribers({"order.*": broken}, None, "THORN_SUBSCRIBERS")
    with pytest.raises(ConfigurationError, match=r"THORN_SUBSCRIBERS: the subscriber .*broken raised"):
        list(subscribers.wanting("order.created", None))
