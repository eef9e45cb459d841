import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from support.commands import Commands, Ran, run_process, send_one, store_url
from thornsdk import Thorn
from thornsdk.cli.show import moment
from thornsdk.testing import Endpoint, answers, in_turn

STATIC = UUID("7c9f8a3e-1f52-4d8b-9a51-0b6f5f1f0a11")


pytestmark = pytest.mark.usefixtures("cli_settings")


def fails_once(endpoint: Endpoint) -> None:
    endpoint.behave(in_turn(answers(503), answers(200)))


def test_subscribing_prints_the_id_and_the_secret_that_was_made(tmp_path: Path) -> None:
    store = store_url(tmp_path)
    ran = run_process("subscribe", "https://example.com/hooks", "--event", "order.*", "--store", store)
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    with Thorn(store=store) as thorn:
        (kept,) = thorn.subscriptions()
    assert first == f"id      {kept.id}"
    assert second == f"secret  {kept.secrets[0].reveal()}"


def test_subscribing_takes_all_that_a_subscription_has(run: Commands, thorn: Thorn) -> None:
    options = {
        "--owner": "acme",
        "--content-type": "application/x-www-form-urlencoded",
        "--digest": "sha512",
        "--header": "X-Key:  value: with colon ",
        "--client-certificate": "ours",
        "--rate": "0.5",
        "--burst": "3",
        "--in-flight": "4",
        "--ordered-by": "order.id",
        "--when-failed": "skip",
        "--retry-schedule": "5,300.5",
    }
    flags = [part for pair in options.items() for part in pair]
    patterns, secrets = ["--event", "a.*", "--event", "b"], ["--secret", "new", "--secret", "old"]
    ran = run("subscribe", "https://example.com/", *patterns, *secrets, *flags, "--json")
    (kept,) = thorn.subscriptions()
    assert ran.json == [
        {
            "id": str(kept.id),
            "events": ["a.*", "b"],
            "url": "https://example.com/",
            "owner": "acme",
            "content_type": "application/x-www-form-urlencoded",
            "digest": "sha512",
            "client_certificate": "ours",
            "rate_limit": {"per_second": 0.5, "burst": 3},
            "max_in_flight": 4,
            "ordered_by": "order.id",
            "when_failed": "skip",
            "retry_schedule": [5.0, 300.5],
            "disabled": None,
            "secrets": ["new", "old"],
            "old_secrets": [],
            "headers": {"X-Key": "value: with colon"},
        }
    ]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["ftp://example.com/", "--event", "*"],
            "no transport serves the scheme 'ftp'; there are: http, https",
        ),
        (["https://example.com/", "--event", "*", "--burst", "3"], "--burst needs --rate"),
        (
            ["https://example.com/", "--event", "*", "--retry-schedule", "5m"],
            "Invalid value for '--retry-schedule': '5m' is no list of seconds",
        ),
        (["https://u:p@example.com/", "--event", "*"], "this URL cannot be used: it has a user name"),
        (["https://example.com/", "--event", "a.b*"], "no event can match the pattern 'a.b*'"),
        (
            ["https://example.com/", "--event", "*", "--header", "X-Key"],
            "--header takes 'Name: value'; the one",
        ),
        (["https://example.com/", "--event", "*", "--header", "Host: x"], "the header 'Host' is set by the"),
        (["https://example.com/", "--event", "*", "--owner", ""], "the owner must not be empty"),
        (["https://example.com/"], "Missing option '--event'. (thornsdk subscribe --help)"),
    ],
)
def test_what_cannot_be_subscribed_is_one_line_and_exit_code_2(
    run: Commands, args: list[str], told: str
) -> None:
    ran = run("subscribe", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}")
    assert ran.err.count("\n") == 1


def test_a_header_without_its_name_is_not_quoted_in_full(run: Commands) -> None:
    ran = run("subscribe", "https://example.com/", "--event", "*", "--header", "Bearer0123456789")
    assert "0123456789" not in ran.err


def test_subscriptions_are_listed_without_their_secrets(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe(
        "order.*", "https://example.com/", secret="hush", owner="acme", headers={"X-K": "v1"}
    )
    ran = run("subscriptions")
    assert ran.code == 0
    assert ran.out.split("\n")[3].split() == [
        str(kept.id), "order.*", "https://example.com/", "acme", "active",
    ]  # fmt: skip
    for shown in (ran.out, run("subscriptions", "--json").out):
        assert "hush" not in shown
        assert "v1" not in shown


def test_secrets_are_listed_when_they_are_asked_for(run: Commands, thorn: Thorn) -> None:
    thorn.subscribe("*", "https://example.com/", secret=["new", "old"], headers={"X-K": "v1"})
    assert "new, old" in run("subscriptions", "--secrets").out
    (only,) = run("subscriptions", "--secrets", "--json").json
    assert (only["secrets"], only["headers"]) == (["new", "old"], {"X-K": "v1"})


def test_old_secrets_are_listed_with_their_ends(run: Commands, thorn: Thorn) -> None:
    one = thorn.rotate_secret(thorn.subscribe("*", "https://example.com/", secret="old").id, "new")
    until = one.old_secrets[0].until
    assert f"new, old (until {moment(until)})" in run("subscriptions", "--secrets").out
    (only,) = run("subscriptions", "--secrets", "--json").json
    assert only["secrets"] == ["new"]
    assert only["old_secrets"] == [{"secret": "old", "until": until.isoformat()}]
    assert "old_secrets" not in run("subscriptions", "--json").json[0]


def test_a_disabled_subscription_says_why(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(answers(410))
    send_one(run, url=endpoint.url)
    assert "disabled: answered 410 (gone) to order.created" in run("subscriptions").out
    (only,) = run("subscriptions", "--json").json
    assert only["disabled"] == "answered 410 (gone) to order.created"


def test_an_owner_cannot_steer_the_terminal(run: Commands, thorn: Thorn) -> None:
    thorn.subscribe("*", "https://example.com/", owner="\x1b[2J\u202e")
    for ran in (run("subscriptions"), run("subscriptions", "--json")):
        assert "\x1b" not in ran.out
        assert "\u202e" not in ran.out


def test_many_rows_come_page_by_page(run: Commands, thorn: Thorn) -> None:
    for number in range(201):
        thorn.subscribe("*", f"https://example.com/{number}")
    ran = run("subscriptions")
    assert ran.out.count("https://example.com/") == 201
    assert ran.out.count(" events ") == 2


def test_listings_of_nothing_say_so(run: Commands) -> None:
    assert run("subscriptions") == Ran(0, "", "there are no subscriptions; `thornsdk subscribe` makes one\n")
    assert run("deliveries") == Ran(0, "", "there are no such deliveries\n")
    assert run("deliveries", "--json") == Ran(0, "", "")


def test_disabling_says_why_and_enabling_ends_it(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe("*", "https://example.com/")
    ran = run("subscriptions", "disable", kept.id, "--why", "they moved\x1b")
    assert ran == Ran(0, f"disabled {kept.id}: they moved\\x1b\n", "")
    assert [one.disabled for one in thorn.subscriptions()] == ["they moved\x1b"]
    assert run("subscriptions", "enable", kept.id) == Ran(0, f"enabled {kept.id}\n", "")
    assert list(thorn.subscriptions()) == [kept]


def test_machines_get_the_subscription_that_was_disabled_or_enabled(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe("*", "https://example.com/", secret="hush")
    disabled = run("subscriptions", "disable", kept.id, "--json")
    enabled = run("subscriptions", "enable", kept.id, "--json")
    assert [(one["id"], one["disabled"]) for ran in (disabled, enabled) for one in ran.json] == [
        (str(kept.id), "on request"),
        (str(kept.id), None),
    ]
    assert "hush" not in disabled.out + enabled.out


def test_rotating_prints_the_secret_that_was_made_and_when_the_old_one_ends(
    run: Commands, thorn: Thorn
) -> None:
    kept = thorn.subscribe("*", "https://example.com/", secret="hush")
    ran = run("subscriptions", "rotate-secret", kept.id)
    (one,) = thorn.subscriptions()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"id      {kept.id}",
        f"secret  {one.secrets[0].reveal()}",
        f"old     valid until {moment(one.old_secrets[0].until)}",
    ]
    assert one.old_secrets[0].until > datetime.now(UTC) + timedelta(hours=23)


def test_rotating_takes_a_secret_and_how_long_the_old_one_is_kept(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe("*", "https://example.com/", secret="old")
    ran = run("subscriptions", "rotate-secret", kept.id, "--secret", "new", "--keep-old-for", 48, "--json")
    (one,) = thorn.subscriptions()
    (old,) = one.old_secrets
    assert old.until > datetime.now(UTC) + timedelta(hours=47)
    (shown,) = ran.json
    assert shown["secrets"] == ["new"]
    assert shown["old_secrets"] == [{"secret": "old", "until": old.until.isoformat()}]


def test_an_old_secret_that_is_kept_for_no_time_is_gone(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe("*", "https://example.com/", secret="old")
    ran = run("subscriptions", "rotate-secret", kept.id, "--secret", "new", "--keep-old-for", 0)
    assert ran == Ran(0, f"id      {kept.id}\nsecret  new\n", "")
    assert [one.old_secrets for one in thorn.subscriptions()] == [()]


@pytest.mark.parametrize("hours", ["-1", "8761", "nan", "soon"])
def test_hours_that_make_no_sense_are_exit_code_2(run: Commands, hours: str) -> None:
    ran = run("subscriptions", "rotate-secret", uuid4(), "--keep-old-for", hours)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: Invalid value for '--keep-old-for'")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate", 10], "10 per second, 10 at once"),
        (["--rate", 0.5, "--burst", 3, "--in-flight", 2], "0.5 per second, 3 at once, 2 in flight"),
        (["--in-flight", 2], "2 in flight"),
        ([], "no limit"),
    ],
)
def test_limiting_says_what_is_true_from_now_on(
    run: Commands, thorn: Thorn, options: list[object], said: str
) -> None:
    kept = thorn.subscribe("*", "https://example.com/", rate_limit=7, max_in_flight=9)
    assert run("subscriptions", "limit", kept.id, *options) == Ran(0, f"limited {kept.id}: {said}\n", "")
    expected: dict[object, object] = dict(zip(options[::2], options[1::2], strict=True))
    (one,) = thorn.subscriptions()
    assert (one.rate_limit.per_second if one.rate_limit else None) == expected.get("--rate")
    assert one.max_in_flight == expected.get("--in-flight")


def test_machines_get_the_subscription_that_was_limited(run: Commands, thorn: Thorn) -> None:
    kept = thorn.subscribe("*", "https://example.com/", secret="hush")
    ran = run("subscriptions", "limit", kept.id, "--rate", 5, "--burst", 2, "--in-flight", 3, "--json")
    (one,) = ran.json
    assert (one["rate_limit"], one["max_in_flight"]) == ({"per_second": 5.0, "burst": 2}, 3)
    assert "hush" not in ran.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--burst", 3], "--burst needs --rate"),
        (["--rate", 0], "a rate limit of 0.0 per second"),
        (["--rate", "nan"], "a rate limit of nan per second"),
        (["--in-flight", 0], "max_in_flight is 0"),
    ],
)
def test_a_limit_that_is_none_changes_nothing(
    run: Commands, thorn: Thorn, options: list[object], told: str
) -> None:
    kept = thorn.subscribe("*", "https://example.com/")
    ran = run("subscriptions", "limit", kept.id, *options)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert list(thorn.subscriptions()) == [kept]


@pytest.mark.parametrize("option", [["--store", "sqlite:///other.db"], ["--secrets"], ["--json"]])
def test_an_option_before_the_subcommand_is_an_error_and_never_ignored(
    run: Commands, thorn: Thorn, option: list[str]
) -> None:
    kept = thorn.subscribe("*", "https://example.com/")
    ran = run("subscriptions", *option, "disable", kept.id)
    told = "options go behind the subcommand: thornsdk subscriptions disable ID --store URL"
    assert ran == Ran(2, "", f"error: {told} (thornsdk subscriptions --help)\n")
    assert list(thorn.subscriptions()) == [kept]


def test_a_subcommand_works_on_the_store_that_is_given(run: Commands, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/other.db"
    with Thorn(store=store) as other:
        kept = other.subscribe("*", "https://example.com/")
        run("subscriptions", "disable", kept.id, "--store", store)
        assert [one.active for one in other.subscriptions()] == [False]


def test_a_static_subscriber_is_disabled_by_way_of_the_store(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"*": {"url": "https://example.com/", "secret": "s", "id": str(STATIC)}}
    monkeypatch.setenv("THORN_SUBSCRIBERS", json.dumps(entry))
    run("subscriptions", "disable", STATIC)
    assert [(one["id"], one["disabled"]) for one in run("subscriptions", "--json").json] == [
        (str(STATIC), "on request")
    ]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_unsubscribing_removes_it(run: Commands, thorn: Thorn, flags: list[str]) -> None:
    kept = thorn.subscribe("*", "https://example.com/")
    ran = run("unsubscribe", kept.id, *flags)
    assert ran.code == 0
    assert str(kept.id) in ran.out
    assert list(thorn.subscriptions()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["unsubscribe"],
        ["replay"],
        ["subscriptions", "enable"],
        ["subscriptions", "disable"],
        ["subscriptions", "rotate-secret"],
    ],
)
def test_what_the_store_does_not_know_is_exit_code_1(run: Commands, command: list[str]) -> None:
    unknown = uuid4()
    ran = run(*command, unknown)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: there is no ")
    assert str(unknown) in ran.err


def test_deliveries_tell_what_became_of_each(run: Commands, endpoint: Endpoint) -> None:
    fails_once(endpoint)
    delivery = send_one(run, url=endpoint.url)
    ran = run("deliveries")
    assert f"{delivery}" in ran.out
    assert "↻ retry" in ran.out
    assert "503" in ran.out
    assert "again at 20" in ran.out
    (only,) = run("deliveries", "--json").json
    assert (only["delivery"], only["outcome"], only["status"]) == (str(delivery), "retry", 503)


def test_deliveries_are_chosen_by_state_and_number(run: Commands, endpoint: Endpoint) -> None:
    fails_once(endpoint)
    send_one(run, url=endpoint.url)
    run("send", "order.created", "--data", "2")
    assert [one["outcome"] for one in run("deliveries", "--json").json] == ["delivered", "retry"]
    assert [one["outcome"] for one in run("deliveries", "--json", "--limit", 1).json] == ["delivered"]
    assert [one["outcome"] for one in run("deliveries", "--json", "--state", "pending").json] == ["retry"]
    assert "again" not in run("deliveries", "--state", "delivered").out


@pytest.mark.parametrize("columns", ["80", "100", "160"])
def test_the_id_of_a_delivery_stays_whole_on_every_terminal(
    run: Commands, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    delivery = send_one(run, url=endpoint.url)
    monkeypatch.setenv("COLUMNS", columns)
    lines = run("deliveries").out.splitlines()
    assert any(str(delivery) in line for line in lines)
    assert max(map(len, lines)) <= int(columns)


def test_replay_sends_a_delivery_again_under_its_id(run: Commands, endpoint: Endpoint) -> None:
    delivery = send_one(run, url=endpoint.url)
    ran = run("replay", delivery)
    assert ran.code == 0
    assert ran.out.startswith(f"✓ delivered  {endpoint.origin}  200  ")
    assert ran.out.endswith("attempt 2\n")
    assert [seen.header("Hook-Delivery") for seen in endpoint.seen] == [str(delivery)] * 2


def test_a_replay_that_does_not_arrive_is_exit_code_1(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(answers(500))
    delivery = send_one(run, url=endpoint.url)
    ran = run("replay", delivery, "--json")
    assert ran.code == 1
    assert [(one["attempt"], one["status"]) for one in ran.json] == [(2, 500)]


def test_retry_attempts_what_is_due_and_prints_the_tally(run: Commands, endpoint: Endpoint) -> None:
    fails_once(endpoint)
    send_one(run, url=endpoint.url)
    ran = run("retry")
    assert ran.code == 0
    first, last = ran.out.splitlines()
    assert first.startswith(f"✓ delivered  {endpoint.origin}  200  ")
    assert last == "1 delivered"


def test_machines_get_the_tally_of_a_retry_in_the_last_line(run: Commands, endpoint: Endpoint) -> None:
    endpoint.behave(answers(500))
    delivery = send_one(run, url=endpoint.url)
    ran = run("retry", "--json")
    assert ran.code == 1
    first, last = ran.json
    assert (first["delivery"], first["attempt"], first["outcome"]) == (str(delivery), 2, "retry")
    assert last == {"delivered": 0, "retry": 1, "failed": 0, "blocked": 0}


def test_where_nothing_is_due_retry_says_so(run: Commands) -> None:
    assert run("retry") == Ran(0, "", "nothing is due\n")
