from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Commands, Screen, broken_pipe, run_process, store_url
from thornsdk import Thorn
from thornsdk.receive import verify
from thornsdk.testing import Endpoint, answers
from thornsdk.testing.fixtures import OpenEndpoint


@pytest.fixture
def stored(tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Thorn]:
    """A store that the environment names, and that may send to the endpoint."""
    monkeypatch.setenv("THORN_STORE", store_url(tmp_path))
    monkeypatch.setenv("THORN_ALLOW_NETWORKS", "127.0.0.1")
    monkeypatch.setenv("THORN_ALLOW_PORTS", str(endpoint.port))
    with Thorn() as thorn:
        yield thorn


def opened(*endpoints: Endpoint) -> list[str]:
    ports = [part for one in endpoints for part in ("--allow-port", str(one.port))]
    urls = [part for one in endpoints for part in ("--to", one.url)]
    return ["--allow-network", "127.0.0.1", *ports, *urls]


def test_it_sends_and_tells_each_delivery(endpoint: Endpoint) -> None:
    args = ["order.created", "--data", '{"id": 42}', "--secret", "s3cret", *opened(endpoint)]
    ran = run_process("send", *args)
    assert (ran.code, ran.err) == (0, "")
    first, last = ran.out.splitlines()
    assert first.startswith(f"✓ delivered  {endpoint.origin}  200  ")
    assert last == "1 delivered"
    (seen,) = endpoint.seen
    assert verify(seen.headers, seen.body, secrets="s3cret").event == "order.created"
    assert seen.body == b'{"id":42}'


def test_machines_get_one_line_for_each_delivery(run: Commands, open_endpoint: OpenEndpoint) -> None:
    good, bad = open_endpoint(), open_endpoint(answers(500))
    ran = run("send", "order.created", "--data", "1", "--secret", "s", "--json", *opened(good, bad))
    assert ran.code == 1
    assert {(one["origin"], one["outcome"], one["reason"], one["status"]) for one in ran.json} == {
        (good.origin, "delivered", "accepted", 200),
        (bad.origin, "failed", "status", 500),
    }
    for one in ran.json:
        assert {"delivery", "subscription", "attempt", "duration_ms"} <= set(one)


def test_a_secret_is_made_and_shown_where_none_is_given(run: Commands, endpoint: Endpoint) -> None:
    ran = run("send", "order.created", "--data", "1", *opened(endpoint))
    made = ran.err.removeprefix("signed with a new secret: ").strip()
    assert made.startswith("whsec_")
    (seen,) = endpoint.seen
    verify(seen.headers, seen.body, secrets=made)


@pytest.mark.parametrize("data", ["@FILE", "-"])
def test_data_comes_from_a_file_or_from_stdin(
    run: Commands, endpoint: Endpoint, tmp_path: Path, data: str
) -> None:
    (tmp_path / "data.json").write_text('["é"]')
    given = data.replace("FILE", str(tmp_path / "data.json"))
    ran = run("send", "x", "--data", given, *opened(endpoint), stdin='["é"]'.encode())
    assert ran.code == 0
    assert endpoint.seen[0].body == '["é"]'.encode()


@pytest.mark.parametrize(
    ("url", "reason", "advice"),
    [
        ("http://127.0.0.2/", "address_forbidden", "--allow-network and --allow-port allow more"),
        ("http://a:81/", "port_forbidden", "--allow-network and --allow-port allow more"),
        ("ftp://a/", "scheme_forbidden", ""),
    ],
)
def test_what_policy_forbids_is_told_and_the_others_get_theirs(
    run: Commands, endpoint: Endpoint, url: str, reason: str, advice: str
) -> None:
    ran = run("send", "x", "--data", "1", "--to", url, "--secret", "s", "--json", *opened(endpoint))
    told = sorted((one["outcome"], one["reason"]) for one in ran.json)
    assert (ran.code, told) == (1, [("blocked", reason), ("delivered", "accepted")])
    assert bool(ran.err) == bool(advice)
    assert advice in ran.err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["x", "--data", "{"], "--data is not JSON: Expecting property name enclosed in double quotes: "),
        (["x", "--data", "NaN"], "--data is not JSON: NaN has no place in it"),
        (["x", "--data", "[" * 100_000], "--data is not JSON that can be read: it is nested too deeply"),
        (["x", "--data", b"\xff".decode(errors="surrogateescape")], "--data is not JSON: "),
        (["x", "--data", "@/nowhere.json"], "/nowhere.json cannot be read: No such file or directory"),
        (["x", "--data", "1", "--to", "example.com"], "this URL cannot be used: it must start with a scheme"),
        (["x", "--data", "1", "--to", "http://a/", "--secret", ""], "a secret must not be empty"),
        (["x.*", "--data", "1", "--to", "http://a/"], "'x.*' cannot be the name of an event"),
        (["x", "--data", "1", "--secret", "s"], "--secret goes with --to"),
        (
            ["x", "--data", "1", "--store", "memory", "--to", "http://a/"],
            "--to and --store exclude each other",
        ),
        (["x", "--data", "1", "--allow-network", "lan"], "--allow-network takes an address range"),
        (["x", "--data", "1", "--to", "http://a:b@c/"], "this URL cannot be used: it has a user name"),
    ],
)
def test_what_cannot_be_sent_is_one_line_and_exit_code_2(run: Commands, args: list[str], told: str) -> None:
    ran = run("send", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {told}")
    assert ran.err.count("\n") == 1


def test_where_nothing_matches_it_says_so(run: Commands) -> None:
    ran = run("send", "order.created", "--data", "1")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == (
        "nothing was sent: no subscription wants order.created; --to gives a URL, --store a store\n"
    )


def test_it_sends_to_the_subscriptions_of_the_store(run: Commands, stored: Thorn, endpoint: Endpoint) -> None:
    subscription = stored.subscribe("order.*", endpoint.url)
    ran = run("send", "order.created", "--data", "1", "--json")
    assert ran.code == 0
    assert [one["subscription"] for one in ran.json] == [str(subscription.id)]


def test_what_the_store_keeps_is_attempted_again_later(
    run: Commands, stored: Thorn, endpoint: Endpoint
) -> None:
    endpoint.behave(answers(503))
    stored.subscribe("*", endpoint.url)
    ran = run("send", "order.created", "--data", "1")
    assert ran.code == 1
    assert ran.out.startswith(f"↻ retry      {endpoint.origin}  503  ")
    assert "again at 20" in ran.out


def test_tenants_are_reached_when_they_are_named(run: Commands, stored: Thorn, endpoint: Endpoint) -> None:
    stored.subscribe("*", endpoint.url, owner="acme")
    stored.subscribe("*", endpoint.url, owner="globex")
    counts = [
        len(run("send", "x", "--data", "1", "--json", *flags).json)
        for flags in ([], ["--sender", "acme"], ["--broadcast"])
    ]
    assert counts == [0, 1, 2]


def test_to_leaves_static_subscribers_and_other_dispatchers_aside(
    run: Commands, open_endpoint: OpenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    static, named = open_endpoint(), open_endpoint()
    monkeypatch.setenv("THORN_SUBSCRIBERS", f'{{"*": {{"url": "{static.url}", "secret": "s"}}}}')
    monkeypatch.setenv("THORN_DISPATCHER", "disabled")
    ran = run("send", "x", "--data", "1", *opened(named))
    assert ran.code == 0
    assert (len(static.seen), len(named.seen)) == (0, 1)


def test_people_see_a_count_while_it_goes_on(
    run: Commands, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ran = run("send", "x", "--data", "1", *opened(endpoint))
    assert "\x1b[32m✓ delivered\x1b[0m" in ran.out
    assert "\x1b[?25l" in ran.out  # The cursor is hidden while the counting line moves,
    assert "\x1b[?25h" in ran.out  # and comes back.


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_all_is_sent_even_when_nobody_reads_the_output(
    run: Commands, stored: Thorn, endpoint: Endpoint, flags: list[str]
) -> None:
    for _ in range(3):
        stored.subscribe("*", endpoint.url)
    with broken_pipe() as nobody:
        code = run.printing_to(nobody, Screen(), "send", "x", "--data", "1", *flags)
    assert code == 0
    assert len(endpoint.seen) == 3


def test_one_that_is_disabled_is_told_as_skipped_and_is_no_failure(
    run: Commands, stored: Thorn, endpoint: Endpoint
) -> None:
    stored.subscribe("*", endpoint.url)
    stored.disable(stored.subscribe("*", endpoint.url).id, why="they moved")
    ran = run("send", "order.created", "--data", "1")
    assert ran.code == 0
    assert f"○ skipped    {endpoint.origin}  subscription_disabled  0 ms  they moved\n" in ran.out
    assert ran.out.endswith("1 delivered · 1 skipped\n")
    assert ran.err == "what is skipped is kept: enable the subscription, and replay what is cancelled\n"


def test_machines_are_told_what_is_skipped_by_its_reason(
    run: Commands, stored: Thorn, endpoint: Endpoint
) -> None:
    stored.disable(stored.subscribe("*", endpoint.url).id)
    ran = run("send", "order.created", "--data", "1", "--json")
    assert ran.code == 0
    (only,) = ran.json
    assert (only["attempt"], only["reason"]) == (0, "subscription_disabled")
    assert "nothing was sent" not in ran.err
