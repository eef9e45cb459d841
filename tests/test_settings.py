import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import attrs
import pytest

from thornsdk import URL, AddressRules, RetryPolicy, Secret, Settings
from thornsdk.errors import SettingError
from thornsdk.setting_kinds import full_name, load_callable
from thornsdk.settings import SettingsOptions, setting_fields, setting_name

SCHEDULE = {"THORN_RETRY_SCHEDULE": [1]}
TEN, DOC = ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")


def a_validator(url: URL) -> None:
    pass


NOT_CALLABLE = 5


def read(name: str, value: object) -> object:
    settings = Settings.from_mapping({f"THORN_{name}": value})
    return getattr(settings, name.lower())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DISPATCHER", " disabled ", "disabled"),
        ("STORE", "sqlite:///thorn.db", "sqlite:///thorn.db"),
        ("TRANSPORT", "urllib3, kafka,", ("urllib3", "kafka")),
        ("TRANSPORT", '["urllib3"]', ("urllib3",)),
        ("SIGNERS", "hook-hmac", ("hook-hmac",)),
        ("SIGNERS", "", ()),
        ("OBSERVERS", "one,two", ("one", "two")),
        ("CODECS", '{"application/json": "json"}', {"application/json": "json"}),
        ("SUBSCRIBERS", '{"order.*": ["https://a.example/"]}', {"order.*": ["https://a.example/"]}),
        ("SUBSCRIBERS", "{}", {}),
        ("SECRET", "hunter2", Secret("hunter2")),
        ("EVENT_TIMEOUT", "2.5", 2.5),
        ("EVENT_TIMEOUT", "3600", 3600.0),
        ("RETRY", "1", True),
        ("RETRY", "True", True),
        ("RETRY", "yes", True),
        ("RETRY", "ON", True),
        ("RETRY", "0", False),
        ("RETRY", "false", False),
        ("RETRY", "no", False),
        ("RETRY", "off", False),
        ("DISABLE_AFTER", "3600", 3600.0),
        ("DISABLE_AFTER", "none", None),
        ("DISABLE_AFTER", None, None),
        ("BREAKER_FAILURES", "0", 0),
        ("BREAKER_PAUSE", "3600", 3600.0),
        ("RETRY_MAX", "0", 0),
        ("RETRY_MAX", "1000", 1000),
        ("RETRY_DELAY", "0.5", 0.5),
        ("RETRY_SCHEDULE", "5, 300,1800", (5.0, 300.0, 1800.0)),
        ("RETRY_SCHEDULE", "[5, 300.5]", (5.0, 300.5)),
        ("RETRY_SCHEDULE", "", ()),
        ("RECIPIENT_VALIDATORS", f"{__name__}:a_validator", (a_validator,)),
        ("ALLOW_NETWORKS", "10.0.0.0/8,2001:db8::/32", (TEN, DOC)),
        ("BLOCK_NETWORKS", '["10.0.0.0/8"]', (TEN,)),
        ("ALLOW_SCHEMES", "HTTPS,kafka", frozenset({"https", "kafka"})),
        ("ALLOW_PORTS", "80,8443", frozenset({80, 8443})),
        ("CONCURRENCY", "1", 1),
        ("CONCURRENCY", "1000", 1000),
        ("CONCURRENCY_PER_ORIGIN", "8", 8),
        ("IDLE_CONNECTIONS", "0", 0),
        ("IDLE_CONNECTIONS", "10000", 10_000),
        ("IDLE_TIMEOUT", "4.5", 4.5),
        ("CA_BUNDLE", "/etc/ca.pem", "/etc/ca.pem"),
        ("CLIENT_CERTIFICATES", '{"acme": "/etc/acme.pem"}', {"acme": "/etc/acme.pem"}),
        ("FILTERING_PROXY", "http://Proxy.internal:4750/", "http://proxy.internal:4750"),
        ("CHUNKSIZE", "1", 1),
        ("CHUNKSIZE", "10000", 10_000),
        ("BROKER_URL", "redis://localhost/0", "redis://localhost/0"),
        ("BROKER_FALLBACK", "yes", True),
        ("LANES", "1", 1),
        ("LANES", "1000", 1000),
        ("PLUGINS_BLOCK", "one,two", frozenset({"one", "two"})),
    ],
)
def test_a_setting_is_read_from_the_environment(name: str, text: str, value: object) -> None:
    settings = Settings.from_environ({f"THORN_{name}": text})
    assert getattr(settings, name.lower()) == value
    assert settings.given == {name.lower()}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("TRANSPORT", ["urllib3"], ("urllib3",)),
        ("SIGNERS", (), ()),
        ("CODECS", {"text/x": "json"}, {"text/x": "json"}),
        ("SUBSCRIBERS", {"order.*": a_validator}, {"order.*": a_validator}),
        ("SECRET", Secret("hunter2"), Secret("hunter2")),
        ("SECRET", None, None),
        ("EVENT_TIMEOUT", 3, 3.0),
        ("RETRY", False, False),
        ("RETRY_MAX", None, None),
        ("RETRY_MAX", 3, 3),
        ("RETRY_DELAY", None, None),
        ("RETRY_DELAY", 0, 0.0),
        ("RETRY_SCHEDULE", None, None),
        ("RETRY_SCHEDULE", (1, 2.5), (1.0, 2.5)),
        ("RETRY_SCHEDULE", {1: "one"}.keys(), (1.0,)),
        ("RECIPIENT_VALIDATORS", [a_validator], (a_validator,)),
        ("ALLOW_NETWORKS", [TEN, "2001:db8::/32"], (TEN, DOC)),
        ("ALLOW_SCHEMES", None, None),
        ("ALLOW_SCHEMES", {"https"}, frozenset({"https"})),
        ("ALLOW_PORTS", range(1, 3), frozenset({1, 2})),
        ("ALLOW_PORTS", [65535], frozenset({65535})),
        ("CA_BUNDLE", None, None),
        ("CLIENT_CERTIFICATES", {}, {}),
        ("FILTERING_PROXY", None, None),
        ("CHUNKSIZE", 100, 100),
        ("BROKER_URL", None, None),
        ("BROKER_FALLBACK", False, False),
        ("LANES", 4, 4),
        ("PLUGINS_BLOCK", {"one"}, frozenset({"one"})),
    ],
)
def test_a_setting_is_read_from_a_python_value(name: str, given: object, value: object) -> None:
    assert read(name, given) == value


TAKES = {setting_name(one): one.metadata["takes"] for one in setting_fields()}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("DISPATCHER", ""),
        ("DISPATCHER", " "),
        ("DISPATCHER", 5),
        ("STORE", None),
        ("TRANSPORT", ""),
        ("TRANSPORT", []),
        ("TRANSPORT", 5),
        ("TRANSPORT", b"urllib3"),
        ("TRANSPORT", {"urllib3": 1}),
        ("SIGNERS", "[broken"),
        ("SIGNERS", "[5]"),
        pytest.param("SIGNERS", "[" * 100_000, id="nested too deep to be read"),
        ("OBSERVERS", None),
        ("CODECS", "{}"),
        ("CODECS", "json"),
        ("CODECS", "[]"),
        ("CODECS", {"text/x": 5}),
        ("CODECS", {5: "json"}),
        ("EVENT_TIMEOUT", "0"),
        ("EVENT_TIMEOUT", -1),
        ("EVENT_TIMEOUT", "3600.1"),
        ("EVENT_TIMEOUT", "nan"),
        ("EVENT_TIMEOUT", "ten"),
        ("EVENT_TIMEOUT", True),
        ("EVENT_TIMEOUT", None),
        ("EVENT_TIMEOUT", 10**1000),
        ("RETRY", "maybe"),
        ("RETRY", ""),
        ("RETRY", 1),
        ("RETRY_MAX", "-1"),
        ("RETRY_MAX", 1001),
        ("RETRY_MAX", "1.5"),
        ("RETRY_MAX", 1.0),
        ("RETRY_MAX", True),
        ("DISABLE_AFTER", 0),
        ("DISABLE_AFTER", "never"),
        ("BREAKER_FAILURES", -1),
        ("BREAKER_PAUSE", 0),
        ("BREAKER_PAUSE", 3601),
        ("RETRY_DELAY", "-1"),
        ("RETRY_DELAY", "inf"),
        ("RETRY_DELAY", "nan"),
        ("RETRY_DELAY", 31_536_001),
        ("RETRY_SCHEDULE", "5,-1"),
        ("RETRY_SCHEDULE", "5 s"),
        ("RETRY_SCHEDULE", 5),
        ("RECIPIENT_VALIDATORS", "not-a-reference"),
        ("RECIPIENT_VALIDATORS", [5]),
        ("ALLOW_NETWORKS", "10.0.0.1/8"),
        ("ALLOW_NETWORKS", "example.com"),
        ("BLOCK_NETWORKS", 5),
        ("ALLOW_SCHEMES", [5]),
        ("ALLOW_PORTS", "0"),
        ("ALLOW_PORTS", [65536]),
        ("ALLOW_PORTS", "http"),
        ("ALLOW_PORTS", 80),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", 1001),
        ("CONCURRENCY", "many"),
        ("CONCURRENCY_PER_ORIGIN", 0),
        ("IDLE_CONNECTIONS", "-1"),
        ("IDLE_CONNECTIONS", 10_001),
        ("IDLE_TIMEOUT", "-1"),
        ("CA_BUNDLE", ""),
        ("CLIENT_CERTIFICATES", "/etc/acme.pem"),
        ("CLIENT_CERTIFICATES", {"acme": ""}),
        ("CHUNKSIZE", "0"),
        ("CHUNKSIZE", 10_001),
        ("CHUNKSIZE", "all"),
        ("CHUNKSIZE", None),
        ("BROKER_FALLBACK", "perhaps"),
        ("BROKER_FALLBACK", 1),
        ("LANES", "0"),
        ("LANES", 1001),
        ("LANES", 1.5),
        ("PLUGINS_BLOCK", 5),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_setting_the_value_and_what_it_takes(
    name: str, given: object
) -> None:
    full = f"THORN_{name}"
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({full: given})
    assert str(caught.value) == f"{full} is {given!r}; it takes {TAKES[full]}"
    assert (caught.value.name, caught.value.value, caught.value.takes) == (full, repr(given), TAKES[full])


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("SECRET", "whsec_hunter2!", "a secret that starts with whsec_ must go on as base64"),
        ("SECRET", "whsec_", "a secret must not be empty"),
        ("SECRET", "hunter2\udcff", "a secret has a lone surrogate"),
        ("SECRET", "  ", ""),
        ("SECRET", 5, ""),
        ("SUBSCRIBERS", '{"order.*": "https://user:hunter2@a.example"', ""),
        ("SUBSCRIBERS", "https://user:hunter2@a.example", ""),
        ("SUBSCRIBERS", ["hunter2"], ""),
        ("SUBSCRIBERS", {5: "hunter2"}, ""),
        ("FILTERING_PROXY", "http://proxy:1/hunter2", ""),
        ("FILTERING_PROXY", "https://proxy:1", ""),
        ("FILTERING_PROXY", "http://user:hunter2@proxy:1", "this URL cannot be used: it has a user name"),
        ("BROKER_URL", "", ""),
        ("BROKER_URL", 5, ""),
        ("BROKER_URL", ["redis://:hunter2@localhost/0"], ""),
    ],
)
def test_a_hidden_value_is_never_shown(name: str, given: object, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({f"THORN_{name}": given})
    assert str(caught.value).startswith(f"THORN_{name} is (hidden); it takes {TAKES[f'THORN_{name}']}")
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_settings_show_no_hidden_value() -> None:
    settings = Settings.from_mapping(
        {
            "THORN_SECRET": "hunter2",
            "THORN_SUBSCRIBERS": {"*": "https://a.example/?key=hunter2"},
            "THORN_BROKER_URL": "redis://:hunter2@localhost/0",
        }
    )
    assert "hunter2" not in repr(settings)


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({"THORN_CONCURENCY": "8"})
    assert str(caught.value) == f"THORN_CONCURENCY is not a setting; it takes one of {', '.join(TAKES)}"


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environ({"PATH": "/bin", "thorn_store": "x", "XTHORN_STORE": "y"}) == Settings()
    monkeypatch.setenv("THORN_CONCURRENCY", "7")
    assert Settings.from_environ().concurrency == 7


def test_options_are_settings_by_their_names_in_lower_case() -> None:
    assert Settings.from_options({"retry_max": 3, "store": "memory"}) == Settings.from_mapping(
        {"THORN_RETRY_MAX": 3, "THORN_STORE": "memory"}
    )


def test_the_options_have_exactly_the_names_of_the_settings() -> None:
    assert set(SettingsOptions.__annotations__) == {one.name for one in setting_fields()}


def test_every_field_but_what_was_given_is_a_setting_with_a_meaning() -> None:
    fields = attrs.fields(Settings)
    assert {one.name for one in fields} - {one.name for one in setting_fields()} == {"given"}
    assert all(one.metadata["doc"].endswith(".") and one.metadata["takes"] for one in setting_fields())


@pytest.mark.parametrize("one", setting_fields(), ids=lambda one: one.name)
def test_every_default_can_be_given_as_it_is(one: "attrs.Attribute[object]") -> None:
    assert read(one.name.upper(), one.default) == one.default


def test_what_is_laid_over_wins_and_what_was_not_given_does_not() -> None:
    over = Settings.from_mapping({"THORN_STORE": "memory", "THORN_CONCURRENCY": 32})
    under = Settings.from_mapping({"THORN_CONCURRENCY": 5, "THORN_RETRY": False})
    both = over.over(under)
    assert (both.concurrency, both.retry, both.store) == (32, False, "memory")
    assert both.given == {"store", "concurrency", "retry"}
    assert both.over(Settings.from_mapping({"THORN_STORE": "x"})).store == "memory"


@pytest.mark.parametrize("other", [{"THORN_RETRY_MAX": 1}, {"THORN_RETRY_DELAY": 1}])
def test_a_schedule_and_a_fixed_delay_exclude_each_other(other: Mapping[str, object]) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({**SCHEDULE, **other})
    assert str(caught.value) == (
        "THORN_RETRY_SCHEDULE is set together with THORN_RETRY_MAX or THORN_RETRY_DELAY; "
        "it takes effect alone: give the schedule, or the fixed number and delay"
    )


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, RetryPolicy()),
        ({"THORN_RETRY": True}, RetryPolicy()),
        ({"THORN_RETRY": False, **SCHEDULE}, RetryPolicy.never()),
        (SCHEDULE, RetryPolicy((1.0,))),
        ({"THORN_RETRY_SCHEDULE": ""}, RetryPolicy(())),
        ({"THORN_RETRY_MAX": 2}, RetryPolicy.fixed(times=2, delay=60)),
        ({"THORN_RETRY_MAX": 0}, RetryPolicy.never()),
        ({"THORN_RETRY_DELAY": 3}, RetryPolicy.fixed(times=10, delay=3)),
        ({"THORN_RETRY_DELAY": 0}, RetryPolicy.fixed(times=10, delay=0)),
        ({"THORN_RETRY_MAX": 2, "THORN_RETRY_DELAY": 3}, RetryPolicy.fixed(times=2, delay=3)),
    ],
)
def test_the_retry_settings_make_a_policy(given: Mapping[str, object], policy: RetryPolicy) -> None:
    assert Settings.from_mapping(given).retry_policy == policy


def test_the_address_settings_make_rules() -> None:
    settings = Settings.from_environ(
        {
            "THORN_ALLOW_NETWORKS": "10.0.0.0/8",
            "THORN_BLOCK_NETWORKS": "2001:db8::/32",
            "THORN_ALLOW_PORTS": "8443",
            "THORN_ALLOW_SCHEMES": "https",
        }
    )
    assert settings.address_rules == AddressRules([TEN], [DOC], [8443], frozenset({"https"}))
    assert Settings().address_rules == AddressRules()


def test_the_general_settings_make_the_terms_of_events() -> None:
    terms = Settings.from_mapping(
        {
            "THORN_EVENT_TIMEOUT": 3,
            "THORN_RETRY": False,
            "THORN_RECIPIENT_VALIDATORS": [a_validator],
        }
    ).terms
    assert (terms.timeout, terms.retry) == (3.0, RetryPolicy.never())
    assert terms.recipient_validators == (a_validator,)


def test_a_callable_is_loaded_by_its_name() -> None:
    assert load_callable(a_validator) is a_validator
    assert load_callable("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("no_such_module:name", "no_such_module:name cannot be imported: No module named 'no_such_module'"),
        (
            "json:nothing",
            "json:nothing cannot be imported: module 'json' has no attribute 'nothing'",
        ),
        (f"{__name__}:NOT_CALLABLE", f"{__name__}:NOT_CALLABLE is not callable"),
    ],
)
def test_a_callable_that_cannot_be_loaded_is_an_error_that_says_why(reference: str, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({"THORN_RECIPIENT_VALIDATORS": reference})
    assert str(caught.value) == (
        f"THORN_RECIPIENT_VALIDATORS is {reference!r}; it takes callables, or their `module:name` ({told})"
    )


class Check:
    """Can be called, and has no name of its own."""

    def __call__(self) -> None:
        pass

    def method(self) -> None:
        pass


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (json.dumps, "json:dumps"),
        (Check, f"{__name__}:Check"),
        (Check().method, f"{__name__}:Check.method"),
        (Check(), f"{__name__}:Check"),
        (partial(json.dumps), "functools:partial"),
    ],
)
def test_a_callable_has_a_name_that_is_the_same_in_every_process(
    item: Callable[..., object], name: str
) -> None:
    assert full_name(item) == name


def test_a_module_that_breaks_when_it_is_imported_is_named_without_the_text_of_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_on_import.py").write_text("raise NameError('hunter2')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError) as caught:
        Settings.from_mapping({"THORN_RECIPIENT_VALIDATORS": "breaks_on_import:name"})
    assert (
        "breaks_on_import:name cannot be imported: its module raised NameError at breaks_on_import.py:1"
    ) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "breaks_on_import" not in sys.modules


def test_a_schedule_above_puts_out_a_fixed_delay_below() -> None:
    below = Settings.from_mapping({"THORN_RETRY_MAX": "3", "THORN_RETRY_DELAY": "7"})
    above = Settings.from_mapping({"THORN_RETRY_SCHEDULE": "1,2"})
    assert above.over(below).retry_policy.schedule == (1.0, 2.0)
    assert below.over(above).retry_policy.schedule == (7.0, 7.0, 7.0)
