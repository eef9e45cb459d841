import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import thornsdk

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "thornsdk"
PLUGINS = ROOT / "plugins" / "thornsdk_plugins"

FLOORS = {
    "errors": 0,
    "reasons": 0,
    "timings": 0,
    "typing": 0,
    "version": 0,
    "model": 1,
    "policy": 2,
    "lookups": 3,
    "stages": 3,
    "dispatching": 3,
    "setting_kinds": 3,
    "settings": 3,
    "hookspecs": 3,
    "fanning": 3,
    "plugins": 4,
    "installed": 4,
    "pipeline": 5,
    "logs": 5,
    "gates": 5,
    "planned": 5,
    "leases": 5,
    "breakers": 5,
    "limits": 5,
    "recipients": 5,
    "turns": 5,
    "lines": 5,
    "claims": 5,
    "failing": 5,
    "skips": 5,
    "attempts": 5,
    "lanes": 5,
    "side_by_side": 5,
    "run": 5,
    "engine": 5,
    "replaying": 5,
    "static": 6,
    "buffers": 6,
    "events": 6,
    "outbox": 6,
    "outbox_documents": 6,
    "relaying": 6,
    "thorn": 6,
    "__init__": 6,
    "__main__": 7,
    "cli": 7,
    "receive": 7,
    "testing": 7,
}
ABOVE_NEEDS_AT_MOST = {"receive": 2}

OPEN_MODULES = {"thornsdk.errors", "thornsdk.typing", "thornsdk.receive", "thornsdk.testing"}
HEAVY = {
    *("urllib3", "celery", "click", "cryptography", "kombu", "nats", "opentelemetry", "prometheus_client"),
    *("rich", "thornsdk_plugins"),
}


def modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Gives each module's dotted name and file."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts), path


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Gives what a file imports, late imports too: the module, and the name taken from it or None."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((one.name, None) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from ((node.module or "", one.name) for one in node.names)


def place(module: str) -> str:
    """Gives the name that a module has among the floors."""
    return [*module.split("."), "__init__"][1]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "thornsdk"


def test_every_module_has_a_floor() -> None:
    assert {place(name) for name, _ in modules(SRC)} == FLOORS.keys()


def test_imports_go_down_only() -> None:
    upward = [
        f"{name} imports {wanted}"
        for name, path in modules(SRC)
        for wanted, _ in imports(path)
        if is_ours(wanted) and FLOORS[place(wanted)] > highest_for(place(name))
    ]
    assert upward == []


def highest_for(module: str) -> int:
    """Gives the highest floor that a module may import."""
    return ABOVE_NEEDS_AT_MOST.get(module, FLOORS[module])


def test_imports_make_no_circle() -> None:
    known = dict(modules(SRC))
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        wanted = {text for module, taken in imports(path) for text in (module, f"{module}.{taken}")}
        # A module may take its siblings from their package, which gathers them all.
        graph[name] = wanted & known.keys() - {name.rpartition(".")[0]}
    TopologicalSorter(graph).prepare()


def test_the_library_never_imports_the_plugins() -> None:
    found = [
        f"{name} imports {wanted}"
        for name, path in modules(SRC)
        for wanted, _ in imports(path)
        if wanted.partition(".")[0] == "thornsdk_plugins"
    ]
    assert found == []


def test_plugins_import_public_names_only() -> None:
    hidden = [
        f"{name} imports {wanted}.{taken}"
        for name, path in modules(PLUGINS)
        for wanted, taken in imports(path)
        if is_ours(wanted)
        and wanted not in OPEN_MODULES
        and not (wanted == "thornsdk" and (taken is None or taken in thornsdk.__all__))
    ]
    assert hidden == []


def test_no_plugin_imports_another() -> None:
    across = [
        f"{name} imports {wanted}"
        for name, path in modules(PLUGINS)
        for wanted, _ in imports(path)
        if wanted.startswith("thornsdk_plugins.") and place(wanted) != place(name)
    ]
    assert across == []


def test_the_picture_of_the_floors_shows_each_of_them() -> None:
    picture = (ROOT / "docs" / "explanation" / "floors.svg").read_text()
    shown = {
        name: int(floor)
        for floor, group in re.findall(r'<g id="floor-(\d)">(.*?)</g>', picture, re.DOTALL)
        for name in re.findall(r'class="module">(\w+)<', group)
    }
    assert set(shown.values()) == set(FLOORS.values())
    assert shown.items() <= FLOORS.items()


def imported_by(statement: str) -> set[str]:
    """Gives the packages that a fresh process has imported after a statement."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("statement", ["import thornsdk", "import thornsdk.cli", "import thornsdk.receive"])
def test_what_is_heavy_comes_when_it_is_used(statement: str) -> None:
    found = imported_by(statement)
    assert "thornsdk" in found
    assert found & HEAVY == set()


def test_all_public_names_together_bring_nothing_heavy_of_ours() -> None:
    # Structlog looks for rich by itself.
    brought = imported_by("from thornsdk import *") - imported_by("import structlog")
    assert "thornsdk" in brought
    assert brought & HEAVY == set()


def test_loading_the_plugins_brings_none_of_what_their_stages_need() -> None:
    code = "from thornsdk.plugins import PluginManager; PluginManager('0.1').load()"
    found = imported_by(code) - imported_by("import structlog")
    assert "thornsdk_plugins" in found
    assert found & HEAVY == {"thornsdk_plugins"}


def test_the_receiving_side_does_not_pay_for_the_sending_side() -> None:
    assert imported_by("import thornsdk.receive") & {"pluggy", "structlog"} == set()


def test_every_public_name_is_there_and_listed() -> None:
    for name in thornsdk.__all__:
        assert getattr(thornsdk, name) is not None
    assert set(thornsdk.__all__) <= set(dir(thornsdk))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'thornsdk' has no attribute 'Nothing'"):
        thornsdk.Nothing  # type: ignore[attr-defined]  # noqa: B018 - on purpose
