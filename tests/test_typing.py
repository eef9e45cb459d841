import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import thornsdk
from support.typed_docs import line_in_page, module_of, name_of, pages

ROOT = Path(__file__).parent.parent
TYPING = ROOT / "tests" / "typing"
GOOD = sorted(TYPING.glob("*.py"))
ERRORS = sorted((TYPING / "errors").glob("*.py"))
BASEDPYRIGHT = str(Path(sys.executable).with_name("basedpyright"))

EXPECTED = re.compile(r"# error: (.+)$")


def mypy(*paths: Path, cache: Path) -> str:
    options = ["--strict", "--cache-dir", str(cache), "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of mypy has learnt, the next need not learn again."""
    return tmp_path_factory.mktemp("mypy")


def basedpyright(paths: Iterable[Path], folder: Path, **more: object) -> dict[str, set[int]]:
    """Gives the lines with errors, strictly judged, by the name of the file."""
    include = [str(path) for path in paths]
    settings = {"include": include, "typeCheckingMode": "strict", **more}
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    command = [BASEDPYRIGHT, "--project", str(project), "--pythonpath", sys.executable, "--outputjson"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    answer = json.loads(run.stdout)
    assert answer["summary"]["filesAnalyzed"] == len(include)
    found: dict[str, set[int]] = {}
    for one in answer["generalDiagnostics"]:
        if one["severity"] == "error":
            line = one["range"]["start"]["line"] + 1
            found.setdefault(Path(one["file"]).name, set()).add(line)
    return found


def expected_errors(path: Path) -> dict[int, str]:
    """Gives what is expected in each line that has a comment about it."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: found[1] for number, line in lines if (found := EXPECTED.search(line))}


def test_good_use_is_clean_for_mypy(cache: Path) -> None:
    assert mypy(*GOOD, cache=cache) == ""


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_mypy_finds_each_error_and_no_other(path: Path, cache: Path) -> None:
    told: dict[int, str] = {}
    for line, text in re.findall(r"^[^:]+:(\d+): error: (.+)$", mypy(path, cache=cache), re.MULTILINE):
        told[int(line)] = f"{told.get(int(line), '')}{text}\n"
    expected = expected_errors(path)
    assert told.keys() == expected.keys()
    assert {line: text for line, text in expected.items() if text not in told[line]} == {}


def test_good_use_is_clean_for_pyright(tmp_path: Path) -> None:
    assert basedpyright(GOOD, tmp_path) == {}


def test_pyright_finds_each_error_and_no_other(tmp_path: Path) -> None:
    expected = {path.name: set(expected_errors(path)) for path in ERRORS}
    assert basedpyright(ERRORS, tmp_path) == expected


# The examples of README and docs. Each page is one module: what it says twice, it may import twice.
PAGES = {name_of(page): page for page in pages()}
OF_A_PAGE = {
    "extraPaths": [str(ROOT / "tests")],
    "reportDeprecated": "none",  # It wants contextmanager on Generator; Iterator reads better.
    "reportDuplicateImport": "none",
    # Packages of others need not be typed to pyright's taste.
    "reportPrivateImportUsage": "none",
    "reportUnknownMemberType": "none",
    "reportUnusedExpression": "none",
}


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The examples of each page as a module."""
    return [write_module(page, tmp_path_factory.getbasetemp()) for page in PAGES.values()]


def write_module(page: Path, folder: Path) -> Path:
    path = folder / f"{name_of(page)}.py"
    path.write_text(module_of(page), encoding="utf-8")
    return path


def in_pages(found: Iterable[tuple[str, int]]) -> list[str]:
    """Gives the places that a reader sees."""
    lines = [(PAGES[module], line_in_page(PAGES[module], line)) for module, line in found]
    return [f"{page.relative_to(ROOT)}:{line}" for page, line in lines if line]


def test_the_examples_of_the_docs_are_clean_for_mypy(
    modules: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYPYPATH", "src:plugins:tests")
    told = mypy(*modules, cache=cache)
    found = re.findall(r"^.*?(\w+)\.py:(\d+): error: ", told, re.MULTILINE)
    assert in_pages((module, int(line)) for module, line in found) == [], told


def test_the_examples_of_the_docs_are_clean_for_pyright(modules: list[Path], tmp_path: Path) -> None:
    found = basedpyright(modules, tmp_path, **OF_A_PAGE)
    assert in_pages((Path(name).stem, line) for name, lines in found.items() for line in lines) == []


def test_an_example_that_is_wrong_is_found_where_it_stands(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(WRONG_PAGE, encoding="utf-8")
    monkeypatch.setitem(PAGES, "page", page)
    monkeypatch.setenv("MYPYPATH", "src:plugins:tests")
    module = tmp_path / "page.py"
    module.write_text(module_of(page), encoding="utf-8")
    told = re.findall(r":(\d+): error: ", mypy(module, cache=cache))
    assert [line_in_page(page, int(line)) for line in told] == [0, 8, 13]
    assert {line_in_page(page, line) for line in basedpyright([module], tmp_path)["page.py"]} >= {0, 8, 13}


WRONG_PAGE = """\
# A page

% invisible-code-block: python
% from thornsdk import Thorn
% hidden: int = "no"

```python
wrong: str = 42
```

```python
>>> thorn = Thorn()
>>> thorn.event(42)
Event
```

% skip: next

```python
skipped: str = 42
```
"""


def test_every_public_name_has_a_full_type(tmp_path: Path) -> None:
    # Outside the repository it is judged as users have it: an installed package. An editable installation is
    # found where the path says so.
    source = str(Path(thornsdk.__file__).parent.parent)
    command = [BASEDPYRIGHT, "--pythonpath", sys.executable, "--verifytypes", "thornsdk", "--ignoreexternal"]
    run = subprocess.run(
        [*command, "--outputjson"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(run.stdout)["typeCompleteness"]
    assert report["pyTypedPath"].startswith(source)
    public = [one for one in report["symbols"] if one["isExported"] and not is_program(one["name"])]
    assert len(public) > 500
    assert [one["name"] for one in public if not one["isTypeKnown"] or one["isTypeAmbiguous"]] == []


def is_program(name: str) -> bool:
    """Tells whether a name belongs to the command line, which nobody imports."""
    return name.startswith("thornsdk.cli")
