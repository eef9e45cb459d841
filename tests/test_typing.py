import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import thornsdk

ROOT = Path(__file__).parent.parent
TYPING = ROOT / "tests" / "typing"
ERRORS = sorted((TYPING / "errors").glob("*.py"))
BASEDPYRIGHT = str(Path(sys.executable).with_name("basedpyright"))

EXPECTED = re.compile(r"# error: (.+)$")


def mypy(path: Path, cache: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(cache),
        "--no-error-summary",
        str(path),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of mypy has learnt, the next need not learn again."""
    return tmp_path_factory.mktemp("mypy")


def basedpyright(paths: Iterable[Path], folder: Path) -> dict[str, set[int]]:
    """Gives the lines with errors, strictly judged, by the name of the file."""
    settings = {"include": [str(path) for path in paths], "typeCheckingMode": "strict"}
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    command = [BASEDPYRIGHT, "--project", str(project), "--pythonpath", sys.executable, "--outputjson"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    answer = json.loads(run.stdout)
    assert answer["summary"]["filesAnalyzed"] == len(settings["include"])
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
    assert mypy(TYPING / "usage.py", cache) == ""


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_mypy_finds_each_error_and_no_other(path: Path, cache: Path) -> None:
    told: dict[int, str] = {}
    for line, text in re.findall(r"^[^:]+:(\d+): error: (.+)$", mypy(path, cache), re.MULTILINE):
        told[int(line)] = f"{told.get(int(line), '')}{text}\n"
    expected = expected_errors(path)
    assert told.keys() == expected.keys()
    assert {line: text for line, text in expected.items() if text not in told[line]} == {}


def test_good_use_is_clean_for_pyright(tmp_path: Path) -> None:
    assert basedpyright([TYPING / "usage.py"], tmp_path) == {}


def test_pyright_finds_each_error_and_no_other(tmp_path: Path) -> None:
    expected = {path.name: set(expected_errors(path)) for path in ERRORS}
    assert basedpyright(ERRORS, tmp_path) == expected


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
