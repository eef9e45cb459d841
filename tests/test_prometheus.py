"""The observer ``prometheus``, with the real client."""

import gc
import json
import re
import shutil
import subprocess
import sys
import urllib.request
import weakref
from pathlib import Path

import pytest
from attrs import evolve
from prometheus_client import CollectorRegistry, Counter, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import REGISTRY

from conftest import OpenThorn
from support.scripts import running
from support.stages import make_pipeline
from support.telemetry import make_notice
from thornsdk import DeliveryRecord, Lease, OutcomeKind, Reason
from thornsdk.errors import StageUnavailableError
from thornsdk.testing import Endpoint, answers, in_turn, make_delivery, make_record, make_subscription
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins import prometheus as plugin
from thornsdk_plugins.prometheus import PrometheusObserver
from thornsdk_plugins.urllib3 import PooledTransport

ATTEMPTS = "thornsdk_attempts_total"
DURATION = "thornsdk_attempt_duration_seconds"
ENDED = "thornsdk_deliveries_ended_total"
NOTICES = "thornsdk_subscription_notices_total"

RETRIED = ATTEMPTS + '{event="a",outcome="retry",reason="timeout"}'
DELIVERED = ATTEMPTS + '{event="a",outcome="delivered",reason="accepted"}'
BROKEN = ATTEMPTS + '{event="a",outcome="failed",reason="stage_failed"}'
DISABLED = NOTICES + '{notice="disabled"}'


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def observer(registry: CollectorRegistry) -> PrometheusObserver:
    return PrometheusObserver(registry)


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Reads what a scrape gives: the samples of a name, by the values of their labels."""
    families = text_string_to_metric_families(text)
    found = [one for family in families for one in family.samples if one.name == name]
    return {tuple(one.labels.values()): one.value for one in found if one.value}


def scraped(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    return samples(generate_latest(registry).decode(), name)


def labels_of(registry: CollectorRegistry) -> set[str]:
    return {
        label
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for one in family.samples
        for label in one.labels
    }


# What is counted


def test_attempts_are_counted_by_event_by_what_they_mean_and_why(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    for kind, reason in [(OutcomeKind.RETRY, Reason.TIMEOUT), (OutcomeKind.DELIVERED, Reason.ACCEPTED)] * 2:
        observer.observe(make_record(kind, reason))
    assert scraped(registry, ATTEMPTS) == {
        ("order.created", "retry", "timeout"): 2,
        ("order.created", "delivered", "accepted"): 2,
    }


def test_deliveries_are_counted_when_they_end(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    observer.observe(make_record(OutcomeKind.RETRY, Reason.STATUS))
    observer.observe(make_record(OutcomeKind.FAILED, Reason.STATUS))
    observer.observe(make_record(OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN))
    observer.observe(make_record())
    assert scraped(registry, ENDED) == {
        ("order.created", state): 1 for state in ("failed", "blocked", "delivered")
    }


@pytest.mark.parametrize(
    "reason", [Reason.SUBSCRIPTION_DISABLED, Reason.CANCELLED, Reason.UNSUBSCRIBED], ids=str
)
def test_a_delivery_that_is_cancelled_ends_without_an_attempt(
    registry: CollectorRegistry, observer: PrometheusObserver, reason: Reason
) -> None:
    observer.observe(unsent(make_record(OutcomeKind.FAILED, reason)))
    assert scraped(registry, ENDED) == {("order.created", "cancelled"): 1}
    assert scraped(registry, ATTEMPTS) == scraped(registry, f"{DURATION}_count") == {}


def test_an_attempt_that_was_lost_with_its_process_counts_and_ends_nothing(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    lost = evolve(make_record(OutcomeKind.RETRY, Reason.WORKER_LOST), lease=Lease("another"))
    observer.observe(unsent(lost))
    assert scraped(registry, ATTEMPTS) == {("order.created", "retry", "worker_lost"): 1}
    assert scraped(registry, ENDED) == scraped(registry, f"{DURATION}_count") == {}


def unsent(record: DeliveryRecord) -> DeliveryRecord:
    return evolve(record, last=evolve(record.last, duration=0.0))


def test_attempts_are_timed_in_seconds(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    observer.observe(make_record())
    assert scraped(registry, f"{DURATION}_sum") == {("delivered",): 0.25}
    bounds = [bound for bound, _ in scraped(registry, f"{DURATION}_bucket")]
    assert bounds == ["0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "15.0", "30.0", "60.0", "+Inf"]


def test_subscriptions_that_fail_or_are_disabled_are_counted_from_nought(
    registry: CollectorRegistry, open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    observer = PrometheusObserver(registry)
    text = generate_latest(registry).decode()
    assert f'{NOTICES}{{notice="failing"}} 0.0' in text
    assert f'{NOTICES}{{notice="disabled"}} 0.0' in text
    endpoint = open_endpoint(answers(410))
    thorn = open_thorn(endpoint, pipeline=make_pipeline([PooledTransport()], observers=[observer]))
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    observer.observe_subscription(make_notice())
    assert scraped(registry, NOTICES) == {("disabled",): 1, ("failing",): 1}


def test_what_customers_choose_is_no_label(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    for number in range(50):
        url = f"https://{number}.example.com/in-the-path?key=in-the-query"
        record = make_record(of=make_delivery(b"in-the-body", to=make_subscription(url)))
        observer.observe(evolve(record, last=evolve(record.last, status=200 + number)))
    assert labels_of(registry) == {"event", "outcome", "reason", "state", "notice", "le"}
    assert scraped(registry, ATTEMPTS) == {("order.created", "delivered", "accepted"): 50}
    text = generate_latest(registry).decode()
    assert "in-the-" not in text
    assert "example.com" not in text


# Registries


def test_two_thorns_in_one_process_count_together(
    registry: CollectorRegistry, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    for _ in range(2):
        pipeline = make_pipeline([PooledTransport()], observers=[PrometheusObserver(registry)])
        thorn = open_thorn(endpoint, pipeline=pipeline)
        thorn.subscribe("*", endpoint.url)
        thorn.event("order.created").send({})
    assert scraped(registry, ATTEMPTS) == {("order.created", "delivered", "accepted"): 2}


def test_registries_are_apart(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    PrometheusObserver(CollectorRegistry()).observe(make_record())
    assert scraped(registry, ATTEMPTS) == {}


def test_a_registry_that_nobody_has_any_more_is_forgotten() -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    known = weakref.ref(registry)
    del registry
    gc.collect()
    assert known() is None


def test_a_name_that_something_else_has_is_an_error(registry: CollectorRegistry) -> None:
    Counter("thornsdk_attempts", "Another.", registry=registry)
    with pytest.raises(ValueError, match="thornsdk_attempts"):
        PrometheusObserver(registry)


def test_settings_choose_it_and_it_counts_in_the_global_registry(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    endpoint = open_endpoint(in_turn(answers(503), answers(200)))
    event = "order.of_this_test"
    thorns = [open_thorn(endpoint, observers=["prometheus"], retry_schedule=[0]) for _ in range(2)]
    thorns[1].subscribe("*", endpoint.url)
    thorns[1].event(event).send({})
    thorns[1].run_due()
    counted = {key: value for key, value in scraped(REGISTRY, ATTEMPTS).items() if event in key}
    assert counted == {(event, "retry", "status"): 1, (event, "delivered", "accepted"): 1}


# Scrapes


def test_it_is_scraped_over_http(
    registry: CollectorRegistry, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    pipeline = make_pipeline([PooledTransport()], observers=[PrometheusObserver(registry)])
    thorn = open_thorn(endpoint, pipeline=pipeline)
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert samples(text, ATTEMPTS) == {("order.created", "delivered", "accepted"): 1}
    assert samples(text, f"{DURATION}_count") == {("delivered",): 1}


IN_ITS_OWN_PROCESS = """
from thornsdk.testing import make_record
from thornsdk_plugins.prometheus import PrometheusObserver

PrometheusObserver().observe(make_record())
"""

ALL_PROCESSES = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
"""


def test_in_multiprocess_mode_the_processes_count_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for _ in range(2):
        assert output_of(IN_ITS_OWN_PROCESS) == ""
    text = output_of(ALL_PROCESSES)
    assert samples(text, ATTEMPTS) == {("order.created", "delivered", "accepted"): 2}
    assert samples(text, f"{DURATION}_count") == {("delivered",): 2}


def output_of(script: str) -> str:
    with running(script) as process:
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    return text


# The plugin


def test_where_the_client_is_missing_it_says_what_to_install(
    open_thorn: OpenThorn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for name in [one for one in sys.modules if one.startswith("thornsdk_plugins.prometheus.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StageUnavailableError, match=r"pip install 'thornsdk\[prometheus\]'"):
        open_thorn(observers=["prometheus"])


def test_the_plugin_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = plugin.Nothing  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Prometheus")
@pytest.mark.parametrize(
    ("alert", "series", "fires"),
    [
        ("WebhooksDoNotArrive", {RETRIED: "0+60x60"}, True),
        ("WebhooksDoNotArrive", {RETRIED: "0+8x60", DELIVERED: "0+2x60"}, True),
        ("WebhooksDoNotArrive", {RETRIED: "0+1x60", DELIVERED: "0+99x60"}, False),
        ("WebhooksDoNotArrive", {DELIVERED: "0+60x60"}, False),
        ("WebhookPluginBroken", {BROKEN: "_x55 100x60"}, True),
        ("WebhookPluginBroken", {BROKEN: "1x55 2x60"}, True),
        ("WebhookPluginBroken", {BROKEN: "100x60"}, False),
        ("SubscriptionDisabled", {DISABLED: "_x55 1x60"}, True),
        ("SubscriptionDisabled", {DISABLED: "1x120"}, False),
    ],
)
def test_the_alerts_of_the_page_fire_when_they_should(
    alert: str, series: dict[str, str], fires: bool, tmp_path: Path
) -> None:
    page = Path(__file__).parent.parent / "docs" / "how-to" / "observe.md"
    (rules,) = re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"))
    (tmp_path / "rules.yml").write_text(rules)
    expected = {"eval_time": "1h", "alertname": alert, "exp_alerts": [{"exp_labels": {}}] if fires else []}
    case = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [expected],
    }
    # JSON is YAML, too.
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
