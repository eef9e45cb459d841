import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from inspect import cleandoc
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve
from prometheus_client import CollectorRegistry

import thornsdk
import thornsdk_plugins
from conftest import OpenThorn
from support.examples import PATTERNS, Web
from support.telemetry import Sdk, attributes, make_notice
from support.typed_docs import pages
from thornsdk import DeliveryState, OutcomeKind, Plugin, Reason, Timings, errors, logs, receive, testing
from thornsdk.settings import setting_fields, setting_name
from thornsdk.testing import Endpoint, answers, make_record, suites
from thornsdk.testing.fixtures import OpenEndpoint
from thornsdk_plugins.http_signatures import HttpSignaturesSigner
from thornsdk_plugins.prometheus import PrometheusObserver

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Gives what stands under a heading, up to the next one of its level."""
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docs, built."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def html(built: Path, page: str) -> str:
    return (built / f"{page}.html").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_reference_with_what_it_takes(built: Path) -> None:
    page = unescape(re.sub(r"<[^>]+>", "", html(built, "reference/settings")))
    for one in setting_fields():
        assert re.search(rf"^{setting_name(one)}\b", page, re.MULTILINE), setting_name(one)
        assert str(one.metadata["takes"]).replace("`", "") in page


def test_every_outcome_every_reason_and_every_state_stands_in_the_reference(built: Path) -> None:
    page = html(built, "reference/outcomes")
    cells = set(re.findall(r'<td><p><code[^>]*><span class="pre">(\w+)</span></code></p></td>', page))
    assert cells == {*OutcomeKind, *Reason, *DeliveryState}


@pytest.mark.parametrize("name", thornsdk.__all__)
def test_every_public_name_stands_in_the_api(built: Path, name: str) -> None:
    assert f'id="thornsdk.{name}"' in html(built, "reference/api")


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_for_tests_stands_in_the_reference(built: Path, name: str) -> None:
    assert f'id="thornsdk.testing.{name}"' in html(built, "reference/testing")


@pytest.mark.parametrize("name", suites.__all__)
def test_every_name_of_the_suites_stands_in_the_reference(built: Path, name: str) -> None:
    assert f'id="thornsdk.testing.suites.{name}"' in html(built, "reference/testing")


@pytest.mark.parametrize("name", [one for one in suites.__all__ if one.endswith("Suite")])
def test_every_promise_of_a_suite_stands_in_the_reference(name: str) -> None:
    suite = getattr(suites, name)
    page = (
        section(read("reference/testing"), "## Suites").partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    )
    told = dict(re.findall(r"^\| `(test_\w+)` \| (.+) \|$", page, re.MULTILINE))
    inherited = {test for base in suite.__mro__[1:] if base.__name__ in suites.__all__ for test in dir(base)}
    own = {test for test in dir(suite) if test.startswith("test_")} - inherited
    assert told == {test: promise(getattr(suite, test)) for test in own}


def promise(test: Callable[..., None]) -> str:
    """Gives the first paragraph of a docstring as one line of Markdown."""
    return " ".join(cleandoc(str(test.__doc__)).partition("\n\n")[0].split()).replace("``", "`")


def test_every_error_stands_in_the_api(built: Path) -> None:
    page = html(built, "reference/api")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.ThornError):
            assert f'id="thornsdk.errors.{name}"' in page, name


def test_what_a_receiver_needs_stands_in_the_api(built: Path) -> None:
    page = html(built, "reference/api")
    for value in (receive.verify, receive.Received, receive.Scheme):
        assert f'id="thornsdk.receive.{value.__name__}"' in page


def test_the_log_reference_lists_the_fields_of_an_attempt(
    open_endpoint: OpenEndpoint, open_thorn: OpenThorn
) -> None:
    endpoint = open_endpoint(answers(503))
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url)
    record = thorn.event("order.created").send({}).outcomes.problems[0]
    timings = Timings(total=1, lookup=1, connect=1, tls=1, first_byte=1)
    told = evolve(record, last=evolve(record.last, detail="more to say", timings=timings))
    assert first_column(section(read("reference/logs"), "## Attempts")) == list(logs.attempt_fields(told))


def test_the_log_reference_lists_every_log_event() -> None:
    plugins = Path(thornsdk_plugins.__path__[0]).rglob("*.py")
    source = "".join(one.read_text(encoding="utf-8") for one in (Path(logs.__file__), *plugins))
    told = set(re.findall(r'\.tell\([^"]*"([a-z_.]+)"', source))
    told |= {f"delivery.{kind}" for kind in OutcomeKind} | {"log.failed"}
    told |= {f"message.{state}" for state in ("queued", "stored", "disabled")}
    assert set(first_column(section(read("reference/logs"), "## All events"))) == told


def test_the_headers_page_lists_what_is_sent(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    thorn = open_thorn(endpoint)
    thorn.subscribe("*", endpoint.url)
    thorn.event("order.created").send({})
    of_http = {"host", "content-length", "accept-encoding"}
    sent = {name.lower() for name, _ in endpoint.seen[0].headers}
    first, second = re.findall(r"^\| header .*?(?=\n\n)", read("reference/headers"), re.MULTILINE | re.DOTALL)
    assert {name.lower() for name in first_column(first)} == sent - of_http
    assert {name.lower() for name in first_column(second)} == HttpSignaturesSigner().header_names


def part(text: str, heading: str) -> str:
    """Gives what stands under a heading of the third level, up to the next one."""
    return text.partition(f"\n{heading}\n")[2].partition("\n### ")[0]


def names(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def rows(text: str) -> list[list[str]]:
    """Gives the cells of a table, without its head."""
    return [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]


def test_the_page_on_observing_lists_what_opentelemetry_is_told() -> None:
    page = read("how-to/observe")
    record = make_record(OutcomeKind.FAILED, Reason.STATUS, number=2)
    over_http = evolve(record, last=evolve(record.last, status=503, address="192.0.2.1"))
    with Sdk() as sdk:
        observer = sdk.observer()
        observer.observe(over_http)
        of_span = names("".join(left for left, _ in rows(part(page, "### What a span is"))))
        assert of_span == attributes(sdk.span).keys()
        observer.observe(evolve(record, origin="amqp://events"))
        observer.observe_subscription(make_notice())
        metrics = rows(part(page, "### Metrics of OpenTelemetry"))
        assert {name.strip(" `"): names(keys) for name, keys, _ in metrics} == sdk.attributes_of_metrics()


def test_the_page_on_observing_lists_what_prometheus_is_told() -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry).observe(make_record())
    told = {
        metric.name + "_total" * (metric.type == "counter"): {
            label for one in metric.samples for label in one.labels if label != "le"
        }
        for metric in registry.collect()
    }
    metrics = rows(section(read("how-to/observe"), "## Count with Prometheus"))
    assert {name.strip(" `"): names(labels) for name, labels, _ in metrics} == told


HOOKS = sorted(name for name in vars(Plugin) if name.startswith("thornsdk_"))


def setting_of(hook: str) -> str:
    """Gives the setting that chooses among what a hook provides."""
    told = re.search(r"``(THORN_\w+)`` chooses", inspect.getdoc(getattr(Plugin, hook)) or "")
    assert told is not None
    return told[1]


def test_every_hook_has_a_section_and_a_page() -> None:
    assert sorted(re.findall(r"^## `(thornsdk_\w+)`$", read("reference/hooks"), re.MULTILINE)) == HOOKS
    assert sorted(page.stem for page in (DOCS / "reference" / "hooks").glob("*.md")) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_the_section_of_a_hook_leads_to_its_page(hook: str) -> None:
    assert f"](hooks/{hook}.md)" in section(read("reference/hooks"), f"## `{hook}`")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_of_a_hook_tells_all_that_is_asked_of_it(hook: str) -> None:
    page = read(f"reference/hooks/{hook}")
    assert f"| chosen by | {{confval}}`{setting_of(hook)}`" in page
    assert f"    @hookimpl\n    def {hook}(self, context: HookContext) -> " in page
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert re.fullmatch(r"What an? \w+ does", headings[0])
    assert headings[1:] == ["Built in", "A plugin", "What can go wrong"]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_of_a_hook_lists_what_its_stage_has_and_what_is_built_in(
    built: Path, hook: str, open_thorn: OpenThorn
) -> None:
    page = html(built, f"reference/hooks/{hook}")
    catalogue = getattr(open_thorn().plugins, hook.removeprefix("thornsdk_"))()
    members = {name for name in vars(catalogue.protocol) if not name.startswith("_")}
    linked = re.findall(rf'title="thornsdk\.{catalogue.protocol.__name__}\.(\w+)"', page)
    assert members <= set(linked)
    cells = re.findall(r'<td><p><code[^>]*><span class="pre">([\w-]+)</span></code></p></td>', page)
    assert catalogue.offers.keys() <= set(cells)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_built_in_stages_of_a_hook_are_named_in_its_section(hook: str, open_thorn: OpenThorn) -> None:
    offers = getattr(open_thorn().plugins, hook.removeprefix("thornsdk_"))().offers
    named = section(read("reference/hooks"), f"## `{hook}`").partition("\nBuilt in: ")[2]
    assert sorted(re.findall(r"`([\w-]+)`", named)) == sorted(offers)


def test_the_readme_names_every_built_in_stage(open_thorn: OpenThorn) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for catalogue in open_thorn().plugins.catalogues():
        (row,) = re.findall(rf"^\| {catalogue.stage} \| (.*) \|$", readme, re.MULTILINE)
        assert sorted(re.findall(r"`([\w-]+)`", row)) == sorted(catalogue.offers)


def test_every_command_has_a_section_with_its_options() -> None:
    click = pytest.importorskip("click")
    from thornsdk.cli.app import cli

    commands = dict(cli.commands)
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            commands |= {f"{name} {sub}": one for sub, one in command.commands.items()}
    page = read("reference/command-line")
    listed = re.findall(r"^## `thornsdk ([a-z -]+[a-z])", page, re.MULTILINE)
    assert sorted(listed) == sorted(commands)
    for name, command in commands.items():
        heading = next(line for line in page.splitlines() if re.match(rf"## `thornsdk {name}\b", line))
        options = {one.opts[0] for one in command.params if isinstance(one, click.Option)}
        # What stands in a console block is an example.
        text = re.sub(r"```.*?```", "", section(page, heading), flags=re.DOTALL)
        assert set(re.findall(r"`(--[a-z-]+)", text)) == options, name


def test_no_page_is_missing_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT)) for page in DOCS.glob("*/**/*.md") if "_build" not in page.parts}
    pages -= {"docs/reference/api.md"}
    assert pages <= set(re.findall(r"\((docs/[^)]+)\)", readme))


def test_the_examples_of_every_page_run() -> None:
    left_out = [page for page in pages() if not any(map(page.relative_to(ROOT).match, PATTERNS))]
    assert left_out == []


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
            assert (ROOT / target).exists(), f"{page}: {target}"


def modules() -> Iterator[ModuleType]:
    for package in (thornsdk, thornsdk_plugins):
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not one.name.endswith("__main__"):
                yield importlib.import_module(one.name)


EXAMPLES = [
    example for module in modules() for example in doctest.DocTestFinder().find(module) if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_in_a_docstring_runs(example: doctest.DocTest, web: Web) -> None:
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(example, out=lines.append)
    assert not runner.failures, "".join(lines)


OF_THORN = [
    *("ALLOW_REDIRECTS", "CHUNKSIZE", "CODECS", "DISPATCHER", "DRF_PERMISSION_CLASSES", "EVENT_CHOICES"),
    *("EVENT_TIMEOUT", "HMAC_SIGNER", "RECIPIENT_VALIDATORS", "RETRY", "RETRY_DELAY", "RETRY_MAX"),
    *("SIGNAL_HONORS_TRANSACTION", "SUBSCRIBERS", "SUBSCRIBER_MODEL"),
]
"""The settings of Thorn 1.5.2."""


def test_who_comes_from_thorn_finds_every_setting() -> None:
    table = section(read("how-to/coming-from-thorn"), "## Settings")
    left = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert sorted(re.findall(r"`THORN_(\w+)`", left)) == OF_THORN


def test_the_picture_of_the_states_shows_each_of_them() -> None:
    picture = (DOCS / "explanation" / "deliveries.svg").read_text()
    shown = re.findall(r'class="text state"[^>]*>(\w+)<', picture)
    assert sorted(shown) == sorted(DeliveryState)


def test_the_picture_of_the_design_shows_each_stage_with_its_hook_and_its_setting() -> None:
    picture = (DOCS / "explanation" / "design.svg").read_text()
    stages = [one.removeprefix("thornsdk_").removesuffix("s") for one in HOOKS]
    assert sorted(re.findall(r'class="text stage"[^>]*>(\w+)<', picture)) == stages
    beside = re.findall(r'class="text hook"[^>]*>(\w+)<.*\n.*class="quiet hook"[^>]*>(\w+)<', picture)
    assert sorted(beside) == [(hook, setting_of(hook)) for hook in HOOKS]
