from pathlib import Path

import pytest

from support.commands import Commands
from support.distributions import PIGEON, Distributions
from thornsdk import VERSION
from thornsdk.plugins import KINDS

OWL = PIGEON.replace('"pigeon"', '"owl"')
TWO_KINDS = """
    from thornsdk import Plugin, Provided, hookimpl

    class BirdPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context):
            raise LookupError("no pigeons")

        @hookimpl
        def thornsdk_signers(self, context):
            return [Provided("quill", object, "Signs with a feather.")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distributions:
    """Installs distributions on a path of the test's own."""
    return Distributions(tmp_path, monkeypatch)


def of_strangers(run: Commands) -> list[dict[str, object]]:
    """What is listed that is not ours; of each, all but what is empty."""
    listed = [one for one in run("plugins", "--json").json if one["distribution"] != "thornsdk"]
    return [{key: value for key, value in one.items() if value} for one in listed]


def test_every_stage_is_listed_with_who_provides_it(run: Commands) -> None:
    ran = run("plugins", "--json")
    found = {(one["stage"], one["name"], one["plugin"]) for one in ran.json}
    assert {
        ("serializer", "json", "json"),
        ("signer", "hook-hmac", "hook-hmac"),
        ("transport", "urllib3", "urllib3"),
        ("dispatcher", "default", "default"),
        ("store", "sqlite", "sqlite"),
    } <= found
    assert all(one["distribution"] == "thornsdk" and one["version"] == VERSION for one in ran.json)
    assert all(one["summary"] and one["status"] == "loaded" and not one["problem"] for one in ran.json)


def test_people_get_a_table_by_kind_of_stage(run: Commands) -> None:
    ran = run("plugins")
    head, _, *rows = [line for line in ran.out.splitlines() if line.strip()]
    assert (ran.code, ran.err) == (0, "")
    assert head.split() == ["stage", "name", "distribution", "status"]
    kinds = [row.split()[0] for row in rows]
    assert list(dict.fromkeys(kinds)) == list(KINDS)
    assert f"json                thornsdk {VERSION}   ✓ Writes payloads as JSON." in ran.out


def test_the_table_fits_a_narrow_terminal_and_has_no_colour_in_a_pipe(
    run: Commands, install: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken-post", "broken_post", "1 / 0", "broken = broken_post:Plugin")
    monkeypatch.setenv("COLUMNS", "80")
    out = run("plugins").out
    assert max(map(len, out.splitlines())) == 80
    assert "\x1b" not in out
    assert "✗ ZeroDivisionError:" in out


def test_a_plugin_that_is_broken_hides_no_other(run: Commands, install: Distributions) -> None:
    install("broken-post", "broken_post", "1 / 0", "broken = broken_post:Plugin", version="2.3")
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    ran = run("plugins")
    assert (ran.code, ran.err) == (0, "`thornsdk plugins check` says what to do\n")
    assert of_strangers(run) == [
        {
            "stage": "transport",
            "name": "pigeon",
            "summary": "Sends by pigeon.",
            "plugin": "pigeon",
            "distribution": "pigeon-post",
            "version": "1.0",
            "status": "loaded",
        },
        {
            "name": "broken",
            "plugin": "broken",
            "distribution": "broken-post",
            "version": "2.3",
            "status": "broken",
            "problem": "ZeroDivisionError: division by zero (broken_post/__init__.py:1)",
        },
    ]


def test_a_hook_that_is_broken_hides_no_other_of_its_plugin(run: Commands, install: Distributions) -> None:
    install("bird-post", "bird_post", TWO_KINDS, "bird = bird_post:BirdPlugin")
    quill, broken = of_strangers(run)
    assert (quill["stage"], quill["name"], quill["status"]) == ("signer", "quill", "loaded")
    assert (broken["name"], broken["status"]) == ("bird", "broken")
    assert broken["problem"] == (
        "thornsdk_transports raised LookupError: no pigeons (bird_post/__init__.py:7)"
    )


def test_a_plugin_that_lacks_a_package_is_told_with_what_to_install(
    run: Commands, install: Distributions
) -> None:
    install("needy-post", "needy_post", "import no_such_package", "needy = needy_post:Plugin [air]")
    (needy,) = of_strangers(run)
    assert needy["status"] == "unavailable"
    assert needy["problem"] == "No module named 'no_such_package': pip install 'needy-post[air]'"


def test_a_plugin_that_is_blocked_is_listed_as_such(
    run: Commands, install: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken-post", "broken_post", "1 / 0", "broken = broken_post:Plugin")
    monkeypatch.setenv("THORN_PLUGINS_BLOCK", "broken,sqlite")
    blocked = [one["plugin"] for one in run("plugins", "--json").json if one["status"] == "blocked"]
    assert blocked == ["broken", "sqlite"]
    ran = run("plugins")
    assert "⊘ left out by THORN_PLUGINS_BLOCK" in ran.out
    assert ran.err == ""


def test_plugins_that_clash_are_both_listed_with_the_other(run: Commands, install: Distributions) -> None:
    install("bird-post", "bird_post", PIGEON, "pigeon = bird_post:PigeonPlugin")
    install("dove-post", "dove_post", PIGEON, "dove = dove_post:PigeonPlugin")
    assert [(one["distribution"], one["status"], one["problem"]) for one in of_strangers(run)] == [
        ("bird-post", "clash", "plugin 'dove' of dove-post 1.0 provides it too"),
        ("dove-post", "clash", "plugin 'pigeon' of bird-post 1.0 provides it too"),
    ]


def test_a_plugin_that_provides_nothing_is_listed(run: Commands, install: Distributions) -> None:
    code = PIGEON.replace("return [", "return [] and [")
    install("idle-post", "idle_post", code, "idle = idle_post:PigeonPlugin")
    (idle,) = of_strangers(run)
    assert (idle["plugin"], idle["status"], idle["problem"]) == ("idle", "empty", "provides nothing")
    assert "○ provides nothing" in run("plugins").out


def test_a_plugin_without_a_hook_is_listed_as_such(run: Commands, install: Distributions) -> None:
    install("idle-post", "idle_post", "from thornsdk import Plugin", "idle = idle_post:Plugin")
    (idle,) = of_strangers(run)
    assert (idle["status"], idle["problem"]) == ("empty", "has no hook, so it provides nothing")


def test_what_a_stranger_says_cannot_steer_the_terminal(run: Commands, install: Distributions) -> None:
    code = PIGEON.replace("Sends by pigeon.", "Sends\\x1b[2J\\nby pigeon.")
    install("pigeon-post", "pigeon_post", code, "pigeon = pigeon_post:PigeonPlugin")
    assert "✓ Sends\\x1b[2J\\nby pigeon." in run("plugins").out
