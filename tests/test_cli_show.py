from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.commands import Commands
from thornsdk.cli.show import printable
from thornsdk.settings import setting_fields, setting_name


def refuse(url: object) -> None:
    """A recipient validator."""


@given(st.text(alphabet=st.characters()))
def test_what_is_printed_is_one_line_that_steers_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_what_is_harmless_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


def by_name(run: Commands) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in run("settings", "--json").json}


def test_settings_lists_every_setting_with_its_meaning(run: Commands) -> None:
    told = by_name(run)
    assert list(told) == [setting_name(one) for one in setting_fields()]
    assert all(one["value"] == one["default"] and one["from"] == "default" for one in told.values())
    assert all(one["takes"] and one["meaning"] for one in told.values())


def test_settings_tells_what_is_in_effect_and_from_where(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORN_CONCURRENCY", "8")
    told = by_name(run)["THORN_CONCURRENCY"]
    assert (told["value"], told["default"], told["from"]) == (8, 128, "environment")
    assert "THORN_CONCURRENCY = 8  from the environment; default 128\n" in run("settings").out


def test_settings_hides_what_is_secret(run: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORN_SECRET", "hush")
    monkeypatch.setenv("THORN_SUBSCRIBERS", '{"*": {"url": "https://a/", "secret": "hush"}}')
    told = by_name(run)
    assert [told[name]["value"] for name in ("THORN_SECRET", "THORN_SUBSCRIBERS")] == ["(hidden)"] * 2
    assert "hush" not in run("settings").out


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RETRY", "no", ("false", False)),
        ("ALLOW_NETWORKS", "10.0.0.0/8", ("10.0.0.0/8", ["10.0.0.0/8"])),
        ("ALLOW_PORTS", "443,80", ("80, 443", [80, 443])),
        ("CODECS", '{"a/b": "json"}', ("a/b: json", {"a/b": "json"})),
        (
            "RECIPIENT_VALIDATORS",
            "test_cli_show:refuse",
            ("test_cli_show:refuse", ["test_cli_show:refuse"]),
        ),
        ("SIGNERS", "", ("none", [])),
        ("CA_BUNDLE", "a\x1bb", ("a\\x1bb", "a\x1bb")),
    ],
)
def test_values_are_shown_as_they_are_given(
    run: Commands, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: tuple[str, object]
) -> None:
    monkeypatch.setenv(f"THORN_{name}", value)
    shown, plain = told
    assert f"THORN_{name} = {shown}  from the environment" in run("settings").out
    assert by_name(run)[f"THORN_{name}"]["value"] == plain
